"""The examples of evaluators do what they say: a search, its front and finalists, resume, export, Ray."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import apart, nas, rows
from forks import FORKS

from nas.runs.state import RunState
from nas.space import load_space

EXAMPLES = Path(__file__).parents[2] / "examples"
SHORT = ("--workers", "0", "--trials", "3", "--epochs", "1")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in EXAMPLES.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)


def test_regression_is_minimised_from_search_to_export() -> None:
    finals = ("--finalists", "2", "--final-epochs", "2", "--final-seeds", "2")
    said = nas("search", "regression.yaml", "--evaluator", "regression.py:train", *SHORT, *finals)
    assert (said.code, said.err) == (0, "")
    assert "Evaluator regression.py:train: score mean absolute error, the lower the better." in said.out
    state = RunState.load(Path("runs/regression-1"))
    scores = [float(row["score"]) for row in rows(state.folder.trials_file)]
    best = state.best(3)
    assert [trial.score for trial in best] == sorted(scores)
    means = [one.mean for one in state.finalists]
    assert means == sorted(means) and state.winner == state.finalists[0]
    assert {one.trial.number for one in state.finalists} == {trial.number for trial in best[:2]}
    meta = load_space(state.folder.best_file).meta
    assert meta is not None and state.winner is not None
    assert (meta["trial"], meta["score"]) == (state.winner.trial.number, state.winner.trial.score)
    assert (meta["final_score"], meta["final_scores"]) == (min(means), list(state.winner.scores))
    assert meta["score"] in scores and "dataset" not in meta
    kept = {file.name for file in state.folder.weights_folder.glob("trial-*")}
    assert kept == {state.folder.weights_file(trial.number).name for trial in best}

    copy = "runs/regression-1/plugins/regression.py:train"
    refused = nas("resume", "runs/regression-1", "--trials", "4")
    assert refused.code == 2 and f"add --evaluator {copy}" in refused.err
    assert nas("resume", "runs/regression-1", "--trials", "4", "--evaluator", copy).code == 0
    again = RunState.load(Path("runs/regression-1"))
    assert again.trials[:3] == state.trials and len(again.trials) == 4

    said = nas("export", "runs/regression-1", "-o", "reader.py")
    assert said.code == 0, said.err
    code = "import torch, reader; print(tuple(reader.load()(torch.zeros(2, 1, 24, 24)).shape))"
    assert FORKS.run("-c", code, path=["."]) == (0, "(2, 1)\n")


def test_segmentation_trains_a_backbone_under_a_head_that_is_not_kept() -> None:
    said = nas(
        "search", "backbone.yaml", "--evaluator", "segmentation.py:train", *SHORT,
        "--objective", "score,flops", "--sampler", "random",
    )  # fmt: skip
    assert (said.code, said.err) == (0, "")
    assert "Front of score and MACs:" in said.out and "hypervolume" not in said.out
    state = RunState.load(Path("runs/backbone-1"))
    assert state.front and state.manifest.metric.name == "mean IoU"
    code = "import torch, best; print(best.load()(torch.zeros(1, 1, 24, 24)).dim())"
    assert FORKS.run("-c", code, path=[str(state.folder.path)]) == (0, "4\n")


@pytest.mark.slow
def test_an_evaluator_travels_to_ray() -> None:
    """Workers get the text of the file: they need not find it. Early stopping minimises too."""
    arguments = ("search", "regression.yaml", "--evaluator", "regression.py:train", "--workers", "1")
    said = apart(*arguments, "--trials", "4", "--epochs", "3", "--scheduler", "asha", "--name", "ray")
    assert said.code == 0, said
    here = apart(
        *arguments[:-1], "0", "--trials", "4", "--epochs", "3", "--scheduler", "asha", "--name", "here"
    )
    assert here.code == 0, here
    one, other = (RunState.load(Path("runs") / name) for name in ("ray", "here"))
    assert [(t.state, t.candidate) for t in one.trials] == [(t.state, t.candidate) for t in other.trials]
