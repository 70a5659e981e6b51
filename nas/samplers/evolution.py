"""Regularised evolution as an Optuna sampler."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.study import Study
from optuna.trial import FrozenTrial

from nas.samplers.points import Known, PointSampler, find_youngest
from nas.space import Choices
from nas.space.feasible import Domain

_TRIES = 20
"""Children bred for one that is inside the budget."""


class RegularizedEvolutionSampler(PointSampler):
    """Ageing evolution of Real et al. 2019, "Regularized Evolution for Image Classifier Architecture
    Search", algorithm 1, inside a budget.

    The first `population` trials are random. From then on the parent is the best of `sample` drawn with
    replacement from the `population` youngest, so that age alone removes a network, and the child takes all
    its choices from the parent but one, which gets another option; with the probability `crossover` each
    choice is first taken from either of two parents. Choices that the parent did not have, because the
    mutation made them active, are drawn uniformly. Children outside the budget die, and other parents breed.
    A child that is a known network is born again with its known score. Trials that were pruned or failed
    neither live nor breed.
    """

    def __init__(
        self,
        domain: Domain,
        *,
        population: int = 20,
        sample: int = 5,
        crossover: float = 0.0,
        seed: int | None = None,
    ) -> None:
        if not 1 <= sample <= population:
            raise ValueError(f"a sample of {sample} cannot be drawn from a population of {population}")
        super().__init__(domain, seed)
        self._population = population
        self._sample = sample
        self._crossover = crossover

    def propose(self, study: Study, trial: FrozenTrial) -> Choices:
        alive = find_youngest(study, trial.number, self._population)
        if len(alive) < self._population:
            return self._sample_inside()
        for _ in range(_TRIES):
            parent = self._select(alive)
            child = self._domain.mutate(self._breed(parent.choices, alive), self._rng)
            if self._domain.is_inside(child):
                break
        else:
            child = self._domain.move_inside(child, self._rng)
        self._note_parent(study, trial, parent)
        return child

    def _breed(self, one: Choices, alive: Sequence[Known]) -> Choices:
        if self._rng.random() >= self._crossover:
            return one
        other = self._select(alive).choices
        wish = {**other, **{name: option for name, option in one.items() if self._rng.random() < 0.5}}
        return self._domain.complete(wish, self._rng)

    def _select(self, alive: Sequence[Known]) -> Known:
        return max(self._rng.choices(alive, k=self._sample), key=lambda member: member.score)
