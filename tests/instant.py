"""An evaluator whose trainings take no time, for searches of which all but the training is tested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from command_line import TINY
from hashed import score
from torch import Tensor

from nas.graph.module import build_module
from nas.runs.config import SearchConfig
from nas.space import Choices, Space, parse_space
from nas.training.base import ACCURACY_METRIC, EpochResult, Metric, Parent

SPACE = parse_space(TINY, "tiny.yaml")


@dataclass(frozen=True)
class Instant:
    """Trainings of so many `epochs`, whose score is a function of the point."""

    space: Space = SPACE
    epochs: int = 1
    seed: int = 0
    metric: Metric = ACCURACY_METRIC

    def with_epochs(self, epochs: int, seed: int) -> Instant:
        return replace(self, epochs=epochs, seed=seed)

    def __call__(self, choices: Choices, number: int, parent: Parent | None) -> InstantTraining:
        return InstantTraining(self, choices)


class InstantTraining:
    """The network's initial weights are its weights."""

    def __init__(self, evaluator: Instant, choices: Choices) -> None:
        self._evaluator = evaluator
        self._choices = choices
        self._epoch = 0

    @property
    def done(self) -> bool:
        return self._epoch == self._evaluator.epochs

    def epoch(self) -> EpochResult:
        self._epoch += 1
        value = score(self._choices) * self._epoch / self._evaluator.epochs
        return EpochResult(self._epoch, value, value, seconds=0.5)

    def state_dict(self) -> Mapping[str, Tensor]:
        torch.manual_seed(self._evaluator.seed)
        return dict(build_module(self._evaluator.space.architecture(self._choices)).state_dict())


def config(**settings: object) -> SearchConfig:
    """Return the config of a short search of `tiny.yaml` in this process."""
    own = {"space": "tiny.yaml", "workers": 0, "in_process": settings.get("workers", 0) == 0, "trials": 3}
    return SearchConfig.from_data({**own, **settings}, "test")
