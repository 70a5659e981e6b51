"""Scores of learning curves, and that a search uses the one it is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import SHORT, TINY, nas
from hypothesis import given
from hypothesis import strategies as st

from nas.runs.state import RunState
from nas.training.scores import SCORES, auc, best, extrapolated, fit_power_law, last, mean_last_k

curves = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def test_what_they_are() -> None:
    curve = [0.2, 0.6, 0.5, 0.9, 0.7]
    assert (last(curve), best(curve)) == (0.7, 0.9)
    assert mean_last_k(curve) == pytest.approx(0.7) and mean_last_k([0.4, 0.6]) == pytest.approx(0.5)
    assert auc(curve) == pytest.approx(0.58)


@given(curves)
def test_every_score_is_an_accuracy(curve: list[float]) -> None:
    for score in SCORES.values():
        assert 0 <= score(curve) <= 1
    mean, deviation = fit_power_law(curve)
    assert mean == extrapolated(curve) and 0 < deviation < 1


@pytest.mark.parametrize(("limit", "rise", "exponent"), [(0.9, 0.6, 0.5), (0.7, 0.3, 1.0), (0.95, 0.8, 1.5)])
def test_a_power_law_is_continued(limit: float, rise: float, exponent: float) -> None:
    """From 20 epochs with a noise of 0.01 to the 200th, within three of the deviations that it states."""
    epochs = np.arange(1, 21)
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(0, 0.01, 20)
        curve = np.clip(limit - rise * epochs**-exponent + noise, 0, 1).tolist()
        found = fit_power_law(curve)
        assert abs(found.mean - (limit - rise * 200**-exponent)) < 3 * found.deviation < 0.3


def test_more_epochs_make_it_surer() -> None:
    curve = [0.8 - 0.5 / n for n in range(1, 31)]
    deviations = [fit_power_law(curve[:n]).deviation for n in (3, 6, 12, 30)]
    assert deviations == sorted(deviations, reverse=True)


def test_a_search_ranks_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    flags = ("--workers", "0", "--trials", "2", *SHORT, "--epochs", "3", "--score", "auc")
    assert nas("search", "tiny.yaml", "--name", "mine", *flags).code == 0
    for trial in RunState.load(Path("runs/mine")).trials:
        assert trial.score == pytest.approx(np.mean([*trial.curve.values()]))
        assert len(trial.curve) == 3


def test_an_unknown_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    said = nas("search", "tiny.yaml", "--score", "mean")
    assert (said.code, said.err) == (
        2,
        "error: nas search: recipe: score: 'mean' is not a score; it is last, best, mean_last_k, auc or "
        "extrapolated\n",
    )
