"""Trainings that are decided beforehand, in a folder of their own: the same command goes on with them."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Protocol

from nas.deadline import TimeIsUp
from nas.execution import keep_ready, make_executor
from nas.execution.base import Executor
from nas.runs.flags import format_given
from nas.runs.folder import RunFolder
from nas.study.ledger import Ledger
from nas.study.queue import FixedQueue, Job, JobEvaluator
from nas.study.storage import claim_storage
from nas.training.evaluator import ProxyEvaluator
from nas.training.recipe import Recipe
from nas.workflows.checks import check_gpus, check_machine
from nas.workflows.failures import FirstFailures
from nas.workflows.hardware import PlacedConfig, check_cluster, count_trial_gpus
from nas.workflows.observer import Observer, Round
from nas.workflows.stops import stoppable

FRESH = 1_000_000
"""Added to the seed: those of a search's trials and finalists chose the network, and would flatter it."""


class FixedConfig(PlacedConfig, Protocol):
    """Settings by which networks are trained."""

    @property
    def recipe(self) -> Recipe: ...


class FixedManifest(Protocol):
    """What a folder says of its trainings."""

    @property
    def config(self) -> FixedConfig: ...

    def command(self, folder: Any, output: Path | None, storage: str | None = None) -> str: ...


class FixedSession(ABC):
    """Trainings with their folder. `named`: what the command that goes on has to name besides the network:
    the folder where it is not the usual one, and the database of the run."""

    STUDY: ClassVar[str]
    ROUND: ClassVar[Round]
    folder: RunFolder
    manifest: FixedManifest
    named: tuple[Path | None, str | None]

    @property
    @abstractmethod
    def jobs(self) -> list[Job]:
        """The trainings, all of one seed before those of the next."""

    @property
    @abstractmethod
    def evaluators(self) -> Mapping[str, ProxyEvaluator]:
        """What trains them, by the name in the job."""

    @property
    def resume_command(self) -> str:
        """The command that goes on with it."""
        return self._format_command(*self.named)

    def make_command(self, path: Path) -> str:
        """Return the command that goes on with it where its folder is another."""
        return self._format_command(path, self.named[1])

    def _format_command(self, output: Path | None, storage: str | None) -> str:
        command = self.manifest.command(self.folder, output, storage)
        return command + format_given(self.manifest.config.executor)

    @property
    def way_out(self) -> str:
        """What a message says where something that it needs has gone."""
        return f"No finished training is lost. Go on with: {self.resume_command}"

    @property
    def storage(self) -> str | None:
        """The database that its trainings are in: none."""
        return None

    @property
    def executor(self) -> Executor:
        """What trains."""
        config, labels = self.manifest.config, {"run": self.folder.path.name, "sampler": self.STUDY}
        return make_executor(config.executor, count_trial_gpus(config), self.way_out, labels)


def check_place(config: PlacedConfig, dataset: str, heard: Observer) -> None:
    """Raise InputError where what trainings run on is not there."""
    check_machine(config, heard)
    check_cluster(config, heard)
    heard.doing(f"Loading torch and the data of {dataset}")
    if note := check_gpus(config):
        heard.noted(note)


@contextmanager
def train_all(
    session: FixedSession, heard: Observer, begin: Callable[[], None], limit_s: float | None = None
) -> Iterator[FixedQueue]:
    """Train what is still to be trained, or what `limit_s` seconds leave time for, and give the queue of all
    while the folder is locked. `begin` is called before the first training.

    Raises Stopped on Ctrl-C, NasError where the folder cannot be written or the first trainings all fail.
    """
    began = time.monotonic()
    config = session.manifest.config
    with (
        stoppable(session) as stop,
        session.folder.locked(),
        keep_ready(config.executor),
        ExitStack() as opened,
    ):
        begin()
        storage = claim_storage(session.folder.journal, heard.noted)
        ledger = Ledger(storage, session.STUDY, config.recipe.scored_by)
        opened.callback(ledger.close)
        queue = FixedQueue(session.jobs, ledger, [FirstFailures(session)], stop.find_end)
        heard.round(queue, session.ROUND, len(queue.keys), config.recipe.epochs)
        if queue.remaining:
            evaluator = JobEvaluator(queue.by_number, session.evaluators)
            with suppress(TimeIsUp), stop.timed(limit_s, began):
                session.executor.run(queue, evaluator, heard)
                if end := queue.given_up:
                    raise end
        stop.check_place()
        yield queue
