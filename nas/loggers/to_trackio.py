"""Runs for Trackio: one for each trial, in a project of the search, with the files of the best network; of a
training one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

from nas.loggers.base import TRAINING, Curves, Entry, Run, group_by_epoch, to_plain

_FOLDER = "TRACKIO_DIR"
_BEST = "best"


class TrackioLogger:
    """Writes runs by the library trackio."""

    needs: ClassVar[tuple[str, ...]] = ("trackio",)

    @staticmethod
    def environment(place: Path) -> dict[str, str]:
        return {_FOLDER: str(place), "HF_HUB_DISABLE_TELEMETRY": "1"}

    @staticmethod
    def command(place: Path, name: str, environment: Mapping[str, str]) -> str:
        return f"{_FOLDER}={quote(environment[_FOLDER])} trackio show --project {_name_project(name)}"

    def __init__(self, run: Run) -> None:
        self._run, self._project = run, _name_project(run.name)
        self._own: Any = None
        self._open = ExitStack()

    def log(self, entry: Entry) -> None:
        with self._opened(entry.name, {**to_plain(entry.choices), "state": entry.state}) as opened:
            for epoch, values in group_by_epoch(entry.curves).items():
                opened.log(values, step=epoch)
            opened.log({f"{entry.kind}/{name}": v for name, v in entry.figures.items()}, step=entry.number)

    def grow(self, curves: Curves, figures: Mapping[str, float]) -> None:
        if self._own is None:
            self._own = self._open.enter_context(self._opened(TRAINING, to_plain(self._run.settings)))
        for epoch, values in group_by_epoch(curves).items():
            self._own.log(values, step=epoch)
        if figures:
            self._own.log({f"{TRAINING}/{name}": value for name, value in figures.items()}, step=0)

    def keep(self, files: Sequence[Path], figures: Mapping[str, float]) -> None:
        import trackio

        own = nullcontext(self._own) if self._own else self._opened(_BEST, dict(figures))
        with own as opened:
            artifact = trackio.Artifact(_BEST, type="model")
            for file in files:
                artifact.add_file(str(file))
            opened.log_artifact(artifact)

    def close(self) -> None:
        self._open.close()

    @contextmanager
    def _opened(self, name: str, config: Mapping[str, Any]) -> Iterator[Any]:
        """Give a run of trackio, the only one of this name in the project."""
        import trackio

        with suppress(ValueError):  # there is no project yet
            for left in trackio.Api().runs(self._project):
                if left.name == name:
                    left.delete()
        opened: Any = trackio.init(
            self._project, name=name, config=dict(config), embed=False, auto_log_gpu=False, auto_log_cpu=False
        )
        try:
            yield opened
        finally:
            opened.finish()


def _name_project(name: str) -> str:
    """Return a name as Trackio takes it for a project."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)
