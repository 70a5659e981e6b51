"""Data as a run keeps it, where its source is not asked again."""

from __future__ import annotations

import io
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.datasets import ImageData
from nas.data.levels import Levels, Rendering
from nas.data.npz import open_arrays
from nas.errors import InputError

_KEPT = [
    field.name
    for field in fields(ImageData)
    if field.name not in ("rendering", "traits", "train_groups", "val_names")
]


def pack_data(data: ImageData) -> bytes:
    """Return the data, as it was split and resized, as an npz file has it."""
    content = io.BytesIO()
    arrays: dict[str, Any] = {name: np.asarray(getattr(data, name)) for name in _KEPT}
    levels = data.rendering.levels
    arrays |= {"background": data.rendering.background, "levels": str(levels) if levels else ""}
    arrays |= {"train_groups": data.train_groups, "val_names": np.array(data.val_names, str)}
    np.savez(content, **arrays)
    return content.getvalue()


def read_data(path: Path) -> ImageData:
    """Return the data in a file of `pack_data`. Raises InputError where it cannot be read."""
    try:
        with open_arrays(path) as file:
            found: dict[str, Any] = {name: file[name] for name in _KEPT}
            if "background" in file.files:  # it is not in runs of before there was one
                levels = str(file["levels"])
                found["rendering"] = Rendering(
                    str(file["background"]), Levels.parse(levels) if levels else None
                )
            if "train_groups" in file.files:
                found["train_groups"] = file["train_groups"]
            if "val_names" in file.files:
                found["val_names"] = tuple(file["val_names"].tolist())
    except Exception as error:  # numpy and zipfile have many for a damaged file
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: the images of the run cannot be read ({reason}); restore the file, or start a new run"
        ) from None
    for name in ("classes", "mean", "std", "notes", "broken"):
        found[name] = tuple(found[name].tolist())
    return ImageData(**found | {"name": str(found["name"]), "flip": bool(found["flip"])})
