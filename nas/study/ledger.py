"""Trials in a ledger: what is written of each while it runs and when it ends."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.study.objective import ACCURACY, Objective
from nas.study.records import REASONS, Candidate, Counts, Record, best_of, record_of
from nas.study.storage import open_ledger, repair_journal

if TYPE_CHECKING:
    from nas.space import Choices, Space
    from nas.space.language.tree import Option
    from nas.space.resolve import Choose


def sample_point(space: Space, choose: Choose) -> tuple[Choices, dict[str, BaseDistribution]]:
    """A point of a space, and the options of its decisions as Optuna has them."""
    distributions: dict[str, BaseDistribution] = {}

    def noted(name: str, options: tuple[Option, ...]) -> Option:
        distributions[name] = CategoricalDistribution(options)
        return choose(name, options)

    return space.sample(noted), distributions


class Trials(ABC):
    """Trials that a runner asks for and tells of, kept at `storage` as the Optuna study `name`.

    `storage`: the path of a journal file, a database URL, or None for this process's memory (see
    `open_ledger`). A journal that an earlier writer tore is repaired, so it has one writer at a time;
    `read_records` is for readers. `objective` is what the best are ranked by; the ledger keeps accuracies.
    """

    def __init__(self, storage: Path | str | None, name: str, objective: Objective = ACCURACY) -> None:
        self._objective = objective
        if isinstance(storage, Path):
            repair_journal(storage)
        self._ledger = open_ledger(storage)
        optuna.create_study(storage=self._ledger, study_name=name, direction="maximize", load_if_exists=True)
        self._id = self._ledger.get_study_id_from_name(name)

    # Asking

    @abstractmethod
    def ask(self) -> Candidate | None:
        """The next network to train; None when enough were asked for, or when there are no more."""

    @property
    @abstractmethod
    def remaining(self) -> int:
        """How many trials are still to be asked for. A failed trial counts as one, a running one too."""

    @property
    @abstractmethod
    def exhausted(self) -> bool:
        """Whether there is nothing to ask for though trials remain."""

    # Telling

    def report(self, number: int, epoch: int, score: float) -> None:
        """The score of a running trial after an epoch, counted from 1."""
        self._ledger.set_trial_intermediate_value(self._trial_id(number), epoch, score)

    def complete(self, number: int, score: float, **facts: Any) -> None:
        """The trial was trained to the end."""
        assert math.isfinite(score), "a trial without a score is a failed trial"
        self._finish(number, TrialState.COMPLETE, score, facts)

    def prune(self, number: int, epoch: int, **facts: Any) -> None:
        """The trial was stopped after an epoch, whose score was reported and is its value, as in Optuna's own
        studies. It is no score of a record: it does not compare with one of a full training.

        Scores of later epochs are those of an attempt whose worker died; readers leave them out.
        """
        score = self._ledger.get_trial(self._trial_id(number)).intermediate_values[epoch]
        self._finish(number, TrialState.PRUNED, score, {"fidelity": epoch, **facts})

    def fail(self, number: int, reason: str, message: str, **facts: Any) -> None:
        """The trial has no result, for one of REASONS."""
        assert reason in REASONS, reason
        self._finish(number, TrialState.FAIL, None, {"reason": reason, "message": message, **facts})

    # Reading

    def records(self) -> list[Record]:
        """Every trial, by number."""
        return [record_of(trial) for trial in self._trials()]

    def best(self, k: int) -> list[Record]:
        """The `k` complete trials of the highest rewards; among equals the cheaper, then the earlier."""
        return best_of(self.records(), k, self._objective)

    @property
    @abstractmethod
    def counts(self) -> Counts:
        """How many trials are in which state, and what never became one."""

    # Storage

    def _enter(
        self,
        candidate: Candidate,
        distributions: dict[str, BaseDistribution],
        facts: Mapping[str, Any],
        system_attrs: dict[str, Any] | None = None,
    ) -> FrozenTrial:
        """A new running trial. One write, so that it is in the ledger with all its facts or not at all."""
        trial = create_trial(
            state=TrialState.RUNNING,
            params=candidate.choices,
            distributions=distributions,
            user_attrs={**candidate.figures, "identity": candidate.identity, **facts},
            system_attrs=system_attrs,
        )
        self._ledger.create_new_trial(self._id, template_trial=trial)
        return trial

    def _trials(self) -> list[FrozenTrial]:
        return self._ledger.get_all_trials(self._id, deepcopy=False)

    def _trial_id(self, number: int) -> int:
        return self._ledger.get_trial_id_from_study_id_trial_number(self._id, number)

    def _finish(self, number: int, state: TrialState, score: float | None, facts: Mapping[str, Any]) -> None:
        """The state comes last: a trial whose state is written has all its facts."""
        trial_id = self._trial_id(number)
        for key, value in facts.items():
            self._ledger.set_trial_user_attr(trial_id, key, value)
        self._ledger.set_trial_state_values(trial_id, state, None if score is None else [score])
        self._ended(number, self._ledger.get_trial(trial_id))

    @abstractmethod
    def _ended(self, number: int, trial: FrozenTrial) -> None:
        """A trial is in the ledger with its end."""
