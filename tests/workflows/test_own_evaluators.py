"""Runs that a user's own evaluator has trained go on with that one alone, and only where it is named."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import TINY, Said
from command_line import nas as command
from instant import Instant, config
from optuna.pruners import BasePruner

import nas
from nas.errors import InputError, NasError
from nas.importing import FileFunction
from nas.runs.folder import RunFolder
from nas.runs.manifest import Manifest
from nas.runs.state import RunState
from nas.training.base import Metric

REG = """\
import nas
from pathlib import Path

Path("ran").touch()


@nas.evaluator(metric="error", maximize=False)
def train(network):
    network.module()
    for epoch in range(network.epochs):
        yield network.architecture.cost.params / 10_000


@nas.evaluator(metric="error", maximize=False)
def other(network):
    yield from train(network)
"""
RUN = Path("runs/mine")
COPY = "runs/mine/plugins/reg.py:train"
UNNAMED = (
    "runs/mine: was searched by an evaluator of a user's own, and no file is run that is not named; add "
    f"--evaluator {COPY}"
)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search by an evaluator's file."""
    folder = tmp_path_factory.mktemp("own")
    with contextlib.chdir(folder):
        Path("tiny.yaml").write_text(TINY)
        Path("reg.py").write_text(REG)
        said = command(
            "search", "tiny.yaml", "--evaluator", "reg.py:train", "--workers", "0", "--trials", "2",
            "--epochs", "1", "--name", "mine",
        )  # fmt: skip
        assert said.code == 0, said
        Path("ran").unlink()
    return folder


@pytest.fixture
def run(tiny_folder: Path, searched: Path) -> RunFolder:
    """A copy of it to work in."""
    shutil.copytree(searched, tiny_folder, dirs_exist_ok=True)
    return RunFolder.open(RUN)


def resume(*flags: str) -> Said:
    return command("resume", "runs/mine", "--trials", "3", *flags)


def refused(*flags: str) -> str:
    """Return the message of a resume that changes nothing."""
    before = {file: file.read_bytes() for file in RUN.rglob("*") if file.is_file() and file.name != ".lock"}
    said = resume(*flags)
    assert (said.code, said.out) == (2, "")
    assert before == {f: f.read_bytes() for f in RUN.rglob("*") if f.is_file() and f.name != ".lock"}
    return said.err.removeprefix("error: ").rstrip("\n")


# Evaluators in files


def test_what_a_run_keeps_of_it(run: RunFolder) -> None:
    manifest = Manifest.read(run)
    assert run.source_file("reg.py").read_text() == REG
    assert manifest.config.evaluator == FileFunction(Path("reg.py"), "train")
    assert manifest.metric == Metric("error", maximize=False) and manifest.data is None
    best, other = RunState.load(RUN).best(2)
    assert best.score is not None and other.score is not None and best.score < other.score


def test_a_resume_needs_it_named_and_runs_nothing_before(run: RunFolder) -> None:
    for file in (Path("reg.py"), None):
        assert refused() == UNNAMED
        if file:
            file.unlink()
    with pytest.raises(InputError) as error:
        nas.resume(RUN, changes={"evaluator": None})
    assert str(error.value) == UNNAMED
    assert not Path("ran").exists()


@pytest.mark.parametrize("named", ["reg.py:train", COPY])
def test_a_resume_goes_on_with_the_file_or_the_folders_copy(run: RunFolder, named: str) -> None:
    before = RunState.load(RUN).trials
    if named == COPY:
        Path("reg.py").unlink()
    said = resume("--evaluator", named)
    assert said.code == 0, said
    assert f"nas resume runs/mine --evaluator {COPY} --trials 6" in said.out
    assert RunState.load(RUN).trials[:2] == before and len(RunState.load(RUN).trials) == 3
    again = nas.resume(RUN, changes={"evaluator": COPY, "trials": 4})
    assert isinstance(again, nas.SearchResult) and again.counts.complete == 4


def test_no_other_command_needs_it(run: RunFolder) -> None:
    Path("reg.py").unlink()
    assert "error" in command("show", "runs/mine").out
    assert command("export", "runs/mine", "-o", "mine.py").code == 0
    assert not Path("ran").exists()


def test_one_that_was_changed_is_refused_and_not_run(run: RunFolder) -> None:
    Path("reg.py").write_text(REG + "\n")
    assert refused("--evaluator", "reg.py:train") == (
        "reg.py: is not as it was when runs/mine was searched; restore it, or name the copy, "
        f"--evaluator {COPY}"
    )
    assert not Path("ran").exists()


def test_another_function_of_the_file_is_refused_and_not_run(run: RunFolder) -> None:
    assert refused("--evaluator", "reg.py:other") == (
        "--evaluator reg.py:other: runs/mine was searched by 'train' of this file; give --evaluator " + COPY
    )
    assert not Path("ran").exists()


def test_one_of_another_metric_is_refused(run: RunFolder) -> None:
    with pytest.raises(InputError) as error:
        nas.resume(RUN, evaluator=Instant())
    assert str(error.value) == (
        "runs/mine: was searched for error, the lower the better, and this evaluator gives accuracy, the "
        "higher the better; resume it with the evaluator that it began with"
    )


def test_one_in_python_may_stand_in_for_a_file(run: RunFolder) -> None:
    """The run still says which file it began with."""
    metric = Metric("error", maximize=False)
    result = nas.resume(RUN, evaluator=Instant(metric=metric), changes={"trials": 3})
    assert isinstance(result, nas.SearchResult) and result.counts.complete == 3
    assert refused() == UNNAMED


def test_a_file_for_a_search_of_the_proxy_is_refused(tiny_run: RunFolder) -> None:
    Path("reg.py").write_text(REG)
    assert refused("--evaluator", "reg.py:train") == (
        "--evaluator reg.py:train: runs/mine was searched without it; leave it out"
    )
    assert not Path("ran").exists()


def test_a_record_of_it_that_was_taken_away_is_no_way_around(run: RunFolder) -> None:
    text = run.manifest_file.read_text()
    digest = f"evaluator_sha256: {Manifest.read(run).evaluator}"
    assert digest in text
    run.manifest_file.write_text(text.replace(digest, "evaluator_sha256: null"))
    assert refused() == UNNAMED
    assert refused("--evaluator", "reg.py:train").startswith("reg.py: is not as it was when runs/mine was ")
    assert not Path("ran").exists()


# Evaluators of Python


@pytest.mark.usefixtures("tiny_folder")
def test_one_that_was_given_in_python_is_given_again() -> None:
    Path("reg.py").write_text(REG)
    given = config(trials=2, evaluator="reg.py:train")
    result = nas.search(given, evaluator=Instant(), name="mine")
    assert result.counts.complete == 2 and not Path("ran").exists()
    assert Manifest.read(result.state.folder).config.evaluator is None
    assert refused() == (
        "runs/mine: was searched by an evaluator that was given in Python; go on with nas.resume(folder, "
        "evaluator=...)"
    )
    again = nas.resume(RUN, evaluator=Instant(), changes={"trials": 3})
    assert isinstance(again, nas.SearchResult) and again.counts.complete == 3


class Mute:
    def __call__(self, choices: object, number: int, parent: object) -> None:
        """Give no training."""

    def __repr__(self) -> str:
        return "Mute()"


class Named(Mute):
    metric = "error"


@pytest.mark.usefixtures("tiny_folder")
@pytest.mark.parametrize(("given", "what"), [(Mute(), "Mute()"), (Named(), "Mute()"), (0.93, "0.93")])
def test_what_is_no_evaluator(given: Any, what: str) -> None:
    with pytest.raises(InputError) as error:
        nas.search(config(), evaluator=given, name="mine")
    assert str(error.value) == (
        f"evaluator: {what} is none; give an object with a metric, which is an nas.Metric, and a call that "
        "returns a training, or name a function by the setting evaluator: FILE:FUNCTION"
    )
    assert not RUN.exists()


@pytest.mark.usefixtures("tiny_folder")
def test_one_that_gives_no_training() -> None:
    given: Any = Mute()
    given.metric = Metric("accuracy")
    with pytest.raises(InputError) as error:
        nas.search(config(), evaluator=given, name="mine")
    assert str(error.value) == (
        "evaluator Mute(): gave None, which is no training; return an object with done, epoch() and "
        "state_dict(). Then begin anew, or, where it is right as it is, go on with: nas resume runs/mine"
    )


class Stops(BasePruner):
    """Stops everything."""

    def prune(self, study: object, trial: object) -> bool:
        return True


@pytest.mark.usefixtures("tiny_folder")
def test_a_pruner_that_stops_every_trial() -> None:
    own = f"{__name__}:Stops"
    with pytest.raises(NasError) as error:
        nas.search(
            config(scheduler=own, recipe={"epochs": 2}), evaluator=Instant(epochs=2), name="mine"
        ).check()
    assert str(error.value) == (
        f"runs/mine: no trial gave a score: all were stopped early by {own}; search anew with another "
        "--scheduler, or without one"
    )


@pytest.mark.usefixtures("tiny_folder")
def test_finalists_need_longer_trainings() -> None:
    """That is said before anything is trained or made."""

    class Short:
        metric = Metric("accuracy")

        def __call__(self, choices: object, number: int, parent: object) -> nas.Training:
            raise AssertionError("it is not called")

        def __repr__(self) -> str:
            return "Short()"

    with pytest.raises(InputError) as error:
        nas.search(config(finalists=1), evaluator=Short(), name="mine")
    assert str(error.value) == (
        "finalists: Short() has no with_epochs(epochs, seed), which gives longer trainings; add it, or leave "
        "the finalists out"
    )
    assert not RUN.exists()


@pytest.mark.usefixtures("tiny_folder")
def test_candidates_are_not_screened_for_it() -> None:
    with pytest.raises(InputError) as error:
        nas.search(config(prescreen="naswot:4"), evaluator=Instant(), name="mine")
    assert str(error.value) == (
        "prescreen: 'naswot:4' has no effect: it is of the proxy, and an evaluator of a user's own trains "
        "here; leave one out"
    )
    assert not RUN.exists()


@pytest.mark.usefixtures("tiny_folder")
def test_a_calibration_is_of_the_proxy() -> None:
    Path("search.yaml").write_text("evaluator: reg.py:train\n")
    said = command("calibrate", "tiny.yaml", "--config", "search.yaml")
    assert (said.code, said.err) == (
        2,
        "error: evaluator: reg.py:train trains by code of a user's own, and a calibration is of the proxy; "
        "leave the evaluator out\n",
    )
