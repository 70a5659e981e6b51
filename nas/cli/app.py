"""The application, its entry point, and what its commands share."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas import __version__
from nas.errors import InputError, NasError

if TYPE_CHECKING:
    from nas.runs.folder import Run
    from nas.space.plugins import Plugin

app = typer.Typer(
    name="nas",
    help="Find the best CNN of a family under a budget, and get it as a plain PyTorch file.",
    epilog="Example: nas search mbconv --budget-flops 400M --trials 16",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


PluginOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin", help="A Python file with blocks or operators of your own, which is run; repeatable."
    ),
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nas {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Find the best CNN of a family under a budget, and get it as a plain PyTorch file."""


def main() -> None:
    """Entry point: errors become one line and an exit code, 2 for input and 1 for failure."""
    try:
        app(prog_name="nas")
    except NasError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        with suppress(OSError):
            sys.stdout.close()
        sys.exit(1)


def loaded(files: list[Path] | None) -> tuple[Plugin, ...]:
    """The plugins in files, their blocks registered."""
    from nas.space.plugins import load_plugins, read_plugins

    plugins = read_plugins(files or ())
    load_plugins(plugins)
    return plugins


def opened(path: Path, files: list[Path] | None) -> tuple[Run, tuple[Plugin, ...]]:
    """A run folder and its plugins, which are loaded from the files that the user names."""
    from nas.runs.folder import Run
    from nas.space.plugins import load_plugins, read_plugins

    run, plugins = Run.open(path), read_plugins(files or ())
    run.check_plugins(plugins)
    load_plugins(plugins)
    return run, plugins


def network_file(what: str, plugin: list[Path] | None) -> Path:
    """The best network of a run folder, else the file of that path or name; its plugins are loaded."""
    from nas.space.library import find_space, is_run

    if not is_run(what):
        loaded(plugin)
        return find_space(what)
    best = opened(Path(what), plugin)[0].best_file
    if not best.is_file():
        raise InputError(
            f"{what}: has no best.yaml, the best network of a search; name a run with a finished trial, or a "
            "file"
        )
    return best
