"""The command that has shells complete the others."""

from __future__ import annotations

import rich_click as click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), help="The shell.")
def completion(shell: str) -> None:
    """Print what has a shell complete commands, options, spaces and run folders.

    bash: eval "$(nas completion bash)" in ~/.bashrc

    zsh: eval "$(nas completion zsh)" in ~/.zshrc, after compinit

    fish: nas completion fish > ~/.config/fish/completions/nas.fish
    """
    from click.shell_completion import get_completion_class

    from nas.cli.app import app

    found = get_completion_class(shell)
    assert found is not None, "click has all of these"
    click.echo(found(app, {}, "nas", "_NAS_COMPLETE").source())
