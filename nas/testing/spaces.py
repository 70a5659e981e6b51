"""A small space whose networks score in no time, for what proposes points."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nas.cost import Cost
from nas.errors import InputError
from nas.measures import Amounts, Budget, make_amounts
from nas.space.feasible import Domain

if TYPE_CHECKING:
    from nas.space import Choices, Space

WIDTHS = (8, 16, 24, 32)


class ByRejection:
    """A mixin: amounts from the cost alone; points inside a budget by drawing decisions until one is inside,
    a hundred times at most."""

    def sample(self, choose: Callable[[str, tuple[Any, ...]], Any]) -> Choices:
        """Return the point of what `choose(name, options)` says for each decision that is needed."""
        raise NotImplementedError

    def cost(self, choices: Choices) -> Cost:
        """Return the cost at a point. Raises InputError where it cannot be built."""
        raise NotImplementedError

    def amounts(self, choices: Choices) -> Amounts:
        """Return how much of each measure that adds up the network at a point has."""
        return make_amounts(self.cost(choices))

    def uniform(self, budget: Budget) -> _Rejection:
        """Return what draws points inside a budget."""
        return _Rejection(copy(self), budget)  # which counts for itself


class _Rejection:
    def __init__(self, space: ByRejection, budget: Budget) -> None:
        self._space, self._budget = space, budget

    def sample(self, rng: np.random.Generator, n: int) -> list[Choices]:
        found: list[Choices] = []
        for _ in range(100 * n):
            point = self._space.sample(lambda name, options: options[rng.integers(len(options))])
            found += [point] if self._is_inside(point) else []
            if len(found) == n:
                break
        return found

    def _is_inside(self, point: Choices) -> bool:
        try:
            return self._budget.admits(self._space.amounts(point))
        except InputError:
            return False


class Layers(ByRejection):
    """A space of eight decisions, one of them conditional; costs are sums of widths.

    The best score, 8, has a wide layer beside a narrow one, so that the decisions are not independent.
    """

    name = "layers"

    def sample(self, choose: Callable[[str, tuple[Any, ...]], Any]) -> Choices:
        choices = {f"w{i}": choose(f"w{i}", WIDTHS) for i in range(6)}
        choices["skip"] = choose("skip", (True, False))
        return choices if choices["skip"] else {**choices, "kernel": choose("kernel", (3, 5, 7))}

    def cost(self, choices: Choices) -> Cost:
        if choices["w0"] == choices["w1"] == choices["w2"] == 32:
            raise InputError("three wide layers cannot be built")
        kernel = choices.get("kernel", 0)
        return Cost(macs=sum(int(cast(int, choices[f"w{i}"])) for i in range(6)), params=cast(int, kernel))

    def identity(self, choices: Choices) -> str:
        """Return what is equal for two points exactly when they are the same network."""
        return str(sorted(choices.items()))

    def score(self, choices: Choices) -> float:
        """Return the score at a point, from 0 to 8."""
        layers = [choices[f"w{i}"] for i in range(6)]
        value = sum(a != b for a, b in pairwise(layers)) + (layers[0] == 32)
        return value + {0: 0.0, 3: 0.0, 5: 1.0, 7: 2.0}[cast(int, choices.get("kernel", 0))]


class Mixed(Layers):
    """A space with a decision of one option, and one whose options are of all types."""

    def sample(self, choose: Callable[[str, tuple[Any, ...]], Any]) -> Choices:
        return {"only": choose("only", ("x",)), "act": choose("act", ("relu", None, 1, 2.5, False))}

    def cost(self, choices: Choices) -> Cost:
        return Cost()

    def score(self, choices: Choices) -> float:
        return float(choices["act"] == "relu")


def domain_of(space: ByRejection, budget: Budget | None = None) -> Domain:
    """Return the domain of such a space, inside a budget where there is one."""
    return Domain(cast("Space", space), budget or Budget())
