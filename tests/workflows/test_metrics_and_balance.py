"""Searches, trainings and comparisons by other metrics than accuracy, of classes that are uneven."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command_line import TINY
from command_line import nas as command
from PIL import Image

import nas
from nas.errors import InputError
from nas.report.parts.rivals import draw_scores
from nas.runs.comparison import VersusFolder
from nas.runs.folder import RunFolder, TrainingFolder
from nas.runs.manifest import Manifest
from nas.runs.state import RunState
from nas.training.base import ACCURACY_METRIC
from nas.training.recipe import LATER
from nas.workflows.train.finished import load_training
from nas.workflows.versus.verdict import Verdict

COUNTS = {"blue": 40, "red": 6}
DATA = ("--dataset", "imagefolder:images", "--resolution", "16")
SEARCH = ("search", "tiny.yaml", *DATA, "--trials", "2", "--epochs", "2", "--workers", "0")
BALANCED = ("--metric", "balanced-accuracy")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of two uneven classes, each of a colour, in noise."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("tiny.yaml").write_text(TINY)
    rng = np.random.default_rng(0)
    for place, (name, count) in enumerate(COUNTS.items()):
        for number in range(count):
            pixels = rng.integers(0, 150, (16, 16, 3))
            pixels[..., 2 * (1 - place)] += 40
            target = Path("images", name, f"{number}.png")
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(target)


def test_a_search_is_judged_by_another_metric_everywhere() -> None:
    said = command(*SEARCH, *BALANCED, "--name", "mine")
    assert said.code == 0, said
    assert "Networks are judged by balanced-accuracy on the images to validate on." in said.out
    assert (
        "Classes are uneven: 'blue' has 32 images to train on, 'red' has 5; accuracy is the share" in said.out
    )
    assert re.search(r"rank +balanced-accuracy +MACs", said.out)
    written = yaml.safe_load(Path("runs/mine/run.yaml").read_text())
    assert written["metric"] == {"name": "balanced-accuracy", "maximize": True, "range": [0, 1]}
    assert written["settings"]["recipe"]["metric"] == "balanced-accuracy"
    best = RunState.load(Path("runs/mine")).best(1)[0]
    assert f"Best: balanced-accuracy {best.score:.4f}" in command("status", "runs/mine").out
    assert (
        json.loads(command("show", "runs/mine", "--format", "json").out)["metric"]["name"]
        == "balanced-accuracy"
    )
    # 8 of the one class and 1 of the other are validated on: scores are halves of eighths
    assert best.score is not None and (16 * best.score).is_integer()
    said = command("resume", "runs/mine", "--trials", "3")
    assert said.code == 0 and len(RunState.load(Path("runs/mine")).trials) == 3
    assert command("report", "runs/mine").code == 0
    assert "balanced-accuracy" in Path("runs/mine/report.html").read_text()
    folder = RunFolder.open(Path("runs/mine"))
    assert "--metric balanced-accuracy" in Manifest.read(folder).start_command(folder)


def test_runs_of_before_there_was_a_metric_are_of_accuracy() -> None:
    assert command(*SEARCH, "--name", "mine").code == 0
    file = Path("runs/mine/run.yaml")
    written = yaml.safe_load(file.read_text())
    for key in LATER:
        del written["settings"]["recipe"][key]
    file.write_text(yaml.safe_dump(written))
    state = RunState.load(Path("runs/mine"))
    assert state.manifest.config.recipe.metric == state.objective.metric.name == "accuracy"
    assert state.manifest.config.recipe.balance == "none"
    terms = state.manifest.terms  # drivers of before go on with these
    assert not set(LATER) & set(terms["recipe"]) and "rank" not in terms
    assert command("resume", "runs/mine", "--trials", "3").code == 0


def test_a_front_and_a_reward_are_of_the_metric() -> None:
    said = command(*SEARCH, *BALANCED, "--objective", "score,flops", "--sampler", "nsga2", "--name", "front")
    assert said.code == 0, said
    assert "The best network is the one of the highest balanced-accuracy, whatever it costs." in said.out
    assert "of score 0 to 1 and 0 to" in said.out and "hypervolume" in said.out
    assert ACCURACY_METRIC.range == RunState.load(Path("runs/front")).manifest.metric.range


def test_a_training_is_judged_by_the_metric_of_its_run() -> None:
    assert command(*SEARCH, "--metric", "auc", "--name", "mine").code == 0
    given: dict[str, Any] = {"cpus": 1, "device": "cpu", "recipe": {"epochs": 2, "batch": 16}}
    found = nas.train("runs/mine", given, name="full")
    assert found.metric == "auc" and found.value == max(result.value for result in found.history)
    folder = Path("runs/full")
    assert (folder / "metrics.csv").read_text().startswith("epoch,train_loss,val_auc,seconds")
    figures = json.loads((folder / "figures.json").read_text())
    assert (figures["metric"], figures["val_auc"]) == ("auc", found.value)
    assert figures["auc"] == pytest.approx(found.value)  # there is no test split
    assert (folder / "auc.svg").exists() and not (folder / "accuracy.svg").exists()
    assert "Best: auc" in command("status", "runs/full").out
    fact = load_training(TrainingFolder(folder)).facts["Score"]
    assert fact.startswith(f"auc {figures['auc']:.4f} on the 9 validation images of") and fact in " ".join(
        (folder / "best.py").read_text().split()
    )
    said = command(
        "train", "runs/mine", "--metric", "macro-f1", "--epochs", "1", "--cpus", "1", "--device", "cpu"
    )
    assert said.code == 0 and "[1/1] loss" in said.out and ", macro-f1 0." in said.out, said
    assert "area under the ROC curve" in said.out


def test_a_training_of_before_is_of_accuracy() -> None:
    class Stops(nas.TrainObserver):
        def epoch(self, result: nas.EpochResult) -> None:
            raise KeyboardInterrupt

    given = {
        "dataset": "imagefolder:images",
        "cpus": 1,
        "device": "cpu",
        "input": 16,
        "recipe": {"epochs": 2},
    }
    Path("net.yaml").write_text(NETWORK)
    with pytest.raises(BaseException):  # noqa: B017
        nas.train("net.yaml", given, Stops(), name="old")
    file = Path("runs/old/train.yaml")
    written = yaml.safe_load(file.read_text())
    for key in LATER:
        del written["settings"]["recipe"][key]
    file.write_text(yaml.safe_dump(written))
    found = nas.resume("runs/old")
    assert isinstance(found, nas.TrainResult) and found.metric == "accuracy" and len(found.history) == 2


NETWORK = """\
name: small
input: [3, 16, 16]
classes: 2
network:
  - conv: {name: stem, out: 8, kernel: 3, stride: 2}
  - classifier
"""


def test_a_comparison_is_of_the_metric() -> None:
    Path("a.yaml").write_text(NETWORK)
    Path("b.yaml").write_text(NETWORK.replace("out: 8", "out: 6"))
    said = command(
        "versus", "a.yaml", "--baseline", "b.yaml", "--seeds", "2", *DATA, "--epochs", "1", "--workers", "0",
        *BALANCED,
    )  # fmt: skip
    assert said.code == 0, said
    folder = VersusFolder(Path("runs/versus-a"))
    file = folder.verdict_file
    written = json.loads(file.read_text())
    assert written["metric"] == "balanced-accuracy"
    verdict = Verdict.read(folder)
    assert verdict is not None and draw_scores(verdict).layout.xaxis.title.text == "balanced-accuracy"
    del written["metric"]
    file.write_text(json.dumps(written))
    verdict = Verdict.read(folder)
    assert verdict is not None and verdict.metric == "accuracy"


@pytest.mark.parametrize("balance", ["weights", "sampling"])
def test_rare_classes_are_found_where_classes_are_balanced(balance: str) -> None:
    """Without it the network that always says the frequent class has a lower loss at first."""
    given: dict[str, Any] = {
        "dataset": "imagefolder:images", "cpus": 1, "device": "cpu", "input": 16, "seed": 1,
        "recipe": {"epochs": 4, "batch": 16, "metric": "balanced-accuracy", "lr": 0.02, "mixup": 0,
                   "cutmix": 0, "policy": None, "ema": None},
    }  # fmt: skip
    Path("net.yaml").write_text(NETWORK)
    plain = nas.train("net.yaml", given)
    found = nas.train("net.yaml", {**given, "recipe": {**given["recipe"], "balance": balance}})
    assert found.metrics.recall[1] >= plain.metrics.recall[1]
    assert found.history[-1].loss != plain.history[-1].loss


@pytest.mark.parametrize("start", [SEARCH, ("train", "net.yaml", *DATA), ("versus", "net.yaml", *DATA)])
def test_a_metric_that_is_not_of_such_classes_is_refused_before_anything_is_written(
    start: tuple[str, ...],
) -> None:
    Path("net.yaml").write_text(NETWORK)
    said = command(*start, "--metric", "top-5")
    assert (said.code, said.err) == (
        2,
        "error: --metric top-5: needs more than 5 classes, and data set imagefolder:images has 2; give "
        "accuracy, balanced-accuracy or macro-f1\n",
    )
    assert not Path("runs").exists()


def test_unknown_metrics_and_balances() -> None:
    for flag, message in (
        (
            "--metric=f1",
            "recipe: metric: 'f1' is not a metric; it is accuracy, balanced-accuracy, macro-f1, top-5, auc "
            "or map",
        ),
        (
            "--balance=classes",
            "recipe: balance: 'classes' is not a balance of classes; it is none, weights or sampling",
        ),
    ):
        said = command(*SEARCH, flag)
        assert said.code == 2 and said.err == f"error: nas search: {message}\n"
    with pytest.raises(InputError):
        nas.SearchConfig.from_data({"space": "tiny.yaml", "recipe": {"metric": "score"}})
