"""How a process is set up that does nothing but train one network after another."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""As in glibc's malloc.h."""
_NEVER = 2**31 - 1


def prepare_process(threads: int | None) -> None:
    """Set this process up, once it has its evaluator, to train with so many `threads` of torch.

    A step's tensors take the memory of those of the step before: glibc's malloc would give large ones back to
    the system at once and have their pages cleared anew, which is 5 % of a small network's training. The
    collector leaves alone what outlives all trials.
    """
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    if (mallopt := _find("mallopt")) is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _NEVER)
    gc.freeze()


def release_memory() -> None:
    """Give the system back what the trial before has taken, before the next."""
    if (trim := _find("malloc_trim")) is not None:
        trim(0)


def _find(name: str) -> Callable[..., int] | None:
    """Return a function of the C library; only glibc has those above."""
    try:
        return getattr(ctypes.CDLL(None), name)  # type: ignore[no-any-return]
    except (AttributeError, TypeError):  # another C library; Windows, which has none to be had like this
        return None
