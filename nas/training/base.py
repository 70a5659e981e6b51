"""What trains a point, as those see it who run trainings: no images, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nas.data.datasets import ImageData
    from nas.space import Choices
    from nas.training.folds import FoldedTraining
    from nas.training.loop import Training


@dataclass(frozen=True, slots=True)
class Parent:
    """The trial whose `weights`, as safetensors, another one starts from."""

    number: int
    choices: Choices
    weights: bytes


class MakeTraining(Protocol):
    """Builds the training of one point. Runners call it where the trial runs, so it pickles; the images
    come as an argument, because they travel once and not with every trial."""

    def __call__(
        self, choices: Choices, number: int, data: ImageData, parent: Parent | None
    ) -> Training | FoldedTraining: ...
