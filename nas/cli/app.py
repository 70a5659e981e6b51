"""The application, its entry point, and what its commands share."""

from __future__ import annotations

import sys
from collections import UserDict
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from nas import __version__
from nas.errors import NasError

if TYPE_CHECKING:
    from nas.space.plugins import Plugin

COMMANDS = {
    "search": "search",
    "resume": "search",
    "calibrate": "calibrate",
    "score": "score",
    "show": "spaces",
    "draw": "spaces",
    "export": "spaces",
    "scale": "spaces",
    "spaces": "spaces",
    "bench": "bench",
}
"""The module of `nas.cli` that a command is in."""

_LOOKS: dict[str, Any] = {
    "add_completion": False,
    "rich_markup_mode": "rich",
    "pretty_exceptions_enable": False,
}


class _Group(TyperGroup):
    """The commands. The module of one is imported when it is run or its help is shown."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Commands(COMMANDS)


class _Commands(UserDict[str, Any]):
    def __getitem__(self, name: str) -> Any:
        return _build(name) if name in self else super().__getitem__(name)


@cache
def _build(name: str) -> Any:
    """Return the command of that name, as typer makes it."""
    import_module(f"nas.cli.{COMMANDS[name]}")
    alone = typer.Typer(**_LOOKS)
    alone.registered_commands += [
        command for command in app.registered_commands if getattr(command.callback, "__name__", "") == name
    ]
    return typer.main.get_command(alone)


app = typer.Typer(
    name="nas",
    cls=_Group,
    help="Find the best CNN of a family under a budget, and get it as a plain PyTorch file.",
    epilog="Example: nas search mbconv --budget-flops 400M --trials 16",
    no_args_is_help=True,
    **_LOOKS,
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


def load(files: list[Path] | None) -> tuple[Plugin, ...]:
    """Return the plugins in files, their blocks registered."""
    from nas.space.plugins import load_plugins, read_plugins

    plugins = read_plugins(files or ())
    load_plugins(plugins)
    return plugins
