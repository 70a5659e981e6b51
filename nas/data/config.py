"""What a search trains on: the settings of its data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from nas.kinds import number, optional, text, whole
from nas.settings import Config, Option

_PANEL = "Data"
_MOST_PIXELS = 2_048


@dataclass(frozen=True)
class DataConfig(Config):
    """The data set, and how its training split is used (`nas.data.datasets.load_dataset`)."""

    dataset: Annotated[
        str,
        text("a data set, such as digits or imagefolder:PATH"),
        Option(
            "`digits`, `cifar10`, `cifar100`, `mnist`, `fashion_mnist`, `imagefolder:PATH`, `csv:FILE`, "
            "`npz:FILE` or `FILE.py:FUNCTION`, which is run.",
            _PANEL,
        ),
    ] = "digits"
    resolution: Annotated[
        int,
        whole(f"a resolution; it is a whole number of pixels, 8 to {_MOST_PIXELS:,}", 8, _MOST_PIXELS),
        Option("Side of the proxy's images in pixels.", _PANEL),
    ] = 32
    val_fraction: Annotated[
        float,
        number("a share of the images; it is above 0 and below 1", lambda v: 0 < v < 1),
        Option("Share of each class to validate on, where the data have no such part.", _PANEL),
    ] = 0.2
    max_images: Annotated[
        int | None,
        optional(whole("a number of images; it is a whole number of at least 4", 4), "for all"),
        Option("Use so many images at most, to train and to validate on, else all.", _PANEL),
    ] = None
    max_broken: Annotated[
        float,
        number("a share of the images; it is at least 0 and below 1", lambda v: 0 <= v < 1),
        Option("Leave files out that cannot be read, up to this share.", _PANEL),
    ] = 0.01
    folds: Annotated[
        int,
        whole("a number of folds; it is a whole number of at least 1, such as 5", 1),
        Option("Train a network once for each of so many parts to validate on, for few images.", _PANEL),
    ] = 1
