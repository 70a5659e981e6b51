"""How many points of a space have a cost inside an interval, as an exact integer.

Costs of parts add up, so the costs of the points of a set, with how many points have each, follow from those
of its parts (a sum set). Where they become too many, nothing is tabulated: what the rest of the network may
still cost is carried from the whole to the parts instead, until it meets the tables (Horowitz & Sahni 1974).
Numbers of points are kept as remainders by several primes and put together in the end (Chinese remainders).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.cost import Cost, Interval
from nas.space.points import After, Both, Either, Points, extreme, in_order, size

Integers = NDArray[np.int64]
Measure = Callable[[Cost], int]

TABLED = 1 << 16
"""Different costs up to which a set is tabulated."""
CARRIED = 1 << 20
"""Different costs spent outside a set up to which a count goes on."""
WORK = 1 << 25
"""Costs put together before a count gives up: some seconds."""

PRIMES = (
    2147483647, 2147483629, 2147483587, 2147483579, 2147483563, 2147483549, 2147483543, 2147483497,
    2147483489, 2147483477,
)  # fmt: skip
"""Below 2^31, so that a product of two remainders is a 64-bit integer."""

_NO_END = 1 << 62


def count_within(root: Points, measure: Measure, interval: Interval) -> int | None:
    """The number of points whose cost by `measure` is in the interval; None where that takes too long."""
    total = size(root)
    if extreme(root, measure, max).value >= _NO_END:
        return None
    primes = np.array(PRIMES[: total.bit_length() // 30 + 1], np.int64)[:, None]
    if total >= math.prod(map(int, primes[:, 0])):
        return None
    try:
        remainders = _Count(root, measure, interval, primes).remainders()
    except _TooMany:
        return None
    return _combined([int(r) for r in remainders], [int(p) for p in primes[:, 0]])


def nearest(root: Points, measure: Measure, interval: Interval) -> tuple[int, int]:
    """The costs next to an interval that holds none, where `count_within` knows that and there are some on
    both sides."""
    assert interval.high is not None
    low, above = interval.low - 1, interval.high + 1
    least, most = (extreme(root, measure, pick).value for pick in (min, max))
    below = bisect_left(
        range(low - least), True, key=lambda d: bool(count_within(root, measure, Interval(low - d, low)))
    )
    beyond = bisect_left(
        range(most - above), True, key=lambda d: bool(count_within(root, measure, Interval(above, above + d)))
    )
    return low - below, above + beyond


class _TooMany(Exception):
    """More different costs than are worth the time."""


@dataclass(frozen=True)
class _Table:
    """Different costs `(n,)`, ascending, and the number of points of each `(primes, n)`, as remainders."""

    costs: Integers
    numbers: Integers

    @classmethod
    def of(cls, costs: Integers, numbers: Integers, primes: Integers, high: int) -> _Table:
        """Equal costs put together, those above `high` left out."""
        keep = costs <= high
        costs, numbers = costs[keep], numbers[:, keep]
        order = np.argsort(costs, kind="stable")
        costs = costs[order]
        if not len(costs):
            return cls(costs, numbers[:, order])
        first = np.flatnonzero(np.diff(costs, prepend=costs[0] - 1))
        return cls(costs[first], np.add.reduceat(numbers[:, order], first, axis=1) % primes)

    def with_table(self, other: _Table, primes: Integers, high: int) -> _Table:
        """Every point of one with every point of the other."""
        costs = (self.costs[:, None] + other.costs).ravel()
        numbers = self.numbers[:, :, None] * other.numbers[:, None, :] % primes[:, :, None]
        return _Table.of(costs, numbers.reshape(len(primes), -1), primes, high)


class _Count:
    def __init__(self, root: Points, measure: Measure, interval: Interval, primes: Integers) -> None:
        self._order = in_order(root)
        self._measure = measure
        self._low = interval.low
        self._high = _NO_END if interval.high is None else min(interval.high, _NO_END)
        self._primes = primes
        self._tables: dict[int, _Table] = {}
        self._work = 0
        users = Counter(id(part) for points in self._order for part in points.parts)
        for points in self._order:
            table = self._tabled(points)
            if table is None or len(table.costs) > TABLED:
                continue
            self._tables[id(points)] = table
            for part in map(id, points.parts):
                users[part] -= 1
                if not users[part]:
                    del self._tables[part]

    def remainders(self) -> Integers:
        """The number of points in the interval, by each prime."""
        # what was spent elsewhere, and in how many ways, on the way from the root to each set
        waiting: dict[int, list[_Table]] = {id(self._order[-1]): [self._table([0], 1)]}
        found = np.zeros((len(self._primes), 1), np.int64)
        for points in reversed(self._order):
            arrived = waiting.pop(id(points), None)
            if arrived is None:
                continue
            spent = self._together(arrived)
            table = self._tables.get(id(points))
            if table is not None:
                found = (found + self._meeting(spent, table)) % self._primes
                continue
            for part, one in self._onward(points, spent):
                waiting.setdefault(id(part), []).append(one)
        return found[:, 0]

    def _tabled(self, points: Points) -> _Table | None:
        """The table of a set from those of its parts; None where it has none."""
        tables = [self._tables.get(id(part)) for part in points.parts]
        known = [table for table in tables if table is not None]
        if len(known) < len(tables):
            return None
        match points:
            case After():
                return self._shifted(known[0], points)
            case Either():
                return self._together(known)
            case Both():
                one, other = known
                if len(one.costs) * len(other.costs) > CARRIED:
                    return None
                return self._beside(one, other)
            case _:
                return self._table([0], 1)

    def _onward(self, points: Points, spent: _Table) -> list[tuple[Points, _Table]]:
        """What was spent outside each part of a set that has no table."""
        match points:
            case After():
                return [(points.before, self._shifted(spent, points))]
            case Either():
                return [(option, spent) for option in points.options]
            case Both():
                tables = self._tables.get(id(points.one)), self._tables.get(id(points.other))
                large, small = (points.one, tables[1]) if tables[1] else (points.other, tables[0])
                if small is None or len(spent.costs) * len(small.costs) > CARRIED:
                    raise _TooMany
                return [(large, self._beside(spent, small))]
            case _:
                raise AssertionError(points)

    def _meeting(self, spent: _Table, table: _Table) -> Integers:
        """The number of points in the interval: what was spent, with what a table adds."""
        zero = np.zeros((len(self._primes), 1), np.int64)
        below = np.concatenate([zero, np.cumsum(table.numbers, axis=1) % self._primes], axis=1)
        start = np.searchsorted(table.costs, self._low - spent.costs, "left")
        end = np.searchsorted(table.costs, self._high - spent.costs, "right")
        inside = (below[:, end] - below[:, start]) % self._primes
        found: Integers = (spent.numbers * inside % self._primes).sum(axis=1, keepdims=True)
        return found

    def _together(self, tables: list[_Table]) -> _Table:
        if len(tables) == 1:
            return tables[0]
        self._worked(sum(len(table.costs) for table in tables))
        costs = np.concatenate([table.costs for table in tables])
        numbers = np.concatenate([table.numbers for table in tables], axis=1)
        table = _Table.of(costs, numbers, self._primes, self._high)
        if len(table.costs) > CARRIED:
            raise _TooMany
        return table

    def _beside(self, one: _Table, other: _Table) -> _Table:
        self._worked(len(one.costs) * len(other.costs))
        return one.with_table(other, self._primes, self._high)

    def _worked(self, costs: int) -> None:
        self._work += costs
        if self._work > WORK:
            raise _TooMany

    def _shifted(self, table: _Table, points: After) -> _Table:
        costs = table.costs + self._measure(points.cost)
        end = int(np.searchsorted(costs, self._high, "right"))
        return _Table(costs[:end], table.numbers[:, :end])

    def _table(self, costs: list[int], number: int) -> _Table:
        return _Table(np.array(costs, np.int64), np.full((len(self._primes), len(costs)), number, np.int64))


def _combined(remainders: list[int], primes: list[int]) -> int:
    """The number below the product of the primes that leaves these remainders."""
    number, product = 0, 1
    for remainder, prime in zip(remainders, primes, strict=True):
        number += product * ((remainder - number) * pow(product, -1, prime) % prime)
        product *= prime
    return number
