"""What our samplers share: they propose whole points of a domain and learn from complete trials."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.space import Choices
from nas.space.feasible import Domain

REPEATS = "nas:repeats"
"""System attribute of a trial: numbers of those whose networks were proposed again before it."""

CONSTRAINTS = "constraints"
"""System attribute where Optuna's samplers and plots look for how far a trial is over its limits."""

PROPOSAL = "nas:proposal"
"""System attribute of a trial that only a proposal was made in; what became of it is a trial of its own."""

BRED_FROM = "nas:bred_from"
"""System attribute of a trial: the number of the one that its sampler made it from."""

_TRIES = 100


@dataclass(frozen=True, slots=True)
class Known:
    """A complete trial. `distributions`: options by decision. `score`: the greater the better, whatever the
    direction of the study. `ended`: when."""

    number: int
    choices: Choices
    distributions: Mapping[str, BaseDistribution]
    score: float
    ended: datetime


class PointSampler(BaseSampler, ABC):
    """Proposes a whole point at once, at the start of a trial."""

    def __init__(self, domain: Domain, seed: int | None) -> None:
        self._domain = domain
        self._rng = random.Random(seed)
        self._points: dict[int, Choices] = {}

    @abstractmethod
    def propose(self, study: Study, trial: FrozenTrial) -> Choices:
        """Return the point to try next."""

    def reseed_rng(self) -> None:
        self._rng.seed()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._points[trial.number] = self.propose(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._points[trial.number][param_name]

    def _note_parent(self, study: Study, trial: FrozenTrial, parent: Known) -> None:
        """Keep whose child the proposal is."""
        study._storage.set_trial_system_attr(trial._trial_id, BRED_FROM, parent.number)

    def _sample_inside(self) -> Choices:
        (point,) = self._domain.sample(self._rng, 1)
        return point

    def _sample_new(self, study: Study) -> Choices:
        """Return a random point that was not tried; where many draws were, any."""
        return self._find_new(study, (self._sample_inside() for _ in range(_TRIES))) or self._sample_inside()

    def _find_new(self, study: Study, points: Iterable[Choices]) -> Choices | None:
        """Return the first point that is inside the domain and another network than those of all trials."""
        identities = self._list_identities(study.get_trials(deepcopy=False))
        for point in points:
            is_new = self._domain.is_inside(point) and self._domain.identity(point) not in identities
            if is_new and self._domain.can_train(point):
                return point
        return None

    def _list_identities(self, trials: Iterable[FrozenTrial]) -> set[str]:
        """Return those of the trials' networks; those of a study of Optuna's own have no note of it."""
        noted = [(trial, trial.user_attrs.get("identity")) for trial in trials]
        return {
            identity or self._domain.identity(trial.params)
            for trial, identity in noted
            if identity or (trial.params and PROPOSAL not in trial.system_attrs)
        }


def list_known(study: Study) -> list[Known]:
    """Return the complete trials by number. Raises ValueError for a study of several objectives."""
    sign = _find_sign(study)
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [member for trial in trials if (member := _read_known(trial, sign))]


def find_youngest(study: Study, before: int, most: int) -> list[Known]:
    """Return the last of the complete trials before a number, each after the known ones that were proposed
    again before it: the proposals in the order in which an algorithm that does not look for repetitions would
    have scored them. They are looked for from the end, so that a long study takes no longer.

    Raises ValueError for a study of several objectives.
    """
    sign, storage = _find_sign(study), study._storage

    def trial_of(number: int) -> FrozenTrial:
        return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study._study_id, number))

    found: list[Known] = []
    for number in reversed(range(before)):
        if len(found) >= most:
            break
        trial = trial_of(number)
        again = (trial_of(one) for one in reversed(trial.system_attrs.get(REPEATS, [])) if one < number)
        found += [member for one in (trial, *again) if (member := _read_known(one, sign))]
    return found[:most][::-1]


def _find_sign(study: Study) -> int:
    if len(study.directions) > 1:
        raise ValueError("this sampler takes one objective, and the study is multi-objective")
    return 1 if study.direction == StudyDirection.MAXIMIZE else -1


def _read_known(trial: FrozenTrial, sign: int) -> Known | None:
    """Return what is known of a trial, if it is complete."""
    value, ended = trial.value, trial.datetime_complete
    if trial.state != TrialState.COMPLETE or value is None or ended is None:
        return None
    # Optuna 4 hands out the times of a journal that 5 began with their zone, and its own without: local
    return Known(trial.number, trial.params, trial.distributions, sign * value, ended.astimezone(UTC))


def find_shared_decisions(study: Study) -> dict[str, BaseDistribution]:
    """Return the open decisions that all complete and pruned trials take, as Optuna's IntersectionSearchSpace
    finds them, at once."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    if not trials:
        return {}
    names = set(trials[0].distributions).intersection(*(trial.distributions for trial in trials))
    shared = {name: trials[0].distributions[name] for name in sorted(names)}
    return {name: distribution for name, distribution in shared.items() if not distribution.single()}
