"""What a device is predicted to take for the parts of networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from nas.errors import InputError
from nas.graph.piece import Piece

if TYPE_CHECKING:
    from nas.space import Space


class Clock(Protocol):
    """Nanoseconds of parts, and the `constant` of every network beside them."""

    @property
    def constant(self) -> int: ...

    def of(self, piece: Piece) -> int:
        """Return the nanoseconds of a part."""


@dataclass(frozen=True)
class PieceTimes:
    """A clock of known `times`, by the keys of pieces."""

    times: Mapping[str, int]
    constant: int = 0

    def of(self, piece: Piece) -> int:
        """Return the nanoseconds of a part. Raises InputError for one that was not timed."""
        if not piece.nodes:
            return 0
        try:
            return self.times[piece.key]
        except KeyError:
            names = ", ".join(dict.fromkeys(node.op.name for node in piece.nodes))
            raise InputError(
                f"the table of latencies has no part of {names} behind {list(piece.inputs.values())}: it is "
                "of another space; restore it, or start a new run"
            ) from None


class _Recorder:
    constant = 0

    def __init__(self) -> None:
        self.pieces: dict[str, Piece] = {}

    def of(self, piece: Piece) -> int:
        if piece.nodes:
            self.pieces[piece.key] = piece
        return 0


def list_pieces(space: Space) -> dict[str, Piece]:
    """Return the different parts that the networks of a space are made of, by their keys.

    Raises SpaceError where no network can be built.
    """
    recorder = _Recorder()
    assert replace(space, clock=recorder).points  # which are worked out part by part
    return recorder.pieces
