"""Random search inside a budget, and a random start for samplers of Optuna."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.samplers.points import PointSampler
from nas.space import Choices
from nas.space.feasible import Domain


class UniformSampler(PointSampler):
    """Random search, the baseline of Li & Talwalkar 2019, "Random Search and Reproducibility for Neural
    Architecture Search": points drawn from inside the budget, whatever was tried before."""

    def propose(self, study: Study, trial: FrozenTrial) -> Choices:
        return self._sample_inside()


class UniformStart(BaseSampler):
    """A sampler of Optuna whose random start is drawn from inside the budget.

    As long as fewer than `start` trials are complete and `sampler` proposes nothing for the decisions
    together, they are those of a point drawn from `domain`.
    """

    def __init__(self, sampler: BaseSampler, domain: Domain, *, start: int, seed: int | None = None) -> None:
        self._sampler = sampler
        self._start = start
        self._uniform = UniformSampler(domain, seed=seed)
        self._is_sampled: dict[int, bool] = {}

    def reseed_rng(self) -> None:
        self._sampler.reseed_rng()
        self._uniform.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._sampler.before_trial(study, trial)
        complete = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
        self._is_sampled[trial.number] = complete < self._start
        if complete < self._start:
            self._uniform.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        together = self._sampler.sample_relative(study, trial, search_space)
        self._is_sampled[trial.number] &= not together
        return together

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        sampler = self._uniform if self._is_sampled[trial.number] else self._sampler
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self._sampler.after_trial(study, trial, state, values)
