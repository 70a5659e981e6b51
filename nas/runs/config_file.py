"""The settings of a search in a YAML file, and those that are given over it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.errors import InputError
from nas.files import read_given_text
from nas.runs.config import SearchConfig, merge
from nas.settings import name_keys


def read_settings(given: Mapping[str, Any], file: Path | None, where: str) -> SearchConfig:
    """Return the config of what a user gave, over that of a file. Raises InputError."""
    return SearchConfig.from_data(merge(read_config(file) if file else {}, given), where)


def read_config(path: Path) -> dict[str, Any]:
    """Return the settings in a YAML file as plain values; the space may be left to an option.

    Raises InputError for what cannot be read, an unknown key and a value that is not allowed.
    """
    from nas.space.language.source import read_yaml, to_plain_data

    data: Any = to_plain_data(read_yaml(read_given_text(path), str(path)))
    if isinstance(data, dict):
        if isinstance(data.get("search"), dict):
            raise InputError(f"{path}: has steps, as 'search'; give such a file to nas run")
        data = name_keys(data, str(path))
    SearchConfig.from_data({"space": "given later", **data} if isinstance(data, dict) else data, str(path))
    return dict(data)


def list_resumable() -> list[str]:
    """Return the keys of settings that a search that goes on may change, or that it is given again."""
    options = {key: setting.option for key, setting in SearchConfig.settings().items()}
    return [key for key, option in options.items() if option.resumable or option.again]
