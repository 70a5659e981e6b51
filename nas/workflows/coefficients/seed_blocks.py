"""Scores of several under the same seeds: how far each is behind the best, and whether by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
DISTINCT = 0.05
"""Below this p two are told apart."""


@dataclass(frozen=True)
class Behind:
    """How far the mean of one is below that of the best, with its 95 % interval; both and `p` hold for all
    differences at once, so that also the best of many is not called so by chance."""

    mean: float
    low: float
    high: float
    p: float

    @property
    def is_distinct(self) -> bool:
        """Whether the two can be told apart."""
        return self.p < DISTINCT


def rank_blocks(scores: NDArray[np.float64]) -> list[Behind]:
    """Return how far each is behind the best by scores (networks, seeds), two or more of both.

    Tukey's test of all pairs in blocks (Montgomery 2017, sections 3.5.7 and 4.1.3): what a seed adds to all
    scores is left out, and what is left of a score is by chance, as much for one network as for another.
    """
    from scipy.stats import studentized_range

    networks, seeds = scores.shape
    means = scores.mean(axis=1)
    rest = scores - means[:, None] - scores.mean(axis=0) + scores.mean()
    freedom = (networks - 1) * (seeds - 1)
    error = float(np.sqrt((rest**2).sum() / freedom / seeds))
    margin = float(studentized_range.ppf(LEVEL, networks, freedom)) * error
    found = []
    for gap in (means.max() - means).tolist():
        p = float(studentized_range.sf(gap / error, networks, freedom)) if error and gap else float(gap == 0)
        found.append(Behind(gap, gap - margin, gap + margin, p))
    return found


def find_margin(every: Sequence[Behind]) -> float:
    """Return what each mean may be off, on either side, so that two whose ranges do not meet are told
    apart."""
    return (every[0].high - every[0].low) / 4
