"""What stands for trainings that other programs run, and tell the scores of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.errors import InputError
from nas.training.base import Metric, Parent, Training

if TYPE_CHECKING:
    from nas.space import Choices


@dataclass(frozen=True)
class Elsewhere:
    """An evaluator that has a metric and trains nothing."""

    metric: Metric

    def __call__(self, choices: Choices, number: int, parent: Parent | None = None) -> Training:
        raise InputError(f"trial {number} is trained elsewhere; give an evaluator to train it here")
