"""Optuna's Gaussian process sampler, with its decisions found at once."""

from __future__ import annotations

from optuna.distributions import BaseDistribution
from optuna.samplers import GPSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from nas.samplers.points import find_shared_decisions


class SharedGPSampler(GPSampler):
    """Optuna's Gaussian process with expected improvement, over the decisions that all trials take."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return find_shared_decisions(study)
