"""Where curves, costs and files of a run go beside its folder, by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nas.errors import InputError, suggest_word
from nas.exporters import check_installed
from nas.kinds import Kind, join_or, quote_or
from nas.loggers.base import Curves, Entry, Logger, Run
from nas.loggers.to_mlflow import MlflowLogger
from nas.loggers.to_tensorboard import TensorBoardLogger
from nas.loggers.to_trackio import TrackioLogger
from nas.loggers.to_wandb import WandbLogger
from nas.settings import Option, User

LOGGERS: dict[str, type[Logger]] = {
    "tensorboard": TensorBoardLogger,
    "mlflow": MlflowLogger,
    "wandb": WandbLogger,
    "trackio": TrackioLogger,
}
NONE = "none"
"""Stands for no logger, where a run goes on that had some."""


def check_loggers(names: Iterable[str]) -> None:
    """Raise InputError where a library that a logger needs is not installed."""
    for name in names:
        check_installed(f"log: {name}", LOGGERS[name].needs)


def _read(plain: Any) -> Any:
    """Return the names in a text with commas, or in several."""
    texts = [plain] if isinstance(plain, str) else plain
    if texts is None or not (isinstance(texts, list | tuple) and all(isinstance(one, str) for one in texts)):
        return () if texts is None else texts
    names = [name.strip() for text in texts for name in text.split(",")]
    if names == [NONE]:
        return ()
    for name in names:
        if name not in LOGGERS:
            raise InputError(f"'{name}' is not a logger{suggest_word(name, list(LOGGERS))}")
    return tuple(dict.fromkeys(names))


NAMES = Kind(
    f"a list of loggers; each is {join_or(LOGGERS)}",
    lambda value: isinstance(value, tuple) and set(value) <= set(LOGGERS),
    _read,
    lambda value: ",".join(value) or None,
)
"""Loggers, as a setting has them."""


def log_option(what: str, panel: str | None = None, unused_by: User = User.NOBODY) -> Option:
    """Return the option of loggers; `what` is logged."""
    return Option(
        f"Log {what} to {quote_or(LOGGERS)} too, or to several; repeatable.",
        panel,
        is_repeatable=True,
        resumable=True,
        again=bool,
        unused_by=unused_by,
    )


__all__ = ["LOGGERS", "NAMES", "Curves", "Entry", "Logger", "Run", "check_loggers", "log_option"]
