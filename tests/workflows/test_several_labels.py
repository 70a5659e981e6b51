"""Images of several labels each, from a table to an export."""

from __future__ import annotations

import csv
import io
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
from rich.console import Console
from sklearn.metrics import average_precision_score, f1_score
from trainings import NETWORK

import nas
from nas.errors import InputError
from nas.report.training import print_training
from nas.runs.comparison import VersusFolder
from nas.runs.state import RunState
from nas.workflows.versus.verdict import Verdict

COLOURS = ("red", "green", "blue")
SEARCH = (
    "search", "tiny.yaml", "--dataset", "csv:images.csv", "--resolution", "16", "--trials", "2",
    "--epochs", "2", "--workers", "0", "--recipe", "batch=16",
)  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of noise, to which colours are added: each is a label."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("tiny.yaml").write_text(TINY)
    write_images({"train": 90, "val": 40})


def write_images(counts: dict[str, int]) -> None:
    rng = np.random.default_rng(0)
    rows = []
    Path("images").mkdir(exist_ok=True)
    for split, count in counts.items():
        for number in range(count):
            has = rng.random(3) < (0.5, 0.4, 0.25)
            pixels = rng.integers(0, 120, (16, 16, 3)) + 60 * has
            name = f"images/{split}{number}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(name)
            rows.append((name, ";".join(np.array(COLOURS)[has]), split))
    with Path("images.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "labels", "split"), *rows])


def rows(file: str) -> list[dict[str, str]]:
    with Path(file).open() as content:
        return list(csv.DictReader(content))


@pytest.mark.slow
def test_a_search_is_judged_by_mean_average_precision_and_exports_its_network() -> None:
    said = command(*SEARCH, "--name", "mine")
    assert said.code == 0, said
    assert "Images have several labels, or none" in said.out
    assert "Networks are judged by map on the images to validate on." in said.out
    written = yaml.safe_load(Path("runs/mine/run.yaml").read_text())
    assert (
        written["metric"] == {"name": "map", "maximize": True, "range": [0, 1]}
        and written["data"]["multi_label"] is True
    )
    assert written["settings"]["recipe"]["metric"] == "map"
    best = RunState.load(Path("runs/mine")).best(1)[0]
    assert best.score is not None and f"Best: map {best.score:.4f}" in command("status", "runs/mine").out
    assert command("show", "runs/mine").code == command("report", "runs/mine").code == 0
    assert command("resume", "runs/mine", "--trials", "3").code == 0
    said = command("export", "runs/mine", "--format", "python", "-o", "left/")
    assert said.code == 0, said
    assert re.search(r"100\.0 % of decisions equal, right decisions 0\.\d+ before", said.out + said.err)
    card = Path("left/README.md").read_text()
    assert "the sigmoid, not the softmax, is the probability of each label" in card
    assert "| equal decisions | right decisions before |" in card
    assert Path("left/labels.txt").read_text() == "blue\ngreen\nred\n"
    assert json.loads(Path("left/preprocess.json").read_text())["outputs"].startswith("sigmoid")
    assert np.load("left/samples.npz")["labels"].shape == (4, 3)


def test_a_training_leaves_figures_of_each_label() -> None:
    assert command(*SEARCH, "--name", "mine").code == 0
    given: dict[str, Any] = {
        "cpus": 1, "device": "cpu", "recipe": {"epochs": 6, "batch": 16, "mixup": 0.2, "cutmix": 1.0,
        "balance": "weights", "policy": None, "lr": 0.1},
    }  # fmt: skip
    write_images({"train": 90, "val": 40, "test": 60})
    found = nas.train("runs/mine", given, name="full")
    assert found.metric == "map" and found.value > 0.6
    found_rows = rows("runs/full/predictions.csv")
    assert len(found_rows) == 60
    labels = np.array([[name in row["labels"].split(";") for name in found.classes] for row in found_rows])
    shares = np.array([[float(row[f"p({name})"]) for name in found.classes] for row in found_rows])
    figures = json.loads(Path("runs/full/figures.json").read_text())
    assert "accuracy" not in figures and not Path("runs/full/confusion.csv").exists()
    wanted = average_precision_score(labels, shares, average=None)
    assert figures["mean_average_precision"] == pytest.approx(wanted.mean(), abs=0.01)  # of four digits
    own = rows("runs/full/classes.csv")
    assert [float(row["average_precision"]) for row in own] == pytest.approx(wanted, abs=0.01)
    assert [int(row["images"]) for row in own] == labels.sum(0).tolist()
    assert figures["micro_f1"] == pytest.approx(f1_score(labels, shares >= 0.5, average="micro"), abs=0.01)
    assert Path("runs/full/worst.png").stat().st_size > 1000
    assert "Best: map" in command("status", "runs/full").out
    screen = Console(file=io.StringIO(), width=100)
    print_training(found, screen)
    said = screen.file.getvalue()  # type: ignore[attr-defined]
    assert f"mean average precision   {figures['mean_average_precision']:.4f}" in said
    assert "Classes of the lowest average precision: " in said and "confusion" not in said
    text = Path("runs/full/best.py").read_text()
    assert "each by the sigmoid of its output" in " ".join(text.split())


def test_a_prescreen_folds_copies_and_a_fraction_go_with_several_labels() -> None:
    table = Path("images.csv").read_text().replace(",val", ",train").splitlines()
    Path("images/copy.png").write_bytes(Path(table[1].split(",")[0]).read_bytes())
    Path("images.csv").write_text("\n".join([*table, "images/copy.png," + table[1].split(",")[1] + ",train"]))
    said = command(
        *SEARCH,
        "--folds",
        "3",
        "--prescreen",
        "grad_norm:2",
        "--recipe",
        "fraction=0.5",
        "--balance",
        "weights",
    )
    assert said.code == 0, said
    assert "1 of 131 images is a copy by its pixels" in said.out
    assert all(trial.score for trial in RunState.load(Path("runs/tiny-1")).trials)


@pytest.mark.slow
def test_a_comparison_is_by_mean_average_precision() -> None:
    Path("net.yaml").write_text(NETWORK)
    Path("thin.yaml").write_text(NETWORK.replace("small", "thin").replace("out: 12", "out: 11"))
    write_images({"train": 60, "val": 20, "test": 30})
    said = command(
        "versus", "net.yaml", "--baseline", "thin.yaml", "--seeds", "2", "--dataset", "csv:images.csv",
        "--epochs", "1", "--workers", "0", "--recipe", "batch=16",
    )  # fmt: skip
    assert said.code == 0, said
    verdict = Verdict.read(VersusFolder(Path("runs/versus-net")))
    assert verdict is not None and verdict.metric == "map" and "30 test images" in verdict.tested_on
    assert all(0 < score < 1 for one in verdict.standings for score in one.scores if score is not None)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--metric", "macro-f1"),
            "--metric macro-f1: is of images with one label each, and those of data set csv:images.csv have "
            "several labels; give map, or leave it out",
        ),
        (
            ("--balance", "sampling"),
            "--balance sampling: draws as many images of each class, and an image of data set csv:images.csv "
            "has several labels; give --balance weights",
        ),
    ],
)
def test_what_is_of_one_label_is_refused_before_anything_trains(flags: tuple[str, ...], message: str) -> None:
    said = command(*SEARCH, *flags)
    assert said.code == 2 and message in " ".join(said.err.split())
    assert not Path("runs").exists()


def test_map_of_one_label_an_image_is_refused() -> None:
    said = command("search", "tiny.yaml", "--dataset", "digits", "--metric", "map", "--workers", "0")
    assert said.code == 2
    assert (
        "--metric map: is of images with several labels each, and those of data set digits have one label; "
        "give accuracy, balanced-accuracy or macro-f1"
    ) in " ".join(said.err.split())


def test_a_teacher_is_refused() -> None:
    assert command(*SEARCH, "--name", "mine").code == 0
    given = {"cpus": 1, "device": "cpu", "teacher": "runs/mine", "recipe": {"epochs": 1, "batch": 16}}
    with pytest.raises(InputError) as error:
        nas.train("runs/mine", given, name="full")
    assert "--teacher runs/mine: teaches one label an image, and an image of data set csv:" in str(
        error.value
    )
