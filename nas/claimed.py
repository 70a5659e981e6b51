"""Whether this process is a command's, or a user's own, in which other objects and settings live."""

from __future__ import annotations

_state = {"is_claimed": False}


def claim_process() -> None:
    """Say that nobody else's objects are in this process."""
    _state["is_claimed"] = True


def is_claimed() -> bool:
    """Return whether that was said."""
    return _state["is_claimed"]
