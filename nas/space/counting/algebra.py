"""What is known of the points that share a state: the algebras that `compose` carries through a network."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeVar

from nas.cost import Cost
from nas.space.language.tree import Option

Decisions = tuple[tuple[str, Option], ...]
K = TypeVar("K", bound=Hashable)


class Total(Protocol):
    """A set of points, each with a cost and the decisions that led to it."""

    def extend(self, cost: Cost, decisions: Decisions) -> Self:
        """Return the same points, each with a part of this cost added and these decisions made."""

    def with_other(self, other: Self) -> Self:
        """Return the union of two disjoint sets of points."""

    def multiply(self, other: Self) -> Self:
        """Return the product: every point of one with every point of the other, which decide other things."""

    @property
    def nothing(self) -> Self:
        """Return one point that has cost nothing and decided nothing."""


@dataclass(frozen=True, slots=True)
class Sum:
    """The cost of one point."""

    cost: Cost = field(default_factory=Cost)

    def extend(self, cost: Cost, decisions: Decisions) -> Sum:
        # Who asks for one point knows its decisions.
        return Sum(self.cost + cost)

    def with_other(self, other: Sum) -> Sum:
        raise AssertionError("a point has one way through")

    def multiply(self, other: Sum) -> Sum:
        return Sum(self.cost + other.cost)

    @property
    def nothing(self) -> Sum:
        return Sum()


@dataclass(frozen=True, slots=True)
class Muted:
    """A total to which decisions are added but no cost: of a branch that a sum drops, being zero."""

    total: Any

    def extend(self, cost: Cost, decisions: Decisions) -> Muted:
        return Muted(self.total.extend(Cost(), decisions))

    def with_other(self, other: Muted) -> Muted:
        return Muted(self.total.with_other(other.total))

    def multiply(self, other: Muted) -> Muted:
        return Muted(self.total.multiply(other.total))

    @property
    def nothing(self) -> Muted:
        return Muted(self.total.nothing)


@dataclass(frozen=True, slots=True)
class Enumeration:
    """Every point by itself: its cost, by its decisions."""

    costs: Mapping[Decisions, Cost] = field(default_factory=lambda: {(): Cost()})

    def extend(self, cost: Cost, decisions: Decisions) -> Enumeration:
        return Enumeration({(*made, *decisions): one + cost for made, one in self.costs.items()})

    def with_other(self, other: Enumeration) -> Enumeration:
        return Enumeration({**self.costs, **other.costs})

    def multiply(self, other: Enumeration) -> Enumeration:
        return Enumeration(
            {a + b: cost + more for a, cost in self.costs.items() for b, more in other.costs.items()}
        )

    @property
    def nothing(self) -> Enumeration:
        return Enumeration()


def merge(totals: dict[K, Any], state: K, new: Any) -> None:
    """Add the points of a state to those that reach it already."""
    old = totals.get(state)
    totals[state] = new if old is None else old.with_other(new)
