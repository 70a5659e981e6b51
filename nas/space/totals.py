"""What is known of the points that share a state: the algebras that `compose` carries through a network."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from nas.cost import Cost
from nas.space.tree import Option

Decisions = tuple[tuple[str, Option], ...]
K = TypeVar("K", bound=Hashable)


class Total(Protocol):
    """A set of points, each with a cost and the decisions that led to it."""

    def after(self, cost: Cost, decisions: Decisions) -> Self:
        """The same points, each with a part of this cost added and these decisions made."""

    def with_other(self, other: Self) -> Self:
        """These points and those, together."""

    def then(self, other: Self) -> Self:
        """Every one of these points with every one of those, which decide other things."""

    def nothing(self) -> Self:
        """One point that has cost nothing and decided nothing."""


@dataclass(frozen=True, slots=True)
class Sum:
    """The cost of one point."""

    cost: Cost = field(default_factory=Cost)

    def after(self, cost: Cost, decisions: Decisions) -> Sum:
        return Sum(self.cost + cost)

    def with_other(self, other: Sum) -> Sum:
        raise AssertionError("a point has one way through")

    def then(self, other: Sum) -> Sum:
        return Sum(self.cost + other.cost)

    def nothing(self) -> Sum:
        return Sum()


class Trail(NamedTuple):
    """Decisions made: those before, then these, then those made beside them in a branch."""

    before: Trail | None
    decisions: Decisions
    beside: Trail | None = None

    def choices(self) -> dict[str, Option]:
        """The decisions by name."""
        found: dict[str, Option] = {}
        waiting: list[Trail | None] = [self]
        while waiting:
            trail = waiting.pop()
            if trail is not None:
                found.update(trail.decisions)
                waiting += [trail.before, trail.beside]
        return found


_START = Trail(None, ())


class End(NamedTuple):
    """The point at one end of a measure: its value, and the decisions that led to it."""

    value: int = 0
    trail: Trail = _START

    def after(self, value: int, decisions: Decisions) -> End:
        return End(self.value + value, Trail(self.trail, decisions) if decisions else self.trail)

    def then(self, other: End) -> End:
        return End(self.value + other.value, Trail(self.trail, (), other.trail))


_NOWHERE = End()


@dataclass(frozen=True, slots=True)
class Range:
    """How many points, with the ones of least and most MACs and of fewest and most parameters."""

    count: int = 1
    smallest: End = _NOWHERE
    largest: End = _NOWHERE
    fewest: End = _NOWHERE
    most: End = _NOWHERE

    def after(self, cost: Cost, decisions: Decisions) -> Range:
        return Range(
            self.count,
            self.smallest.after(cost.macs, decisions),
            self.largest.after(cost.macs, decisions),
            self.fewest.after(cost.params, decisions),
            self.most.after(cost.params, decisions),
        )

    def with_other(self, other: Range) -> Range:
        return Range(
            self.count + other.count,
            self.smallest if self.smallest.value <= other.smallest.value else other.smallest,
            self.largest if self.largest.value >= other.largest.value else other.largest,
            self.fewest if self.fewest.value <= other.fewest.value else other.fewest,
            self.most if self.most.value >= other.most.value else other.most,
        )

    def then(self, other: Range) -> Range:
        return Range(
            self.count * other.count,
            self.smallest.then(other.smallest),
            self.largest.then(other.largest),
            self.fewest.then(other.fewest),
            self.most.then(other.most),
        )

    def nothing(self) -> Range:
        return Range()


@dataclass(frozen=True, slots=True)
class Muted:
    """A total to which decisions are added but no cost: of a branch that a sum drops, being zero."""

    total: Any

    def after(self, cost: Cost, decisions: Decisions) -> Muted:
        return Muted(self.total.after(Cost(), decisions))

    def with_other(self, other: Muted) -> Muted:
        return Muted(self.total.with_other(other.total))

    def then(self, other: Muted) -> Muted:
        return Muted(self.total.then(other.total))

    def nothing(self) -> Muted:
        return Muted(self.total.nothing())


@dataclass(frozen=True, slots=True)
class Listing:
    """Every point by itself: its cost, by its decisions."""

    costs: Mapping[Decisions, Cost] = field(default_factory=lambda: {(): Cost()})

    def after(self, cost: Cost, decisions: Decisions) -> Listing:
        return Listing({(*made, *decisions): one + cost for made, one in self.costs.items()})

    def with_other(self, other: Listing) -> Listing:
        return Listing({**self.costs, **other.costs})

    def then(self, other: Listing) -> Listing:
        return Listing(
            {a + b: cost + more for a, cost in self.costs.items() for b, more in other.costs.items()}
        )

    def nothing(self) -> Listing:
        return Listing()


def merge(totals: dict[K, Any], state: K, new: Any) -> None:
    """Add the points of a state to those that reach it already."""
    old = totals.get(state)
    totals[state] = new if old is None else old.with_other(new)
