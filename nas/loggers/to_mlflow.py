"""Runs in a store of MLflow: one for each trial, below that of the search, which has the files of the best
network."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

from nas.errors import NasError
from nas.loggers.base import PROJECT, Entry, Run
from nas.passwords import hide_passwords

_URI, _EXPERIMENT = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"
_KEY, _NAME = "nas.key", "nas.trial"
_WHOLE = "search"
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
        if not known:
            self._write(self._run, run.settings, [])

    def log(self, entry: Entry) -> None:
        from mlflow.entities import Metric

        for left in self._search(f"tags.`{_KEY}` = '{self._key}' and tags.`{_NAME}` = '{entry.name}'"):
            self._client.delete_run(left)
        tags = {_KEY: self._key, _NAME: entry.name, "mlflow.parentRunId": self._run}
        run = self._start(entry.name, tags)
        now = round(1000 * time.time())
        points = [(name, v, epoch) for name, curve in entry.curves.items() for epoch, v in curve]
        points += [(name, value, 0) for name, value in entry.figures.items() if name not in entry.curves]
        self._write(run, entry.choices, [Metric(_plain(name), v, now, at) for name, v, at in points])
        self._client.set_terminated(run, _STATES.get(entry.state, "FINISHED"))

    def keep(self, files: Sequence[Path], figures: Mapping[str, float]) -> None:
        self._check_place()
        for name, value in figures.items():
            self._client.log_metric(self._run, f"best_{_plain(name)}", value)
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

    def _write(self, run: str, params: Mapping[str, Any], metrics: Sequence[Any]) -> None:
        from mlflow.entities import Param

        named = [Param(_plain(name), str(value)[:_MOST_LETTERS]) for name, value in params.items()]
        for part in _parts(named, _MOST_PARAMS):
            self._client.log_batch(run, params=part)
        for part in _parts(metrics, _MOST_METRICS):
            self._client.log_batch(run, metrics=part)


def _parts(values: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (values[at : at + size] for at in range(0, len(values), size))


def _plain(name: str) -> str:
    """Return a name with the characters that every store takes."""
    return re.sub(r"[^A-Za-z0-9_\-. /]", "_", name)
