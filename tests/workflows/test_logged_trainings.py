"""What is logged of full trainings: each epoch once while they train, whatever stops them."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from clusters import wait_until, works
from command_line import nas as command
from logs import forget_variables, loggers_of, scalars, trackio_rows, wandb_history, wandb_summary
from trainings import rows
from trainings import train_settings as settings

import nas
from nas.runs.folder import TrainingFolder
from nas.runs.training import TrainManifest
from nas.training.base import EpochResult

PLACE = Path("runs/mine/logs")
KEPT = {
    *("best.py", "best.safetensors", "best.pt", "network.yaml", "metrics.csv", "loss.svg", "accuracy.svg"),
    *("confusion.csv", "confusion.svg", "classes.csv"),
}


@pytest.fixture(autouse=True)
def folder(small_training: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    forget_variables(monkeypatch)
    with patch("nas.loggers.sender._PATIENCE_S", 110.0):
        yield


class Killed(BaseException):
    """Ends a training as no handler hears."""


class Heard(nas.TrainObserver):
    """Keeps what is noted, and may kill a training after an epoch."""

    def __init__(self, kill_after: int | None = None) -> None:
        self.lines: list[str] = []
        self._kill_after = kill_after

    def noted(self, text: str) -> None:
        self.lines.append(text)

    def epoch(self, result: EpochResult) -> None:
        if result.epoch == self._kill_after:
            raise Killed


def stop_and_go_on(log: str, epochs: int = 4) -> nas.TrainResult:
    """Train, with an end after the second epoch that nothing handles."""
    with patch("nas.loggers.sender._HURRY_S", 110.0), pytest.raises(Killed):
        nas.train("net.yaml", settings(epochs, log=log), Heard(2), name="mine")
    heard = Heard()
    found = nas.resume("runs/mine", heard, changes={"log": log})
    assert isinstance(found, nas.TrainResult)
    assert heard.lines == [f"Each epoch is logged to {log}: {found.logged[log]}"]
    return found


def curves() -> dict[str, list[tuple[int, Any]]]:
    """Return what metrics.csv has, as a library that has 32 bits of a number may give it."""
    table = rows(Path("runs/mine/metrics.csv"))
    names = ("train_loss", "val_accuracy", "seconds", "images_per_s")
    return {
        name: [(int(row["epoch"]), pytest.approx(float(row[name]), rel=1e-3, abs=1e-3)) for row in table]
        for name in names
    }


def rates(found: nas.TrainResult) -> list[tuple[int, Any]]:
    """Return the learning rate after each epoch, as the recipe has it: of 4 steps of 16 images."""
    assert len(found.history) == 4
    recipe = nas.TrainConfig.from_data({"network": "x", **settings(4)}).recipe
    return [(epoch, pytest.approx(recipe.compute_rate(4 * epoch - 1, 16))) for epoch in range(1, 5)]


def figures(found: nas.TrainResult) -> dict[str, Any]:
    cost = nas.load_space(Path("runs/mine/network.yaml")).architecture().cost
    tested = {f"test_{name}": value for name, value in found.metrics.figures.items() if value is not None}
    every = {"best_epoch": found.best_epoch, "best_val_accuracy": found.value, **cost.to_data(), **tested}
    return {name: pytest.approx(value) for name, value in every.items()}


# The setting


def test_a_library_that_is_not_installed_ends_a_training_before_it_begins() -> None:
    given = ("net.yaml", "--dataset", "imagefolder:images", "--log", "wandb")
    message = "log: wandb: needs wandb, which is not installed; install it with: pip install wandb"
    with patch("nas.exporters.find_spec", lambda name: None):
        for more in ((), ("--dry-run",)):
            said = command("train", *given, *more)
            assert (said.code, said.out, said.err) == (2, "", f"error: {message}\n")
    said = command("train", *given[:-1], "wand")
    assert said.code == 2 and "log: 'wand' is not a logger; did you mean 'wandb'?" in said.err
    assert not Path("runs").exists()


def test_what_a_folder_names_is_logged_to_where_it_is_named_again() -> None:
    """And no more, where it is not to be."""
    with pytest.raises(Killed):
        nas.train("net.yaml", settings(3), Heard(1), name="mine")
    manifest = Path("runs/mine/train.yaml")
    manifest.write_text(manifest.read_text().replace("  log: null\n", "  log: mlflow,wandb\n"))
    said = command("resume", "runs/mine")
    assert (said.code, said.err) == (
        2,
        "error: runs/mine: was trained with --log mlflow,wandb, and nothing that a run folder names is "
        "imported or connected to by itself; where you trust it, go on with: nas resume runs/mine --log "
        "mlflow,wandb\n",
    )
    with pytest.raises(Killed):
        nas.resume("runs/mine", Heard(2), changes={"log": "none"})
    goes_on = TrainManifest.read(TrainingFolder(Path("runs/mine"))).command(Path("runs/mine"))
    assert goes_on == "nas resume runs/mine" and not PLACE.exists()


# What each has


@pytest.mark.slow
def test_tensorboard_has_each_epoch_while_it_trains() -> None:
    pytest.importorskip("tensorboard")
    seen: list[int] = []

    class Looks(nas.TrainObserver):
        def epoch(self, result: EpochResult) -> None:
            last: Any = (result.epoch, pytest.approx(result.value))
            wait_until(lambda: scalar("epoch/val_accuracy")[-1:] == [last])
            seen.append(result.epoch)

    def scalar(tag: str) -> list[tuple[int, float]]:
        return scalars(PLACE / "tensorboard/training").get(tag, [])

    found = nas.train("net.yaml", settings(4, log="tensorboard"), Looks(), name="mine")
    assert seen == [1, 2, 3, 4]
    assert found.logged == {"tensorboard": "tensorboard --logdir runs/mine/logs/tensorboard"}
    whole = scalars(PLACE / "tensorboard/training")
    for name, curve in curves().items():
        assert whole[f"epoch/{name}"] == curve, name
    assert whole["epoch/lr"] == rates(found)
    assert {tag: points for tag, points in whole.items() if tag.startswith("training/")} == {
        f"training/{name}": [(0, value)] for name, value in figures(found).items()
    }
    assert {"_hparams_/session_start_info", "best"} <= whole.keys()


@pytest.mark.slow
def test_mlflow_has_each_epoch_once_in_one_run() -> None:
    pytest.importorskip("mlflow")
    found = stop_and_go_on("mlflow")
    assert found.logged == {
        "mlflow": "mlflow ui --backend-store-uri sqlite:///runs/mine/logs/mlflow/mlflow.db"
    }
    with sqlite3.connect(PLACE / "mlflow" / "mlflow.db") as store:
        ((key, name, state),) = store.execute("select run_uuid, name, status from runs").fetchall()
        assert (name, state) == ("mine", "FINISHED")
        points = store.execute("select key, step, value from metrics where step > 0").fetchall()
        written = {name: sorted((at, v) for own, at, v in points if own == name) for name, _, _ in points}
        assert written == {**curves(), "lr": rates(found)}
        single = store.execute("select key, value from metrics where step = 0").fetchall()
        assert len(single) == len(figures(found)) and dict(single) == figures(found)
        params = dict(store.execute("select key, value from params"))
        assert (params["recipe.epochs"], params["recipe.lr"], params["mode"]) == ("4", "0.1", "scratch")
    kept = PLACE / "mlflow" / "artifacts" / key / "artifacts" / "best"
    assert {file.name for file in kept.iterdir()} == KEPT
    for name in KEPT:
        assert (kept / name).read_bytes() == Path("runs/mine", name).read_bytes()


@pytest.mark.slow
def test_wandb_has_each_epoch_once_in_one_run() -> None:
    pytest.importorskip("wandb")
    found = stop_and_go_on("wandb")
    assert found.logged == {"wandb": "wandb leet runs/mine/logs/wandb/wandb"}
    (file,) = (PLACE / "wandb" / "wandb").glob("offline-run-*/*.wandb")
    points = wandb_history(file)
    for name, curve in {**curves(), "lr": rates(found)}.items():
        assert [(point["_step"], point[name]) for point in points] == curve, name
    said = wandb_summary(file)
    assert said["summary"].items() >= figures(found).items()
    assert said["config"]["recipe.epochs"] == 4 and said["config"]["log"] == "wandb"


@pytest.mark.slow
def test_trackio_has_each_epoch_once_in_one_run() -> None:
    pytest.importorskip("trackio")
    found = stop_and_go_on("trackio")
    place = "runs/mine/logs/trackio"
    assert found.logged == {"trackio": f"TRACKIO_DIR={place} trackio show --project mine"}
    written = trackio_rows(place, "mine")
    assert {name for name, _, _ in written} == {"training"}
    epochs = sorted(((step, values) for _, step, values in written if step > 0), key=lambda pair: pair[0])
    for name, curve in {**curves(), "lr": rates(found)}.items():
        assert [(step, values[name]) for step, values in epochs] == curve, name
    single = [pair for _, step, values in written if step == 0 for pair in values.items()]
    assert len(single) == len(figures(found))
    assert dict(single) == {f"training/{name}": value for name, value in figures(found).items()}
    blobs = {file.read_bytes() for file in Path(place, "artifacts").rglob("*") if file.is_file()}
    assert {Path("runs/mine", name).read_bytes() for name in KEPT} <= blobs


# What goes wrong


KILLED = """\
import os, signal, sys
from pathlib import Path

import nas
from clusters import wait_until
from logs import scalars
from trainings import train_settings

place = Path("runs/mine/logs")

class Kills(nas.TrainObserver):
    def epoch(self, result):
        if result.epoch == 5:
            wait_until(lambda: len(scalars(place / "tensorboard/training").get("epoch/images_per_s", ())) > 3)
            wait_until(lambda: "wandb" not in sys.argv[1] or [*place.glob("wandb/wandb/*/*.wandb")])
            os.kill(os.getpid(), signal.SIGKILL)

nas.train("net.yaml", train_settings(8, log=sys.argv[1]), Kills(), name="mine")
"""
"""Is killed after its fifth epoch, when a fourth one at least is logged."""


@pytest.mark.slow
def test_a_training_that_is_killed_has_each_epoch_once_when_it_goes_on() -> None:
    """Its loggers end with it; what one had half written of an epoch is written again."""
    pytest.importorskip("tensorboard")
    log = "tensorboard,wandb" if find_spec("wandb") else "tensorboard"
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", KILLED, log], env=here) as process:
        wait_until(lambda: len(loggers_of(process.pid)) == len(log.split(",")))
        loggers = loggers_of(process.pid)
    assert process.returncode == -signal.SIGKILL
    wait_until(lambda: not any(map(works, loggers)))
    place = PLACE / "tensorboard" / "training"
    (file,) = place.glob("events.*")
    os.truncate(file, file.stat().st_size - 9)
    said = command("resume", "runs/mine", "--log", log)
    assert said.code == 0, said.err
    assert "Logged to tensorboard: tensorboard --logdir runs/mine/logs/tensorboard\n" in said.out
    whole = scalars(place)
    for name, curve in curves().items():
        assert whole[f"epoch/{name}"] == curve and len(curve) == 8, name
    for file in PLACE.glob("wandb/wandb/*/*.wandb"):
        assert [point["_step"] for point in wandb_history(file)] == list(range(1, 9))


@pytest.mark.slow
def test_a_logger_that_fails_ends_no_training() -> None:
    pytest.importorskip("tensorboard")
    place = put_in_the_way()
    heard = Heard()
    found = nas.resume("runs/mine", heard, changes={"log": "tensorboard"})
    assert isinstance(found, nas.TrainResult) and len(found.history) == 4 and not found.logged
    _, said = heard.lines
    assert said.startswith("Nothing more is logged to tensorboard: ") and str(place) in said


@pytest.mark.slow
def test_a_logger_that_is_new_or_mended_gets_all_epochs() -> None:
    pytest.importorskip("tensorboard")
    place = put_in_the_way()
    with patch("nas.loggers.sender._HURRY_S", 60.0), pytest.raises(Killed):
        nas.resume("runs/mine", Heard(2), changes={"log": "tensorboard"})
    place.unlink()
    nas.resume("runs/mine", changes={"log": "tensorboard"})
    assert len(curves()["train_loss"]) == 4
    assert scalars(place)["epoch/train_loss"] == curves()["train_loss"]


def put_in_the_way() -> Path:
    """Train an epoch of four, and put a file where TensorBoard is to have a folder."""
    with pytest.raises(Killed):
        nas.train("net.yaml", settings(4), Heard(1), name="mine")
    place = PLACE / "tensorboard" / "training"
    place.parent.mkdir(parents=True)
    place.write_text("in the way")
    return place


def test_a_place_that_cannot_be_written_ends_no_training() -> None:
    with pytest.raises(Killed):
        nas.train("net.yaml", settings(2), Heard(1), name="mine")
    (PLACE / "tensorboard/logged.txt").mkdir(parents=True)
    heard = Heard()
    found = nas.resume("runs/mine", heard, changes={"log": "tensorboard"})
    assert isinstance(found, nas.TrainResult) and len(found.history) == 2 and not found.logged
    (said,) = heard.lines
    assert said.startswith("Nothing more is logged to tensorboard: ") and "logged.txt" in said
