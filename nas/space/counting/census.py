"""What a budget leaves of a space: how many networks, and how their cost is spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.cost import Interval
from nas.measures import MACS, Budget, Measure
from nas.space.counting.exact import count_within
from nas.space.counting.uniform import Integers, Numbers, Spread
from nas.space.space import Space

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_ROWS = 10
_SAMPLES = 4096
_FEW_SAMPLES = 1024
"""Where each takes its network to be built."""
_RARE = 0.002


@dataclass(frozen=True)
class Census:
    """The points of a space inside a budget.

    `low` and `high` bound their number: equal where it is known exactly, else with 95 % confidence. `measure`
    is the one that the quantiles and the rows `(from, to, share)` are of, about.
    """

    low: int
    high: int
    measure: Measure
    quantiles: dict[float, int]
    rows: tuple[tuple[int, int, float], ...]

    @property
    def is_exact(self) -> bool:
        return self.low == self.high


def take_census(space: Space, budget: Budget) -> Census:
    """Count what is inside a budget.

    Quantiles and rows are of the measure that networks are counted by, and then do not know of the other
    limits; where nothing that adds up is limited, they are of the first limit, from samples.
    """
    inside = space.uniform(budget)
    spread, interval = inside.spread, inside.interval
    exact = count_within(space.points, spread.measure, interval) if not budget.others else None
    if exact is not None:
        low, high, drawn = exact, exact, []
    else:
        samples = _SAMPLES if all(measure.is_additive for measure in budget) else _FEW_SAMPLES
        drawn = inside.filter_samples(np.random.default_rng(0), samples)
        low, high = inside.bound(len(drawn), samples)
    if not high:
        return Census(0, 0, MACS, {}, ())
    if budget and budget.counted not in budget:
        measure = next(iter(budget))
        costs = np.sort(np.array([space.amount(point, measure) for point in drawn], np.int64))
        shares: Numbers = np.full(len(costs), 1 / max(1, len(costs)))
    else:
        measure = budget.counted
        costs, shares = _spread_inside(spread, interval)
    return Census(low, high, measure, _find_quantiles(costs, shares), _make_rows(costs, shares))


def _spread_inside(spread: Spread, interval: Interval) -> tuple[Integers, Numbers]:
    """Return costs of the bins, as near as rounding leaves them, and the share of the points in each."""
    bins = spread.find_bins(interval)
    numbers = spread.whole.at(bins)
    costs = bins * spread.unit + (spread.whole.under + spread.whole.over) // 2
    return np.clip(costs, interval.low, interval.high), numbers / max(numbers.sum(), 1.0)


def _find_quantiles(costs: Integers, shares: Numbers) -> dict[float, int]:
    if not len(costs):
        return {}
    sums = np.cumsum(shares)
    places = np.minimum(np.searchsorted(sums, QUANTILES), len(costs) - 1)
    return dict(zip(QUANTILES, costs[places].tolist(), strict=True))


def _make_rows(costs: Integers, shares: Numbers) -> tuple[tuple[int, int, float], ...]:
    """Return rows of equal width; the first has the rare costs below the others too."""
    costs, shares = costs[shares > 0], shares[shares > 0]
    common = costs[np.cumsum(shares) >= _RARE]
    if not len(common):
        return ()
    rows = int(min(_ROWS, max(1, common[-1] - common[0])))
    sums, edges = np.histogram(np.maximum(costs, common[0]), rows, (common[0], common[-1]), weights=shares)
    edges[0] = costs[0]
    return tuple(zip(map(int, edges), map(int, edges[1:]), map(float, sums), strict=False))
