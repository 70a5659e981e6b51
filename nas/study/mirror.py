"""A study in memory that samplers propose in: the trials of the ledger, and one open proposal.

Optuna's in-memory storage copies every trial that it is given and keeps every proposal for ever; a search
makes many proposals for one trial, and its trials have dozens of parameters.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from copy import deepcopy as copy_deeply
from datetime import datetime
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.samplers.points import REPEATS
from nas.study.ledger import OPTUNA_STATES
from nas.study.objective import Objective
from nas.study.records import Trial

_STUDY = 0
_NAME = "mirror"


class Mirror:
    """The trials of a search as samplers are told of them. A trial's number here is that in the ledger."""

    def __init__(self, directions: Sequence[StudyDirection]) -> None:
        self._storage = _Storage(directions)
        self._study = optuna.load_study(study_name=_NAME, storage=self._storage)

    def add(self, trial: FrozenTrial) -> None:
        """Take a trial as it is, without a copy."""
        self._storage.trials.append(trial)

    def replace(self, trial: FrozenTrial) -> None:
        """Take the trial for the one of its number."""
        self._storage.trials[trial.number] = trial

    def __len__(self) -> int:
        return len(self._storage.trials)

    def __getitem__(self, number: int) -> FrozenTrial:
        return self._storage.trials[number]

    @contextmanager
    def proposal(self, sampler: BaseSampler) -> Iterator[optuna.Trial]:
        """Open a trial that a sampler proposes in; it is gone in the end."""
        self._study.sampler = sampler
        number = len(self._storage.trials)
        try:
            yield self._study.ask()
        finally:
            del self._storage.trials[number:]

    @property
    def notes(self) -> dict[str, Any]:
        """What the sampler wrote on the open proposal, to be found again by the next sampler."""
        return self._storage.trials[-1].system_attrs


class _Storage(BaseStorage):
    """One study whose trials are handed out as they are."""

    def __init__(self, directions: Sequence[StudyDirection]) -> None:
        self.trials: list[FrozenTrial] = []
        self._directions = list(directions)
        self._user_attrs: dict[str, Any] = {}
        self._system_attrs: dict[str, Any] = {}

    # The study

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        raise AssertionError("it has one study")

    def delete_study(self, study_id: int) -> None:
        raise AssertionError("it has one study")

    def get_all_studies(self) -> list[Any]:
        return []

    def get_study_id_from_name(self, study_name: str) -> int:
        return _STUDY

    def get_study_name_from_id(self, study_id: int) -> str:
        return _NAME

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._user_attrs

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._system_attrs

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._user_attrs[key] = value

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._system_attrs[key] = value

    # Its trials

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        number = len(self.trials)
        self.trials.append(make_running_trial(number, {}, {}, {}, {}))
        return number

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self.trials[trial_id]

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        return trial_number

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if states == (TrialState.WAITING,):  # which are none here, and are asked for at each proposal
            return []
        trials = [trial for trial in self.trials if states is None or trial.state in states]
        return copy_deeply(trials) if deepcopy else trials

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        trial = self.trials[trial_id]
        trial.params[param_name] = distribution.to_external_repr(param_value_internal)
        trial.distributions[param_name] = distribution

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        raise AssertionError("a proposal does not end")

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self.trials[trial_id].intermediate_values[step] = intermediate_value

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.trials[trial_id].user_attrs[key] = value

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        json.dumps(value)  # refuses here, in the sampler, what no ledger could keep
        self.trials[trial_id].system_attrs[key] = value


def convert_trial(trial: Trial, frozen: FrozenTrial, objective: Objective) -> FrozenTrial:
    """Return a trial of Optuna as samplers are told of it, with what the objective makes of its values.

    Optuna has no pruned trials of several objectives: one that was stopped early is then one that failed.
    """
    told, amounts = copy(frozen), trial.candidate.amount
    told._trial_id = trial.number  # its key in the mirror: a storage counts other studies' trials too
    told.intermediate_values = compute_rewards(trial, objective)
    told.state, told.values = OPTUNA_STATES[trial.state], None
    if told.state == TrialState.COMPLETE:
        assert trial.score is not None
        told.values = objective.compute_values(trial.score, amounts)
    elif told.state == TrialState.PRUNED:
        last = told.intermediate_values.get(trial.result.epochs)  # which a damaged journal may lack
        if objective.is_single and last is not None:
            told.values = [last]
        else:
            told.state = TrialState.FAIL
    if told.state.is_finished() and told.datetime_complete is None:
        told.datetime_complete = datetime.now()
    return told


def renew(frozen: FrozenTrial, renamed: Mapping[str, str], numbers: Mapping[str, int]) -> FrozenTrial:
    """Return a stored trial with the notes of now: earlier builds told more networks apart, and noted
    identities in place of `numbers`."""
    own = frozen.user_attrs.get("identity", "")  # which a damaged journal may lack
    repeats: list[Any] = frozen.system_attrs.get(REPEATS, [])
    if own not in renamed and not any(isinstance(one, str) for one in repeats):
        return frozen
    now = copy(frozen)
    now.user_attrs = {**frozen.user_attrs, "identity": renamed.get(own, own)}
    found = (numbers.get(renamed.get(i, i)) if isinstance(i, str) else i for i in repeats)
    now.system_attrs = {**frozen.system_attrs, REPEATS: [n for n in found if n is not None]}
    return now


def compute_rewards(trial: Trial, objective: Objective) -> dict[int, float]:
    """Return the rewards of a trial by epoch: where they are the metric, its own curve, which nobody
    changes."""
    if not objective.factors:
        return cast("dict[int, float]", trial.curve)
    amounts = trial.candidate.amount
    return {epoch: objective.compute_reward(value, amounts) for epoch, value in trial.curve.items()}


def make_running_trial(
    number: int,
    params: dict[str, Any],
    distributions: dict[str, BaseDistribution],
    user_attrs: dict[str, Any],
    system_attrs: dict[str, Any],
) -> FrozenTrial:
    """Return a trial that has just begun."""
    return FrozenTrial(
        number=number, trial_id=number, state=TrialState.RUNNING, value=None, datetime_start=datetime.now(),
        datetime_complete=None, params=params, distributions=distributions, user_attrs=user_attrs,
        system_attrs=system_attrs, intermediate_values={},
    )  # fmt: skip
