"""What commands that train have in common: settings as options, and a new run from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import typer

from nas.data.config import DataConfig
from nas.errors import InputError, did_you_mean
from nas.runs.config import Settings
from nas.training.recipe import Recipe


def setting(name: str, help: str, panel: str | None = None, *flags: str) -> Any:
    """The option of a setting of a search; the help shows the default that the settings have."""
    settings = {f.name: f for kind in (Settings, DataConfig, Recipe) for f in fields(kind)}
    default = settings[name].default
    shown = "" if default in (None, ()) else f" \\[default: {default}]"
    kind = _NUMBERS.get(str(settings[name].type).partition(" ")[0])
    reader: dict[str, Any] = {"parser": number(kind), "metavar": "NUMBER"} if kind else {}
    return typer.Option(*flags, help=help + shown, rich_help_panel=panel, **reader)


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
    from nas.space.language.source import read_yaml, to_plain_data

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
        found[key] = to_plain_data(read_yaml(value, f"--recipe '{text}'"))
    return found


_OWN = ("epochs", "batch", "lr", "resolution", "max_images", "max_broken", "score", "folds", "optimizer")
OTHERS = ", ".join(f.name for f in fields(Recipe) if f.name not in _OWN)
"""Settings of the recipe that have no option of their own."""
