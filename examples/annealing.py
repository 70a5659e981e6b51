"""A sampler: simulated annealing (Kirkpatrick, Gelatt & Vecchi 1983), of Optuna's kind.

Run it:

    PYTHONPATH=examples nas search mbconv --budget-flops 400M --sampler annealing:AnnealingSampler
    PYTHONPATH=examples pytest --pyargs nas.testing --sampler annealing:AnnealingSampler
"""

import math
import random
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState


class AnnealingSampler(BaseSampler):
    """Changes a choice or two of the current point; a worse point becomes current the less often, the later.

    What it knows is in the study alone, so that a search can stop and go on: the current point is found by
    going through the trials again.
    """

    def __init__(self, seed: int | None = None, start: float = 0.2, cooling: float = 0.95) -> None:
        self._rng = random.Random(seed)
        self._start = start
        self._cooling = cooling

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}  # each choice alone

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: Any) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        assert isinstance(param_distribution, CategoricalDistribution)
        current = self._current(study)
        if param_name in current and self._rng.random() > 1.5 / len(current):
            return current[param_name]
        return self._rng.choice(param_distribution.choices)

    def _current(self, study: Study) -> dict[str, Any]:
        sign = 1 if study.direction == StudyDirection.MAXIMIZE else -1
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        scores = [sign * trial.values[0] for trial in trials]
        current, score, spread = {}, -math.inf, max(scores, default=0.0) - min(scores, default=0.0)
        for step, trial in enumerate(trials):
            heat = spread * self._start * self._cooling**step
            chance = math.exp(min(0.0, scores[step] - score) / heat) if heat else float(scores[step] >= score)
            if random.Random(trial.number).random() <= chance:
                current, score = trial.params, scores[step]
        return current
