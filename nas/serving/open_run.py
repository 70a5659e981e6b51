"""A run whose networks are trained elsewhere: asked for, proposed and told of by any number of processes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from numbers import Real
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

from nas.errors import InputError
from nas.kinds import FINITE
from nas.measures import Budget
from nas.runs.folder import RunFolder
from nas.runs.manifest import Manifest
from nas.runs.state import RunState, read_space, read_study, repair_study
from nas.samplers import find_sampler
from nas.samplers.points import BRED_FROM
from nas.serving.points import fit_choices, read_point
from nas.serving.refusals import Reason, Refused
from nas.space import Choices, Space
from nas.space.feasible import Domain
from nas.space.plugins import read_plugins
from nas.study.ledger import Ledger
from nas.study.records import Candidate, Counts, Rejected, Trial, TrialState
from nas.study.storage import claim_storage
from nas.study.study import Study
from nas.training.base import EpochResult, Failure, FailureReason
from nas.workflows.observer import Observer

PATIENCE_S = 20.0
"""Seconds that a call waits while another process is at work in the run."""


def open_run(
    folder: Path | str,
    observer: Observer | None = None,
    *,
    plugins: Sequence[Path | str] = (),
    repair: bool = False,
) -> OpenRun:
    """Open a run that `init_run` or `nas init` made, to ask for networks and tell their scores.

    `plugins`: the files of its blocks, which are run. `repair`: of a damaged journal keep what is whole,
    which the observer hears.

        >>> import nas
        >>> config = nas.SearchConfig.from_data({"space": "tiny.yaml", "trials": 8})
        >>> nas.init_run(config, name="climbing").close()
        >>> with nas.open_run("runs/climbing") as run:
        ...     candidate = run.ask()
        ...     network = run.network(candidate.number)  # which you train
        ...     run.tell(candidate.number, 0.93).score
        0.93

    Raises InputError for what is no such run, is damaged or needs other files.
    """
    found, heard = RunFolder.open(Path(folder)), observer or Observer()
    manifest = Manifest.read(found)
    if not manifest.elsewhere:
        raise InputError(
            f"{found.path}: its networks are trained here; go on with: {manifest.resume_command(found)}, or "
            "make a run for trainings elsewhere with nas init"
        )
    space = read_space(found, manifest, read_plugins(map(Path, plugins)))
    if repair:
        heard.noted(repair_study(found, manifest))
    read_study(found, manifest)  # where it is lost, nothing is begun anew
    return OpenRun(found, space, heard)


class OpenRun:
    """A run for whoever proposes its networks and trains them.

    Several processes and threads may have it open: each call is alone in the run folder, and begins with what
    others have written. What a call has returned survives any kill. A trial that is asked for and never told
    of stays as running, and may be told of by anyone, at any time. Leaving a `with` block writes the tables.

    `space`: as it is counted. Calls raise Refused for what is not done, and InputError where another process
    keeps the folder for long.
    """

    def __init__(self, folder: RunFolder, space: Space, observer: Observer) -> None:
        self.folder = folder
        self.space = space
        self._observer = observer
        self._thread = Lock()
        self._written: object = None
        """What identifies the files as this run left them; None where they are to be read."""
        self._changed = False
        with self._turn():
            pass

    # Asking

    def ask(self) -> Candidate:
        """Return the next network to train, as the sampler of the run has it. It is a trial from here on."""
        with self._turn() as study:
            candidate = study.ask()
            if candidate is None:
                raise self._refuse_more(study)
            self._changed = True
            return candidate

    def propose(self, choices: Mapping[str, Any], bred_from: int | None = None) -> Candidate:
        """Return the network of a point, which is a trial from here on. `bred_from`: the trial that the
        proposer made it from.

        Raises Refused where the choices are no point of the space, and where the network cannot be built, is
        outside the budget, or was tried; with the nearest one that would be taken.
        """
        if not isinstance(choices, Mapping) or not all(isinstance(name, str) for name in choices):
            raise Refused(Reason.MALFORMED, f"choices: {choices!r:.60} is not an object of options by name")
        with self._turn() as study:
            if study.remaining <= 0:
                raise self._refuse_more(study)
            if bred_from is not None:
                _check_known(study, bred_from)
            try:
                point = read_point(self.space, choices)
            except InputError as error:
                nearest = self._find_nearest(study, fit_choices(self.space, choices))
                raise Refused(Reason.NOT_A_MEMBER, str(error), nearest) from None
            try:
                candidate = study.propose(point, {} if bred_from is None else {BRED_FROM: bred_from})
            except Rejected as rejected:
                reason = Reason(rejected.reason)
                message, nearest = self._explain(study, point, reason), self._find_nearest(study, point)
                raise Refused(reason, message, nearest) from None
            self._changed = True
            return candidate

    def extend(self, trials: int) -> None:
        """Change how many trials there are to be. Raises InputError where there are more already."""
        with self._turn() as study:
            if trials < len(study.trials):
                raise InputError(
                    f"--trials: {self.folder.path} has {len(study.trials)} trials already; give more"
                )
            changed = self._manifest.config.change({"trials": trials}, "--trials")
            self._manifest.with_config(changed).write(self.folder)
            self._open()

    # Telling

    def tell(self, number: int, score: float) -> Trial:
        """Take the score of a trial. Raises Refused for one that is unknown or has ended, and for a score
        that is no finite number."""
        value = _read_score(number, score)
        with self._turn() as study:
            _check_running(study, number)
            trial = study.complete(number, EpochResult(1, value, value, seconds=0.0))
            self._changed = True
            self._name_best(study)
            return trial

    def fail(self, number: int, why: str) -> Trial:
        """Take the end of a trial that has no score, and why. Raises Refused as `tell`."""
        with self._turn() as study:
            _check_running(study, number)
            self._changed = True
            return study.fail(number, Failure(FailureReason.ERROR, " ".join(str(why).split())[:_LONGEST]))

    # Reading

    def best(self, k: int = 1) -> list[Trial]:
        """Return the `k` complete trials of the best scores, or rewards; among equals the cheaper."""
        with self._turn() as study:
            return study.best(k)

    def running(self) -> list[Trial]:
        """Return the trials that were asked for and not told of."""
        with self._turn() as study:
            return [trial for trial in study.trials if trial.is_running]

    def network(self, number: int) -> Space:
        """Return the network of a trial: a space without choices. Raises Refused for an unknown trial."""
        with self._turn() as study:
            _check_known(study, number)
            return self.space.resolve(study.trials[number].candidate.choices)

    @property
    def counts(self) -> Counts:
        """How many trials are in which state, and which proposals of the sampler were left out."""
        with self._turn() as study:
            return study.counts

    @property
    def budget(self) -> Budget:
        """What its networks may have."""
        return self._manifest.config.budget

    @property
    def wanted(self) -> int:
        """How many trials there are to be."""
        with self._turn():
            return self._manifest.config.trials

    @property
    def state(self) -> RunState:
        """The run as its folder has it now."""
        with self._turn():
            trials = read_study(self.folder, self._manifest)
            return RunState(self.folder, self._manifest, self.space, *trials)

    def close(self) -> None:
        """Write the tables where trials have come or ended."""
        if not self._changed:
            return
        with self._turn() as study:
            RunState(self.folder, self._manifest, self.space, tuple(study.trials)).write_tables()
            self._changed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # One call at a time

    @contextmanager
    def _turn(self) -> Iterator[Study]:
        """Be alone in the folder, with the study as it is there."""
        with self._thread, self.folder.locked(PATIENCE_S):
            if self._written is None or self._written != self._identify_files():
                self._open()
            self._written = None  # where a write fails, what is in the files is read again
            try:
                yield self._study
            except Refused:
                self._written = self._identify_files()
                raise
            self._written = self._identify_files()

    def _open(self) -> None:
        """Read what the folder has. Call it while the folder is locked."""
        self._manifest = Manifest.read(self.folder)
        self._manifest.check_again(self.folder, {})  # nothing that it names is imported or opened
        config = self._manifest.config
        self._objective = RunState(self.folder, self._manifest, self.space, ()).objective
        self._domain = Domain(self.space, config.budget)
        storage = claim_storage(self.folder.journal, self._observer.noted)
        self._study = Study(
            self.space,
            config.budget,
            Ledger(storage, self._manifest.study, self._manifest.metric),
            trials=config.trials,
            sampler=find_sampler(config.sampler),
            seed=config.seed,
            warm_start=[start.choices for start in self._manifest.warm_start],
            objective=self._objective,
            elsewhere=True,
        )
        self._name_best(self._study)  # which a kill may have kept the last writer from

    def _identify_files(self) -> object:
        files = (self.folder.journal, self.folder.manifest_file)
        found = [file.stat() if file.exists() else None for file in files]
        return [status and (status.st_ino, status.st_size, status.st_mtime_ns) for status in found]

    def _name_best(self, study: Study) -> None:
        """Write best.yaml, where the best network is another than before."""
        plugins = [*self._manifest.plugins]
        for trial in study.best(1):
            facts = {"plugins": plugins} if plugins else {}
            self.folder.write_best(self.space, trial, facts, self._manifest.config.measures)

    # Refusals

    def _refuse_more(self, study: Study) -> Refused:
        """Return why there is no other network, which the folder says too where none is left."""
        if study.exhausted:
            if not self._manifest.is_exhausted_by(study.trials):  # else who watches reads all again
                self._manifest = replace(self._manifest, exhausted_at=len(study.trials))
                self._manifest.write(self.folder)
            within = f" within {self.budget}" if self.budget else ""
            return Refused(Reason.EXHAUSTED, f"no untried network of '{self.space.name}' was found{within}")
        running = study.counts.running
        left = f", and {running} not told of; tell them, or" if running else " and told of;"
        return Refused(
            Reason.FINISHED,
            f"all {len(study.trials)} trials were asked for{left} ask for more: "
            f"{self._manifest.resume_command(self.folder)} --trials {2 * len(study.trials)}",
        )

    def _explain(self, study: Study, point: Choices, reason: Reason) -> str:
        """Return why a point of the space is not taken."""
        if reason is Reason.DUPLICATE:
            identity = self.space.identity(point)
            known = next((trial for trial in study.trials if trial.candidate.identity == identity), None)
            return f"the network was tried{f': trial {known.number}, {known.state.value}' if known else ''}"
        try:
            amounts = self.space.amounts(point)
        except InputError as error:
            return str(error)
        has = " and ".join(f"{measure.show(amounts(measure))} {measure.noun}" for measure in self.budget)
        return f"the network has {has}, and the budget is {self.budget}"

    def _find_nearest(self, study: Study, point: Choices) -> Choices | None:
        """Return an untried network inside the budget near to a point, the same one each time."""
        return self._domain.find_nearest(point, lambda near: not study.is_tried(near), random.Random(0))


_LONGEST = 1000
"""Characters that are kept of why a training failed."""


def _read_score(number: int, score: Any) -> float:
    value = None
    with suppress(OverflowError):  # of a whole number
        if not isinstance(score, bool) and isinstance(score, Real):
            value = float(score)
    if value is None or not FINITE.accepts(value):
        raise Refused(
            Reason.NOT_A_SCORE,
            f"trial {number!r:.60}: score {score!r:.60} is not a finite number; tell that the training "
            "failed",
        )
    return value


def _check_known(study: Study, number: Any) -> None:
    """Raise Refused where there is no trial of a number."""
    is_number = isinstance(number, int) and not isinstance(number, bool)
    if not (is_number and 0 <= number < len(study.trials)):
        has = f"there are trials 0 to {len(study.trials) - 1}" if study.trials else "there is none yet"
        raise Refused(Reason.UNKNOWN_TRIAL, f"there is no trial {number!r:.60}; {has}")


def _check_running(study: Study, number: Any) -> None:
    """Raise Refused where a trial cannot be told of."""
    _check_known(study, number)
    trial = study.trials[number]
    if not trial.is_running:
        end = f"score {trial.score}" if trial.state is TrialState.COMPLETE else trial.state.value
        raise Refused(Reason.ALREADY_TOLD, f"trial {number} was told of already: {end}")
