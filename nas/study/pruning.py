"""What stops poor trials early: Optuna pruners, theirs and a user's own, by name.

A pruner reads the ledger's Optuna study, so it is the same in this process and on Ray, and its state is in
the trials: a search that is resumed prunes as it would have. It judges by the metric, whatever the objective.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any

from nas.errors import InputError, NasError, OwnCodeError, suggest_word
from nas.importing import describe_failure, import_class
from nas.kinds import join_or

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

PrunerFactory = Callable[[int], "BasePruner"]
"""Makes a pruner for trainings of so many epochs."""

_REDUCTION = 3
"""One in so many trials goes on at each rung (Li et al. 2020 use 4, Hyperband's paper 3)."""


def _make_asha(epochs: int) -> BasePruner:
    """Return successive halving, asynchronous, with its first rung at a third of the training: values earlier
    than that rank poorly (Li et al. 2020)."""
    from optuna.pruners import SuccessiveHalvingPruner

    return SuccessiveHalvingPruner(min_resource=max(1, epochs // 3), reduction_factor=_REDUCTION)


def _make_hyperband(epochs: int) -> BasePruner:
    """Return successive halving in brackets whose first rungs are at 1, 3, 9, ... epochs (Li et al. 2018).
    Where a training has a power of 3 of them, the last stops nothing.

    Optuna counts brackets by a logarithm, which of 243 to the base of 3 is 4.999... there. One more epoch
    than a multiple of 3 has as many brackets, and is no power of 3.
    """
    from optuna.pruners import HyperbandPruner

    counted = epochs + 1 if epochs % _REDUCTION == 0 else epochs
    return HyperbandPruner(min_resource=1, max_resource=counted, reduction_factor=_REDUCTION)


def _make_median(epochs: int) -> BasePruner:
    """Return one that stops below the median of the earlier trials at the same epoch, from a third of the
    training on, as Google Vizier does (Golovin et al. 2017)."""
    from optuna.pruners import MedianPruner

    return MedianPruner(n_startup_trials=5, n_warmup_steps=max(1, epochs // 3))


PRUNERS: dict[str, PrunerFactory] = {"asha": _make_asha, "hyperband": _make_hyperband, "median": _make_median}


def find_pruner(name: str) -> PrunerFactory:
    """Return the factory of the pruner called `name`, or at an import path, MODULE:CLASS.

    Raises InputError where there is none.
    """
    if ":" in name:
        from optuna.pruners import BasePruner

        example = "optuna.pruners:MedianPruner"
        found = import_class(name, BasePruner, "scheduler", example, lambda pruner: pruner())
        return lambda epochs: found()
    if name not in PRUNERS:
        known = f"it is {join_or(PRUNERS)}, or MODULE:CLASS of an Optuna pruner"
        raise InputError(f"unknown scheduler '{name}'{suggest_word(name, list(PRUNERS), known)}")
    return PRUNERS[name]


def judge(pruner: BasePruner, study: Study, trial: FrozenTrial) -> bool:
    """Return whether a pruner stops a trial. Raises OwnCodeError where it fails or gives another answer."""
    import numpy as np

    from nas.study.storage import DATABASE_ERRORS

    place = f"scheduler {type(pruner).__module__}:{type(pruner).__qualname__}"
    when = f"trial {trial.number} after epoch {trial.last_step}"
    try:
        answer: object = pruner.prune(study, trial)
    except (NasError, *DATABASE_ERRORS):
        raise
    except (Exception, SystemExit) as error:
        raise OwnCodeError(
            f"{place}: fails at {when}: {describe_failure(error, type(pruner))}; mend it"
        ) from error
    if not isinstance(answer, bool | np.bool_):
        raise OwnCodeError(f"{place}: says {answer!r:.60} of {when}, which is not True or False; mend it")
    return bool(answer)


STUDY = "nas"
"""The name of every study to pruners: Hyperband draws the bracket of a trial from that name and the trial's
number, and a search is the same under any."""


class JudgedStorage:
    """A storage as a pruner has it while it judges `trial`, which stands there in place of what is kept. Its
    study has the `name` that is given.

    It writes to the storage and to its trial alike. As in Optuna's own storages, a write makes another object
    of the trial, so that trials that were read before stay as they were.
    """

    def __init__(self, storage: BaseStorage, study_id: int, name: str, trial: FrozenTrial) -> None:
        self.trial = trial
        self._name = name
        self._storage = storage
        self._study_id = study_id

    def __getattr__(self, name: str) -> Any:
        if name == "_storage":  # of a copy that is being made
            raise AttributeError(name)
        return getattr(self._storage, name)

    def get_study_id_from_name(self, study_name: str) -> int:
        own = study_name == self._name
        return self._study_id if own else self._storage.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._name if study_id == self._study_id else self._storage.get_study_name_from_id(study_id)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._replace(self._storage.get_trial(trial_id))

    def get_all_trials(self, study_id: int, *args: Any, **options: Any) -> list[FrozenTrial]:
        return [self._replace(trial) for trial in self._storage.get_all_trials(study_id, *args, **options)]

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._storage.set_trial_system_attr(trial_id, key, value)
        if trial_id == self.trial._trial_id:
            self.trial = copy(self.trial)
            self.trial.system_attrs = {**self.trial.system_attrs, key: value}

    def _replace(self, trial: FrozenTrial) -> FrozenTrial:
        return self.trial if trial._trial_id == self.trial._trial_id else trial
