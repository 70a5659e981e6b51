"""What a data set is, before its images are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.data.images import Decoding, Pictures

Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Source:
    """A training split: all its labels, and a function that reads some of its images at a resolution.

    `flip` says whether a mirrored image keeps its class. `validation` is the split that the data set itself
    keeps for that, with the same classes, where it has one. `notes` are for the user.
    """

    classes: tuple[str, ...]
    labels: Labels
    flip: bool
    read: Callable[[NDArray[np.int64], int, Decoding], Pictures]
    validation: Source | None = None
    notes: tuple[str, ...] = ()
