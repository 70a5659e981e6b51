"""Scores that cost nothing and are the same everywhere: sums of hashes of the choices, as whole numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_BITS = 32


def score(choices: Mapping[str, Any]) -> float:
    """Return the mean of a number between 0 and 1 for each choice, which samplers can learn."""
    return _total(choices) / len(choices) / float(2**_BITS)


def fails(choices: Mapping[str, Any]) -> bool:
    """Return whether the training of a point fails: one in ten does."""
    return _total(choices) % 10 == 0


def digest(choices: Mapping[str, Any]) -> str:
    """Return a short name of a point."""
    return hashlib.sha256(json.dumps(sorted(choices.items())).encode()).hexdigest()[:12]


def _total(choices: Mapping[str, Any]) -> int:
    return sum(_number(name, option) for name, option in choices.items())


def _number(name: str, option: Any) -> int:
    return int(hashlib.sha256(json.dumps([name, option]).encode()).hexdigest()[: _BITS // 4], 16)
