"""What is asked about proposals before one of them becomes a trial: which is the best, what it measures."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from math import isfinite
from typing import Protocol

from nas.study.records import Candidate


class Screen(Protocol):
    """Chooses among proposals before one is trained: of so many `candidates` the one of the best score."""

    @property
    def candidates(self) -> int: ...

    def score(self, candidate: Candidate) -> float:
        """Return a score; the higher, the better."""
        ...


def choose_best(
    candidates: Sequence[Candidate], screen: Screen | None, scores: dict[str, float]
) -> tuple[int, float | None]:
    """Return the place of the one that a screen has as the best, with its score where it has one; the only
    one needs no screen. `scores` keeps those that were given, by identity."""
    if len(candidates) == 1:
        return 0, None
    assert screen is not None
    for candidate in candidates:
        if candidate.identity not in scores:
            scores[candidate.identity] = screen.score(candidate)
    found = [scores[candidate.identity] for candidate in candidates]
    best = max(found)
    return found.index(best), best if isfinite(best) else None  # else none of them could be scored


class Gauge(Protocol):
    """Measures networks of which it is not sure that they are inside the budget."""

    def measure(self, candidate: Candidate) -> Future[Candidate | None] | None:
        """Return what will have the network with the amounts that it is measured to have, or None where it
        is to be left out; None at once where those that it is said to have are sure."""
        ...


class Trust:
    """Takes every network to have the amounts that it is said to have."""

    def measure(self, candidate: Candidate) -> None:
        """Measure nothing."""
