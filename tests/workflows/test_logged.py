"""What is logged of searches: each library reads back what it was given, once, whatever ends a search."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from clusters import wait_until, works
from command_line import SHORT
from command_line import command as line
from command_line import nas as command
from instant import Instant, config
from logs import forget_variables, loggers_of, scalars, trackio_rows, wandb_history, wandb_summary

import nas
from nas.errors import InputError
from nas.exporters import check_installed
from nas.kinds import join_or
from nas.loggers import LOGGERS, NAMES
from nas.runs.config import SearchConfig
from nas.runs.state import RunState
from nas.study.records import Trial
from nas.workflows.observer import Observer

PLACE = Path("runs/mine/logs")


class Noted(Observer):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def noted(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(autouse=True)
def folder(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    forget_variables(monkeypatch)
    with patch("nas.loggers.sender._PATIENCE_S", 110.0):
        yield tiny_folder


def search(log: str, observer: Observer | None = None, **settings: Any) -> nas.SearchResult:
    """Search, in silence where nobody hears."""
    heard = Noted()
    given = config(log=log, **settings)
    result = nas.search(given, observer or heard, evaluator=Instant(epochs=3), name="mine")
    assert not heard.lines
    return result


def resume(log: str, **changes: Any) -> nas.SearchResult:
    heard, changes = Noted(), {"log": log, **changes}
    result = nas.resume("runs/mine", heard, changes=changes, evaluator=Instant(epochs=3))
    assert isinstance(result, nas.SearchResult) and not heard.lines
    return result


# The setting


@pytest.mark.parametrize(
    ("plain", "names"),
    [
        (None, ()),
        ("none", ()),
        ("tensorboard", ("tensorboard",)),
        ("wandb, mlflow", ("wandb", "mlflow")),
        (["mlflow,wandb", "mlflow"], ("mlflow", "wandb")),
    ],
)
def test_loggers_are_named(plain: Any, names: tuple[str, ...]) -> None:
    assert NAMES.read(plain) == names and NAMES.read(NAMES.write(names)) == names


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ("tensorbord", "log: 'tensorbord' is not a logger; did you mean 'tensorboard'?"),
        ("", f"log: '' is not a logger; allowed: {', '.join(sorted(LOGGERS))}"),
        ("wandb,none", f"log: 'none' is not a logger; allowed: {', '.join(sorted(LOGGERS))}"),
        (3, "log: 3 is not a list of loggers; each is " + join_or(LOGGERS)),
    ],
)
def test_what_is_no_logger_is_refused(plain: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        SearchConfig.from_data({"space": "tiny.yaml", "log": plain}, "test")
    assert str(error.value) == f"test: {message}"


def test_a_library_that_is_not_installed_ends_a_search_before_it_begins() -> None:
    with patch("nas.exporters.find_spec", lambda name: None):
        said = command("search", "tiny.yaml", "--log", "wandb", "--workers", "0")
    message = "log: wandb: needs wandb, which is not installed; install it with: pip install wandb"
    assert (said.code, said.out, said.err) == (2, "", f"error: {message}\n")
    assert not Path("runs").exists()


def test_a_place_that_cannot_be_written_ends_no_search() -> None:
    heard = Noted()
    search("none")
    (PLACE / "tensorboard/logged.txt").mkdir(parents=True)
    result = nas.resume(
        "runs/mine", heard, changes={"log": "tensorboard", "trials": 5}, evaluator=Instant(epochs=3)
    )
    assert isinstance(result, nas.SearchResult) and result.counts.complete == 5
    (said,) = heard.lines
    assert "tensorboard" in said and "logged.txt" in said


def test_a_folder_is_no_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that wandb has made where one works."""
    monkeypatch.syspath_prepend(str(folder))
    (folder / "no_such_library").mkdir()
    with pytest.raises(InputError, match="needs no-such-library, which is not installed"):
        check_installed("log: it", ["no_such_library"])


# What each has


def steps(trial: Trial) -> list[tuple[int, Any]]:
    """Return the curve of a trial, as a library that has 32 bits of a number may give it."""
    return [(epoch, pytest.approx(value)) for epoch, value in sorted(trial.curve.items())]


def figures(trial: Trial) -> dict[str, Any]:
    exact = {"score": trial.score, **trial.candidate.figures, "seconds": trial.result.seconds}
    return {name: pytest.approx(value) for name, value in exact.items()}


def forget_last(name: str) -> None:
    """Leave the notes as a kill does between what is written and its note."""
    notes = PLACE / name / "logged.txt"
    *others, last = notes.read_text().splitlines(keepends=True)
    assert last == "trial-00002\n"
    notes.write_text("".join(others))


@pytest.mark.slow
def test_tensorboard_has_each_trial_once() -> None:
    pytest.importorskip("tensorboard")
    result = search("tensorboard")
    assert result.logged == {"tensorboard": "tensorboard --logdir runs/mine/logs/tensorboard"}
    place = PLACE / "tensorboard"
    for trial in result.state.trials:
        found = scalars(place / f"trial-{trial.number:05d}")
        assert found["epoch/accuracy"] == steps(trial)
        assert {tag: points for tag, points in found.items() if tag.startswith("trial/")} == {
            f"trial/{name}": [(trial.number, value)] for name, value in figures(trial).items()
        }
        assert "_hparams_/session_start_info" in found
    assert "best" in scalars(place / "best")
    before = sorted(place.glob("trial-*/*"))
    with pytest.raises(InputError, match="was searched with --log tensorboard, and nothing that a run"):
        nas.resume("runs/mine", evaluator=Instant(epochs=3))
    forget_last("tensorboard")
    again = resume("tensorboard", trials=5, finalists=1, final_epochs=4, final_seeds=2)
    after = sorted(place.glob("*-*/*"))
    assert len(after) == 7 and len({file.parent for file in after}) == 7
    assert sum(file in before for file in after) == 2
    for final in again.state.finals:
        assert scalars(place / f"final-{final.number:05d}")["epoch/accuracy"] == steps(final)


@pytest.mark.slow
def test_mlflow_has_each_trial_once() -> None:
    pytest.importorskip("mlflow")
    result = search("mlflow")
    uri = "sqlite:///runs/mine/logs/mlflow/mlflow.db"
    assert result.logged == {"mlflow": f"mlflow ui --backend-store-uri {uri}"}
    forget_last("mlflow")
    trials = resume("mlflow", trials=4).state.trials
    with sqlite3.connect(PLACE / "mlflow" / "mlflow.db") as store:
        runs = dict(
            store.execute("select name, run_uuid from runs where lifecycle_stage = 'active'").fetchall()
        )
        assert sorted(runs) == ["mine", *(f"trial-0000{n}" for n in range(4))]
        for trial in trials:
            key = runs[f"trial-0000{trial.number}"]
            points = store.execute("select key, step, value from metrics where run_uuid = ?", [key])
            found = sorted(points.fetchall())
            assert [(at, value) for name, at, value in found if name == "accuracy"] == steps(trial)
            assert {name: value for name, _, value in found if name != "accuracy"} == figures(trial)
            params = dict(store.execute("select key, value from params where run_uuid = ?", [key]))
            assert params == {name: str(option) for name, option in trial.candidate.choices.items()}
            tags = dict(store.execute("select key, value from tags where run_uuid = ?", [key]))
            assert tags["mlflow.parentRunId"] == runs["mine"]
    kept = PLACE / "mlflow" / "artifacts" / runs["mine"] / "artifacts" / "best"
    for name in ("best.yaml", "best.py", "best.safetensors"):
        assert (kept / name).read_bytes() == Path("runs/mine", name).read_bytes()
    Path("runs/mine").rename("moved")
    heard = Noted()
    nas.resume("moved", heard, changes={"log": "mlflow"}, evaluator=Instant(epochs=3))
    assert heard.lines[0].startswith(
        "Nothing more is logged to mlflow: NasError: its files would go to file:"
    )
    assert not Path("runs/mine").exists()


@pytest.mark.slow
def test_wandb_has_each_trial_once_and_is_offline() -> None:
    pytest.importorskip("wandb")
    result = search("wandb")
    assert result.logged == {"wandb": "wandb leet runs/mine/logs/wandb/wandb"}
    forget_last("wandb")
    trials = resume("wandb", trials=4).state.trials
    place = PLACE / "wandb" / "wandb"
    assert len(list(place.glob("offline-run-*-trial-*"))) == 4
    for trial in trials:
        (file,) = place.glob(f"offline-run-*-trial-0000{trial.number}/*.wandb")
        assert [(point["_step"], point["accuracy"]) for point in wandb_history(file)] == steps(trial)
        said = wandb_summary(file)
        assert said["summary"].items() >= figures(trial).items()
        assert said["config"] == {**trial.candidate.choices, "number": trial.number}
    assert not [file for file in place.rglob("*") if file.is_symlink()]


@pytest.mark.slow
def test_trackio_has_each_trial_once() -> None:
    pytest.importorskip("trackio")
    result = search("trackio")
    place = "runs/mine/logs/trackio"
    assert result.logged == {"trackio": f"TRACKIO_DIR={place} trackio show --project mine"}
    forget_last("trackio")
    trials = resume("trackio", trials=4).state.trials

    rows = trackio_rows(place, "mine")
    for trial in trials:
        found = [(step, values) for name, step, values in rows if name == f"trial-0000{trial.number}"]
        curve = [(step, values["accuracy"]) for step, values in found if "accuracy" in values]
        assert sorted(curve) == steps(trial)
        own = {f"trial/{name}": value for name, value in figures(trial).items()}
        assert [pair for pair in found if "accuracy" not in pair[1]] == [(trial.number, own)]
    blobs = {file.read_bytes() for file in Path(place, "artifacts").rglob("*") if file.is_file()}
    assert {Path("runs/mine", name).read_bytes() for name in ("best.yaml", "best.py", "best.pt")} <= blobs


# What goes wrong


@pytest.mark.slow
def test_a_logger_that_fails_ends_no_search() -> None:
    """Mended, it gets all trials; of a metric that is called as the loss of others is, too."""
    pytest.importorskip("tensorboard")
    evaluator = Instant(epochs=3, metric=nas.Metric("loss", maximize=False))
    nas.search(config(trials=1), evaluator=evaluator, name="mine")
    place = PLACE / "tensorboard"
    place.mkdir(parents=True)
    (place / "trial-00001").write_text("in the way")
    heard, changes = Noted(), {"log": "tensorboard", "trials": 3}
    result = nas.resume("runs/mine", heard, changes=changes, evaluator=evaluator)
    assert isinstance(result, nas.SearchResult)
    assert result.counts.complete == 3 and result.logged == {}
    (note,) = heard.lines
    assert note.startswith("Nothing more is logged to tensorboard: ") and "trial-00001" in note
    (place / "trial-00001").unlink()
    heard = Noted()
    nas.resume("runs/mine", heard, changes=changes, evaluator=evaluator)
    assert not heard.lines
    for trial in result.state.trials:
        assert scalars(place / f"trial-0000{trial.number}")["epoch/loss"] == steps(trial)


@pytest.mark.slow
def test_a_logger_that_takes_too_long_is_left_alone() -> None:
    """What it has not written, it writes when the search goes on."""
    pytest.importorskip("tensorboard")
    heard = Noted()
    with patch("nas.loggers.sender._PATIENCE_S", 0.0):
        result = search("tensorboard", heard)
    why = "it takes too long; what is missing is written when the run goes on"
    assert heard.lines == [f"Nothing more is logged to tensorboard: {why}"]
    assert result.counts.complete == 3 and result.logged == {}
    assert not loggers_of(os.getpid())
    assert resume("tensorboard").logged
    assert len(list((PLACE / "tensorboard").glob("trial-*/events.*"))) == 3


@pytest.mark.slow
def test_a_search_that_is_killed_is_logged_whole_when_it_goes_on() -> None:
    """And its logger ends with it."""
    pytest.importorskip("tensorboard")
    options = ("--workers", "0", "--in-process", "--trials", "40", *SHORT)
    process = subprocess.Popen(
        line("search", "tiny.yaml", "--name", "mine", "--log", "tensorboard", *options)
    )
    notes = PLACE / "tensorboard" / "logged.txt"
    wait_until(lambda: notes.exists() and notes.read_text().count("trial-") > 2)
    (logger,) = loggers_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not works(logger))
    ended = len([trial for trial in RunState.load(Path("runs/mine")).trials if not trial.is_running])
    said = command("resume", "runs/mine", "--log", "tensorboard", "--trials", str(ended + 2))
    assert said.code == 0, said.err
    assert "Logged to tensorboard: tensorboard --logdir runs/mine/logs/tensorboard\n" in said.out
    for trial in RunState.load(Path("runs/mine")).trials:
        found = scalars(PLACE / "tensorboard" / f"trial-{trial.number:05d}")
        assert found["epoch/accuracy"] == steps(trial)
        assert len(found.get("epoch/loss", ())) == 1 or trial.number < ended
