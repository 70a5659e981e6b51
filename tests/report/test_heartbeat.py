"""What starts says what it does, at least every two seconds, on a terminal and in a log."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from command_line import SHORT, command, nas
from fakes import Fake, Heard, start
from rich.console import Console
from toys import after, asked, study

from nas.execution.child import ChildExecutor
from nas.report import heartbeat
from nas.report.heartbeat import Heartbeat, waiting
from nas.report.pipeline import PipelineScreen
from nas.report.search_screen import SearchScreen
from nas.report.training import TrainScreen
from nas.training.base import EpochResult, Failure, FailureReason
from nas.workflows.observer import Round


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    fake = SimpleNamespace(monotonic=lambda: now[0])
    for module in ("nas.report.heartbeat", "nas.report.search_screen", "nas.workflows.usage"):
        monkeypatch.setattr(f"{module}.time", fake)
    for name in ("say_beginning", "say_round"):
        monkeypatch.setattr(f"nas.report.search_screen.{name}", lambda *_: None)
    return now


class Beaten(SearchScreen):
    """A screen whose heart beats where it is told to, and says what comes of it."""

    def __init__(self, clock: list[float], *, terminal: bool = False) -> None:
        self.said = io.StringIO()
        super().__init__(Console(file=self.said, width=200, force_terminal=terminal))
        self.clock = clock

    def lines(self, seconds: float) -> list[str]:
        """What is said in so many seconds, looked at every quarter of one."""
        before = len(self.said.getvalue())
        for _ in range(round(4 * seconds)):
            self.clock[0] += 0.25
            self._heartbeat.beat()
        return self.said.getvalue()[before:].splitlines()


def test_what_a_log_says_while_a_search_starts(clock: list[float]) -> None:
    screen, queue = Beaten(clock), study(None, trials=3)
    assert screen.lines(2) == ["Starting ... 2 s"]
    screen.doing("Loading torch")
    screen.noted("A note.")
    assert screen.lines(1) == []  # the note is fresh
    assert screen.lines(2) == ["Loading torch ... 2 s", "Loading torch ... 3 s"]
    screen.began(cast(Any, "a session"))
    screen.round(queue, Round.SEARCH, 3, 4)
    screen.doing("Starting Ray")
    assert screen.lines(1.5) == ["Starting Ray ... 2 s"]
    first, second = asked(queue), asked(queue)
    screen.started(first)
    assert screen.lines(1.5) == ["Training: trial 0: epoch 0/4 ... 2 s"]
    screen.epoch(first, after(1, 0.5))
    screen.started(second)
    assert screen.lines(1.5) == ["Training: trial 0: epoch 1/4, score 0.5000, trial 1: epoch 0/4 ... 3 s"]
    screen.finished(queue.complete(first.number, after(4, 0.5)))
    # how long trials take is known now
    assert screen.lines(59) == []
    assert screen.lines(2) == ["Training: trial 1: epoch 0/4 ... 60 s"]
    screen.finished(queue.fail(second.number, Failure(FailureReason.ERROR, "it raised")))
    assert screen.lines(120) == []  # nothing runs
    third = asked(queue)
    screen.started(third)
    screen.epoch(third, after(1, 0.25))
    assert screen.lines(1) == ["Training: trial 2: epoch 1/4, score 0.2500 ... 120 s"]
    screen.doing("Stopping Ray")
    assert screen.lines(2) == ["Stopping Ray ... 1 s"]


def test_what_takes_long_is_said_seldom(clock: list[float]) -> None:
    screen = Beaten(clock)
    screen.doing("Reading")
    assert len(screen.lines(30)) in (19, 20) and len(screen.lines(60)) in (6, 7)


def test_a_terminal_has_it_in_its_last_line(clock: list[float]) -> None:
    screen = Beaten(clock, terminal=True)
    with screen:
        assert str(screen._make_view()) == "Starting ... 0 s"
        screen.doing("Loading \x1b[31mtorch")
        clock[0] += 3
        assert str(screen._make_view()) == "Loading \\x1b[31mtorch ... 3 s"
        screen.decoding(50, 100)
        assert str(screen._make_view()).startswith("Decoding images: 50 of 100 ... ")
    assert "Decoding images: 50 of 100 ... 3 s" in screen.said.getvalue()


def test_what_is_said_of_a_training(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """While it starts and ends, as of a search; of an epoch, a line each minute and one in its end."""
    monkeypatch.setattr("nas.report.training.time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr("nas.report.training.say_training", lambda *_: None)
    said = io.StringIO()
    screen = TrainScreen(Console(file=said, width=200))

    def lines(seconds: float) -> list[str]:
        before = len(said.getvalue())
        for _ in range(round(4 * seconds)):
            clock[0] += 0.25
            screen._heartbeat.beat()
        return said.getvalue()[before:].splitlines()

    assert lines(2) == ["Starting ... 2 s"]
    screen.doing("Loading the data of digits")
    assert lines(2) == ["Loading the data of digits ... 1 s"]
    history: list[EpochResult] = []
    config = SimpleNamespace(recipe=SimpleNamespace(epochs=3))
    screen.began(cast(Any, SimpleNamespace(config=config, history=history, metric="accuracy")))
    screen.doing("Starting 2 workers on Ray Train")
    assert lines(1.5) == ["Starting 2 workers on Ray Train ... 2 s"]
    screen.step(5, 40)
    assert lines(59) == []
    assert lines(2) == ["Epoch 1 of 3, step 5 of 40 ... 60 s"]
    history.append(EpochResult(1, 0.5, 0.5, 61.0, 1.25))
    screen.epoch(history[0])
    assert (
        said.getvalue().splitlines()[-1].startswith("[1/3] loss 1.2500, accuracy 0.5000, the best, 61.0 s, ")
    )
    screen.step(40, 40)
    assert lines(60) == ["Epoch 2 of 3, validating, best so far 0.5000 after epoch 1 ... 60 s"]
    screen.testing(1000)
    assert lines(2) == ["Testing on 1,000 images ... 2 s"]
    screen.doing("Exporting the network, and checking it")
    assert lines(1.5) == ["Exporting the network, and checking it ... 1 s"]
    assert str(screen._make_view()) == "Exporting the network, and checking it ... 2 s"


def test_a_log_is_written_while_the_search_does_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("QUIET_S", 0.05), ("_LOOK_S", 0.01)):
        monkeypatch.setattr(heartbeat, name, value)
    said = io.StringIO()
    beat = Heartbeat(Console(file=said), lambda: "Waiting")
    beat.start()
    time.sleep(0.5)
    beat.stop()
    count = said.getvalue().count("Waiting ... ")
    time.sleep(0.1)
    assert 1 <= count == said.getvalue().count("Waiting ... ")


def test_what_a_command_does_is_said_in_a_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("QUIET_S", 0.05), ("_LOOK_S", 0.01)):
        monkeypatch.setattr(heartbeat, name, value)
    with waiting("Reading the networks") as tell:
        time.sleep(0.3)
        tell("writing runs/MBConv as onnx")
        time.sleep(0.3)
    said = capsys.readouterr()
    assert said.out == ""
    assert list(dict.fromkeys(said.err.splitlines())) == [
        "Reading the networks ... 0 s",
        "Writing runs/MBConv as onnx ... 0 s",
    ]


def test_what_a_step_of_a_pipeline_does_is_said_in_a_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("QUIET_S", 0.05), ("_LOOK_S", 0.01)):
        monkeypatch.setattr(heartbeat, name, value)
    log = io.StringIO()
    screen = PipelineScreen(Console(file=log, width=100))
    with screen.hear("export") as tell:
        time.sleep(0.3)
        tell("runs/Mine/best.py: differs by 0")
    with screen.hear("profile") as tell:
        tell("writing runs/Mine as onnx")
        time.sleep(0.3)
    assert log.getvalue() == "runs/Mine/best.py: differs by 0\n"
    assert list(dict.fromkeys(capsys.readouterr().err.splitlines())) == [
        "Exporting the network, and checking it ... 0 s",
        "Writing runs/Mine as onnx ... 0 s",
    ]


def test_on_a_terminal_what_is_said_stands_above_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(heartbeat, "open_terminal", lambda *, stderr: shown)
    said = nas("export", "reference/lenet5", "-o", "bare.py")
    assert said.code == 0 and said.err == ""
    assert isinstance(shown.file, io.StringIO)
    screen = shown.file.getvalue()
    assert re.search(r"\x1b\[(2K|\?25l)writing bare.py, which a fresh interpreter checks\n", screen)
    assert "Exporting reference/lenet5, and checking it" in screen


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_folder")
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("export", "{run}", "--format", "onnx,pt2", "-o", "product"),
            "Exporting {run}, and checking it ... ",
        ),
        (("profile", "{run}", "--runtime", "onnx", "--rounds", "2"), "Writing {run} as onnx ... "),
        (("report", "{run}"), "Writing the report ... "),
    ],
)
def test_commands_that_take_their_time_say_what_they_do(arguments: tuple[str, ...], line: str) -> None:
    assert nas("search", "tiny.yaml", *SHORT, "--workers", "0", "--trials", "1", "--name", "mine").code == 0
    place = [one.format(run="runs/mine") for one in arguments]
    at_once = "from nas.report import heartbeat; heartbeat.QUIET_S, heartbeat._LOOK_S = 0, 0.001"
    program = f"{at_once}; from nas.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, *place], capture_output=True, text=True, check=True)
    assert line.format(run="runs/mine") in done.stderr and " ... " not in done.stdout


class Doing(Heard):
    """Notes what else goes on."""

    def doing(self, what: str) -> None:
        self.log.append((what, -1))


def test_what_an_executor_does_before_a_trial(tmp_path: Path) -> None:
    s, _ = start(tmp_path, trials=1)
    heard = Doing(s)
    ChildExecutor().run(s, Fake(tmp_path / "log"), heard)
    assert heard.log[:2] == [("Starting the process that trains", -1), ("started", 0)]


@pytest.mark.slow
def test_what_ray_does_around_the_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.execution.ray_executor import RayExecutor

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    s, _ = start(tmp_path, trials=1)
    heard = Doing(s)
    RayExecutor(concurrency=1).run(s, Fake(tmp_path / "log"), heard)
    said = [what for what, number in heard.log if number == -1]
    assert said == ["Starting Ray", "Starting workers"]
    assert heard.log.index(("started", 0)) > heard.log.index(("Starting workers", -1))


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_folder")
def test_a_real_search_is_not_silent_while_it_starts() -> None:
    """Its lines, as they come to a pipe: a machine that is busy gets them later, but gets them."""
    flags = (*SHORT, "--workers", "0", "--trials", "2")
    with subprocess.Popen(
        command("search", "tiny.yaml", *flags), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as search:
        assert search.stdout is not None
        times, lines = [], []
        for line in search.stdout:
            times.append(time.monotonic())
            lines.append(line)
    assert search.returncode == 0
    first = next(i for i, line in enumerate(lines) if line.startswith("[1/2]"))
    waits = (later - earlier for earlier, later in pairwise(times[: first + 1]))
    silent = [*zip(waits, lines, strict=False)]
    assert max(silent)[0] < 4, silent
    assert all(re.fullmatch(r".+ \.\.\. \d+ s\n", line) for line in lines if " ... " in line)
