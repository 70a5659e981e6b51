"""The ledger: every trial of one Optuna study, read once and written through.

A ledger has one writer at a time, so what it has written is what it knows: nothing is read again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import optuna
from optuna.pruners import BasePruner
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState as OptunaState
from optuna.trial import create_trial

from nas.errors import NasError
from nas.importing import without_collection
from nas.samplers.verbosity import quiet_optuna
from nas.study.database import Database
from nas.study.pruning import STUDY, JudgedStorage, judge
from nas.study.records import (
    NO_RESULT,
    Candidate,
    Counts,
    RejectionReason,
    Trial,
    TrialState,
    cut_curve,
    dump_candidate,
    read_trial,
)
from nas.study.shared_options import Distributions, SharedOptions
from nas.study.storage import DATABASE_ERRORS, write_together
from nas.study.terms import ONE_NAME, OWN_VERSION, TERMS_NOTE, VERSION_NOTE, check_terms, check_version
from nas.training.base import ACCURACY_METRIC, EpochResult, Failure, Metric

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from nas.space import Choices, Space
    from nas.space.language.tree import Option
    from nas.space.resolve import Choose

OPTUNA_STATES = {
    TrialState.RUNNING: OptunaState.RUNNING,
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
}


class Ledger:
    """The trials of the Optuna study `name` in `storage`, for its one writer (see `claim_storage`);
    `stored.read_trials` is for readers beside it.

    Scores and values are of `metric`, whatever the objective of a search makes of them.
    """

    def __init__(self, storage: BaseStorage, name: str, metric: Metric = ACCURACY_METRIC) -> None:
        self.metric = metric
        self._storage = storage
        self._database = storage if isinstance(storage, Database) else None
        direction = StudyDirection.MAXIMIZE if metric.maximize else StudyDirection.MINIMIZE
        with quiet_optuna():
            self._study = optuna.create_study(
                storage=self._storage, study_name=name, direction=direction, load_if_exists=True
            )
        self._id = self._storage.get_study_id_from_name(name)
        self._options = SharedOptions()
        self._trials: list[Trial] = []
        self._states: Counter[str] = Counter()
        self._rejected: Counter[RejectionReason] = Counter()
        self._notes: dict[int, dict[str, Any]] = {}
        """What a pruner has noted on running trials, each in its present attempt."""
        self._deaths: dict[int, Mapping[str, int]] = {}
        """What the database was last seen to have of those of trials that were begun here."""
        self._drivers: dict[int, str] = {}
        """Who trains the running trials, in a database that is shared."""
        self.is_own: Callable[[int], bool] = lambda number: True
        """Whether a running trial is of what is trained here: others may have been left in the study."""
        self._check_version()
        if self._study.metric_names is None:
            self._storage.set_study_system_attr(self._id, _METRIC_NAMES, [metric.name])
        with without_collection():
            self.read_others()

    def list_stored(self) -> list[FrozenTrial]:
        """Return the trials as Optuna has them, by number. They are the storage's own: change nothing."""
        # the study's, which has a cache before a database
        return self._study._storage.get_all_trials(self._id, deepcopy=False)

    # Drivers beside this one

    @property
    def is_shared(self) -> bool:
        """Whether other drivers may work on the study."""
        return self._database is not None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be the only driver that enters and ends trials inside the block."""
        with self._database.turn(self._study.study_name) if self._database else nullcontext():
            yield

    def read_others(self) -> list[tuple[Trial, FrozenTrial]]:
        """Take what other drivers have written. Return the trials that are new or others than before."""
        changed = []
        for frozen in self.list_stored():
            number, driver = frozen.number, frozen.user_attrs.get(_DRIVER)
            known = self._trials[number] if number < len(self._trials) else None
            if known and not known.is_running:
                continue
            if known and frozen.state == OptunaState.RUNNING and driver == self._drivers.get(number):
                continue
            trial = read_trial(frozen)
            if known is None:
                noted = frozen.user_attrs.get("rejected", {})
                self._take(trial, {RejectionReason(reason): count for reason, count in noted.items()})
            else:
                self._states[known.state.value] -= 1
                self._states[trial.state.value] += 1
                self._trials[number] = trial
            if trial.is_running:
                self._drivers[number] = driver or ""
            else:
                self._drivers.pop(number, None)
            changed.append((trial, frozen))
        return changed

    def take_over(self) -> Candidate | None:
        """Return a running trial whose driver has ended, which is this one's from here on. Call it in a
        turn."""
        if self._database is None:
            return None
        for number, driver in sorted(self._own_drivers.items()):
            if not (driver and self._database.is_at_work(driver)):
                self._storage.set_trial_user_attr(self.get_trial_id(number), _DRIVER, self._database.driver)
                self._drivers[number] = self._database.driver
                return self._trials[number].candidate
        return None

    def waits_for_others(self) -> bool:
        """Return whether other drivers are training, and this one is not."""
        running = {*self._own_drivers.values()}
        return bool(running) and self._database is not None and self._database.driver not in running

    @property
    def running_elsewhere(self) -> int:
        """How many trials other drivers are training."""
        if self._database is None:
            return 0
        return sum(driver != self._database.driver for driver in self._own_drivers.values())

    @property
    def _own_drivers(self) -> dict[int, str]:
        return {number: driver for number, driver in self._drivers.items() if self.is_own(number)}

    def agree(self, terms: Mapping[str, Any], trials: int) -> int:
        """Note what the trials of a shared study have in common, or raise InputError where that is other.
        Return how many trials there are to be: the most that a driver has wanted."""
        if self._database is None:
            return trials
        with self.turn():
            noted = self._storage.get_study_user_attrs(self._id)
            if TERMS_NOTE in noted:
                check_terms(self._study.study_name, terms, noted[TERMS_NOTE])
            else:
                self._storage.set_study_user_attr(self._id, TERMS_NOTE, dict(terms))
            if trials > noted.get(_WANTED, 0):
                self._storage.set_study_user_attr(self._id, _WANTED, trials)
            return max(trials, int(noted.get(_WANTED, 0)))

    @property
    def wanted(self) -> int:
        """How many trials a shared study is to have, as far as any driver has said."""
        wanted: int = self._storage.get_study_user_attrs(self._id).get(_WANTED, 0)
        return wanted

    def place(self, number: int) -> str:
        """Return HOST:FOLDER of the driver that has the files of a trial; nothing where it is not known."""
        driver: str = self.list_stored()[number].user_attrs.get(_DRIVER, "")
        return driver.partition(" ")[2]

    def close(self) -> None:
        """Leave a database: trials that are running may be taken over."""
        if self._database:
            self._database.close()

    def _check_own(self, number: int) -> None:
        """Raise NasError where another driver has taken a trial over."""
        if self._database is None:
            return
        frozen = self._storage.get_trial(self.get_trial_id(number))
        if frozen.state != OptunaState.RUNNING or frozen.user_attrs.get(_DRIVER) != self._database.driver:
            raise NasError(
                f"study '{self._study.study_name}': another driver has taken over trial {number}, as the "
                "database had lost this one; its result is dropped"
            )

    def _check_version(self) -> None:
        """Raise InputError where Optuna or nas of another major version has written the study; note those of
        now where none are noted."""
        noted: dict[str, int] | None = self._storage.get_study_user_attrs(self._id).get(VERSION_NOTE)
        if noted is None:
            noted = OWN_VERSION | {ONE_NAME: int(not self.list_stored())}
            self._storage.set_study_user_attr(self._id, VERSION_NOTE, noted)
        else:
            check_version(self._study.study_name, noted)
        self._judged_as = STUDY if noted.get(ONE_NAME) else self._study.study_name

    @property
    def trials(self) -> Sequence[Trial]:
        """Every trial, by number."""
        return self._trials

    @property
    def counts(self) -> Counts:
        """How many trials are in which state, and which proposals were left out before them."""
        return Counts(**self._states).with_rejected(self._rejected)

    def enter(
        self,
        candidate: Candidate,
        distributions: Distributions,
        *,
        job: str | None = None,
        prescreen: float | None = None,
        rejected: Mapping[RejectionReason, int] | None = None,
        system_attrs: Mapping[str, Any] | None = None,
    ) -> Trial:
        """Write a new running trial. It is one write, so that the ledger has all of it or nothing."""
        driver = self._database.driver if self._database else None
        facts = {"job": job, "prescreen": prescreen, "rejected": rejected, _DRIVER: driver}
        attrs = dump_candidate(candidate) | {key: fact for key, fact in facts.items() if fact is not None}
        template = create_trial(
            state=OptunaState.RUNNING,
            params=candidate.choices,
            distributions=distributions,
            user_attrs=attrs,
            system_attrs=dict(system_attrs or {}),
        )
        trial_id = self._storage.create_new_trial(self._id, template_trial=template)
        # The storage has read its own copy from what was written, which is most of the memory of a long
        # search; here it gets the same values that are kept already.
        own = self._storage.get_trial(trial_id)
        own.params, own.distributions, own.user_attrs = candidate.choices, distributions, attrs
        self._drivers[candidate.number] = driver or ""
        return self._take(Trial(candidate, TrialState.RUNNING, job=job, prescreen=prescreen), rejected or {})

    def report(self, number: int, result: EpochResult) -> None:
        """Write the metric of a running trial after an epoch, and keep the rest for its end.

        Later epochs that were reported before are those of an attempt that died; they count no longer. Raises
        NasError where another driver has taken the trial over.
        """
        with self.turn():
            self._check_own(number)
            self._storage.set_trial_intermediate_value(self.get_trial_id(number), result.epoch, result.value)
        trial = self._trials[number]
        if result.epoch <= max(trial.curve, default=0):
            self._notes.pop(number, None)
        self._trials[number] = trial.add(result)

    def count_deaths(self, number: int) -> Counter[str]:
        """Return how often what trained a running trial has died, by what was noted to be that."""
        noted = self._storage.get_trial(self.get_trial_id(number)).user_attrs.get(_DEATHS, {})
        if self._database is None:
            return Counter(noted)
        self._deaths[number] = noted
        kept = self._database.find_deaths((self._study.study_name, number, noted))
        return Counter(noted if kept is None else kept)

    def note_deaths(self, number: int, deaths: Mapping[str, int]) -> None:
        """Write what `count_deaths` returns from here on, of a trial that has not ended. What the attempt
        before has reported is no part of the next one's result. Where a database has gone, the driver's
        folder keeps them."""
        trial = self._trials[number]
        if not trial.is_running:
            return
        try:
            with self.turn():
                self._check_own(number)
                self._storage.set_trial_user_attr(self.get_trial_id(number), _DEATHS, dict(deaths))
        except DATABASE_ERRORS:
            if self._database:
                stored = self._deaths.get(number, {})
                self._database.keep_deaths((self._study.study_name, number, stored), deaths)
            raise
        if self._database:
            self._deaths[number] = dict(deaths)
            self._database.forget_deaths()
        self._trials[number] = replace(trial, result=NO_RESULT)

    def should_prune(self, number: int, pruner: BasePruner) -> bool:
        """Return what a pruner says of a running trial after its last reported epoch.

        It finds on the trial what it has noted in this attempt, and nothing of one that died: by Optuna's
        notes that attempt has passed rungs where it was stopped. Notes of the sampler are not shown either.
        """
        trial = copy(self._storage.get_trial(self.get_trial_id(number)))
        trial.intermediate_values = dict(self._trials[number].curve)
        trial.system_attrs = self._notes.get(number, {})
        # the study's storage, which is a cache before a database
        judged = JudgedStorage(self._study._storage, self._id, self._judged_as, trial)
        study = optuna.load_study(
            study_name=self._judged_as,
            storage=judged,  # type: ignore[arg-type]  # Optuna's base class would hide what is not written here
            sampler=self._study.sampler,
            pruner=pruner,
        )
        stops = judge(pruner, study, trial)
        self._notes[number] = judged.trial.system_attrs
        return stops

    def complete(self, number: int, last: EpochResult) -> Trial:
        """Write the last epoch of a trial, and its end."""
        assert math.isfinite(last.score), "a trial without a score is a failed trial"
        trial = replace(self._trials[number].add(last), state=TrialState.COMPLETE, score=last.score)
        return self._finish(trial, last.score, last)

    def prune(self, number: int) -> Trial:
        """Write the end of a trial that was stopped after an epoch, whose value is Optuna's for it, as in
        Optuna's own studies. It is no score: it does not compare with one of a full training."""
        trial = replace(self._trials[number], state=TrialState.PRUNED)
        return self._finish(trial, trial.curve[max(trial.curve)])

    def fail(self, number: int, failure: Failure) -> Trial:
        """Write the end of a trial that has no score. It has what the last attempt has reported."""
        trial = self._trials[number]
        curve = cut_curve(trial.result.epochs, trial.curve)
        return self._finish(replace(trial, state=TrialState.FAILED, curve=curve, failure=failure), None)

    def sample(self, space: Space, choose: Choose) -> tuple[Choices, Distributions]:
        """Return a point of a space, and the options of its decisions as Optuna has them."""
        distributions: Distributions = {}

        def note(name: str, options: tuple[Option, ...]) -> Option:
            distributions[name] = self._options.of(options)
            return choose(name, options)

        return space.sample(note), self._options.share(distributions)

    def get_trial_id(self, number: int) -> int:
        """Return the key of a trial in the storage."""
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)

    def _take(self, trial: Trial, rejected: Mapping[RejectionReason, int]) -> Trial:
        assert trial.number == len(self._trials), "trials are numbered without gaps"
        self._trials.append(trial)
        self._states[trial.state.value] += 1
        self._rejected.update(rejected)
        return trial

    def _finish(self, trial: Trial, value: float | None, last: EpochResult | None = None) -> Trial:
        """Write a trial's end. The state comes last: a trial whose state is written has its result."""
        number, data = trial.number, trial.result.to_data()
        if trial.failure:
            data |= {"reason": trial.failure.reason.value, "message": trial.failure.message}
        trial_id, values = self.get_trial_id(number), None if value is None else [value]
        with self.turn(), write_together(self._storage):
            self._check_own(number)
            if last is not None:
                self._storage.set_trial_intermediate_value(trial_id, last.epoch, last.value)
            self._storage.set_trial_user_attr(trial_id, "result", data)
            self._storage.set_trial_state_values(trial_id, OPTUNA_STATES[trial.state], values)
        self._notes.pop(number, None)
        self._drivers.pop(number, None)
        self._states[self._trials[number].state.value] -= 1
        self._states[trial.state.value] += 1
        self._trials[number] = trial
        return trial


_DRIVER = "driver"
_DEATHS = "deaths"
_METRIC_NAMES = "study:metric_names"
"""As Optuna has them, whose own setter warns that it may change."""
_WANTED = "nas:trials"
