"""Trainings that are decided beforehand: given points, each under a given task and seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial

from nas.study.ledger import Trials, sample_point
from nas.study.records import Candidate, Counts, Record

if TYPE_CHECKING:
    from nas.data.datasets import ImageData
    from nas.space import Choices, Space
    from nas.training.base import MakeTraining, Parent
    from nas.training.folds import FoldedTraining
    from nas.training.loop import Training


@dataclass(frozen=True)
class Job:
    """One training. `name` tells it from all others of its ledger, and a person what it is; `task` is the
    name of its task, `seed` the number that the task gets."""

    name: str
    choices: Choices
    task: str
    seed: int


class Jobs(Trials):
    """Trains `jobs` in their order; those that the ledger has the end of are not trained again.

    A trial's fact `job` is the job's name.
    """

    def __init__(self, space: Space, jobs: Sequence[Job], *, storage: Path | str | None, name: str) -> None:
        super().__init__(storage, name)
        self._space = space
        self.names = [job.name for job in jobs]
        known = {record.facts["job"]: record for record in self.records()}
        running = {
            known[job.name].candidate.number: job
            for job in jobs
            if job.name in known and known[job.name].state == "running"
        }
        fresh = [job for job in jobs if job.name not in known]
        self._waiting = running | dict(enumerate(fresh, len(known)))
        self._entered = set(running)
        self.by_number: Mapping[int, Job] = dict(self._waiting)
        """What is still to be trained, by the number of its trial."""

    def ask(self) -> Candidate | None:
        if not self._waiting:
            return None
        number = next(iter(self._waiting))
        job = self._waiting.pop(number)
        cost, identity = self._space.cost(job.choices), self._space.identity(job.choices)
        candidate = Candidate(number, job.choices, cost, identity)
        if number not in self._entered:
            _, distributions = sample_point(self._space, lambda name, options: job.choices[name])
            self._enter(candidate, distributions, {"job": job.name})
        return candidate

    @property
    def remaining(self) -> int:
        return len(self._waiting)

    @property
    def exhausted(self) -> bool:
        return False

    @property
    def counts(self) -> Counts:
        return Counts(**Counter(record.state for record in self._own()))

    def results(self) -> dict[str, Record]:
        """The jobs of this list that gave a score, by name."""
        return {record.facts["job"]: record for record in self._own() if record.score is not None}

    def _own(self) -> list[Record]:
        names = set(self.names)
        return [record for record in self.records() if record.facts["job"] in names]

    def _ended(self, number: int, trial: FrozenTrial) -> None:
        """Nothing is asked for differently."""


@dataclass(frozen=True)
class JobTask:
    """Makes the training of a job, where it runs: by the task of its name, for its seed."""

    jobs: Mapping[int, Job]
    tasks: Mapping[str, MakeTraining]

    def __call__(
        self, choices: Choices, number: int, data: ImageData, parent: Parent | None = None
    ) -> Training | FoldedTraining:
        job = self.jobs[number]
        return self.tasks[job.task](choices, job.seed, data, parent)
