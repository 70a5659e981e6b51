"""Options that commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import rich_click as click

from nas.cli.completing import FILE, FOLDER

Command = Callable[..., None]
Decorator = Callable[[Command], Command]


def check_is_there(network: str, plugins: Sequence[Path]) -> None:
    """Raise InputError where there is neither a run nor a file or a bundled network of this name, as
    `check_run` does."""
    from nas.space.library import find_space, is_run

    if is_run(network):
        check_run(Path(network), plugins)
    else:
        find_space(network)


def check_run(folder: Path, plugins: Sequence[Path]) -> None:
    """Raise InputError where there is no run or training, or plugins of it are not named: at once, as torch
    takes seconds to load."""
    from nas.runs.state import open_made
    from nas.space.plugins import read_plugins

    open_made(folder, read_plugins(plugins))


runs_option: Decorator = click.option(
    "--runs", type=FOLDER, default=Path("runs"), help="Where folders are made."
)


def name_option(default: str) -> Decorator:
    """Return the option of what the folder of a run is called."""
    return click.option("--name", help=f"Name of the folder. [default: {default}]")


plugin_option: Decorator = click.option(
    "plugins",
    "--plugin",
    type=FILE,
    multiple=True,
    help="A Python file with blocks or operators of your own, which is run; repeatable.",
)

storage_option: Decorator = click.option(
    "--storage", metavar="URL", help="The database of a run that keeps its trials in one."
)

repair_option: Decorator = click.option(
    "--repair", is_flag=True, help="Of a damaged study.journal, keep what is whole."
)

format_option: Decorator = click.option(
    "form",
    "--format",
    type=click.Choice(["text", "json"]),
    default="text",
    help="How facts are printed: as text, or as one JSON document.",
)
