"""What trains a point, as seen by whoever runs trainings: no images and no torch.

An `Evaluator` turns a point into a `Training`, which is stepped epoch by epoch. `nas.training.evaluator` has
the proxy that trains image classifiers; `nas.training.custom` wraps a user's own code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from nas.errors import InputError, OwnCodeError, make_printable
from nas.kinds import Kind
from nas.passwords import hide_passwords

if TYPE_CHECKING:
    from torch import Tensor

    from nas.space import Choices


METRIC_NAME = Kind(
    "a name; give a text of one line, such as mAP",
    lambda value: isinstance(value, str) and bool(value.strip()) and make_printable(value) == value,
)


@dataclass(frozen=True, slots=True)
class Metric:
    """What a training is scored by, as tables name it, whether more of it is better, and its least and its
    most; a `range` of None is not known.

    Raises InputError for a name that is none, for a direction that is not True or False, and for a range
    whose ends are not finite, the lower first.
    """

    name: str
    maximize: bool = True
    range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        name: object = self.name  # of a user's own
        if not METRIC_NAME.accepts(name):
            raise InputError(f"metric: {name!r:.60} is not {METRIC_NAME.rule}")
        maximize: object = self.maximize
        if not isinstance(maximize, bool):
            raise InputError(
                f"metric {name}: maximize is {maximize!r:.60}, which is not True or False; give True where "
                "more of it is better, and False where less is"
            )
        if self.range is not None and not is_range(self.range):
            raise InputError(
                f"metric {name}: {self.range!r:.60} is no range; give its least and its most, such as "
                "(0, 1), or leave it out"
            )

    def __str__(self) -> str:
        return f"{self.name}, the {'higher' if self.maximize else 'lower'} the better"

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.maximize else -1

    @property
    def worst(self) -> float:
        """The value that every score beats."""
        return -self.sign * float("inf")

    def share(self, score: float) -> float:
        """Return how far a score is from the worst end of the range, 0, to the best, 1; one beyond an end is
        at it."""
        assert self.range is not None
        low, high = self.range
        part = min(1.0, max(0.0, (score - low) / (high - low)))
        return part if self.maximize else 1 - part


def is_range(ends: object) -> bool:
    """Return whether these are finite ends of a range, the lower first."""
    match ends:
        case (int() | float() as low, int() | float() as high) if isinstance(ends, tuple):
            return -math.inf < low < high < math.inf
        case _:
            return False


ACCURACY_METRIC = Metric("accuracy", range=(0.0, 1.0))


class FailureReason(StrEnum):
    """Why a trial has no score."""

    NAN_LOSS = "nan_loss"
    """A loss, an output, a score, a weight or a statistic that is not finite."""
    OUT_OF_MEMORY = "out_of_memory"
    """The smallest batch did not fit."""
    TIMEOUT = "timeout"
    """The training took longer than the setting `trial_timeout`."""
    WORKER_DIED = "worker_died"
    """The process that trained it ended, more often than it is started anew."""
    ERROR = "error"
    """The training raised an exception."""
    LOST = "lost"
    """What was known of the trial was damaged, and a repair has left it out."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a trial has no score, for a program and, as a `message` of one line, for a person."""

    reason: FailureReason
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", hide_passwords(self.message))  # it is kept with the trial

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class TrainingFailed(Exception):
    """A training that gives no score, with the reason that the study records."""

    def __init__(self, reason: FailureReason | str, message: str) -> None:
        super().__init__(reason, message)  # both, so that the exception pickles on its way out of a worker
        self.failure = Failure(FailureReason(reason), message)

    def __str__(self) -> str:
        return str(self.failure)


class EvaluatorError(OwnCodeError):
    """A user's evaluator does not keep to what an evaluator is: no other trial would go better."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The most images per second that a device can train a network on, and what binds it there: `memory` or
    `arithmetic`."""

    images_s: float
    by: str


@dataclass(frozen=True, slots=True)
class EpochResult:
    """What one epoch gave.

    `value`: the metric on validation after the epoch. `score`: what the trial scores if it ends here, made of
    all values so far. `seconds`: wall time of the epoch; `norms_s`, the part of it that does not grow with
    the data. `loss`: mean training loss. `batch`: images in a batch. `deviation`: standard deviation of an
    extrapolated score.

    Of `seconds`, the first epoch's first `start_s` went by before the second step, and `images` were trained
    on in `train_s`, steps alone. `build_s`: seconds before the first epoch in which the training was built.
    `limit`: how fast it could be. `lr`: the learning rate of the last step. `eager`: why its passes were not
    replayed as a CUDA graph that was asked for.

    What trains it adds to the first epoch `build_s`, and of a trial that was to start from another's weights
    `parent`, the number of that trial, or `not_inherited`, why it could not.
    """

    epoch: int
    value: float
    score: float
    seconds: float
    loss: float | None = None
    batch: int | None = None
    norms_s: float = 0.0
    deviation: float | None = None
    images: int = 0
    train_s: float = 0.0
    start_s: float = 0.0
    build_s: float = 0.0
    limit: Limit | None = None
    lr: float | None = None
    eager: str | None = None
    parent: int | None = None
    not_inherited: str | None = None

    @property
    def images_per_s(self) -> float:
        """Images that the epoch trained on, its first step's too, over all its seconds."""
        first = (self.batch or 0) if self.start_s else 0
        return (self.images + first) / self.seconds


@dataclass(frozen=True, slots=True)
class Parent:
    """The trial whose `weights`, as safetensors, another one starts from."""

    number: int
    choices: Choices
    weights: bytes


class Training(Protocol):
    """One training of one network, stepped from outside."""

    @property
    def done(self) -> bool:
        """Whether the last epoch has been trained."""
        ...

    def epoch(self) -> EpochResult:
        """Train one epoch and validate.

        Raises TrainingFailed where it gives no score; any other exception fails the trial as an `error`.
        """
        ...

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the weights of the searched network, on the CPU, by the names that its module has."""
        ...


def expect_training(made: object, also: str = "") -> Training:
    """Return what an evaluator made. Raises EvaluatorError where that is no training; `also` is another way
    out."""
    if not all(hasattr(made, name) for name in ("done", "epoch", "state_dict")):
        raise EvaluatorError(
            f"gave {made!r:.60}, which is no training; {also}return an object with done, epoch() and "
            "state_dict()"
        )
    return cast("Training", made)


class Evaluator(Protocol):
    """Builds the training of a point.

    It holds whatever it trains on, and is pickled once to each worker. It may be `Lengthenable` and
    `TimeLimited` too.
    """

    @property
    def metric(self) -> Metric:
        """What its scores measure."""
        ...

    def __call__(self, choices: Choices, number: int, parent: Parent | None) -> Training:
        """Return the training of the trial `number`, of which all that is random follows.

        Raises NotInherited where there is a parent and nothing to inherit from it.
        """
        ...


@runtime_checkable
class Lengthenable(Protocol):
    """An evaluator that gives longer trainings too, as those of finalists are."""

    def with_epochs(self, epochs: int, seed: int) -> Evaluator:
        """Return the evaluator of trainings of so many epochs, under another seed."""
        ...


@runtime_checkable
class TimeLimited(Protocol):
    """An evaluator whose trainings end by themselves after a time, and are ended where they do not."""

    def time_limit(self, number: int) -> float | None:
        """Return the seconds that the epochs of the trial `number` may take, None for no limit."""
        ...


def find_time_limit(evaluator: Evaluator, number: int) -> float | None:
    """Return the seconds that the epochs of a trial may take by an evaluator that knows, else None."""
    return evaluator.time_limit(number) if isinstance(evaluator, TimeLimited) else None


def extend_limit(limit: float) -> float:
    """Return the seconds after which what has not ended by itself is ended.

    A training looks at its limit between steps: the last one, and a validation, may take some more.
    """
    return 1.25 * limit + 5
