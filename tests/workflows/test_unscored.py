"""Searches of which no trial has a score: the last line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from instant import SPACE
from written_runs import write_run

from nas.errors import NasError
from nas.runs.state import RunState
from nas.study.records import Counts, TrialState
from nas.workflows.search import SearchResult, StopReason

WHY = "nan_loss: the training loss was nan in epoch 1; all reasons are in"


def explain(run: Path, reason: StopReason, fate: Callable[[int], str]) -> str:
    """Return what a search of three trials says of which no one has a score."""
    state = RunState.load(write_run(run, SPACE, 3, fate=fate).path)
    states = [trial.state for trial in state.trials]
    counts = Counts(**{one.value: states.count(one) for one in TrialState})
    with pytest.raises(NasError) as error:
        SearchResult(state, counts, reason).check()
    return str(error.value)


@pytest.mark.parametrize(
    ("reason", "way"),
    [
        (StopReason.FINISHED, "try more: nas resume {run} --trials 6"),
        (StopReason.TIME_LIMIT, "go on with: nas resume {run}"),
        (StopReason.EXHAUSTED, "start a new run"),
    ],
)
def test_trials_that_failed_are_said_to_have_failed(tmp_path: Path, reason: StopReason, way: str) -> None:
    """Whatever ended the search; networks that failed are not proposed again."""
    said = explain(run := tmp_path / "mine", reason, lambda number: "failed")
    told = f"{run}: no trial gave a score: {WHY} {run}/trials.csv. Mend the cause, then "
    assert said == told + way.format(run=run)


def test_a_trial_that_is_not_finished_needs_time(tmp_path: Path) -> None:
    said = explain(run := tmp_path / "mine", StopReason.TIME_LIMIT, lambda number: "running")
    assert said == f"{run}: no trial was finished in time; go on with more --time-limit"
