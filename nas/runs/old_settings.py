"""Settings of run folders that an earlier build wrote, as this one has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.data.config import DataConfig
from nas.data.layout import KEEP


def read_format_1(settings: Any) -> Any:
    """Return the settings of a run folder of format 1 as format 2 has them, or what is damaged as it is.

    The recipe of format 1 had the settings of the data, which have their place beside it now.
    """
    recipe = settings.get("recipe") if isinstance(settings, Mapping) else None
    if not isinstance(recipe, Mapping):
        return settings
    moved = {key: recipe[key] for key in DataConfig.settings() if key in recipe}
    return {**settings, **moved, "recipe": {key: recipe[key] for key in recipe if key not in moved}}


def add_old_defaults(settings: Any) -> Any:
    """Return the settings of a run folder with what was done before there was a setting for it."""
    return {"duplicates": KEEP, **settings} if isinstance(settings, Mapping) else settings
