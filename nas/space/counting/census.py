"""What a budget leaves of a space: how many networks, and how their cost is spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.cost import Budget, Interval
from nas.space.counting.exact import count_within
from nas.space.counting.uniform import Integers, Numbers, Spread, Uniform
from nas.space.space import Space

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_ROWS = 10
_DRAWS = 4096
_RARE = 0.002


@dataclass(frozen=True)
class Census:
    """The points of a space inside a budget.

    `low` and `high` bound their number: equal where it is known exactly, else with 95 % confidence. `measure`
    says of which cost the quantiles and the rows `(from, to, share)` are, about.
    """

    low: int
    high: int
    measure: str
    quantiles: dict[float, int]
    rows: tuple[tuple[int, int, float], ...]

    @property
    def is_exact(self) -> bool:
        return self.low == self.high


def census(space: Space, budget: Budget) -> Census:
    """Count what is inside a budget.

    Quantiles and rows are of MACs, or of parameters where only these are limited, and then do not know of
    a second limit.
    """
    inside = Uniform(space, budget)
    spread, interval = inside.spread, inside.interval
    exact = None
    if Interval() in (budget.macs, budget.params):
        exact = count_within(space.points, spread.measure, interval)
    low, high = inside.count(np.random.default_rng(0), _DRAWS) if exact is None else (exact, exact)
    if not high:
        return Census(0, 0, "MACs", {}, ())
    what = "MACs" if inside.by_macs else "params"
    return Census(low, high, what, _quantiles(spread, interval), _rows(spread, interval))


def _spread_inside(spread: Spread, interval: Interval) -> tuple[Integers, Numbers]:
    """Costs of the bins, as near as rounding leaves them, and the share of the points in each."""
    bins = spread.bins(interval)
    numbers = spread.whole.at(bins)
    costs = bins * spread.unit + (spread.whole.under + spread.whole.over) // 2
    return np.clip(costs, interval.low, interval.high), numbers / max(numbers.sum(), 1.0)


def _quantiles(spread: Spread, interval: Interval) -> dict[float, int]:
    costs, shares = _spread_inside(spread, interval)
    sums = np.cumsum(shares)
    places = np.minimum(np.searchsorted(sums, QUANTILES), len(costs) - 1)
    return dict(zip(QUANTILES, costs[places].tolist(), strict=True))


def _rows(spread: Spread, interval: Interval) -> tuple[tuple[int, int, float], ...]:
    """Of equal width, but that the first has the rare costs below the others too."""
    costs, shares = _spread_inside(spread, interval)
    costs, shares = costs[shares > 0], shares[shares > 0]
    common = costs[np.cumsum(shares) >= _RARE]
    if not len(common):
        return ()
    rows = int(min(_ROWS, max(1, common[-1] - common[0])))
    sums, edges = np.histogram(np.maximum(costs, common[0]), rows, (common[0], common[-1]), weights=shares)
    edges[0] = costs[0]
    return tuple(zip(map(int, edges), map(int, edges[1:]), map(float, sums), strict=False))
