"""How many points of a space have a cost inside an interval, as an exact integer.

Costs of parts add up, so the costs of the points of a set, with how many points have each, follow from those
of its parts (a sum set). They are kept on the grid of the costs' common divisor. From some size on nothing is
tabulated: what the rest of the network may cost is carried from the whole to the parts instead, until it
meets the tables (Horowitz & Sahni 1974), where both are as small as they can be.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from nas.cost import Cost, Interval
from nas.space.counting.point_sets import (
    After,
    Both,
    CostOf,
    Either,
    Points,
    count_points,
    find_extreme,
    find_least_beside,
    find_least_costs,
    sort_sets,
)

Integers = NDArray[np.int64]
Numbers = NDArray[np.uint64]

WORK = 1 << 34
"""Additions before a count gives up: about half a minute."""
LENGTH = 1 << 26
"""Places on a grid before a count gives up: half a gigabyte."""
_NUMBERS = 1 << 64
"""Points of one cost that a grid holds."""
_NO_COST = 1 << 62
"""More than can be added up in 64 bits."""


def count_within(root: Points, measure: CostOf, interval: Interval) -> int | None:
    """Return the number of points whose cost by `measure` is inside; None where that takes too long."""
    order = sort_sets(root)
    least, most = (find_extreme(order, measure, pick).value for pick in (min, max))
    end = _find_end(interval, most)
    if interval.low <= least and most <= end:
        return count_points(order)
    # The whole space needs no costs at all; everything else adds costs in 64 bits.
    if most >= _NO_COST:
        return None
    try:
        return sum(meeting.count(interval.low, end) for meeting in _Meetings(order, measure, end).list_all())
    except _TooMany:
        return None


def find_gap(root: Points, measure: CostOf, interval: Interval) -> tuple[int, int] | None:
    """Return the costs next to an interval that holds none, where there are some on both sides.

    None where it holds some, and where it takes too long to know.
    """
    order = sort_sets(root)
    least, most = (find_extreme(order, measure, pick).value for pick in (min, max))
    end, room = _find_end(interval, most), 1 << 10
    if not least < interval.low <= end < most < _NO_COST:
        return None
    # Look ahead in growing steps: the next cost is usually near, and a table up to it is short.
    below: list[int] = []
    above: list[int] = []
    while not above:
        highest = min(most, end + room)
        try:
            for meeting in _Meetings(order, measure, highest).list_all():
                if meeting.count(interval.low, end):
                    return None
                below += meeting.find_below(interval.low)
                # what is above the highest may lack what is between
                above += [cost for cost in meeting.find_above(end) if cost <= highest]
        except _TooMany:
            return None
        room <<= 10
    return max(below), min(above)


def _find_end(interval: Interval, most: int) -> int:
    return most if interval.high is None else min(interval.high, most)


class _TooMany(Exception):
    """More costs than are worth the time, or more points of one cost than 64 bits hold."""


@dataclass(frozen=True)
class _Grid:
    """The numbers of points `(places,)` at costs `first`, `first + step` and so on; `step` is 0 for one cost.

    They are at most `total` together.
    """

    first: int
    step: int
    numbers: Numbers
    total: int

    @property
    def last(self) -> int:
        return self.first + self.step * (len(self.numbers) - 1)

    def shift(self, by: int) -> _Grid:
        return replace(self, first=self.first + by)

    def cut(self, highest: int) -> _Grid:
        places = max(0, (highest - self.first) // self.step + 1) if self.step else int(self.first <= highest)
        return self if places >= len(self.numbers) else replace(self, numbers=self.numbers[:places])

    def list_rows(self) -> tuple[Integers, Numbers]:
        """Return the costs that occur, ascending, and the number of points of each."""
        places = np.flatnonzero(self.numbers)
        return self.first + self.step * places, self.numbers[places]


_POINT = _Grid(0, 0, np.ones(1, np.uint64), 1)
_NONE = _Grid(0, 0, np.zeros(0, np.uint64), 0)


def _sum(parts: Iterable[tuple[_Grid, int]], highest: int) -> _Grid:
    """Add grids, each as many times over as is given, up to a highest cost."""
    some = [(grid, times) for grid, times in ((g.cut(highest), t) for g, t in parts) if len(grid.numbers)]
    if not some:
        return _NONE
    # Sharing the grid instead of copying it keeps long chains of parts linear.
    if len(some) == 1 and some[0][1] == 1:
        return some[0][0]
    # Checked before the addition, as uint64 would wrap in silence.
    if sum(grid.total * times for grid, times in some) >= _NUMBERS:
        raise _TooMany
    first = min(grid.first for grid, _ in some)
    # Costs of networks have large common divisors (channels are multiples of 8), so grids stay short.
    step = math.gcd(*(n for grid, _ in some for n in (grid.step, grid.first - first)))
    places = (max(grid.last for grid, _ in some) - first) // step + 1 if step else 1
    if places > LENGTH:
        raise _TooMany
    numbers = np.zeros(places, np.uint64)
    for grid, times in some:
        start, stride = ((grid.first - first) // step, max(1, grid.step // step)) if step else (0, 1)
        there = numbers[start : start + stride * (len(grid.numbers) - 1) + 1 : stride]
        there += grid.numbers if times == 1 else np.uint64(times) * grid.numbers
    return _Grid(first, step, numbers, int(numbers.sum()))


@dataclass(frozen=True)
class _Meeting:
    """Grid of what was spent outside a set, and the table of the set, of at least one cost each."""

    spent: _Grid
    table: _Grid

    def count(self, low: int, high: int) -> int:
        """Return the number of points from a cost to another."""
        costs, ways = self.spent.list_rows()
        # Prefix sums: each cost spent outside is answered by two look-ups, not by a pass over the table.
        below = np.concatenate([np.zeros(1, np.uint64), np.cumsum(self.table.numbers)])
        start, end = self._count_places(low - 1 - costs), self._count_places(high - costs)
        return _sum_products(ways, below[end] - below[start])

    def find_above(self, cost: int) -> list[int]:
        """Return the least cost above one, if there is any."""
        spent, costs = self.spent.list_rows()[0], self.table.list_rows()[0]
        place = np.searchsorted(costs, cost - spent, "right")
        inside = place < len(costs)
        return [int((spent[inside] + costs[place[inside]]).min())] if inside.any() else []

    def find_below(self, cost: int) -> list[int]:
        """Return the most below a cost, if there is any."""
        spent, costs = self.spent.list_rows()[0], self.table.list_rows()[0]
        place = np.searchsorted(costs, cost - spent, "left")
        inside = place > 0
        return [int((spent[inside] + costs[place[inside] - 1]).max())] if inside.any() else []

    def _count_places(self, costs: Integers) -> Integers:
        """Return how many places of the table are at most each cost."""
        # Floor division also sends costs below the first place to 0, and the clip those beyond the last.
        beyond = costs - self.table.first
        return np.clip(beyond // max(1, self.table.step) + 1, 0, len(self.table.numbers))


@dataclass(frozen=True, slots=True)
class _Reach:
    """Bounds of a grid before it is made: its ends and the divisor of its steps."""

    least: int
    most: int
    step: int

    def __or__(self, other: _Reach) -> _Reach:
        step = math.gcd(self.step, other.step, self.least - other.least)
        return _Reach(min(self.least, other.least), max(self.most, other.most), step)

    def __add__(self, other: _Reach) -> _Reach:
        return _Reach(self.least + other.least, self.most + other.most, math.gcd(self.step, other.step))

    def count_places(self, highest: int) -> int:
        return (min(self.most, highest) - self.least) // max(1, self.step) + 1


class _Meetings:
    """Meetings of what was spent outside sets with the tables of these sets.

    Each point of at most the highest cost is in one meeting.
    """

    def __init__(self, order: list[Points], measure: CostOf, highest: int) -> None:
        self._order = order
        self._measure = measure
        self._work = 0
        # Bounds from both sides: a cost that cannot end below the highest is never tabulated nor carried on.
        least = find_least_costs(self._order, measure)
        rest = find_least_beside(self._order, least, measure)
        # the highest cost of a set and of what is outside it that leave the whole below the highest
        self._most = {id(points): highest - rest[id(points)] for points in self._order}
        self._most_outside = {id(points): highest - least[id(points)] for points in self._order}
        self._tables: dict[int, _Grid] = {}
        self._tabulate()

    def list_all(self) -> Iterator[_Meeting]:
        """Yield the meetings of all sets with a table, once: it consumes what it is made from."""
        # From the whole down to the parts: all that is spent outside a set has arrived when its turn comes,
        # as every set stands behind its parts in the order.
        waiting: dict[int, list[_Grid]] = {id(self._order[-1]): [_POINT]}
        for points in reversed(self._order):
            mine = id(points)
            arrived = waiting.pop(mine, None)
            if arrived is None:
                continue
            spent = self._unite(arrived, self._most_outside[mine])
            table = self._tables.pop(mine, None)
            if not len(spent.numbers):
                continue
            # Where a table stands the walk ends: what is below it is in the table, so no point is met twice.
            if table is None:
                for part, outside in self._pass_on(points, spent):
                    waiting.setdefault(id(part), []).append(outside)
            elif len(table.numbers):
                yield _Meeting(spent, table)

    def _tabulate(self) -> None:
        """Make the tables of the sets that are cheaper to tabulate than to carry costs into, and keep those
        that are not just parts of others."""
        outside = self._find_outside()
        reaches: dict[int, _Reach] = {}
        users = Counter(id(part) for points in self._order for part in points.parts)
        for points in self._order:
            mine = id(points)
            reaches[mine] = self._find_reach(points, [reaches[id(part)] for part in points.parts])
            parts = [self._tables[id(part)] for part in points.parts if id(part) in self._tables]
            spent, ways = outside[mine]
            # Meet where the two sides are equally long: further up tables grow, further down what is spent
            # does. More ways than a grid can hold make carrying impossible, so the table stands however long
            # it is.
            is_longer = reaches[mine].count_places(self._most[mine]) > spent.count_places(
                self._most_outside[mine]
            )
            if len(parts) < len(points.parts) or (is_longer and ways < _NUMBERS >> 8):
                continue
            try:
                self._tables[mine] = self._make_table(points, parts)
            except _TooMany:
                continue
            # A table whose every user has one is never met: it is only memory.
            for part in map(id, points.parts):
                users[part] -= 1
                if not users[part]:
                    del self._tables[part]

    def _make_table(self, points: Points, parts: Sequence[_Grid]) -> _Grid:
        most = self._most[id(points)]
        match points:
            case After():
                return parts[0].shift(self._measure(points.cost)).cut(most)
            case Either():
                return self._unite(parts, most)
            case Both():
                one, other = parts
                return self._multiply(one, other, most)
            case _:
                return _POINT

    def _pass_on(self, points: Points, spent: _Grid) -> list[tuple[Points, _Grid]]:
        """Pass on what was spent outside to each part of a set that has no table."""
        match points:
            case After():
                return [(points.before, spent.shift(self._measure(points.cost)))]
            case Either():
                return [(option, spent) for option in points.options]
            case Both():
                beside = [part for part in points.parts if id(part) in self._tables]
                if not beside:
                    raise _TooMany
                # The product is expanded on the side that has fewer points; the other is carried on.
                few = min(beside, key=lambda part: self._tables[id(part)].total)
                other = points.other if few is points.one else points.one
                most = self._most_outside[id(other)]
                return [(other, self._multiply(spent, self._tables[id(few)], most))]
            case _:
                raise AssertionError(points)

    def _find_outside(self) -> dict[int, tuple[_Reach, int]]:
        """Return what may be spent outside each set, and in how many ways."""
        reaches: dict[int, _Reach] = {}
        sizes: dict[int, int] = {}
        for points in self._order:
            parts = [id(part) for part in points.parts]
            reaches[id(points)] = self._find_reach(points, [reaches[part] for part in parts])
            several = [sizes[part] for part in parts]
            sizes[id(points)] = sum(several) if isinstance(points, Either) else math.prod(several)
        found = {id(self._order[-1]): (_Reach(0, 0, 0), 1)}
        for points in reversed(self._order):
            spent, ways = found[id(points)]
            for part in points.parts:
                here, number = spent, ways
                match points:
                    case After():
                        here = spent + self._get_reach(points.cost)
                    case Both():
                        beside = id(points.other if part is points.one else points.one)
                        here, number = spent + reaches[beside], ways * sizes[beside]
                if id(part) in found:
                    here, number = found[id(part)][0] | here, found[id(part)][1] + number
                found[id(part)] = here, number
        return found

    def _find_reach(self, points: Points, parts: Sequence[_Reach]) -> _Reach:
        match points:
            case After():
                return parts[0] + self._get_reach(points.cost)
            case Either():
                return reduce(_Reach.__or__, parts)
            case Both():
                return parts[0] + parts[1]
            case _:
                return _Reach(0, 0, 0)

    def _get_reach(self, cost: Cost) -> _Reach:
        value = self._measure(cost)
        return _Reach(value, value, 0)

    def _unite(self, grids: Sequence[_Grid], highest: int) -> _Grid:
        """Return the points of several sets, with no point in two of them."""
        self._count_work(sum(len(grid.numbers) for grid in grids))
        return _sum(((grid, 1) for grid in grids), highest)

    def _multiply(self, one: _Grid, other: _Grid, highest: int) -> _Grid:
        """Return every point of one set with every point of another: a convolution of their numbers."""
        # The direct sum, not an FFT: numbers are exact, and one side has few costs.
        few, many = sorted((one, other), key=lambda grid: int(np.count_nonzero(grid.numbers)))
        costs, numbers = (row.tolist() for row in few.list_rows())
        self._count_work(len(costs) * len(many.numbers))
        return _sum(((many.shift(c), n) for c, n in zip(costs, numbers, strict=True)), highest)

    def _count_work(self, additions: int) -> None:
        if self._work + additions > WORK:
            raise _TooMany
        self._work += additions


def _sum_products(one: Numbers, other: Numbers) -> int:
    """Return the exact sum of products, by limbs of 22 bits."""
    # Products of 22-bit limbs, 2^20 of them, sum to less than 2^64; Python's integers hold the rest.
    total = 0
    for start in range(0, len(one), 1 << 20):
        a, b = (_split_limbs(numbers[start : start + (1 << 20)]) for numbers in (one, other))
        sums = (a @ b.T).tolist()
        total += sum(n << 22 * (i + j) for i, row in enumerate(sums) for j, n in enumerate(row))
    return total


def _split_limbs(numbers: Numbers) -> Numbers:
    """Split numbers `(n,)` into limbs `(3, n)`."""
    return np.stack([(numbers >> np.uint64(shift)) & np.uint64((1 << 22) - 1) for shift in (0, 22, 44)])
