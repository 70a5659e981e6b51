"""All points of a space as a graph of parts: what each adds to the cost and decides.

It is one more algebra that `compose` carries through a network. Points that share a part share its node, so
the graph is small where the space is large. Counting, the ends of costs and drawing are walks over it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from nas.cost import Cost
from nas.space.counting.algebra import Decisions
from nas.space.language.tree import Option

CostOf = Callable[[Cost], int]
"""The figure of a cost that is meant, or a sum of figures: `of` of a measure that adds up."""


class Points:
    """A set of points. Two sets are equal only if they are one object."""

    __slots__ = ()

    def extend(self, cost: Cost, decisions: Decisions) -> Points:
        return After(self, cost, decisions) if decisions or cost != Cost() else self

    def with_other(self, other: Points) -> Points:
        return Either((*_list_options(self), *_list_options(other)))

    def multiply(self, other: Points) -> Points:
        if self is ONE:
            return other
        return self if other is ONE else Both(self, other)

    @property
    def nothing(self) -> Points:
        return ONE

    @property
    def parts(self) -> tuple[Points, ...]:
        """The sets that this one is made of."""
        return ()


@dataclass(frozen=True, eq=False, slots=True)
class After(Points):
    """The points of `before`, each with a part of this cost added and these decisions made."""

    before: Points
    cost: Cost
    decisions: Decisions

    @property
    def parts(self) -> tuple[Points, ...]:
        return (self.before,)


@dataclass(frozen=True, eq=False, slots=True)
class Either(Points):
    """The points of several sets that share none."""

    options: tuple[Points, ...]

    @property
    def parts(self) -> tuple[Points, ...]:
        return self.options


@dataclass(frozen=True, eq=False, slots=True)
class Both(Points):
    """Every point of one set with every point of another, which decide different things."""

    one: Points
    other: Points

    @property
    def parts(self) -> tuple[Points, ...]:
        return (self.one, self.other)


ONE = Points()
"""One point that has cost nothing and decided nothing."""


def sort_sets(root: Points) -> list[Points]:
    """Return the sets that a set is made of and the set itself, in topological order."""
    found: list[Points] = []
    met: set[int] = set()  # each set is met twice: before its parts, and behind them
    done: set[int] = set()
    waiting = [root]
    # A loop, since the sets of a deep network may be nested deeper than Python recurses.
    while waiting:
        points = waiting[-1]
        if id(points) in done:
            waiting.pop()
        elif id(points) in met:
            done.add(id(points))
            found.append(points)
            waiting.pop()
        else:
            met.add(id(points))
            waiting += [part for part in reversed(points.parts) if id(part) not in met]
    return found


def count_points(order: list[Points]) -> int:
    """Return the number of points."""
    sizes: dict[int, int] = {}
    for points in order:
        if isinstance(points, After):
            sizes[id(points)] = sizes[id(points.before)]
        else:
            # Options share no point, and the two of a product decide different things: numbers add up, or
            # multiply.
            parts = [sizes[id(part)] for part in points.parts]
            sizes[id(points)] = sum(parts) if isinstance(points, Either) else math.prod(parts)
    return sizes[id(order[-1])]


class Extreme(NamedTuple):
    """The point at one end of a measure: its value there and its decisions."""

    value: int
    choices: dict[str, Option]


def find_extreme(order: list[Points], measure: CostOf, pick: Callable[[Iterable[int]], int]) -> Extreme:
    """Return the first point whose cost by `measure` is the one that `pick`, min or max, picks.

    `order` is of all points, as `sort_sets` gives it.
    """
    values = _compute_values(order, measure, pick)
    root = order[-1]
    choices: dict[str, Option] = {}
    waiting = [root]
    while waiting:
        points = waiting.pop()
        if isinstance(points, Either):
            # The values are those of whole sets: back from the root, an option that has it leads to a point.
            value = values[id(points)]
            waiting.append(next(option for option in points.options if values[id(option)] == value))
        else:
            waiting += points.parts
            if isinstance(points, After):
                choices.update(points.decisions)
    return Extreme(values[id(root)], choices)


def find_least_costs(order: list[Points], measure: CostOf) -> dict[int, int]:
    """Return the least cost of each set, by id; `order` is as `sort_sets` gives it."""
    return _compute_values(order, measure, min)


def find_least_beside(order: list[Points], least: dict[int, int], measure: CostOf) -> dict[int, int]:
    """Return, by the id of each set, the least that the rest of a point costs of which it is part."""
    rest = {id(order[-1]): 0}
    # From the whole to its parts, so what a set is part of is done before it. Where that is several sets, the
    # least beside it is that of the cheapest.
    for points in reversed(order):
        outside = rest[id(points)]
        for part in points.parts:
            match points:
                case After():
                    here = outside + measure(points.cost)
                case Both():
                    here = outside + least[id(points.other if part is points.one else points.one)]
                case _:
                    here = outside
            rest[id(part)] = min(here, rest.get(id(part), here))
    return rest


def _compute_values(
    order: list[Points], measure: CostOf, pick: Callable[[Iterable[int]], int]
) -> dict[int, int]:
    values: dict[int, int] = {}
    # Costs add up, so the extreme of a set is made of the extremes of its parts.
    for points in order:
        if isinstance(points, After):
            values[id(points)] = values[id(points.before)] + measure(points.cost)
        elif isinstance(points, Either):
            values[id(points)] = pick([values[id(part)] for part in points.options])
        else:
            values[id(points)] = sum([values[id(part)] for part in points.parts])
    return values


_FLAT = 64


def _list_options(points: Points) -> tuple[Points, ...]:
    """Return the sets of a union; of a long one the union itself, since joining tuples takes their length."""
    return points.options if isinstance(points, Either) and len(points.options) < _FLAT else (points,)
