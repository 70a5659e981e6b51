"""What commands that train have in common: settings as options, and a new run from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nas.errors import InputError, did_you_mean
from nas.measures import MEASURES
from nas.runs.config import Settings
from nas.training.recipe import Recipe

if TYPE_CHECKING:
    from nas.space.plugins import Plugin
    from nas.workflows.search import Prepared, Search


def setting(name: str, help: str, panel: str | None = None, *flags: str) -> Any:
    """The option of a setting of a search; the help shows the default that the settings have."""
    settings = {f.name: f for kind in (Settings, Recipe) for f in fields(kind)}
    default = settings[name].default
    shown = "" if default in (None, ()) else f" \\[default: {default}]"
    kind = _NUMBERS.get(str(settings[name].type).partition(" ")[0])
    reader: dict[str, Any] = {"parser": number(kind), "metavar": "NUMBER"} if kind else {}
    return typer.Option(*flags, help=help + shown, rich_help_panel=panel, **reader)


def budget_option(help: str, panel: str | None = None) -> Any:
    """The option of limits by the names of their measures."""
    names = ", ".join(MEASURES)
    return typer.Option(
        "--budget", help=f"{help}, such as memory=8M or activations=2M..3M: {names}; repeatable.",
        metavar="NAME=INTERVAL", rich_help_panel=panel,
    )  # fmt: skip


_NUMBERS: dict[str, type[int] | type[float]] = {"int": int, "float": float}


def number(kind: type[int] | type[float]) -> Callable[[str], Any]:
    """Reads a number; what is none stays text, which the settings refuse with their own rule."""

    def read(text: str) -> int | float | str:
        try:
            return kind(text)
        except ValueError:
            return text

    return read


def recipe_settings(texts: list[str], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the recipe from `KEY=VALUE`, values as YAML reads them."""
    from nas.space.language.source import plain_data, read_yaml

    known = [f.name for f in fields(Recipe)]
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise InputError(f"--recipe '{text}': wanted KEY=VALUE, such as optimizer=adamw")
        if key not in known:
            raise InputError(f"--recipe '{text}': unknown key '{key}'{did_you_mean(key, known)}")
        if key in found or flags.get(key) is not None:
            raise InputError(f"--recipe '{text}': {key} is given twice; keep one")
        found[key] = plain_data(read_yaml(value, f"--recipe '{text}'"))
    return found


def begun(prepared: Prepared, runs: Path, name: str | None, like: str, plan: str | None = None) -> Search:
    """A new run in the folder `runs`, called `name` or else like a space and a number."""
    from nas.runs.folder import RunExists, next_run_path
    from nas.workflows import search as searching

    while True:
        path = runs / name if name else next_run_path(runs, like)
        try:
            return searching.start(prepared, path, plan)
        except RunExists:
            if name:
                raise  # else another search has just taken the number


def prepared(settings: Settings, name: str | None, plugins: tuple[Plugin, ...]) -> Prepared:
    """What a run is to be of, checked; a bar shows how far the decoding of images is."""
    from nas.report.decoding import DecodingBar
    from nas.workflows.search import prepare

    if name is not None and (Path(name).name != name or name in ("", ".", "..")):
        raise InputError(f"--name: '{name}' is not a folder name; --runs says where the folder is made")
    with DecodingBar() as bar:
        return prepare(settings, plugins, bar)


_OWN = ("epochs", "batch", "lr", "resolution", "max_images", "max_broken", "score", "folds", "optimizer")
OTHERS = ", ".join(f.name for f in fields(Recipe) if f.name not in _OWN)
"""Settings of the recipe that have no option of their own."""
