"""Runs as files of events, which TensorBoard shows: of each trial a folder with its curves by epoch, its
figures by its number, and its choices; of a training one with its curves, figures and settings."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

from nas.loggers.base import TRAINING, Curves, Entry, Run, to_plain

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
        self._run = run
        self._own: _Growing | None = None

    def log(self, entry: Entry) -> None:
        with _events(self._run.place / entry.name) as add:
            add(_make_choices(entry.name, entry.choices), 0)
            _add_scalars(add, entry.kind, entry.curves, entry.figures, entry.number)

    def grow(self, curves: Curves, figures: Mapping[str, float]) -> None:
        if self._own is None:
            self._own = _Growing(self._run.place / TRAINING)
            self._own.add(_make_choices(self._run.name, self._run.settings), 0)
        _add_scalars(self._own.add, TRAINING, curves, figures, 0)
        self._own.writer.flush()

    def keep(self, files: Sequence[Path], figures: Mapping[str, float]) -> None:
        from tensorboard.plugins.text import summary_v2 as text

        texts = [file.read_text(encoding="utf-8") for file in files if file.suffix == ".yaml"]
        shown = "\n\n".join([*map(_format_code, texts), *(f"`{file}`" for file in files)])
        with nullcontext(self._own.add) if self._own else _events(self._run.place / _BEST) as add:
            add(text.text_pb(_BEST, shown), 0)

    def close(self) -> None:
        if self._own:
            self._own.writer.close()


@contextmanager
def _events(folder: Path) -> Iterator[Callable[[Any, int], None]]:
    """Give what adds a summary at a step to a new file, the only one in its folder."""
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    shutil.rmtree(folder, ignore_errors=True)
    writer = EventFileWriter(str(folder))
    try:
        yield lambda summary, step: writer.add_event(_make_event(summary, step))
    finally:
        writer.close()


class _Growing:
    """Adds summaries to a folder of files of events, of each tag those of later steps than are there: no
    point is there twice, and TensorBoard, which may be reading, has nothing to forget."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._last: dict[str, int] = {}
        for file in folder.glob("events.*"):
            for event in LegacyEventFileLoader(str(file)).Load():
                for value in event.summary.value:
                    self._last[value.tag] = max(event.step, self._last.get(value.tag, -1))
        self.writer = EventFileWriter(str(folder))

    def add(self, summary: Any, step: int) -> None:
        (value,) = summary.value
        if step > self._last.get(value.tag, -1):
            self._last[value.tag] = step
            self.writer.add_event(_make_event(summary, step))


def _add_scalars(
    add: Callable[[Any, int], None], kind: str, curves: Curves, figures: Mapping[str, float], number: int
) -> None:
    from tensorboard.compat.proto.summary_pb2 import Summary

    points = [(f"epoch/{name}", value, epoch) for name, curve in curves.items() for epoch, value in curve]
    points += [(f"{kind}/{name}", value, number) for name, value in figures.items()]
    for tag, value, step in points:
        add(Summary(value=[Summary.Value(tag=tag, simple_value=value)]), step)


def _make_choices(name: str, values: Mapping[str, Any]) -> Any:
    from tensorboard.plugins.hparams import summary_v2 as hparams

    return hparams.hparams_pb(to_plain(values), trial_id=name)


def _make_event(summary: Any, step: int) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(wall_time=time.time(), step=step, summary=summary)


def _format_code(text: str) -> str:
    """Return a text as Markdown shows it as it is."""
    return "".join(f"    {line}\n" for line in text.splitlines())
