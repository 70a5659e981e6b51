"""Formats in int8: weights and activations are integers, on scales that follow from training images."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import InputError, suggest_word
from nas.machine import list_vectors

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import fx

_BATCH = 32
"""Images that a network is calibrated on at a time."""


@dataclass(frozen=True)
class Target:
    """A kind of CPU that int8 is for, known by any of its `vectors`.

    `narrow_weights`: its products of two bytes are added in 16 bits, where weights of 8 bits overflow; they
    get 7. `signed_activations`: it multiplies signed bytes by signed ones as fast as any.
    """

    name: str
    vectors: tuple[str, ...]
    narrow_weights: bool = False
    signed_activations: bool = False

    @property
    def is_here(self) -> bool:
        """Whether this machine has such a CPU."""
        return find_target() == self


TARGETS = {
    target.name: target
    for target in (
        Target("vnni", ("avx_vnni", "avx512_vnni")),
        Target("arm", ("asimd",), signed_activations=True),
        Target("avx2", (), narrow_weights=True),
    )
}


def find_target(name: str | None = None) -> Target:
    """Return the kind of CPU of a name, or this machine's. Raises InputError where there is none."""
    if name is not None:
        if name not in TARGETS:
            raise InputError(f"unknown kind of CPU '{name}'{suggest_word(name, list(TARGETS))}")
        return TARGETS[name]
    own = {*list_vectors(), *(["asimd"] if platform.machine() == "arm64" else [])}  # as macOS says it
    return next((target for target in TARGETS.values() if own & set(target.vectors)), TARGETS["avx2"])


@dataclass(frozen=True)
class Calibration:
    """What int8 is made with: images (N, C, H, W) of float32, as the network takes them, and the kind of CPU
    that it is for."""

    images: NDArray[np.float32]
    target: Target

    def give_batches(self) -> Iterator[NDArray[np.float32]]:
        """Give the images, some at a time."""
        for start in range(0, len(self.images), _BATCH):
            yield self.images[start : start + _BATCH]


Quantize = Callable[["fx.GraphModule", "torch.Tensor", Path, Calibration], None]
"""Writes a network in evaluation mode as int8, as `Convert` of an exporter does as float32."""


@dataclass(frozen=True)
class Int8:
    """How a library makes a format int8. `needs`: what is imported, the library last. `usage`: where it is
    another than that of float32."""

    quantize: Quantize
    needs: tuple[str, ...]
    usage: str | None = None
