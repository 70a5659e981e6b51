"""What a data set is, before its images are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nas.data.images import Decoding, Pictures
from nas.data.levels import ON_WHITE, Rendering

Labels = NDArray[np.int64]
"""(N,), or of images with several labels (N, classes) of 0 and 1."""


class Reader(Protocol):
    """Reads some of a source's images, in this order, at a resolution."""

    def __call__(
        self,
        indices: NDArray[np.int64],
        resolution: int,
        progress: Decoding,
        rendering: Rendering = ON_WHITE,
        /,
    ) -> Pictures: ...


@dataclass(frozen=True, eq=False)
class Source:
    """A training split: all its labels, and a function that reads some of its images at a resolution.

    `flip` says whether a mirrored image keeps its class. `validation` is the split that the data set itself
    keeps for that, with the same classes, where it has one. `notes` are for the user. `name_of` gives what an
    image is called. Images with one number in `groups` are kept together by a split; `validation` has its
    numbers from the same list. `test` finds the split to test on, with the same classes, where there is
    one: no search calls it.
    """

    classes: tuple[str, ...]
    labels: Labels
    flip: bool
    read: Reader
    validation: Source | None = None
    notes: tuple[str, ...] = ()
    name_of: Callable[[int], str] = "image {}".format
    groups: Labels | None = None
    test: Callable[[], Source] | None = None
