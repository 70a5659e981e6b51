"""Rows of folders that are no search."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import nas

from nas.runs.listing import list_runs
from nas.runs.pipeline import PipelineFolder, StepRecord
from nas.runs.status import Phase

pytestmark = pytest.mark.usefixtures("tiny_folder")


def test_a_pipeline_has_a_row_once_it_has_begun() -> None:
    folder = PipelineFolder.of(Path("runs/photos"))
    assert not list_runs(Path("runs"))
    folder.write("search", StepRecord({"trials": 3}, "search-1", {}, "trial 1", 2.0))
    folder.write("train", StepRecord({}, "train-1"))
    (row,) = list_runs(Path("runs"))
    assert (row.path, row.kind, row.phase) == (Path("runs/photos"), "pipeline", Phase.STOPPED)
    said = nas("ls", "runs").out
    assert "photos" in said and "1 of the 2 steps that it has begun are done" in " ".join(said.split())
    said = nas("status", "runs/photos").out
    assert "its runs: nas ls runs/photos" in " ".join(said.split())
    folder.write("train", StepRecord({}, "train-1", {}, "accuracy 0.5", 2.0))
    assert not list_runs(folder.home)  # what is kept of steps is no run
    with folder.locked():
        assert list_runs(Path("runs"))[0].phase is Phase.RUNNING
    assert list_runs(Path("runs"))[0].phase is Phase.ENDED


def test_a_pipeline_that_is_damaged_has_one_too() -> None:
    folder = PipelineFolder.of(Path("runs/photos"))
    folder.record_file("search").write_text("no record")
    (row,) = list_runs(Path("runs"))
    assert row.phase is Phase.DAMAGED and "search.yaml" in row.note
