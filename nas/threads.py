"""Threads of torch, given back."""

from __future__ import annotations

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


_MACS_OF_A_THREAD = 5_000_000_000


def few_threads(macs: int) -> AbstractContextManager[None]:
    """Compute inside the block with the threads that a network of so many MACs needs for a few images.

    Each operator waits for all of its threads, and on a busy machine one that does not run holds up the
    others: of EfficientNet-B0, two took twenty times as long as one.
    """
    import torch

    return torch_threads(min(torch.get_num_threads(), 1 + macs // _MACS_OF_A_THREAD))
