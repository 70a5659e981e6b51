"""Threads of torch: how they wait, and how many there are, given back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads inside the block; None leaves their number as it is."""
    if count is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_SPINS = "3000"
"""Looks for the others: some microseconds, in which they come where each has a core."""


def shorten_spinning() -> None:
    """Have threads of torch sleep soon while they wait for each other, in this process and those it starts.

    Each operator waits for all of its threads. GNU's OpenMP, which torch has on Linux, spins for milliseconds
    meanwhile: on a busy machine that takes the cores from those that are waited for, and a step takes five to
    twenty times as long. Without any spinning a quiet machine takes a fifth to a half longer. It is read when
    torch is loaded, so it comes before; what a user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


_MACS_OF_A_THREAD = 5_000_000_000


def few_threads(macs: int) -> AbstractContextManager[None]:
    """Compute inside the block with the threads that a network of so many MACs needs for a few images.

    Each operator waits for all of its threads, and on a busy machine one that does not run holds up the
    others: of EfficientNet-B0, two took twenty times as long as one.
    """
    import torch

    return torch_threads(min(torch.get_num_threads(), 1 + macs // _MACS_OF_A_THREAD))
