"""Regularised evolution as an Optuna sampler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState


class RegularizedEvolutionSampler(BaseSampler):
    """Ageing evolution of Real et al. 2019, "Regularized Evolution for Image Classifier Architecture
    Search", algorithm 1.

    The first `population` trials are random. From then on the parent is the best of `sample` drawn with
    replacement from the `population` youngest completed trials, so that age alone removes a network, and
    the child takes all its choices from the parent but one, which gets another option. Choices that the
    parent did not have, because the mutation made them active, are drawn uniformly. Trials that were
    pruned or failed neither live nor breed.
    """

    def __init__(self, *, population: int = 20, sample: int = 5, seed: int | None = None) -> None:
        if not 1 <= sample <= population:
            raise ValueError(f"a sample of {sample} cannot be drawn from a population of {population}")
        self._population = population
        self._sample = sample
        self._rng = np.random.default_rng(seed)
        self._uniform = RandomSampler(seed=seed)

    def reseed_rng(self) -> None:
        self._rng = np.random.default_rng()
        self._uniform.reseed_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        self._raise_error_if_multi_objective(study)
        return {
            name: distribution
            for member in self._alive(study)
            for name, distribution in member.distributions.items()
        }

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        alive = self._alive(study)
        if len(alive) < self._population:
            return {}
        parent = self._select(study, alive)
        child = {name: value for name, value in parent.params.items() if name in search_space}
        mutable = [name for name in child if not search_space[name].single()]
        if mutable:
            name = mutable[self._rng.integers(len(mutable))]
            child[name] = self._another(study, trial, name, search_space[name], child[name])
        return child

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._uniform.sample_independent(study, trial, param_name, param_distribution)

    def _alive(self, study: Study) -> Sequence[FrozenTrial]:
        """The youngest completed trials, by number."""
        completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return completed[-self._population :]

    def _select(self, study: Study, alive: Sequence[FrozenTrial]) -> FrozenTrial:
        drawn: list[FrozenTrial] = [alive[i] for i in self._rng.integers(len(alive), size=self._sample)]
        sign = 1 if study.direction == StudyDirection.MAXIMIZE else -1

        def fitness(member: FrozenTrial) -> float:
            assert member.value is not None
            return sign * member.value

        return max(drawn, key=fitness)

    def _another(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution, old: Any
    ) -> Any:
        """A value of `distribution` other than `old`, each equally likely."""
        if isinstance(distribution, CategoricalDistribution):
            index = int(distribution.to_internal_repr(old))
            others = distribution.choices[:index] + distribution.choices[index + 1 :]
            return others[self._rng.integers(len(others))]
        new = old
        while new == old:
            new = self._uniform.sample_independent(study, trial, name, distribution)
        return new
