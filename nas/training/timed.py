"""A time limit of trainings that know of none: those of a user's own evaluator."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nas.training.base import (
    EpochResult,
    Evaluator,
    FailureReason,
    Lengthenable,
    Metric,
    Parent,
    Training,
    TrainingFailed,
)

if TYPE_CHECKING:
    from torch import Tensor

    from nas.space import Choices


@dataclass(frozen=True)
class TimedEvaluator:
    """Fails the trainings of an evaluator, of so many `epochs`, whose epochs take longer than `timeout_s`
    together. That is seen when an epoch is over."""

    evaluator: Evaluator
    epochs: int
    timeout_s: float

    def __str__(self) -> str:
        return str(self.evaluator)

    @property
    def metric(self) -> Metric:
        return self.evaluator.metric

    def with_epochs(self, epochs: int, seed: int) -> TimedEvaluator:
        """Return the evaluator of longer, or shorter, trainings; the time limit is in proportion."""
        assert isinstance(self.evaluator, Lengthenable), "where finalists are asked for, that is checked"
        longer, timeout = self.evaluator.with_epochs(epochs, seed), self.timeout_s * epochs / self.epochs
        return replace(self, evaluator=longer, epochs=epochs, timeout_s=timeout)

    def time_limit(self, number: int) -> float | None:
        """Return the seconds that the epochs of a trial may take."""
        return self.timeout_s

    def __call__(self, choices: Choices, number: int, parent: Parent | None = None) -> Training:
        return _TimedTraining(self.evaluator(choices, number, parent), self.timeout_s)


class _TimedTraining:
    def __init__(self, training: Training, timeout_s: float) -> None:
        self._training = training
        self._timeout_s = timeout_s
        self._seconds = 0.0

    @property
    def done(self) -> bool:
        return self._training.done

    def epoch(self) -> EpochResult:
        start = time.perf_counter()
        result = self._training.epoch()
        self._seconds += time.perf_counter() - start
        if self._seconds > self._timeout_s:
            raise TrainingFailed(FailureReason.TIMEOUT, f"{self._timeout_s:g} s were over after an epoch")
        return result

    def state_dict(self) -> Mapping[str, Tensor]:
        return self._training.state_dict()
