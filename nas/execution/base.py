"""What every executor shares: what it takes trials from, what it tells, and one trial where it is trained."""

from __future__ import annotations

import re
import sysconfig
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from nas.importing import format_error
from nas.study.records import Candidate, Trial
from nas.study.rules import Progress
from nas.training.base import (
    EpochResult,
    Evaluator,
    EvaluatorError,
    Failure,
    FailureReason,
    Parent,
    Training,
    TrainingFailed,
    expect_training,
)
from nas.training.given import check_result, check_state

if TYPE_CHECKING:
    from nas.space import Choices


_Made = TypeVar("_Made")


class TrialQueue(Progress, Protocol):
    """Trials to train, and where their results go: a `Study`, or a `FixedQueue`."""

    def ask(self) -> Candidate | None:
        """Return the next network to train; None when there is none now, or none any more."""
        ...

    @property
    def given_up(self) -> BaseException | None:
        """What is to be raised where the queue has ended before its trials, by failures, a limit of time or a
        request to stop: there is nothing to ask for then, and no trial goes on."""
        ...

    def find_parent(self, candidate: Candidate) -> Parent | None:
        """Return the trial whose weights a candidate starts from, if it starts from any's."""
        ...

    def report(self, number: int, result: EpochResult) -> bool:
        """Take the result of an epoch that is not the last. Return whether the trial goes on."""
        ...

    def complete(self, number: int, last: EpochResult) -> Trial:
        """Take the end of a trial that was trained to its last epoch."""
        ...

    def prune(self, number: int) -> Trial:
        """Take the end of a trial that does not go on after the epoch that was reported last."""
        ...

    def fail(self, number: int, failure: Failure) -> Trial:
        """Take the end of a trial that has no score."""
        ...

    def count_deaths(self, number: int) -> Counter[str]:
        """Return how often what trained a trial has died, PROCESS or MACHINE; before a resume, too."""
        ...

    def note_deaths(self, number: int, deaths: Mapping[str, int]) -> None:
        """Take what `count_deaths` gives from here on; nothing of a trial that has ended."""
        ...

    def best(self, k: int) -> list[Trial]:
        """Return the `k` best complete trials."""
        ...


class TrialObserver(Protocol):
    """Hears of trials while an executor runs, and answers nothing."""

    def doing(self, what: str) -> None:
        """Something begins that may take seconds, such as `Starting Ray`."""

    def dashboard(self, url: str) -> None:
        """Ray's dashboard answers at `url`."""

    def started(self, candidate: Candidate) -> None:
        """A trial starts; again when its worker died and it starts anew."""

    def epoch(self, candidate: Candidate, result: EpochResult) -> None:
        """A trial has trained an epoch, which the queue has, unless it is the last."""

    def trained(self, candidate: Candidate, score: float, weights: bytes) -> None:
        """A trial is complete and the queue does not know it yet: what is kept here survives any kill.

        `weights`: the network's state as safetensors.
        """

    def finished(self, trial: Trial) -> None:
        """A trial has ended in any state, and the queue has it."""


class Executor(Protocol):
    """Runs trainings somewhere."""

    def run(self, queue: TrialQueue, evaluator: Evaluator, observer: TrialObserver) -> None:
        """Train what the queue has until it has no more, or gives up, which is asked after each epoch.

        Where it gives up, on KeyboardInterrupt and any other exception trials under way stay running in the
        queue, to be resumed.
        """
        ...


@runtime_checkable
class ClusterExecutor(Executor, Protocol):
    """Runs trainings on a cluster that it joins."""

    def check_cluster(self) -> str:
        """Join it and leave it. Return in a line what it is. Raises InputError where no trial can run."""
        ...


@dataclass(frozen=True, slots=True)
class AttemptStep:
    """What an attempt came to: an epoch, a failure, or `misuse`, what the evaluator did that none may do.

    `done`: there will be no other step.
    """

    epoch: EpochResult | None = None
    failure: Failure | None = None
    misuse: str | None = None
    done: bool = True


class Attempt:
    """A trial in the process that trains it. No exception leaves it: a failure is a result."""

    def __init__(self, evaluator: Evaluator, choices: Choices, number: int, parent: Parent | None) -> None:
        self._evaluator = evaluator
        self._choices = choices
        self._number = number
        self._parent = parent
        self._training: Training | None = None
        self._epoch = 0
        self._weights = b""
        self._begun = _NOTHING
        """What the first epoch tells of what was before it, and one at which the training begins anew."""

    def build(self) -> AttemptStep | None:
        """Build the training, which the first step does otherwise. Return what that came to if it failed."""
        return self._guard(self._build)

    def step(self) -> AttemptStep:
        """Train one epoch."""
        return self._guard(self._train)

    def _guard(self, work: Callable[[], _Made]) -> _Made | AttemptStep:
        try:
            return work()
        except TrainingFailed as error:
            return AttemptStep(failure=error.failure)
        except EvaluatorError as error:
            return AttemptStep(misuse=f"evaluator {self._evaluator}: {error}")
        except Exception as error:
            # Whatever a user's block or evaluator raises costs one trial, never the search.
            return self.fail(error)

    def fail(self, error: BaseException) -> AttemptStep:
        """Return the end of the trial by an exception."""
        return AttemptStep(failure=Failure(FailureReason.ERROR, describe_error(error)))

    def _build(self) -> None:
        if self._training is None:
            start = time.perf_counter()
            self._training = expect_training(self._begin())
            self._begun = {**self._begun, "build_s": time.perf_counter() - start}

    def _train(self) -> AttemptStep:
        self._build()
        assert self._training is not None
        epoch = check_result(self._training.epoch(), self._epoch + 1)
        begins = epoch.epoch <= self._epoch or self._epoch == 0  # perhaps anew, with a smaller batch
        epoch = replace(epoch, **(self._begun if begins else _NOTHING))
        self._epoch = epoch.epoch
        done = bool(self._training.done)
        if done:
            import safetensors.torch

            state = check_state(self._training.state_dict(), epoch.epoch)
            self._weights = safetensors.torch.save(state)
        return AttemptStep(epoch, done=done)

    def _begin(self) -> Training:
        """Return the training, from the parent's weights, or from scratch where there is nothing to
        inherit."""
        parent, self._parent = self._parent, None
        if parent is not None:
            from nas.inherit import NotInherited

            try:
                training = self._evaluator(self._choices, self._number, parent)
            except NotInherited as error:
                self._begun = {**_NOTHING, "not_inherited": f"from trial {parent.number}: {error}"}
            else:
                self._begun = {**_NOTHING, "parent": parent.number}
                return training
        return self._evaluator(self._choices, self._number, None)

    def dump_weights(self) -> bytes:
        """Return the network's state after the last epoch, as safetensors."""
        return self._weights


_NOTHING: dict[str, Any] = {"build_s": 0.0, "parent": None, "not_inherited": None}


def tell(
    queue: TrialQueue,
    observer: TrialObserver,
    candidate: Candidate,
    step: AttemptStep,
    weights: Callable[[], bytes],
) -> bool:
    """Tell queue and observer of a step. Return whether the trial goes on: it has not ended, and the queue
    has not given up.

    `weights` is called where the trial is complete: they are kept before the queue knows of it. Raises
    EvaluatorError where the evaluator is none; the trial stays running, to be resumed.
    """
    number = candidate.number
    if step.misuse:
        raise EvaluatorError(step.misuse)
    if step.failure:
        observer.finished(queue.fail(number, step.failure))
        return False
    assert step.epoch is not None
    if step.done:
        observer.epoch(candidate, step.epoch)
        observer.trained(candidate, step.epoch.score, weights())
        observer.finished(queue.complete(number, step.epoch))
        return False
    # A pruner's word is written at once: asked again after a stop here, it may say something else.
    stopped = None if queue.report(number, step.epoch) else queue.prune(number)
    observer.epoch(candidate, step.epoch)
    if stopped is not None:
        observer.finished(stopped)
        return False
    return queue.given_up is None


PROCESS, MACHINE = "process", "machine"
_TRIES: Mapping[str, int] = {PROCESS: 2, MACHINE: 5}
"""How often a trial is begun whose process dies, which may be another's doing once, or whose machine goes or
ends it, as one does that is lent for a while."""


def ask_for_trial(queue: TrialQueue, observer: TrialObserver) -> Candidate | None:
    """Return the next network to train, None when there is none. One that was tried as often as it may, the
    last time until the search itself died, fails."""
    while (candidate := queue.ask()) is not None:
        deaths = queue.count_deaths(candidate.number)
        if all(deaths[what] < most for what, most in _TRIES.items()):
            return candidate
        failure = _describe_deaths(deaths, "the search died with it")
        observer.finished(queue.fail(candidate.number, failure))
    return None


def take_death(queue: TrialQueue, number: int, what: str, describe: Callable[[], str]) -> Failure | None:
    """Take it that the PROCESS or the MACHINE that trained a trial has died. Return the trial's failure where
    it is not to be tried again, with how that was."""
    deaths = queue.count_deaths(number)
    deaths[what] += 1
    if deaths[what] >= _TRIES[what]:
        return _describe_deaths(deaths, describe())
    queue.note_deaths(number, deaths)
    return None


def _describe_deaths(deaths: Counter[str], how: str) -> Failure:
    return Failure(FailureReason.WORKER_DIED, f"{deaths.total()} times; {how}")


def describe_signal(name: str) -> str:
    """Return how a process ended that a signal has ended, by its name."""
    if name == "SIGKILL":
        return "its process was killed by SIGKILL, as a system does where memory is full"
    return f"its process was ended by {name}"


def find_place(trace: str) -> str:
    """Return the line that an output of `faulthandler` is of, as ` (blocks.py:12)`, if there is one."""
    frames = re.findall(r'File "(.+)", line (\d+) in', trace)
    own = [(file, line) for file, line in frames if not file.startswith(_LIBRARIES)]
    return next((f" ({Path(file).name}:{line})" for file, line in own or frames), "")


_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")} | {"<"})


def describe_error(error: BaseException) -> str:
    """Return `ValueError: no such thing (blocks.py:12)`."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno})" if frames else ""
    return format_error(error) + where
