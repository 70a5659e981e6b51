"""Points drawn uniformly from inside a budget, and how costs are spread over a space.

A histogram of cost composes along the parts of a space: alternatives add, parts that stand beside each other
convolve. Walked backwards, from a bin of the whole down to its parts, it gives points of that bin with equal
chances. Costs are rounded to the bins, so the bins of a budget are taken with those that rounding may have
moved out of it, and a point that turns out to be outside is drawn again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.cost import Cost, Interval
from nas.measures import Budget, Measure
from nas.space.counting.point_sets import (
    After,
    Both,
    CostOf,
    Either,
    Points,
    count_points,
    find_least_beside,
    find_least_costs,
    sort_sets,
)
from nas.space.language.tree import Option

Numbers = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]

MOST_AMOUNT = (1 << 62) - 1
"""Of a measure that a point may have, as costs are added in 64 bits."""
MOST_POINTS = 1 << (int(np.finfo(np.longdouble).maxexp) - 64)
"""Of a space that is drawn from: with room for sums of what a floating-point number holds."""
MOST_BINS = 4096
FEWEST_BINS = 512
"""Of the whole histogram, up to the budget: fewer where there are many parts."""
_NAMES = [figure.name for figure in fields(Cost)]
_figures = attrgetter(*_NAMES)
_NUMBERS = 1 << 24
"""Of all histograms together, roughly."""


@dataclass(frozen=True)
class Histogram:
    """Numbers of points `(bins,)` from bin `first` on.

    A cost is at `bin * unit`, give or take what rounding took off: exact costs are within `[bin * unit +
    under, bin * unit + over]`.
    """

    first: int
    numbers: Numbers
    under: int
    over: int

    def at(self, bins: Integers) -> Numbers:
        """Return the numbers in these bins, 0 outside."""
        index = bins - self.first
        inside = (index >= 0) & (index < len(self.numbers))
        found = np.zeros(len(bins), self.numbers.dtype)
        found[inside] = self.numbers[index[inside]]
        return found


class Spread:
    """The costs of the points of a set by one measure: a histogram of each part, up to a highest cost."""

    def __init__(self, root: Points, measure: CostOf, highest: int, most_bins: int = MOST_BINS) -> None:
        self.order = sort_sets(root)
        self.places = {id(points): place for place, points in enumerate(self.order)}
        self.measure = measure
        # The memory is shared by the histograms of all sets, so large spaces have coarser bins.
        bins = max(FEWEST_BINS, min(most_bins, _NUMBERS // len(self.order)))
        least = find_least_costs(self.order, measure)
        self.unit = max(1, -(-(highest - least[id(root)]) // bins))
        # A bin that no completion brings below the highest cost is cut off, which keeps sums short.
        self._most = {
            part: highest - rest for part, rest in find_least_beside(self.order, least, measure).items()
        }
        # more than 10^300 points need numbers with a wider exponent
        self._kind: type[np.floating[Any]] = (
            np.float64 if count_points(self.order) < 10**300 else np.longdouble
        )
        self._tables: dict[int, Numbers] = {}
        self._histograms: dict[int, Histogram] = {}
        for points in self.order:
            self._histograms[id(points)] = self._make(points)

    def of(self, points: Points) -> Histogram:
        return self._histograms[id(points)]

    def weigh(self, points: Either, bins: Integers) -> Numbers:
        """Return the numbers of points of each option `(options, bins)` in bins of their union."""
        known = self._tables.get(id(points))
        if known is None:
            # Points are sampled one at a time, and one look-up is as dear for all options as for one.
            union = self.of(points)
            every = union.first + np.arange(len(union.numbers))
            known = np.stack([self.of(option).at(every) for option in points.options])
            self._tables[id(points)] = known
        return known[:, bins - self.of(points).first]

    @property
    def whole(self) -> Histogram:
        return self._histograms[id(self.order[-1])]

    def find_bins(self, interval: Interval) -> Integers:
        """Return the bins that may hold points of the interval."""
        whole = self.whole
        # Widened by the rounding error on both sides: a bin too many costs samples, one too few loses points.
        first = max(whole.first, -(-(interval.low - whole.over) // self.unit))
        last = whole.first + len(whole.numbers) - 1
        if interval.high is not None:
            last = min(last, (interval.high - whole.under) // self.unit)
        return np.arange(first, last + 1)

    def round(self, cost: Cost) -> int:
        """Return the number of bins by which a part moves the points before it."""
        return (self.measure(cost) + self.unit // 2) // self.unit

    def _make(self, points: Points) -> Histogram:
        parts = [self._histograms[id(part)] for part in points.parts]
        match points:
            case After():
                # Shifting by whole bins is exact in the numbers; the error of the rounding is carried beside
                # them.
                shift = self.round(points.cost)
                error = self.measure(points.cost) - shift * self.unit
                (before,) = parts
                under, over = before.under + error, before.over + error
                return self._cut(points, before.first + shift, before.numbers, under, over)
            case Either():
                return self._add([part for part in parts if len(part.numbers)])
            case Both():
                one, other = parts
                if not (len(one.numbers) and len(other.numbers)):
                    return Histogram(0, np.zeros(0), 0, 0)
                # Independent decisions: the cost of a pair is a sum, so its distribution is a convolution.
                numbers = np.convolve(one.numbers, other.numbers)
                under, over = one.under + other.under, one.over + other.over
                return self._cut(points, one.first + other.first, numbers, under, over)
            case _:
                return Histogram(0, np.ones(1, self._kind), 0, 0)

    def _add(self, parts: list[Histogram]) -> Histogram:
        if not parts:
            return Histogram(0, np.zeros(0), 0, 0)
        first = min(part.first for part in parts)
        total = np.zeros(max(part.first + len(part.numbers) for part in parts) - first, self._kind)
        for part in parts:
            start = part.first - first
            total[start : start + len(part.numbers)] += part.numbers
        return Histogram(first, total, min(part.under for part in parts), max(part.over for part in parts))

    def _cut(self, points: Points, first: int, numbers: Numbers, under: int, over: int) -> Histogram:
        """Drop the bins from which every point ends above the highest cost."""
        last = (self._most[id(points)] - under) // self.unit
        kept = numbers[: max(0, last - first + 1)]
        return Histogram(first, kept if len(kept) == len(numbers) else kept.copy(), under, over)


class BackwardWalk:
    """Sampler of points from chosen bins of the whole, with their decisions and exact costs."""

    def __init__(self, spread: Spread, rng: np.random.Generator) -> None:
        self._spread = spread
        self._rng = rng

    def sample(self, bins: Integers) -> list[tuple[dict[str, Option], Cost]]:
        """Return a point from each bin: its decisions and its cost."""
        chosen: list[dict[str, Option]] = [{} for _ in bins]
        added: list[tuple[Integers, tuple[int, ...]]] = []
        order = self._spread.order
        # All points walk at once: each set is visited once, with the points that chose it and their bins.
        waiting: dict[int, list[tuple[Integers, Integers]]] = {len(order) - 1: [(np.arange(len(bins)), bins)]}
        latest = [-place for place in waiting]  # a few of many sets: those on the way, the last of them first
        while latest:
            place = -heappop(latest)
            arrived = waiting.pop(place)
            who, where = arrived[0] if len(arrived) == 1 else map(np.concatenate, zip(*arrived, strict=True))
            points = order[place]
            if isinstance(points, After):
                if any(figures := _figures(points.cost)):
                    added.append((who, figures))
                for index in who if points.decisions else ():
                    chosen[index].update(points.decisions)
            for part, some, there in self._pass_on(points, who, where):
                before = self._spread.places[id(part)]
                if before not in waiting:
                    waiting[before] = []
                    heappush(latest, -before)
                waiting[before].append((some, there))
        return list(zip(chosen, _sum_costs(len(bins), added), strict=True))

    def _pass_on(
        self, points: Points, who: Integers, where: Integers
    ) -> list[tuple[Points, Integers, Integers]]:
        """Assign the drawn points to the parts, and to their bins."""
        match points:
            case After():
                return [(points.before, who, where - self._spread.round(points.cost))]
            case Either():
                # Each option in proportion to the points that it has in this bin, so that all have equal
                # chances.
                weights = self._spread.weigh(points, where)
                if len(who) == 1:
                    return [(points.options[self._sample_many(weights[:, 0], 1)[0]], who, where)]
                taken = self._sample_rows(weights)
                masks = ((points.options[k], taken == k) for k in np.unique(taken))
                return [(option, who[mask], where[mask]) for option, mask in masks]
            case Both():
                return self._split(points, who, where)
            case _:
                return []

    def _split(self, points: Both, who: Integers, where: Integers) -> list[tuple[Points, Integers, Integers]]:
        one, other = self._spread.of(points.one), self._spread.of(points.other)
        first = np.zeros(len(where), np.int64)
        for bin in np.unique(where) if len(where) > 1 else where:
            mask = where == bin
            # The bin of the whole is the sum of two: how many points each way of parting it has are the
            # weights. The bins of `other` that leave something for `one` begin at `low`.
            low = max(0, bin - one.first - len(one.numbers) + 1 - other.first)
            beside = one.numbers[: bin - one.first - other.first - low + 1][::-1]
            weights = other.numbers[low : low + len(beside)] * beside[: len(other.numbers) - low]
            first[mask] = other.first + low + self._sample_many(weights, int(mask.sum()))
        return [(points.one, who, where - first), (points.other, who, first)]

    def _sample_many(self, weights: Numbers, count: int) -> Integers:
        """Sample so many rows by one column of weights."""
        sums = weights.cumsum()
        at = self._rng.random(count) * sums[-1]
        rows: Integers = np.minimum(sums.searchsorted(at, side="right"), len(sums) - 1)
        return rows

    def _sample_rows(self, weights: Numbers) -> Integers:
        """Sample a row for each column of weights `(rows, columns)`, in proportion to them."""
        sums = np.cumsum(weights, axis=0)
        # Inverse transform sampling; the minimum guards against the last sum being rounded below the draw.
        at = self._rng.random(weights.shape[1]) * sums[-1]
        rows: Integers = np.minimum((sums <= at).sum(axis=0), len(weights) - 1)
        return rows


def _sum_costs(count: int, added: list[tuple[Integers, tuple[int, ...]]]) -> Iterator[Cost]:
    """Yield the sum for each of so many points of what was added to some of them at a time."""
    totals = np.zeros((count, len(_NAMES)), np.int64)
    if added:
        whose = np.concatenate([who for who, _ in added])
        figures = np.array([figures for _, figures in added])
        # Not `totals[whose] += figures`, which counts a point once that passes several parts.
        np.add.at(totals, whose, np.repeat(figures, [len(who) for who, _ in added], axis=0))
    return (Cost(*row) for row in totals.tolist())


class Uniform:
    """Sampler of points of a space inside a budget, each with the same chance.

    `spread` and `interval` are of the measure by which the budget's networks are counted, of which a point
    has up to `most`; the other limits are met by drawing again. `amount` gives what the cost of a point does
    not tell. `note_cost` is told each point that is given, and its cost.
    """

    def __init__(
        self,
        points: Points,
        most: int,
        budget: Budget,
        amount: Callable[[dict[str, Option], Measure], int],
        note_cost: Callable[[dict[str, Option], Cost], None],
    ) -> None:
        self._budget = budget
        self._amount = amount
        self._note_cost = note_cost
        self.interval = budget.counted_limit
        top = most if self.interval.high is None else min(most, self.interval.high)
        self.spread = Spread(points, budget.counted.of, top)
        self._bins = self.spread.find_bins(self.interval)
        self._weights = self.spread.whole.at(self._bins)

    def sample(self, rng: np.random.Generator, n: int, tries: int = 200) -> list[dict[str, Option]]:
        """Return `n` points; fewer, perhaps none, where `tries` times as many samples were not enough."""
        found: list[tuple[dict[str, Option], Cost]] = []
        batch = min(2 * n, 1024)
        for _ in range(max(1, tries * n // batch) if n and self._weights.any() else 0):
            found += self._sample_batch(rng, batch)
            if len(found) >= n:
                break
        for point, cost in found[:n]:
            self._note_cost(point, cost)  # as who samples a point asks for its cost
        return [point for point, _ in found[:n]]

    def count(self, rng: np.random.Generator, samples: int) -> tuple[int, int]:
        """Return bounds of the number of points inside, with 95 % confidence (Wilson 1927)."""
        return self.bound(len(self.filter_samples(rng, samples)), samples)

    def filter_samples(self, rng: np.random.Generator, samples: int) -> list[dict[str, Option]]:
        """Sample so many points, and return those that are inside."""
        return [
            point
            for done in range(0, samples, 1024)
            for point, _ in self._sample_batch(rng, min(1024, samples - done))
        ]

    def bound(self, kept: int, samples: int) -> tuple[int, int]:
        """Return the bounds of the number of points inside, of `samples` of which `kept` were."""
        # Wilson's interval, as it holds where few or nearly all samples are inside.
        share, z = kept / samples, 1.96
        middle = (share + z * z / (2 * samples)) / (1 + z * z / samples)
        half = z / (1 + z * z / samples) * math.sqrt(share * (1 - share) / samples + (z / (2 * samples)) ** 2)
        total = int(self._weights.sum())
        return _take_share(total, max(0.0, middle - half)), _take_share(total, min(1.0, middle + half))

    def _sample_batch(self, rng: np.random.Generator, size: int) -> list[tuple[dict[str, Option], Cost]]:
        """Return those of `size` points, drawn from the bins of the budget, that are inside."""
        if not self._weights.any():
            return []
        # Weights may be longdoubles beyond float64; numpy's choice takes shares as float64 that sum to 1.
        shares = (self._weights / self._weights.sum()).astype(np.float64)
        bins = rng.choice(self._bins, size=size, p=shares / shares.sum())
        return [drawn for drawn in BackwardWalk(self.spread, rng).sample(bins) if self._admits(*drawn)]

    def _admits(self, point: dict[str, Option], cost: Cost) -> bool:
        """Return whether a point is inside; what a cost does not tell is asked for."""
        return self._budget.admits(
            lambda measure: measure.of(cost) if measure.is_additive else self._amount(point, measure)
        )


def _take_share(number: int, part: float) -> int:
    """Return a part of a number that may be too large for a float."""
    return number * round(part * 10**9) // 10**9
