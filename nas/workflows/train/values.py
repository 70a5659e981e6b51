"""What a full training is while it runs, and what it came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.files import write_atomically
from nas.runs.folder import TrainingFolder
from nas.runs.training import TrainConfig, TrainManifest
from nas.space import Space
from nas.training.base import EpochResult
from nas.training.evaluator import ProxyEvaluator
from nas.training.metrics import Metrics
from nas.training.multi_label import LabelMetrics

if TYPE_CHECKING:
    from nas.data.base import Source
    from nas.data.datasets import ImageData
    from nas.training.teacher import Teacher


class TrainObserver:
    """Hears what happens in a full training, and answers nothing. Extend it as a search's observer."""

    def doing(self, what: str) -> None:
        """Something that may take a while begins."""

    def decoding(self, done: int, total: int) -> None:
        """So many images are decoded."""

    def noted(self, text: str) -> None:
        """Something about the training that a person may want to know, in one line."""

    def began(self, session: TrainSession) -> None:
        """A training has its folder, and trains from epoch `len(session.history) + 1` on."""

    def step(self, done: int, steps: int) -> None:
        """So many steps of the epoch are done."""

    def epoch(self, result: EpochResult) -> None:
        """An epoch is over, and is kept."""

    def testing(self, images: int) -> None:
        """The training is over, and so many images are tested on."""


@dataclass(frozen=True)
class TrainResult:
    """What a full training came to.

    `history`: an entry an epoch. `best_epoch` had the highest `value` of `metric` on the validation images;
    its weights are those of `exported`, the Python file first. `metrics`: figures on `tested_on`, the test
    split, or on the validation images where the data have none; of several labels an image, `LabelMetrics`.
    `files`: all that is left in the folder, by what it is; `figures`: what figures.json of it has. `logged`:
    the line that opens what is logged, by the name of the logger.
    """

    folder: Path
    history: tuple[EpochResult, ...]
    best_epoch: int
    metric: str
    value: float
    metrics: Metrics | LabelMetrics
    tested_on: str
    classes: tuple[str, ...]
    exported: tuple[Path, ...]
    files: Mapping[str, Path]
    figures: Mapping[str, Any]
    stopped_early: bool
    has_no_test: bool
    logged: Mapping[str, str] = field(default_factory=dict)


@dataclass
class TrainSession:
    """A training with its folder: what it trains, and how far it is. `changed`: goes on with other settings
    than its manifest in the folder has."""

    folder: TrainingFolder
    manifest: TrainManifest
    space: Space
    evaluator: ProxyEvaluator
    data: ImageData
    test: Source | None
    teacher: Teacher | None = None
    history: list[EpochResult] = field(default_factory=list)
    changed: bool = False

    @property
    def config(self) -> TrainConfig:
        return self.manifest.config

    def write_changes(self) -> None:
        """Write settings with which it goes on."""
        if self.changed:
            write_atomically(self.folder.manifest_file, self.manifest.to_text())

    @property
    def metric(self) -> str:
        """What epochs are judged by."""
        return self.config.recipe.metric

    @property
    def resume_command(self) -> str:
        """The command that goes on with it."""
        return self.make_command(self.folder.path)

    @property
    def way_out(self) -> str:
        """What a message says where something that it needs has gone."""
        return f"No finished epoch is lost. Go on with: {self.resume_command}"

    @property
    def storage(self) -> None:
        """There is no database."""

    def make_command(self, path: Path) -> str:
        """Return the command that goes on with it where its folder is another."""
        return self.manifest.command(path)


@dataclass(frozen=True)
class TrainForecast:
    """What a training will take: `epoch_s` an epoch."""

    epochs: int
    epoch_s: float
    images_per_s: float
    device: str

    @property
    def seconds(self) -> float:
        """Of all epochs."""
        return self.epochs * self.epoch_s
