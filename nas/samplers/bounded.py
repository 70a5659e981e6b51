"""A study as samplers of Optuna see it whose asks grow dear with the number of trials."""

from __future__ import annotations

from collections.abc import Container
from copy import copy
from typing import Any, cast

import numpy as np
import optuna
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.samplers.points import CONSTRAINTS

_OF_USE = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


def bound_study(study: Study, most: int) -> Study:
    """Return `study` without its failed trials, and with at most `most` of those with values: the best half
    of that number, and of the others every so many. What is written to it is written to `study`.

    Of several objectives none is the best, so of these all trials are in it. Constraints are not: all trials
    meet theirs, so that a model of them would be of nothing.
    """
    trials = study.get_trials(deepcopy=False, states=_OF_USE)
    finished = [trial for trial in trials if trial.state != TrialState.RUNNING and trial.values]
    left_out: set[int] = set()
    if len(finished) > most and len(study.directions) == 1:
        sign = 1 if study.direction == StudyDirection.MINIMIZE else -1
        others = sorted(finished, key=lambda trial: sign * trial.values[0])[most // 2 :]
        kept = np.linspace(0, len(others) - 1, most // 2).astype(int)
        left_out = {trial.number for trial in others} - {others[i].number for i in kept}
    window = [_drop_constraints(trial) for trial in trials if trial.number not in left_out]
    storage = cast("BaseStorage", _Window(study._storage, window))
    return optuna.load_study(study_name=study.study_name, storage=storage, sampler=study.sampler)


def _drop_constraints(trial: FrozenTrial) -> FrozenTrial:
    if CONSTRAINTS not in trial.system_attrs:
        return trial
    free = copy(trial)
    free.system_attrs = {key: note for key, note in trial.system_attrs.items() if key != CONSTRAINTS}
    return free


class _Window:
    """A storage that shows only some of its trials."""

    def __init__(self, storage: BaseStorage, trials: list[FrozenTrial]) -> None:
        self._storage = storage
        self._trials = trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]
