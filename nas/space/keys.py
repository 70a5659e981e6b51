"""Points of a space as keys, and what is remembered of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import TypeVar

from nas.space.language.tree import Option

_REMEMBERED = 100_000
"""Points whose cost and identity a space keeps at hand."""
_Known = TypeVar("_Known")


def make_point_key(choices: Mapping[str, Option]) -> bytes:
    """Return a short key of a point, equal for equal decisions alone. As text, the options 1 and true differ;
    a digest of it takes a fiftieth of the memory."""
    return blake2b(repr(sorted(choices.items())).encode(), digest_size=16).digest()


def remember(known: dict[bytes, _Known], choices: Mapping[str, Option], work: Callable[[], _Known]) -> _Known:
    """Return what is known of a point, worked out where it is not."""
    key = make_point_key(choices)
    if key not in known:
        if len(known) >= _REMEMBERED:
            known.clear()
        known[key] = work()
    return known[key]
