"""Optuna's Gaussian process sampler, at a bounded cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import GPSampler, RandomSampler
from optuna.storages import InMemoryStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.samplers.points import shared_decisions

MOST = 50
"""Trials that the model is fitted to: its fit takes about a second for 100 trials of 20 decisions."""


class BoundedGPSampler(GPSampler):
    """Optuna's Gaussian process with expected improvement, fitted to at most `MOST` complete trials: the best
    half of that number, and of the others every so many."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return shared_decisions(study)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        storage = InMemoryStorage()
        storage.create_new_study(study.directions, "bounded")
        bounded = optuna.load_study(study_name="bounded", storage=storage, sampler=RandomSampler())
        bounded.add_trials(_bounded(complete, study))
        own = storage.get_trial(bounded.ask()._trial_id)
        return super().sample_relative(bounded, own, search_space)


def _bounded(trials: list[FrozenTrial], study: Study) -> list[FrozenTrial]:
    if len(trials) <= MOST:
        return trials
    sign = 1 if study.directions[0] == optuna.study.StudyDirection.MINIMIZE else -1
    ranked = sorted(trials, key=lambda trial: sign * trial.values[0])
    best, others = ranked[: MOST // 2], ranked[MOST // 2 :]
    return best + [others[i] for i in np.linspace(0, len(others) - 1, MOST - MOST // 2).astype(int)]
