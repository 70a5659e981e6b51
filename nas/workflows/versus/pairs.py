"""What pairs of scores say: their difference with an interval, and whether it may be by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
DISTINCT = 0.05
"""Below this corrected p two networks are told apart."""
RESAMPLES = 10_000
"""Of the bootstrap."""
EXACT = 16
"""Up to so many pairs all ways to swap them, or to leave some out, are counted; of more, some are drawn."""
SWAPS = 100_000
_CHUNK = 10_000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """Scores of a network less those of another under the same seeds, `pairs` of them: the mean, and its 95 %
    interval from `low` to `high`; both None for fewer than six pairs. `p`: of the permutation test, below
    0.05 where 0 is outside the interval; `corrected` by Holm for all comparisons."""

    mean: float
    low: float | None
    high: float | None
    p: float
    corrected: float
    pairs: int

    @property
    def is_distinct(self) -> bool:
        """Whether the two can be told apart."""
        return self.corrected < DISTINCT

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its ends, where there are enough pairs for one."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def compare(pairs: Sequence[ArrayLike], seed: int = 0) -> list[Difference]:
    """Return the differences of several comparisons, (pairs,) each, of two pairs or more.

    What is drawn follows from `seed`.
    """
    each = [np.asarray(one, np.float64) for one in pairs]
    ps = [compute_swap_p(one, seed) for one in each]
    found = []
    for differences, p, corrected in zip(each, ps, correct_holm(ps), strict=True):
        low, high = find_interval(differences, seed) or (None, None)
        found.append(Difference(float(differences.mean()), low, high, p, corrected, len(differences)))
    return found


def find_interval(differences: Floats, seed: int = 0) -> tuple[float, float] | None:
    """Return the ends of the 95 % interval of the mean; None where there are too few for one, below six.

    It is that of the permutation test: a difference inside is one that the test does not tell from theirs.
    Where they are symmetric about the true one, that is in each gap between the means of all subsets with the
    same chance (Hartigan 1969, "Using subsample values as typical values"), so its ends are two of these
    means. Of more than `EXACT` pairs it is that of the bootstrap.
    """
    count = len(differences)
    if count > EXACT:
        return bootstrap(differences, seed)
    beyond = int((1 - LEVEL) / 2 * 2**count)
    if not beyond:
        return None
    subsets = np.arange(1, 2**count)[:, None] >> np.arange(count) & 1
    means = np.sort(subsets @ differences / subsets.sum(axis=1))
    return float(means[beyond - 1]), float(means[-beyond])


def bootstrap(differences: Floats, seed: int = 0) -> tuple[float, float]:
    """Return the ends of the 95 % percentile interval of the mean (Efron & Tibshirani 1993, section 13.3)."""
    rng = np.random.default_rng(seed)
    means = differences[rng.integers(len(differences), size=(RESAMPLES, len(differences)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def compute_swap_p(differences: Floats, seed: int = 0) -> float:
    """Return p of the paired permutation test, two-sided: how often the mean is as far from 0 where the two
    scores of each pair change places at random (Fisher 1935, section 21).

    All ways are counted up to `EXACT` pairs; of more, `SWAPS` are drawn, and what was seen is one of them.
    """
    count, wanted = len(differences), abs(differences.sum())
    wanted -= 1e-9 * max(wanted, np.abs(differences).max(initial=0.0))  # sums in another order are equal
    if count <= EXACT:
        ways = np.arange(2**count)
        return float(np.mean(_sum_swapped(differences, ways[:, None] >> np.arange(count) & 1) >= wanted))
    rng, as_far = np.random.default_rng(seed), 0
    for _ in range(SWAPS // _CHUNK):
        as_far += int((_sum_swapped(differences, rng.integers(2, size=(_CHUNK, count))) >= wanted).sum())
    return (1 + as_far) / (1 + SWAPS)


def _sum_swapped(differences: Floats, swaps: NDArray[np.int64]) -> Floats:
    """Return how far the sums are from 0 in some ways (ways, pairs) to swap."""
    sums: Floats = np.abs((1 - 2 * swaps) @ differences)
    return sums


def correct_holm(ps: Sequence[float]) -> list[float]:
    """Return the p of several tests corrected for their number, by the step-down rule of Holm (1979)."""
    found, most = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        most = max(most, min(1.0, (len(ps) - rank) * ps[place]))
        found[place] = most
    return found


def find_least_p(pairs: int, comparisons: int) -> float:
    """Return the least corrected p that so many pairs can give: were the network ahead in each of them."""
    least = 2.0 ** (1 - pairs) if pairs <= EXACT else 1 / (1 + SWAPS)
    return min(1.0, comparisons * least)


def count_enough_pairs(comparisons: int) -> int:
    """Return the number of pairs from which networks can be told apart."""
    return next(pairs for pairs in range(2, EXACT + 1) if find_least_p(pairs, comparisons) < DISTINCT)
