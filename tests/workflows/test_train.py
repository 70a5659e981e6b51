"""Full trainings: what they leave, how they go on after a kill, what is refused."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import torch
from command_line import nas as run_nas
from PIL import Image
from safetensors.torch import load_file
from trainings import NETWORK, rows
from trainings import train_settings as settings

import nas
from nas.data.datasets import ImageData
from nas.data.folders import open_folder
from nas.data.images import Decoding, Pictures
from nas.data.layout import PLAIN
from nas.errors import InputError, NasError
from nas.kinds import dump_value
from nas.runs.folder import TrainingFolder
from nas.runs.training import FULL
from nas.training import loop
from nas.training.base import EpochResult, FailureReason, TrainingFailed
from nas.training.loop import ClassifierTraining
from nas.training.recipe import Recipe
from nas.workflows.train import forecast_training, preparation
from nas.workflows.train.epochs import make_training
from nas.workflows.train.finished import load_training
from nas.workflows.train.results import write_curves
from nas.workflows.train.values import TrainSession

pytestmark = pytest.mark.usefixtures("small_training")


def test_a_prediction_names_its_image_where_there_is_no_test_split() -> None:
    """Of a part that was drawn, and from which a copy has left."""
    for number in range(9):
        shutil.copy(f"images/train/blue/{number}.png", f"images/train/blue/copy{number}.png")
    nas.train("net.yaml", settings(1, dataset="imagefolder:images/train"), name="full")
    found = rows(Path("runs/full/predictions.csv"))
    assert len({row["image"] for row in found}) == len(found) > 10
    for row in found:
        assert Path("images/train", row["image"]).is_file() and row["image"].startswith(f"{row['class']}/")
    score = load_training(TrainingFolder(Path("runs/full"))).facts["Score"]
    assert score.endswith(
        f"on the {len(found)} validation images of imagefolder:images/train, by which the epoch was chosen"
    )


def test_a_training_leaves_figures_pictures_and_its_network() -> None:
    found = nas.train("net.yaml", settings(3), name="full")
    folder = Path("runs/full")
    assert found.folder == folder and len(found.history) == 3 and not found.stopped_early
    assert found.tested_on == "the 15 test images" and found.metrics.images == 15
    assert found.value == max(result.value for result in found.history)
    losses = [float(row["train_loss"]) for row in rows(folder / "metrics.csv")]
    assert losses == [result.loss for result in found.history]
    predictions = rows(folder / "predictions.csv")
    assert sorted(row["image"] for row in predictions)[0] == "test/blue/0.png"
    right = sum(row["class"] == row["predicted"] for row in predictions)
    assert right / 15 == pytest.approx(found.metrics.figures["accuracy"])
    classes = rows(folder / "classes.csv")
    assert [row["class"] for row in classes] == ["blue", "green", "red"]
    assert [int(row["images"]) for row in classes] == [5, 5, 5]
    confusion = rows(folder / "confusion.csv")
    assert sum(int(row[name]) for row in confusion for name in ("blue", "green", "red")) == 15
    for name in ("loss.svg", "accuracy.svg", "confusion.svg"):
        ET.fromstring((folder / name).read_text())  # our own
    with Image.open(folder / "worst.png") as sheet:
        assert sheet.width == 976 and sheet.height >= 44
    assert json.loads((folder / "figures.json").read_text())["accuracy"] == found.metrics.figures["accuracy"]
    # the exported network is that of the best epoch
    names = {file.name for file in found.exported}
    assert {"best.py", "best.safetensors"} <= names
    best = load_file(folder / "best.safetensors")
    kept = load_file(TrainingFolder(folder).epoch_file(found.best_epoch))
    assert all(torch.equal(best[name], value) for name, value in kept.items())


def test_the_test_split_is_read_once_and_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    own = open_folder(Path("images"), PLAIN)
    assert own.test is not None
    test = own.test()

    def read(indices: Any, resolution: int, progress: Decoding, *rendering: Any) -> Pictures:
        happened.append("test")
        return test.read(indices, resolution, progress, *rendering)

    spied = replace(own, test=lambda: replace(test, read=read))
    monkeypatch.setattr(preparation, "find_source", lambda *_: spied)

    class Hears(nas.TrainObserver):
        def epoch(self, result: EpochResult) -> None:
            happened.append(f"epoch {result.epoch}")

    nas.train("net.yaml", settings(2), Hears())
    assert happened == ["epoch 1", "epoch 2", "test"]


class Killed(BaseException):
    """Ends a training as no handler hears."""


@pytest.mark.parametrize(
    "recipe",
    [{}, {"optimizer": "adamw", "ema": None, "early_stop": 3}, {"policy": None, "cutmix": 0, "mixup": 0}],
    ids=["full", "adamw", "plain"],
)
def test_a_training_that_goes_on_ends_as_one_that_was_not_stopped(recipe: dict[str, Any]) -> None:
    whole = nas.train("net.yaml", settings(4, recipe=recipe), name="whole")

    left = 7  # within the second epoch of four steps

    class Kills(nas.TrainObserver):
        def step(self, done: int, steps: int) -> None:
            nonlocal left
            left -= 1
            if not left:
                raise Killed

    with pytest.raises(Killed):
        nas.train("net.yaml", settings(4, recipe=recipe), Kills(), name="part")
    assert len(rows(Path("runs/part/metrics.csv"))) == 1
    found = nas.resume("runs/part")
    assert isinstance(found, nas.TrainResult)
    assert [(r.loss, r.value) for r in found.history] == [(r.loss, r.value) for r in whole.history]
    assert found.metrics.loss == whole.metrics.loss
    with pytest.raises(InputError, match="runs/part: is finished"):
        nas.resume("runs/part")


def test_a_kill_before_the_last_curves_leaves_them_to_who_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(session: TrainSession) -> None:
        if len(session.history) == 2:
            raise Killed
        write_curves(session)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("nas.workflows.train.epochs.write_curves", write)
        nas.train("net.yaml", settings(2), name="part")
    assert len(rows(Path("runs/part/metrics.csv"))) == 1
    nas.resume("runs/part")
    assert len(rows(Path("runs/part/metrics.csv"))) == 2


@pytest.mark.parametrize("fraction", [1, 0.5])
def test_the_speed_is_that_of_the_images_that_are_trained_on(fraction: float) -> None:
    """Of 72 images, or 36, there are four batches of 16, or two; the first step counts too."""
    found = nas.train("net.yaml", settings(2, recipe={"fraction": fraction}), name="t")
    for row, result in zip(rows(Path("runs/t/metrics.csv")), found.history, strict=True):
        assert float(row["images_per_s"]) == pytest.approx(64 * fraction / result.seconds, abs=0.06)


def kill_after(command: list[str], table: Path, epochs: int, delay_s: float) -> None:
    """Run a command, and kill it some time after a table has so many rows."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            while (len(rows(table)) if table.exists() else 0) < epochs:
                assert process.poll() is None
                time.sleep(0.002)
            time.sleep(delay_s)
        finally:
            os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_training_that_is_killed_at_three_moments_ends_as_one_that_is_not() -> None:
    own = [sys.executable, "-m", "nas"]
    first = [
        *(*own, "train", "net.yaml", "--dataset", "imagefolder:images", "--epochs", "24", "--batch", "16"),
        *("--cpus", "1", "--device", "cpu"),
    ]
    again = [*own, "resume", "runs/part"]
    subprocess.run([*first, "--name", "whole"], check=True, capture_output=True)
    rng, table = random.Random(0), Path("runs/part/metrics.csv")
    for command, epochs in (([*first, "--name", "part"], 2), (again, 8), (again, 14)):
        kill_after(command, table, epochs + rng.randint(0, 4), 0.05 * rng.random())
    assert len(rows(table)) < 24
    subprocess.run(again, check=True, capture_output=True)
    whole, part = (rows(Path("runs", name, "metrics.csv")) for name in ("whole", "part"))
    assert len(whole) == 24
    for key in ("epoch", "train_loss", "val_accuracy"):
        assert [row[key] for row in part] == [row[key] for row in whole]
    assert Path("runs/part/predictions.csv").read_text() == Path("runs/whole/predictions.csv").read_text()


def test_a_new_classifier_is_trained_alone_or_faster_than_the_body() -> None:
    nas.train("net.yaml", settings(1), name="first")
    first = Path("runs/first/best.safetensors")
    before = load_file(first)
    linear = nas.train("net.yaml", settings(1, init=str(first), mode="linear"), name="linear")
    nas.train("net.yaml", settings(1, init=str(first), mode="finetune"), name="tuned")
    after, tuned = (load_file(Path("runs", name, "best.safetensors")) for name in ("linear", "tuned"))
    body = [name for name in before if not name.startswith("classifier")]
    assert all(torch.equal(before[name], after[name]) for name in body)
    assert not all(torch.equal(before[name], tuned[name]) for name in body)
    assert not torch.equal(before["classifier.linear.weight"], after["classifier.linear.weight"])
    assert linear.history[0].loss is not None


@pytest.fixture
def searched() -> str:
    config = {
        "space": "space.yaml", "dataset": "imagefolder:images", "trials": 1, "epochs": 1, "workers": 0,
        "in_process": True, "resolution": 16, "seed": 3, "recipe": {"epochs": 1},
    }  # fmt: skip
    del config["epochs"]
    Path("space.yaml").write_text(NETWORK.replace("out: 12", "out: {choice: [8, 12]}"))
    nas.search(nas.SearchConfig.from_data(config), name="run")
    return "runs/run"


def test_the_best_of_a_run_is_trained_on_its_data_from_its_weights(searched: str) -> None:
    given = {"cpus": 1, "device": "cpu", "init": "search", "recipe": {"epochs": 1, "batch": 16}}
    found = nas.train(searched, given, name="on")
    start = load_file("runs/on/initial.safetensors")
    assert all(torch.equal(start[n], v) for n, v in load_file("runs/run/best.safetensors").items())
    assert found.classes == ("blue", "green", "red")
    assert "seed: 3" in Path("runs/on/train.yaml").read_text()
    # with other classes its classifier is of no use
    for name in ("blue", "green"):
        for split in ("train", "val"):
            Path("two", split, name).parent.mkdir(parents=True, exist_ok=True)
            Path("two", split, name).symlink_to(Path("images", split, name).resolve())
    with pytest.raises(InputError) as error:
        nas.train(searched, {**given, "dataset": "imagefolder:two"})
    assert str(error.value) == (
        "--init search: data set imagefolder:two has 2 classes and runs/run has 3, the first are alike; "
        "train a new classifier by --mode finetune, or leave --init out"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("net.yaml", "--mode", "linear"), "mode: linear starts from weights that are trained, and none are"),
        (("mbconv",), "is a space with choices, and one network is trained"),
        (("net.yaml", "--init", "search"), "--init search: net.yaml is no run, and has no weights"),
        (("net.yaml", "--init", "none.safetensors"), "--init none.safetensors: cannot be read: No such file"),
        (("net.yaml", "--name", "taken"), "runs/taken: exists already; continue it with 'nas resume"),
        (("net.yaml", "--name", "a/b"), "--name: 'a/b' is not a folder name"),
        (("net.yaml", "--epochs", "0"), "recipe: epochs: 0 is not a number of epochs"),
        (("net.yaml", "--recipe", "score=best"), "recipe: score: a full training leaves the network of its"),
        (("net.yaml", "--trial", "0"), "--trial: net.yaml is a file, and trials are those of a run folder"),
        ((), "nas train: no network is named"),
    ],
)
def test_what_is_refused(given: tuple[str, ...], message: str) -> None:
    Path("runs/taken").mkdir(parents=True)
    said = run_nas("train", *given, "--dataset", "imagefolder:images")
    assert said.code == 2 and message in said.err
    assert said.err.count("\n") == 1
    assert [path.name for path in Path("runs").iterdir()] == ["taken"]


def test_a_test_class_that_no_image_is_trained_on_is_refused_before_anything_is_trained() -> None:
    Path("images/test/blue").rename("images/test/yellow")
    with pytest.raises(InputError, match="test has a class 'yellow' that the images to train on do not have"):
        nas.train("net.yaml", settings(1))
    assert not Path("runs").exists()


def test_a_test_split_of_which_no_image_can_be_read() -> None:
    whole = {file: file.read_bytes() for file in sorted(Path("images/test").rglob("*.png"))}
    for file in whole:
        file.write_bytes(b"no image")
    short = ("--epochs", "1", "--batch", "16", "--cpus", "1", "--device", "cpu", "--name", "own")
    said = run_nas("train", "net.yaml", "--dataset", "imagefolder:images", *short)
    assert said.code == 2 and said.err.count("\n") == 1
    assert said.err.startswith(
        "error: data set imagefolder:images: none of 15 images to test on can be read: "
        "images/test/blue/0.png (cannot identify image file '0.png'), "
    )
    assert said.err.endswith(
        " and 12 more; replace or remove them. No finished epoch is lost. Go on with: nas resume runs/own\n"
    )
    assert not Path("runs/own/figures.json").exists()
    for file, content in list(whole.items())[1:]:
        file.write_bytes(content)
    said = run_nas("resume", "runs/own")
    assert said.code == 0 and "1 of 15 test images cannot be read and are left out." in said.out
    assert "on the 14 test images" in " ".join(said.out.split())


HUGE = """\
name: huge
input: [3, 16, 16]
classes: 3
network:
  - conv: {out: 1000000, kernel: 1}
  - conv: {out: 1000000, kernel: 7}
  - classifier
"""
"""A network whose weights no address space has room for."""


@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["train", "forecast"])
def test_a_network_that_finds_no_memory(more: tuple[str, ...]) -> None:
    Path("net.yaml").write_text(HUGE)
    said = run_nas("train", "net.yaml", "--dataset", "imagefolder:images", "--device", "cpu", *more)
    assert said.code == 1 and said.err.count("\n") == 1, said
    assert said.err.startswith("error: the network cannot be trained: out_of_memory: ")
    assert said.err.endswith("; give a smaller --batch or --resolution\n")
    assert not Path("runs").exists()


def fill(*arguments: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory.")


def test_a_training_that_finds_no_memory_before_its_first_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "DeviceImages", fill)
    with pytest.raises(NasError) as error:
        nas.train("net.yaml", settings(1), name="own")
    assert str(error.value) == (
        "runs/own: the training failed: out_of_memory: CUDA out of memory.; give a smaller --batch or "
        "--resolution in a new training. No finished epoch is lost. Go on with: nas resume runs/own"
    )


def test_a_training_that_finds_no_memory_to_be_tested_in() -> None:
    with pytest.MonkeyPatch.context() as patch:

        class Fills(nas.TrainObserver):
            def testing(self, images: int) -> None:
                patch.setattr(loop, "DeviceImages", fill)

        with pytest.raises(NasError) as error:
            nas.train("net.yaml", settings(1), Fills(), name="own")
    assert str(error.value) == (
        "runs/own: the network cannot be tested: out_of_memory: CUDA out of memory.; free memory. No "
        "finished epoch is lost. Go on with: nas resume runs/own"
    )
    assert nas.resume("runs/own")


def test_a_checkpoint_that_is_damaged_is_refused() -> None:
    class Kills(nas.TrainObserver):
        def epoch(self, result: EpochResult) -> None:
            raise Killed

    with pytest.raises(Killed):
        nas.train("net.yaml", settings(2), Kills(), name="part")
    Path("runs/part/checkpoint.pt").write_bytes(b"nothing")
    said = run_nas("resume", "runs/part")
    assert said.code == 2 and "runs/part/checkpoint.pt: the checkpoint cannot be read" in said.err
    said = run_nas("resume", "runs/part", "--trials", "3")
    assert said.code == 2 and "trials: has no effect on a training that goes on" in said.err


def test_a_cluster_is_joined_where_it_is_named_again() -> None:
    class Kills(nas.TrainObserver):
        def epoch(self, result: EpochResult) -> None:
            raise Killed

    with pytest.raises(Killed):
        nas.train("net.yaml", settings(2), Kills(), name="part")
    manifest = Path("runs/part/train.yaml")
    text = manifest.read_text().replace("  workers: 0\n", "  workers: 1\n")
    manifest.write_text(text.replace("  address: local\n", "  address: 127.0.0.1:1\n"))
    said = run_nas("resume", "runs/part")
    assert (said.code, said.err) == (
        2,
        "error: runs/part: was trained with --address 127.0.0.1:1, and nothing that a run folder names is "
        "imported or connected to by itself; where you trust it, go on with: nas resume runs/part --address "
        "127.0.0.1:1\n",
    )
    found = nas.resume("runs/part", changes={"workers": 0})
    assert isinstance(found, nas.TrainResult) and len(found.history) == 2


def test_who_hears_another_kind_of_run_is_refused(searched: str) -> None:
    nas.train("net.yaml", settings(1), name="full")
    with pytest.raises(InputError, match="runs/full: is of a training; a nas"):
        nas.resume("runs/full", nas.Observer())
    with pytest.raises(InputError, match=f"^{searched}: is of no training; a nas"):
        nas.resume(searched, nas.TrainObserver())


def test_a_training_that_is_stopped_says_its_best(monkeypatch: pytest.MonkeyPatch) -> None:
    train = ClassifierTraining.epoch
    trained: list[EpochResult] = []

    def stop(training: ClassifierTraining) -> EpochResult:
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(train(training))
        return trained[-1]

    monkeypatch.setattr(ClassifierTraining, "epoch", stop)
    flags = ("--dataset", "imagefolder:images", "--epochs", "3", "--batch", "16", "--cpus", "1")
    said = run_nas("train", "net.yaml", *flags, "--name", "part")
    best = max(trained, key=lambda one: one.value)
    assert said.out.endswith(
        f"Best so far: epoch {best.epoch}, accuracy {best.value:.4f}. Its network is exported when the "
        "training has ended.\n"
    )
    assert said.code == 130 and said.err.endswith("Go on with: nas resume runs/part\n")


def test_the_documentation_has_the_recipe() -> None:
    page = (Path(nas.__file__).parents[1] / "docs" / "training.md").read_text()
    own = {key: value for key, value in FULL.to_data().items() if value != Recipe().to_data()[key]}
    assert own
    for key, value in own.items():
        assert f"| `{key}` | `{value if isinstance(value, str) else dump_value(value)}` |\n" in page


def test_a_dry_run_writes_nothing() -> None:
    said = run_nas("train", "net.yaml", "--dataset", "imagefolder:images", "--dry-run", "--batch", "16")
    assert said.code == 0 and "A training takes about" in said.out
    assert not Path("runs").exists()


def test_a_dry_run_of_what_cannot_be_trained() -> None:
    flags = ("--dataset", "imagefolder:images", "--dry-run", "--batch", "16", "--lr", "1e30")
    said = run_nas("train", "net.yaml", *flags)
    assert said.code == 1
    assert said.err.startswith("error: the network cannot be trained: nan_loss: ")
    assert said.err.endswith("; give a lower --lr\n") and not Path("runs").exists()


def test_a_forecast_validates_on_as_great_a_part_as_it_trains_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It trains on 256 images of 288, as statistics of batch norm take so many, and has 72 to validate on."""
    for file in [*Path("images/train").rglob("*.png"), *Path("images/val").rglob("*.png")]:
        for more in range(1, 4):
            with Image.open(file) as image:
                image.point([min(255, level + more) for level in range(256)] * 3).save(
                    file.with_name(f"{file.stem}-{more}.png")
                )
    seen: list[tuple[int, int]] = []

    def spy(config: Any, evaluator: Any, data: ImageData, *others: Any) -> ClassifierTraining:
        seen.append((len(data.train_labels), len(data.val_labels)))
        return make_training(config, evaluator, data, *others)

    monkeypatch.setattr("nas.workflows.train.make_training", spy)
    found = forecast_training("net.yaml", settings(2))
    assert seen == [(256, 64)] and found.epoch_s > 0
    assert found.images_per_s == pytest.approx(288 / found.epoch_s)


def test_a_training_leaves_in_every_format() -> None:
    """Its folder is taken where a run's is."""
    found = nas.train("net.yaml", settings(), name="t")
    nas.export("runs/t", "again.safetensors", format="safetensors")
    own, again = load_file(found.folder / "best.safetensors"), load_file("again.safetensors")
    assert own.keys() == again.keys() and all(torch.equal(own[name], again[name]) for name in own)
    said: list[str] = []
    nas.export("runs/t", "product", format="python,safetensors", progress=said.append)
    assert (
        all("accuracy" in line and "18 of the validation images" in line for line in said) and len(said) == 2
    )
    card = Path("product/README.md").read_text()
    assert f"Score | accuracy {found.metrics.figures['accuracy']:.4f} on the 15 test images" in card
    assert "`train.yaml` of t has its settings." in card
    assert Path("product/labels.txt").read_text().split() == ["blue", "green", "red"]
    assert run_nas("draw", "runs/t", "-o", "t.svg").code == 0 and Path("t.svg").is_file()
    (timed,) = nas.profile(["runs/t"], runtimes=["torch"], rounds=2).latencies
    assert timed.median_s > 0


def test_a_training_that_does_not_leave() -> None:
    nas.train("net.yaml", settings(), name="t")
    assert run_nas("export", "runs/t", "--trial", "1").err == (
        "error: --trial: runs/t is the folder of a training, and trials are those of a run folder; leave it "
        "out\n"
    )
    folder = TrainingFolder(Path("runs/t"))
    figures = folder.report_file.read_text()
    folder.report_file.write_text(figures.replace('"best_epoch": ', '"best_epoch": -'))
    with pytest.raises(
        InputError, match=r"figures\.json: is damaged \(a figure is no number\); restore it, or "
    ):
        nas.export("runs/t", "a.py")
    folder.report_file.unlink()
    with pytest.raises(InputError, match="is a training that is not finished; go on with: nas resume runs/t"):
        nas.export("runs/t", "a.py")
    assert not Path("a.py").exists()


def test_a_training_whose_batch_is_halved_has_each_epoch_once(monkeypatch: pytest.MonkeyPatch) -> None:
    train_epoch, calls = ClassifierTraining._train_epoch, 0

    def fail_in_the_second(training: ClassifierTraining, start: float) -> float:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise TrainingFailed(FailureReason.OUT_OF_MEMORY, "of another process")
        return train_epoch(training, start)

    monkeypatch.setattr(ClassifierTraining, "_train_epoch", fail_in_the_second)
    found = nas.train("net.yaml", settings(3), name="t")
    assert [(result.epoch, result.batch) for result in found.history] == [(1, 8), (2, 8), (3, 8)]
    assert [row["epoch"] for row in rows(Path("runs/t/metrics.csv"))] == ["1", "2", "3"]
