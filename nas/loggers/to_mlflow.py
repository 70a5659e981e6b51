"""Runs in a store of MLflow: one for each trial, below that of the search, which has the files of the best
network; of a training one."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

from nas.errors import NasError
from nas.loggers.base import PROJECT, Curves, Entry, Run
from nas.passwords import hide_passwords

_URI, _EXPERIMENT = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"
_KEY, _NAME = "nas.key", "nas.trial"
_WHOLE = "run"
"""In place of the name of a trial."""
_STATES = {"failed": "FAILED", "pruned": "KILLED"}
_TRAINING = {"mlflow.experimentKind": "custom_model_development"}
"""Has its page show runs first; else it may be one of language models."""
_MOST_METRICS, _MOST_PARAMS = 1000, 100
"""Of one request."""
_MOST_LETTERS = 500
"""Of a parameter, in every store."""


class MlflowLogger:
    """Writes to the store that MLflow's own variable names, else to a database of SQLite."""

    needs: ClassVar[tuple[str, ...]] = ("mlflow",)

    @staticmethod
    def environment(place: Path) -> dict[str, str]:
        return {
            _URI: f"sqlite:///{place / 'mlflow.db'}",
            _EXPERIMENT: PROJECT,
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    @staticmethod
    def command(place: Path, name: str, environment: Mapping[str, str]) -> str:
        uri = hide_passwords(environment[_URI])
        if uri.startswith(("http://", "https://")):
            return f"python -m webbrowser {quote(uri)}"
        return f"mlflow ui --backend-store-uri {quote(uri)}"

    def __init__(self, run: Run) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient()
        is_own = os.environ[_URI] == self.environment(run.place)[_URI]
        self._files = (run.place / "artifacts").as_uri() if is_own else None
        self._experiment = self._find_experiment(os.environ[_EXPERIMENT])
        known = self._search(f"tags.`{_KEY}` = '{run.key}' and tags.`{_NAME}` = '{_WHOLE}'")
        self._run = known[0] if known else self._start(run.name, {_KEY: run.key, _NAME: _WHOLE})
        self._key = run.key
        self._last: dict[str, int] = {}
        if not known:
            self._write(self._run, run.settings, [])

    def log(self, entry: Entry) -> None:
        for left in self._search(f"tags.`{_KEY}` = '{self._key}' and tags.`{_NAME}` = '{entry.name}'"):
            self._client.delete_run(left)
        tags = {_KEY: self._key, _NAME: entry.name, "mlflow.parentRunId": self._run}
        run = self._start(entry.name, tags)
        self._write(run, entry.choices, _list_points(entry.curves, entry.figures))
        self._client.set_terminated(run, _STATES.get(entry.state, "FINISHED"))

    def grow(self, curves: Curves, figures: Mapping[str, float]) -> None:
        if not self._last:
            self._client.update_run(self._run, "RUNNING")
        found = _list_points(curves, figures)
        for name in {name for name, _, _ in found} - self._last.keys():
            there = self._client.get_metric_history(self._run, _to_plain(name))
            self._last[name] = max((metric.step for metric in there), default=-1)
        self._write(self._run, {}, [point for point in found if point[1] > self._last[point[0]]])
        self._last |= {name: max(step, self._last[name]) for name, step, _ in found}

    def keep(self, files: Sequence[Path], figures: Mapping[str, float]) -> None:
        self._check_place()
        for name, value in figures.items():
            self._client.log_metric(self._run, f"best_{_to_plain(name)}", value)
        for file in files:
            self._client.log_artifact(self._run, str(file), "best")

    def close(self) -> None:
        self._client.set_terminated(self._run)

    def _check_place(self) -> None:
        """Raise NasError where files would leave the run folder, as of one that was moved."""
        where = self._client.get_run(self._run).info.artifact_uri
        if self._files and (not where.startswith(f"{self._files}/") or "/.." in where):
            raise NasError(f"its files would go to {where}; remove logs/mlflow, and it is written anew")

    def _find_experiment(self, name: str) -> str:
        """Return the key of an experiment, which is made where there is none."""
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        key = self._client.create_experiment(name, artifact_location=self._files, tags=_TRAINING)
        return str(key)

    def _search(self, which: str) -> list[str]:
        """Return the keys of runs."""
        return [run.info.run_id for run in self._client.search_runs([self._experiment], which)]

    def _start(self, name: str, tags: Mapping[str, str]) -> str:
        run = self._client.create_run(self._experiment, run_name=name, tags=dict(tags))
        return str(run.info.run_id)

    def _write(self, run: str, params: Mapping[str, Any], points: Sequence[_Point]) -> None:
        from mlflow.entities import Metric, Param

        named = [Param(_to_plain(name), str(value)[:_MOST_LETTERS]) for name, value in params.items()]
        now = round(1000 * time.time())
        metrics = [Metric(_to_plain(name), value, now, step) for name, step, value in points]
        for part in _split(named, _MOST_PARAMS):
            self._client.log_batch(run, params=part)
        for part in _split(metrics, _MOST_METRICS):
            self._client.log_batch(run, metrics=part)


_Point = tuple[str, int, float]
"""A name, a step, a value."""


def _list_points(curves: Curves, figures: Mapping[str, float]) -> list[_Point]:
    """Return the points of curves at their epochs, and figures at 0 that are not called as a curve is."""
    found = [(name, epoch, value) for name, curve in curves.items() for epoch, value in curve]
    return found + [(name, 0, value) for name, value in figures.items() if name not in curves]


def _split(values: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (values[at : at + size] for at in range(0, len(values), size))


def _to_plain(name: str) -> str:
    """Return a name with the characters that every store takes."""
    return re.sub(r"[^A-Za-z0-9_\-. /]", "_", name)
