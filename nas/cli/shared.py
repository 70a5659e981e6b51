"""What commands share: options, and how plugins are loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from nas.cli.completing import FILE
from nas.measures import MEASURES

if TYPE_CHECKING:
    from nas.space.plugins import Plugin

Command = Callable[..., None]
Decorator = Callable[[Command], Command]

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

format_option: Decorator = click.option(
    "form",
    "--format",
    type=click.Choice(["text", "json"]),
    default="text",
    help="How facts are printed: as text, or as one JSON document.",
)


input_option: Decorator = click.option(
    "--input",
    "side",
    type=int,
    metavar="SIDE",
    help="Fit the space or network to images of so many pixels: early strides become 1. [default: its own]",
)


classes_option: Decorator = click.option(
    "--classes",
    type=click.IntRange(1),
    metavar="N",
    help="Count with so many classes. [default: the space's own]",
)


def budget_option(help: str) -> Decorator:
    """Return the option of limits by the names of their measures, for commands without a config."""
    return click.option(
        "--budget", multiple=True, metavar="NAME=INTERVAL",
        help=f"{help}, such as memory=8M: {', '.join(MEASURES)}; repeatable.",
    )  # fmt: skip


def load(files: Iterable[Path]) -> tuple[Plugin, ...]:
    """Return the plugins in files, their blocks registered."""
    from nas.space.plugins import load_plugins, read_plugins

    plugins = read_plugins(files)
    load_plugins(plugins)
    return plugins
