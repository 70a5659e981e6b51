"""What loggers have written, as their libraries read it, and the processes that they work in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from clusters import descendants

LIBRARIES = ("MLFLOW_", "WANDB_", "TRACKIO_")
"""How the variables begin that libraries read."""


def forget_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have libraries find no variable of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(LIBRARIES):
            monkeypatch.delenv(name)


def scalars(place: Path) -> dict[str, list[tuple[int, float]]]:
    """Return steps and values of the files of events in a folder, by their tags."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    found: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(place.glob("events.*")):
        for event in LegacyEventFileLoader(str(file)).Load():
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def tool(name: str, *arguments: str, **environment: str) -> str:
    """Return what a program of a library says."""
    program = Path(sys.executable).with_name(name)
    return subprocess.run(
        [program, *arguments], env={**os.environ, **environment}, check=True, capture_output=True, text=True
    ).stdout


def wandb_history(file: Path) -> list[dict[str, Any]]:
    """Return the points of an offline run, with their `_step`."""
    records = map(json.loads, tool("wandb", "leet", "inspect", "--json", str(file)).splitlines())
    return [record["history"]["item"] for record in records if record["type"] == "history"]


def wandb_summary(file: Path) -> dict[str, Any]:
    """Return `summary` and `config` of an offline run."""
    said: dict[str, Any] = json.loads(tool("wandb", "leet", "inspect", "--summary", "--json", str(file)))
    return said


def trackio_rows(place: str, project: str) -> list[tuple[str, int, dict[str, Any]]]:
    """Return run, step and values of what a project has."""
    query = ("query", "project", "--project", project, "--json", "--sql")
    said = tool("trackio", *query, "select run_name, step, metrics from metrics", TRACKIO_DIR=place)
    return [(row["run_name"], row["step"], json.loads(row["metrics"])) for row in json.loads(said)["rows"]]


def loggers_of(pid: int) -> list[int]:
    """Return the processes of loggers below one."""
    return [own for own in descendants(pid) if b"logger_worker" in Path(f"/proc/{own}/cmdline").read_bytes()]
