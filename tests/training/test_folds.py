"""Cross-validation: one training for each fold, one score for all."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import pytest
import torch
from command_line import TINY, nas, rows

from nas.data.config import DataConfig
from nas.data.datasets import load_dataset, make_folds
from nas.graph.module import build_module
from nas.space import load_space
from nas.training.base import TrainingFailed
from nas.training.evaluator import ProxyEvaluator
from nas.training.folds import FoldedTraining
from nas.training.loop import ClassifierTraining, seed_everything
from nas.training.recipe import Recipe

RECIPE = Recipe(epochs=2, score="auc")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)


def test_a_score_is_that_of_the_mean_accuracies_of_the_folds() -> None:
    space = load_space(Path("tiny.yaml"))
    data = load_dataset(DataConfig("digits", 8, max_images=60, folds=3), seed=0)
    task = ProxyEvaluator(space, RECIPE, data, seed=0, folds=3)
    training = task(space.smallest(), 0)
    assert isinstance(training, FoldedTraining)

    alone = []
    for part in make_folds(data, 3):
        seed_everything(0)
        alone.append(ClassifierTraining(build_module(task.network(space.smallest())), part, RECIPE, seed=0))
    accuracies = []
    for epoch in (1, 2):
        assert not training.done
        result, parts = training.epoch(), [one.epoch() for one in alone]
        accuracies.append(sum(part.value for part in parts) / 3)
        assert result.epoch == epoch
        assert result.value == pytest.approx(accuracies[-1])
        assert result.loss == pytest.approx(fmean(part.loss or 0 for part in parts))
        assert result.score == pytest.approx(sum(accuracies) / epoch)
    assert training.done
    for name, weight in training.state_dict().items():
        assert torch.equal(weight, alone[0].state_dict()[name])


def test_a_time_limit_is_for_all_folds() -> None:
    space = load_space(Path("tiny.yaml"))
    data = load_dataset(DataConfig("digits", 8, max_images=60, folds=3), seed=0)
    task = ProxyEvaluator(space, RECIPE, data, seed=0, timeout_s=0.0003, folds=3)
    with pytest.raises(TrainingFailed, match=r"timeout: 0\.0001 s were over in epoch 1 of 2"):
        task(space.smallest(), 0).epoch()


def test_a_search_over_folds() -> None:
    said = nas(
        "search", "tiny.yaml", "--name", "mine", "--folds", "2", "--workers", "0", "--trials", "1",
        "--epochs", "1", "--max-images", "100",
    )  # fmt: skip
    assert said.code == 0
    assert (
        "Data digits: 10 classes, 1 channel, 50 images to train on, 50 to validate on, at 32 x 32."
        in said.out
    )
    assert "10 a class: a score steps by 0.0100" in said.out
    (row,) = rows(Path("runs/mine/trials.csv"))
    assert (100 * float(row["score"])) % 1 == pytest.approx(0, abs=1e-9)


def test_folds_that_are_none() -> None:
    said = nas("search", "tiny.yaml", "--folds", "0")
    assert (said.code, said.err) == (
        2, "error: nas search: folds: 0 is not a number of folds; "
        "it is a whole number of at least 1, such as 5\n"
    )  # fmt: skip
