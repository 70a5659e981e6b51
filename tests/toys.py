"""What spaces of tests that are not files have in common."""

from __future__ import annotations

from copy import copy

import numpy as np

from nas.errors import InputError


class ByRejection:
    """A mixin: points inside a budget by drawing decisions until one is inside, a hundred times at most."""

    def uniform(self, budget):
        return _Rejection(copy(self), budget)  # which counts for itself


class _Rejection:
    def __init__(self, space, budget):
        self._space, self._budget = space, budget

    def draw(self, rng: np.random.Generator, n: int) -> list[dict]:
        found: list[dict] = []
        for _ in range(100 * n):
            point = self._space.draw(lambda name, options: options[rng.integers(len(options))])
            found += [point] if self._is_inside(point) else []
            if len(found) == n:
                break
        return found

    def _is_inside(self, point) -> bool:
        try:
            return self._space.cost(point) in self._budget
        except InputError:
            return False
