"""What every executor shares: what it takes trials from, what it tells, and one trial where it is trained."""

from __future__ import annotations

import math
import re
import sysconfig
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from nas.importing import format_error
from nas.study.records import Candidate, Trial, TrialResult
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

if TYPE_CHECKING:
    from torch import Tensor

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

    def complete(self, number: int, last: EpochResult, result: TrialResult) -> Trial:
        """Take the end of a trial that was trained to its last epoch."""
        ...

    def prune(self, number: int, result: TrialResult) -> Trial:
        """Take the end of a trial that does not go on."""
        ...

    def fail(self, number: int, failure: Failure, result: TrialResult) -> Trial:
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
        """A trial has trained an epoch."""

    def continued(self, candidate: Candidate) -> None:
        """A trial goes on: its last epoch was not its end, and the queue has it."""

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

    result: TrialResult
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
        self._result = TrialResult()
        self._weights = b""
        self._build_s = 0.0

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
            return AttemptStep(self._result, failure=error.failure)
        except EvaluatorError as error:
            return AttemptStep(self._result, misuse=f"evaluator {self._evaluator}: {error}")
        except Exception as error:
            # Whatever a user's block or evaluator raises costs one trial, never the search.
            return self.fail(error)

    def fail(self, error: BaseException) -> AttemptStep:
        """Return the end of the trial by an exception."""
        return AttemptStep(self._result, failure=Failure(FailureReason.ERROR, describe_error(error)))

    def _build(self) -> None:
        if self._training is None:
            start = time.perf_counter()
            self._training = expect_training(self._begin())
            self._build_s = time.perf_counter() - start

    def _train(self) -> AttemptStep:
        self._build()
        assert self._training is not None
        epoch = _check_result(self._training.epoch(), self._result.epochs + 1)
        epoch, self._build_s = replace(epoch, build_s=self._build_s), 0.0
        done = bool(self._training.done)
        if done:
            import safetensors.torch

            state = dict(self._training.state_dict())
            _check_finite(state, epoch.epoch)
            self._weights = safetensors.torch.save(state)
        self._result = self._result.add(epoch)
        return AttemptStep(self._result, epoch, done=done)

    def _begin(self) -> Training:
        """Return the training, from the parent's weights, or from scratch where there is nothing to
        inherit."""
        parent, self._parent = self._parent, None
        if parent is not None:
            from nas.inherit import NotInherited

            try:
                training = self._evaluator(self._choices, self._number, parent)
            except NotInherited as error:
                why = f"from trial {parent.number}: {error}"
                self._result = replace(self._result, not_inherited=why)
            else:
                self._result = replace(self._result, parent=parent.number)
                return training
        return self._evaluator(self._choices, self._number, None)

    def dump_weights(self) -> bytes:
        """Return the network's state after the last epoch, as safetensors."""
        return self._weights


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
        observer.finished(queue.fail(number, step.failure, step.result))
        return False
    assert step.epoch is not None
    if step.done:
        observer.epoch(candidate, step.epoch)
        observer.trained(candidate, step.epoch.score, weights())
        observer.finished(queue.complete(number, step.epoch, step.result))
        return False
    # A pruner's word is written at once: asked again after a stop here, it may say something else.
    stopped = None if queue.report(number, step.epoch) else queue.prune(number, step.result)
    observer.epoch(candidate, step.epoch)
    if stopped is not None:
        observer.finished(stopped)
        return False
    observer.continued(candidate)
    return queue.given_up is None


PROCESS, MACHINE = "process", "machine"
_TRIES: Mapping[str, int] = {PROCESS: 2, MACHINE: 5}
"""How often a trial is begun whose process dies, which may be another's doing once, or whose machine goes, as
one does that is lent for a while."""


def ask_for_trial(queue: TrialQueue, observer: TrialObserver) -> Candidate | None:
    """Return the next network to train, None when there is none. One that was tried as often as it may, the
    last time until the search itself died, fails."""
    while (candidate := queue.ask()) is not None:
        deaths = queue.count_deaths(candidate.number)
        if all(deaths[what] < most for what, most in _TRIES.items()):
            return candidate
        failure = _describe_deaths(deaths, "the search died with it")
        observer.finished(queue.fail(candidate.number, failure, TrialResult()))
    return None


def take_death(queue: TrialQueue, number: int, what: str, describe: Callable[[], str]) -> Failure | None:
    """Take it that the PROCESS or the MACHINE that trained a trial has died. Return the trial's failure where
    it is not to be tried again, with how that was."""
    deaths = queue.count_deaths(number)
    deaths[what] += 1
    queue.note_deaths(number, deaths)
    return None if deaths[what] < _TRIES[what] else _describe_deaths(deaths, describe())


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


def _check_finite(state: Mapping[str, Tensor], epoch: int) -> None:
    """Raise TrainingFailed where weights or statistics are not finite: a score says little of such a network,
    and it cannot be exported."""
    for name, value in state.items():
        if not value.isfinite().all():
            raise TrainingFailed(FailureReason.NAN_LOSS, f"{name} was not finite after epoch {epoch}")


def _check_result(result: Any, epoch: int) -> EpochResult:
    """Return the result of an epoch, whose value and score are finite.

    Raises EvaluatorError for anything else than a result, TrainingFailed for what is not finite.
    """
    if not isinstance(result, EpochResult):
        raise EvaluatorError(f"epoch() gave {result!r:.60}; it must give an EpochResult")
    for name in ("value", "score"):
        figure: object = getattr(result, name)
        if isinstance(figure, bool) or not isinstance(figure, Real):
            raise EvaluatorError(
                f"the {name} of epoch {epoch} is {figure!r:.60}, which is no number; give a float, such as "
                "0.93"
            )
        if not math.isfinite(figure):
            raise TrainingFailed(FailureReason.NAN_LOSS, f"the {name} was {figure} in epoch {epoch}")
    for name in ("images", *_TIMES):
        figure = getattr(result, name)
        if isinstance(figure, bool) or not isinstance(figure, Real) or not math.isfinite(figure):
            raise EvaluatorError(f"the {name} of epoch {epoch} is {figure!r:.60}; give a finite number")
    for name in _MAYBE:
        figure = getattr(result, name)
        if figure is not None and (isinstance(figure, bool) or not isinstance(figure, Real)):
            raise EvaluatorError(f"the {name} of epoch {epoch} is {figure!r:.60}; give a number, or None")
    number: object = result.epoch
    if isinstance(number, bool) or not isinstance(number, Integral) or number < 0:
        raise EvaluatorError(f"the number of epoch {epoch} is {number!r:.60}; count epochs from 1")
    plain: dict[str, Any] = {name: float(getattr(result, name)) for name in ("value", "score", *_TIMES)}
    plain |= {name: _to_plain(getattr(result, name)) for name in _MAYBE}
    return replace(result, epoch=int(number), images=round(float(result.images)), **plain)


_TIMES = ("seconds", "train_s", "start_s")
_MAYBE = ("loss", "batch", "deviation")


def _to_plain(figure: Any) -> Any:
    """Return a number of any library, or None, as JSON takes it."""
    if figure is None:
        return None
    return int(figure) if isinstance(figure, Integral) else float(figure)
