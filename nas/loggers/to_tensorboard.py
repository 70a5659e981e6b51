"""Runs as files of events, which TensorBoard shows: of each trial a folder with its curves by epoch, its
figures by its number, and its choices."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

from nas.loggers.base import Entry, Run

_BEST = "best"


class TensorBoardLogger:
    """Writes files of events."""

    needs: ClassVar[tuple[str, ...]] = ("tensorboard",)

    @staticmethod
    def environment(place: Path) -> dict[str, str]:
        return {}

    @staticmethod
    def command(place: Path, name: str, environment: Mapping[str, str]) -> str:
        return f"tensorboard --logdir {quote(str(place))}"

    def __init__(self, run: Run) -> None:
        self._place = run.place

    def log(self, entry: Entry) -> None:
        from tensorboard.plugins.hparams import summary_v2 as hparams

        with _events(self._place / entry.name) as add:
            add(hparams.hparams_pb(entry.texts, trial_id=entry.name), 0)
            for name, curve in entry.curves.items():
                for epoch, value in curve:
                    add(_scalar(f"epoch/{name}", value), epoch)
            for name, value in entry.figures.items():
                add(_scalar(f"{entry.kind}/{name}", value), entry.number)

    def keep(self, files: Sequence[Path], figures: Mapping[str, float]) -> None:
        from tensorboard.plugins.text import summary_v2 as text

        texts = [file.read_text(encoding="utf-8") for file in files if file.suffix == ".yaml"]
        shown = "\n\n".join([*map(_as_code, texts), *(f"`{file}`" for file in files)])
        with _events(self._place / _BEST) as add:
            add(text.text_pb(_BEST, shown), 0)

    def close(self) -> None:
        """Everything is written."""


@contextmanager
def _events(folder: Path) -> Iterator[Callable[[Any, int], None]]:
    """Give what adds a summary at a step to a new file, the only one in its folder."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    shutil.rmtree(folder, ignore_errors=True)
    writer = EventFileWriter(str(folder))
    try:
        yield lambda summary, step: writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
    finally:
        writer.close()


def _scalar(tag: str, value: float) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=tag, simple_value=value)])


def _as_code(text: str) -> str:
    """Return a text as Markdown shows it as it is."""
    return "".join(f"    {line}\n" for line in text.splitlines())
