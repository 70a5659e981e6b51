"""What a full training hands to its loggers: each epoch when it is kept, and in the end figures and files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nas.loggers import Curves
from nas.loggers.sender import Senders
from nas.runs.training import TrainConfig, name_column

if TYPE_CHECKING:
    from nas.training.base import EpochResult
    from nas.workflows.train.values import TrainSession


class TrainLog:
    """Hands a training to the loggers of its config. Use it as a context.

    `tell`: is told how to open what is logged, and of a logger that cannot go on; the training does, without
    it.
    """

    def __init__(self, session: TrainSession, tell: Callable[[str], None]) -> None:
        self._session, self._tell = session, tell
        config, folder = session.config, session.folder
        title = folder.path.absolute().name
        self._senders = Senders(config.log, folder.log_folder, title, _list_settings(config), tell)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self._senders.__exit__(*problem)

    def begin(self) -> None:
        """Send the costs of the network, and the epochs that were trained before."""
        for name, command in self._senders.commands.items():
            self._tell(f"Each epoch is logged to {name}: {command}")
        costs = self._session.space.architecture().cost.to_data()
        self._senders.grow(self._list_curves(self._session.history), costs)

    def epoch(self, result: EpochResult) -> None:
        """Hand over an epoch that is kept: none is logged that a kill would have trained anew."""
        self._senders.grow(self._list_curves([result]), {})
        self._senders.check()

    def conclude(
        self, best: EpochResult, tested: Mapping[str, float | None], files: Sequence[Path]
    ) -> Mapping[str, str]:
        """Send the figures of the test and the files, and wait. Return the line that opens what is
        logged, by the names of the loggers that have all."""
        kind = "best_val" if self._session.test is None else "test"
        figures = {f"{kind}_{name}": value for name, value in tested.items() if value is not None}
        value = {f"best_{name_column(self._session.metric)}": best.value}
        self._senders.grow({}, {"best_epoch": best.epoch, **value, **figures})
        self._senders.keep(files, {})
        return self._senders.finish("what is missing is lost")

    def _list_curves(self, results: Sequence[EpochResult]) -> Curves:
        """Return the columns of metrics.csv, and the learning rate."""
        columns: dict[str, Callable[[EpochResult], float | None]] = {
            "train_loss": lambda result: result.loss,
            name_column(self._session.metric): lambda result: result.value,
            "lr": lambda result: result.lr,
            "seconds": lambda result: result.seconds,
            "images_per_s": lambda result: result.images_per_s,
        }
        return {
            name: [(result.epoch, value) for result in results if (value := column(result)) is not None]
            for name, column in columns.items()
        }


def _list_settings(config: TrainConfig) -> dict[str, Any]:
    """Return the settings that have a value, those of sections as `recipe.epochs`."""
    found: dict[str, Any] = {}
    for name, value in config.to_data().items():
        own = (
            {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
        )
        found |= {key: one for key, one in own.items() if one is not None}
    return found
