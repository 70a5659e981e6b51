"""Optuna's NSGA-II, made to repeat itself."""

from __future__ import annotations

from optuna.samplers import NSGAIISampler
from optuna.study import Study
from optuna.trial import FrozenTrial


class RepeatableNSGAIISampler(NSGAIISampler):
    """NSGA-II (Deb et al. 2002) whose parents come in one order.

    Optuna's hands a generation's parents to the crossover by rank when it has just selected them and by
    number when it has read them back, so that the same seed gives other children after a restart.
    """

    def select_parent(self, study: Study, generation: int) -> list[FrozenTrial]:
        return sorted(super().select_parent(study, generation), key=lambda trial: trial.number)
