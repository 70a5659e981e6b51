"""How the C library's malloc treats the memory of tensors, in a process that is ours alone."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""As in glibc's malloc.h."""
_NEVER = 2**31 - 1


def keep_memory() -> None:
    """Have tensors take the memory of those that were freed before them, from now on in this process.

    By itself glibc gives large ones back to the system at once, and has the pages of the next cleared anew:
    a third of the time of MobileNetV2 with torch on a CPU, both to apply it and to train it on large images.
    It cannot be taken back, so it is for processes that nobody else's code runs in. Nothing is done where the
    C library is another.
    """
    if (mallopt := _find("mallopt")) is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _NEVER)


def release_memory() -> None:
    """Give the system back what is free by now."""
    if (trim := _find("malloc_trim")) is not None:
        trim(0)


def _find(name: str) -> Callable[..., int] | None:
    """Return a function of the C library; only glibc has those above."""
    try:
        return getattr(ctypes.CDLL(None), name)  # type: ignore[no-any-return]
    except (AttributeError, TypeError):  # another C library; Windows, which has none to be had like this
        return None
