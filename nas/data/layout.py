"""What a user says of a data set: how its tables and names are understood, and what becomes of copies; and
what folders and files are called in data sets."""

from __future__ import annotations

from dataclasses import dataclass

KEEP, GROUP, DROP = RULES = ("keep", "group", "drop")
"""What becomes of copies: they stay where they are, on one side of a split, or only one of each stays."""

TRAIN = ("train", "training")
VALIDATION = ("val", "valid", "validation")
TEST = ("test", "testing")
SPLITS = {*TRAIN, *VALIDATION, *TEST}
SUFFIXES = (
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif",
    ".tiff", ".webp",
)  # fmt: skip
"""Of image files: torchvision's, and others that Pillow reads by itself."""

OF_FILES = ("imagefolder", "csv", "hf", "webdataset", "coco", "voc")
"""Kinds of data sets whose images are decoded from files."""


@dataclass(frozen=True)
class Layout:
    """How tables and names are understood.

    `columns`: those of path and label in a table, or of path and each class, None where they are found by
    their names. `suffix`: what its paths lack, None where it is found beside them. `group`: what a split
    keeps together, a column of a table, or a pattern with one group over the names of files; None for nothing
    but copies.
    """

    columns: tuple[str, ...] | None = None
    suffix: str | None = None
    group: str | None = None


PLAIN = Layout()
