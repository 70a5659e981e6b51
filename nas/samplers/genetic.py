"""Optuna's NSGA-II and NSGA-III, made to repeat themselves."""

from __future__ import annotations

from optuna.distributions import BaseDistribution
from optuna.samplers import NSGAIIISampler, NSGAIISampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from nas.samplers.points import find_shared_decisions


class RepeatableNSGAIISampler(NSGAIISampler):
    """NSGA-II (Deb et al. 2002) whose parents come in one order.

    Optuna's hands a generation's parents to the crossover by rank when it has just selected them and by
    number when it has read them back, so that the same seed gives other children after a restart.
    """

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return find_shared_decisions(study)

    def select_parent(self, study: Study, generation: int) -> list[FrozenTrial]:
        return sorted(super().select_parent(study, generation), key=lambda trial: trial.number)


class RepeatableNSGAIIISampler(NSGAIIISampler):
    """NSGA-III (Deb & Jain 2014) whose parents come in one order, as those of `RepeatableNSGAIISampler`.

    Its selection is random where points are equally good, and is the same for all trials of a generation.
    """

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return find_shared_decisions(study)

    def select_parent(self, study: Study, generation: int) -> list[FrozenTrial]:
        random = self._rng.rng
        state = random.get_state()
        random.seed(generation)
        parents = super().select_parent(study, generation)
        random.set_state(state)
        return sorted(parents, key=lambda trial: trial.number)
