"""Trainings that are decided beforehand: given points, each by a given evaluator under a given seed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nas.study.ledger import Ledger
from nas.study.objective import Objective
from nas.study.records import Candidate, Counts, Trial, find_best
from nas.study.rules import FailureRule, is_unfinished, judge_failure
from nas.training.base import EpochResult, Evaluator, Failure, Metric, Parent, Training, find_time_limit

if TYPE_CHECKING:
    from nas.errors import NasError
    from nas.space import Choices, Space

WAIT_S = 1.0
"""Seconds between two looks at what other drivers do, where there is nothing else to do."""


class JobKey(Protocol):
    """What tells a training from all others of its ledger, and a person what it is: a value, with the `name`
    that the ledger has of it. `seed`: the number that its evaluator gets."""

    @property
    def name(self) -> str: ...

    @property
    def seed(self) -> int: ...


@dataclass(frozen=True)
class NetworkKey:
    """A network under a seed, told from the others by what it is called."""

    network: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.network}, seed {self.seed}"


@dataclass(frozen=True)
class Job:
    """One training, of the network at a point of a space. `evaluator` is the name of what trains it."""

    key: JobKey
    space: Space
    choices: Choices
    evaluator: str

    @property
    def name(self) -> str:
        return self.key.name


class FixedQueue:
    """Hands out `jobs` in their order; those that the ledger has the end of are not trained again.

    A trial has the name of its job. By `rules` it gives up after failures, and where `find_end` has a reason
    between trials and epochs. `is_outdated`: another driver has begun other trainings, whose numbers were
    meant for these; what is left here is for another queue of the same jobs.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        ledger: Ledger,
        rules: Sequence[FailureRule] = (),
        find_end: Callable[[], BaseException | None] = lambda: None,
    ) -> None:
        self.ledger = ledger
        self._rules = rules
        self._find_end = find_end
        self._failed: NasError | None = None
        self.is_outdated = False
        if ledger.is_shared:
            with ledger.turn():
                ledger.read_others()
        self.keys = {job.name: job.key for job in jobs}
        known = {trial.job: trial for trial in ledger.trials}
        running = {
            known[job.name].number: job for job in jobs if job.name in known and known[job.name].is_running
        }
        fresh = [job for job in jobs if job.name not in known]
        own = {} if ledger.is_shared else running  # those in a database are taken over one by one
        self._waiting = own | dict(enumerate(fresh, len(ledger.trials)))
        self._entered = set(running)
        self.by_number: Mapping[int, Job] = running | self._waiting
        """What is still to be trained, by the number of its trial."""
        ledger.is_own = self._is_own

    def ask(self) -> Candidate | None:
        while not self.given_up:
            with self.ledger.turn():
                if self.ledger.is_shared:
                    self._hear_others()
                if candidate := self._take_next():
                    return candidate
            if not self.ledger.waits_for_others():
                return None
            time.sleep(WAIT_S)
        return None

    def _hear_others(self) -> None:
        """Leave to others what they have begun; drivers of the same jobs begin them in the same order."""
        self.ledger.read_others()
        for number in [number for number in self._waiting if number < len(self.ledger.trials)]:
            del self._waiting[number]
            self.is_outdated |= not self._is_own(number)
        if self.is_outdated:
            self._waiting.clear()

    def _is_own(self, number: int) -> bool:
        """Return whether a trial is of the job that has its number here."""
        job = self.by_number.get(number)
        return job is not None and self.ledger.trials[number].job == job.name

    def _take_next(self) -> Candidate | None:
        if taken := self.ledger.take_over():
            return taken
        if not self._waiting:
            return None
        number = next(iter(self._waiting))
        job = self._waiting.pop(number)
        cost, identity = job.space.cost(job.choices), job.space.identity(job.choices)
        candidate = Candidate(number, job.choices, cost, identity)
        if number not in self._entered:
            _, distributions = self.ledger.sample(job.space, lambda name, options: job.choices[name])
            self.ledger.enter(candidate, distributions, job=job.name)
        return candidate

    def find_parent(self, candidate: Candidate) -> Parent | None:
        return None

    @property
    def remaining(self) -> int:
        return len(self._waiting) + self.ledger.running_elsewhere

    @property
    def exhausted(self) -> bool:
        return False

    @property
    def given_up(self) -> BaseException | None:
        return self._failed or (self._find_end() if is_unfinished(self) else None)

    def report(self, number: int, result: EpochResult) -> bool:
        self.ledger.report(number, result)
        return True

    def complete(self, number: int, last: EpochResult) -> Trial:
        return self.ledger.complete(number, last)

    def prune(self, number: int) -> Trial:
        return self.ledger.prune(number)

    def fail(self, number: int, failure: Failure) -> Trial:
        trial = self.ledger.fail(number, failure)
        self._failed = self._failed or judge_failure(self._rules, trial, self)
        return trial

    def count_deaths(self, number: int) -> Counter[str]:
        return self.ledger.count_deaths(number)

    def note_deaths(self, number: int, deaths: Mapping[str, int]) -> None:
        self.ledger.note_deaths(number, deaths)

    @property
    def trials(self) -> list[Trial]:
        """The trials of these jobs, by number; the ledger may have others."""
        return [trial for trial in self.ledger.trials if trial.job in self.keys]

    def best(self, k: int) -> list[Trial]:
        """Return the `k` of the best scores."""
        return find_best(self.trials, k, Objective(metric=self.ledger.metric))

    @property
    def counts(self) -> Counts:
        return Counts(**Counter(trial.state.value for trial in self.trials))

    def collect_trials(self) -> dict[JobKey, Trial]:
        """Return the trials of these jobs by what they train."""
        return {self.keys[trial.job]: trial for trial in self.ledger.trials if trial.job in self.keys}


@dataclass(frozen=True)
class JobEvaluator:
    """Makes the training of a job, where it runs: by the evaluator of its name, for its seed."""

    jobs: Mapping[int, Job]
    evaluators: Mapping[str, Evaluator]

    @property
    def metric(self) -> Metric:
        return next(iter(self.evaluators.values())).metric

    def time_limit(self, number: int) -> float | None:
        """Return the seconds that the epochs of a job may take."""
        job = self.jobs[number]
        return find_time_limit(self.evaluators[job.evaluator], job.key.seed)

    def __call__(self, choices: Choices, number: int, parent: Parent | None) -> Training:
        job = self.jobs[number]
        return self.evaluators[job.evaluator](choices, job.key.seed, parent)
