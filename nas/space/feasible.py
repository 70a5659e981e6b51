"""What a sampler may know of space and budget: points inside, points beside a point, cost and identity."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from nas.cost import Interval
from nas.errors import InputError
from nas.measures import Amounts, Budget
from nas.space.keys import make_point_key

if TYPE_CHECKING:
    from nas.cost import Cost
    from nas.space import Choices, Space
    from nas.space.counting.uniform import Uniform
    from nas.space.language.tree import Option

_MEMORY = 1_000
"""Points of which it is remembered what is beside them."""
_MOST_STEPS = 200
_LOOK = 16
_RINGS = 4

_Key = tuple[tuple[str, "Option"], ...]


class Domain:
    """The points of `space` whose networks are within `budget` and can be trained.

    `try_out` raises InputError for a point whose network cannot be trained. Random numbers come from the
    caller, so that the same ones give the same points.
    """

    def __init__(
        self, space: Space, budget: Budget, try_out: Callable[[Choices], object] = lambda choices: None
    ) -> None:
        self._space = space
        self._budget = budget
        self._try_out = try_out
        self._others = lru_cache(_MEMORY)(self._list_alternatives)
        self._trains: dict[bytes, bool] = {}

    def cost(self, choices: Choices) -> Cost | None:
        """Return the cost of the network at a point; None where it cannot be built."""
        try:
            return self._space.cost(choices)
        except InputError:
            return None

    def amounts(self, choices: Choices) -> Amounts | None:
        """Return how much of each measure the network at a point has; None where it cannot be built."""
        try:
            return self._space.amounts(choices)
        except InputError:
            return None

    def identity(self, choices: Choices) -> str:
        """Return what is equal for two points exactly when they are the same network."""
        return self._space.identity(choices)

    def is_inside(self, choices: Choices) -> bool:
        """Return whether the network at a point can be built and is within the budget."""
        amounts = self.amounts(choices)
        return amounts is not None and self._budget.admits(amounts)

    def can_train(self, choices: Choices) -> bool:
        """Return whether the network at a point that can be built can be trained as well."""
        key = make_point_key(choices)
        if key not in self._trains:
            self._trains[key] = self._train(choices)
        return self._trains[key]

    def make_point(self, choose: Callable[[str, tuple[Option, ...]], Option]) -> Choices:
        """Return the point of what `choose(name, options)` says for each decision that is needed."""
        return self._space.sample(choose)

    def complete(self, wish: Mapping[str, Option], rng: random.Random) -> Choices:
        """Return the point that follows a wish where it can; decisions that the wish leaves open are
        drawn."""

        def follow(name: str, options: tuple[Option, ...]) -> Option:
            return wish[name] if wish.get(name, _NOTHING) in options else rng.choice(options)

        return self._space.sample(follow)

    def sample(self, rng: random.Random, n: int) -> list[Choices]:
        """Return `n` points inside the budget, each with the same chance.

        Where next to nothing is inside, so that many draws are not enough, points are drawn from the whole
        space and moved inside; one for which that fails too stays outside.
        """
        source = np.random.default_rng(rng.getrandbits(64))
        points = self._uniform.sample(source, n) if self._is_roomy else []
        return [*points, *(self.move_inside(self.complete({}, rng), rng) for _ in range(n - len(points)))]

    def mutate(self, choices: Choices, rng: random.Random, changes: int = 1) -> Choices:
        """Return a point with so many other options than `choices`, or fewer where a decision is drawn twice;
        each decision and each of its other options equally likely; decisions that this opens are drawn. It
        may be outside the budget."""
        alternatives = self._others(_make_key(choices))
        if not alternatives:
            return choices
        changed = dict(choices)
        for _ in range(changes):
            name = rng.choice([*alternatives])
            changed[name] = rng.choice(alternatives[name])
        return self.complete(changed, rng)

    def list_neighbours(self, choices: Choices, rng: random.Random) -> Iterator[Choices]:
        """Return all points with one other option than `choices`, in random order; decisions that this opens
        are drawn. They may be outside the budget."""
        alternatives = self._others(_make_key(choices))
        changes = [(name, option) for name, others in alternatives.items() for option in others]
        rng.shuffle(changes)
        for name, option in changes:
            yield self.complete({**choices, name: option}, rng)

    def move_inside(self, choices: Choices, rng: random.Random) -> Choices:
        """Return a point inside the budget near to `choices`; `choices` where the way there ends outside.

        Options are changed one at a time: to the network inside that changes the cost least or, while one
        change does not suffice, to the one that is least outside. So few choices change, then little cost.
        Of many changes, `_LOOK` by chance are enough where one of them is a step.
        """
        point, excess = choices, self._measure_overrun(choices)
        for _ in range(_MOST_STEPS):
            if not excess:
                return point
            best: tuple[float, float, Choices] = (excess, 0.0, point)
            for seen, near in enumerate(self.list_neighbours(point, rng)):
                if seen >= _LOOK and best[0] < excess:
                    break
                here = (self._measure_overrun(near), self._measure_change(point, near), near)
                best = min(best, here, key=lambda row: row[:2])
            if best[0] >= excess:
                return choices
            excess, _, point = best
        return choices

    def find_nearest(
        self, choices: Choices, accepts: Callable[[Choices], bool], rng: random.Random
    ) -> Choices | None:
        """Return a point inside the budget near to `choices` that is accepted; None where none is found.

        Of the points in reach of the nearest one inside, those of fewer other options come first, then those
        of more equal cost.
        """
        ring = [self.move_inside(choices, rng)]
        seen = {make_point_key(ring[0])}
        for _ in range(_RINGS):
            ring.sort(key=lambda point: (self._measure_overrun(point), self._measure_change(choices, point)))
            for point in filter(self.is_inside, ring):
                if accepts(point) and self.can_train(point):
                    return point
            beside = (near for point in ring[:_LOOK] for near in self.list_neighbours(point, rng))
            ring = list({key: near for near in beside if (key := make_point_key(near)) not in seen}.values())
            seen.update(map(make_point_key, ring))
        drawn = (self.sample(rng, 1)[0] for _ in range(_MOST_STEPS))
        return next((p for p in drawn if self.is_inside(p) and accepts(p) and self.can_train(p)), None)

    def compute_constraints(self, amounts: Amounts) -> list[float]:
        """Return how far a network is over each end of the budget, in parts of it: Optuna's constraints, met
        where none is above 0."""
        rows = [(amounts(measure), interval) for measure, interval in self._budget.items()]
        over = [value / max(1, i.high) - 1 for value, i in rows if i.high is not None]
        return over + [1 - value / i.low for value, i in rows if i.low]

    @cached_property
    def _uniform(self) -> Uniform:
        return self._space.uniform(self._budget)

    @cached_property
    def _is_roomy(self) -> bool:
        """Whether many draws give a point inside. The same at every call, so that a search that is resumed
        goes on as before."""
        return bool(self._uniform.sample(np.random.default_rng(0), 1))

    def _measure_overrun(self, choices: Choices) -> float:
        """Return how far outside the budget a point is, in parts of the limits; 0 inside."""
        amounts = self.amounts(choices)
        if amounts is None:
            return float("inf")
        return sum(_measure_excess(amounts(measure), interval) for measure, interval in self._budget.items())

    def _measure_change(self, before: Choices, after: Choices) -> float:
        """Return how far two points are apart in the measure that networks of the budget are counted by."""
        old, new = self.cost(before), self.cost(after)
        counted = self._budget.counted
        return abs(counted.of(new) - counted.of(old)) if old and new else 0.0

    def _list_alternatives(self, key: _Key) -> dict[str, list[Option]]:
        """Return the other options of each decision of a point that has any."""
        choices = dict(key)
        found: dict[str, list[Option]] = {}

        def noted(name: str, options: tuple[Option, ...]) -> Option:
            if len(options) > 1:
                found[name] = [option for option in options if option != choices[name]]
            return choices[name]

        self._space.sample(noted)
        return found

    def _train(self, choices: Choices) -> bool:
        try:
            self._try_out(choices)
        except InputError:
            return False
        return True


_NOTHING = object()


def _make_key(choices: Choices) -> _Key:
    return tuple(sorted(choices.items()))


def _measure_excess(value: int, interval: Interval) -> float:
    if interval.high is not None and value > interval.high:
        return value / max(1, interval.high) - 1
    return max(0.0, 1 - value / interval.low) if interval.low else 0.0
