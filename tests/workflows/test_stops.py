"""Searches that are stopped from outside: by Ctrl-C, by a batch system, by their time limit."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import pty
import random
import shutil
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import optuna
import pytest
import torch
from clusters import descendants
from command_line import SHORT, command, rows
from forks import FORKS
from instant import Instant, config
from optuna.storages import BaseStorage

import nas
from nas.deadline import TimeIsUp
from nas.errors import NasError
from nas.execution import keep_ready
from nas.report.console import open_terminal
from nas.report.search_lines import print_run
from nas.report.search_screen import SearchScreen
from nas.runs.folder import RunFolder
from nas.runs.state import RunState
from nas.space import load_space
from nas.study import ledger
from nas.study.records import Candidate, Trial
from nas.study.storage import write_together
from nas.workflows.observer import Observer
from nas.workflows.stops import Stopped, stoppable

pytestmark = pytest.mark.usefixtures("tiny_folder")
RUN = Path("runs/mine")


def handlers() -> list[object]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    return [signal.getsignal(number) for number in numbers]


def global_state() -> list[object]:
    """Random numbers of Python, numpy and torch, cuDNN's choice of algorithms, and Optuna's verbosity."""
    numpy: Any = np.random.get_state()
    drawn = [random.getstate(), numpy[1].tolist(), numpy[2:], torch.get_rng_state().tolist()]
    return [*drawn, torch.backends.cudnn.benchmark, optuna.logging.get_verbosity()]


class Stopping(Observer):
    """Does something when trial 1 starts."""

    def __init__(self, stop: object) -> None:
        self._stop = stop
        self.left: list[RunState] = []

    def started(self, candidate: Candidate) -> None:
        if candidate.number == 1:
            assert callable(self._stop)
            self._stop()

    def stopped(self, state: RunState) -> None:
        self.left.append(state)


def test_what_a_stopped_search_has_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    class Epoch(Stopping):
        """Stops after the first epoch of trial 1, which the study has."""

        def started(self, candidate: Candidate) -> None:
            pass

        def epoch(self, candidate: Candidate, result: nas.EpochResult) -> None:
            if candidate.number == 1:
                raise KeyboardInterrupt

    stopping = Epoch(None)
    with pytest.raises(nas.Stopped):
        nas.search(config(recipe={"epochs": 2}), stopping, evaluator=Instant(epochs=2), name="mine")
    (state,) = stopping.left
    first, running = state.trials
    with SearchScreen(open_terminal()) as screen:
        screen.stopped(state)
    assert capsys.readouterr().out.splitlines() == [
        f"Best so far: trial 0, score {first.score:.4f}, {first.candidate.cost}.",
        "Export it with: nas export runs/mine -o my_network.py",
    ]
    assert rows(RUN / "curves.csv") == [
        {"trial": str(trial.number), "epoch": str(epoch), "score": str(value)}
        for trial in state.trials
        for epoch, value in trial.curve.items()
    ]
    assert [*first.curve] == [1, 2] and [*running.curve] == [1]
    print_run(state, 5)
    assert (
        f"Running or interrupted: trial 1, epoch 1/2, accuracy {running.curve[1]:.4f}, "
        f"{running.candidate.cost}.\nGo on with: nas resume runs/mine\n"
    ) in capsys.readouterr().out
    screen.stopped(replace(state, trials=()))
    assert capsys.readouterr().out == "No trial has a score yet.\n"


def press_ctrl_c() -> None:
    raise KeyboardInterrupt


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)


def hang_up() -> None:
    """As a terminal that is closed: its system and its shell say so, one after the other."""
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(5)
    finally:
        os.kill(os.getpid(), signal.SIGHUP)


def test_what_a_search_changes_in_its_process_is_given_back() -> None:
    """Signal handlers, torch's threads, of which a trial has its own number, random numbers, verbosity."""
    before, threads, state = handlers(), torch.get_num_threads(), global_state()
    seen = []
    observer = Stopping(lambda: seen.append((torch.get_num_threads(), handlers() == before)))
    given = config(cpus_per_trial=threads + 1, time_limit="1h")
    result = nas.search(given, observer, evaluator=Instant(), name="mine")
    assert result.stopped_by is nas.StopReason.FINISHED and result.counts.complete == 3
    assert seen == [(threads + 1, False)]
    assert handlers() == before and torch.get_num_threads() == threads and global_state() == state
    trained = nas.search(
        config(dataset="digits", max_images=60, trials=2, prescreen="naswot:2"), name="proxy"
    )
    assert trained.counts.complete == 2 and global_state() == state


@pytest.mark.parametrize(("stop", "code"), [(press_ctrl_c, 130), (terminate, 130), (hang_up, 129)])
def test_a_stop_says_how_to_go_on_and_loses_nothing(stop: object, code: int) -> None:
    before, threads = handlers(), torch.get_num_threads()
    given, stopping = config(cpus_per_trial=threads + 1, time_limit="1h"), Stopping(stop)
    with pytest.raises(nas.Stopped) as error:
        nas.search(given, stopping, evaluator=Instant(), name="mine")
    assert str(error.value) == ("stopped; nothing finished is lost. Go on with: nas resume runs/mine") and (
        error.value.exit_code == code
    )
    assert handlers() == before and torch.get_num_threads() == threads
    state = RunState.load(RUN)
    assert [trial.is_running for trial in state.trials] == [False, True] and stopping.left == [state]
    assert (RUN / "trials.csv").is_file() and (RUN / "best.yaml").is_file()
    result = nas.resume(RUN, evaluator=Instant())
    assert isinstance(result, nas.SearchResult)
    assert result.state.trials[0] == state.trials[0] and result.counts.complete == 3


@pytest.mark.parametrize("stop", [KeyboardInterrupt, TimeIsUp])
def test_a_stop_between_the_write_of_a_trial_and_its_note(
    stop: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written counts: for the table, for the best network and for what a search returns."""
    numbers: list[int] = []

    @contextmanager
    def interrupted(storage: BaseStorage) -> Iterator[None]:
        with write_together(storage):
            yield
        numbers.append(len(numbers))
        if len(numbers) == 2:
            raise stop

    monkeypatch.setattr(ledger, "write_together", interrupted)
    try:
        result = nas.search(config(trials=9), evaluator=Instant(), name="mine")
    except nas.Stopped:
        assert stop is KeyboardInterrupt
    else:
        assert stop is TimeIsUp and result.stopped_by is nas.StopReason.TIME_LIMIT
        assert result.counts.complete == 2 and result.state == RunState.load(RUN)
    state = RunState.load(RUN)
    assert [trial.is_running for trial in state.trials] == [False] * 2
    assert [(row["trial"], row["state"]) for row in rows(RUN / "trials.csv")] == [
        (str(number), "complete") for number in range(2)
    ]
    assert load_space(RUN / "best.yaml").meta["trial"] == state.best(1)[0].number == 1


class Asked:
    """A run of which the way out is told while Ctrl-C is pressed again."""

    folder, storage, way_out = RunFolder(RUN), None, "Go on."

    @property
    def resume_command(self) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return "nas resume runs/mine"

    def make_command(self, path: Path) -> str:
        return self.resume_command


@pytest.mark.parametrize("end", [KeyboardInterrupt(), NasError("The head has gone"), OSError(28, "full")])
def test_a_second_ctrl_c_hides_no_way_out(end: BaseException) -> None:
    RUN.mkdir(parents=True)
    before = handlers()
    with pytest.raises(NasError, match=r"Go on") as error, stoppable(Asked()):
        raise end
    assert isinstance(error.value, Stopped) == isinstance(end, KeyboardInterrupt)
    assert handlers() == before


def test_any_other_error_gives_back_the_same() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    before, threads = handlers(), torch.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        nas.search(config(cpus_per_trial=threads + 1), Stopping(fail), evaluator=Instant(), name="mine")
    assert handlers() == before and torch.get_num_threads() == threads


@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_that_nobody_heard_is_heard_between_epochs(number: signal.Signals) -> None:
    """Python drops what is raised in a callback of its collector."""

    def deaf(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            gc.callbacks.remove(deaf)
            os.kill(os.getpid(), number)

    def collect() -> None:
        gc.callbacks.append(deaf)
        gc.collect()

    evaluator = Instant(epochs=3)
    with pytest.raises(nas.Stopped) as error:
        nas.search(config(trials=9), Stopping(collect), evaluator=evaluator, name="mine")
    assert error.value.exit_code == (129 if number == signal.SIGHUP else 130)
    trials = RunState.load(RUN).trials
    assert [trial.is_running for trial in trials] == [False, True] and [*trials[1].curve] == [1]
    assert (RUN / "trials.csv").is_file()


def test_a_signal_that_is_ignored_stays_so() -> None:
    """As `nohup` has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        result = nas.search(config(), Stopping(hang_up_quickly), evaluator=Instant(), name="mine")
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert result.counts.complete == 3


def hang_up_quickly() -> None:
    os.kill(os.getpid(), signal.SIGHUP)


GO_ON = "Nothing finished is lost. Go on with: nas resume runs/mine"
CHECK = "check the folder's permissions and free space"


@pytest.mark.parametrize(
    ("number", "way"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EDQUOT, "make room within your quota, or have it raised"),
        (errno.EACCES, CHECK),
        (errno.EROFS, "have its file system mounted for writing, or choose a folder of another"),
        (errno.EIO, "check the disk"),
        (errno.ENOENT, f"its folder is gone; {CHECK}"),
        (errno.ENAMETOOLONG, "choose a shorter name"),
        (errno.EMFILE, "allow more open files, by ulimit -n"),
    ],
)
def test_a_run_that_cannot_be_written_any_more_says_how_to_go_on(number: int, way: str) -> None:
    def fail() -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(NasError) as error:
        nas.search(config(), Stopping(fail), evaluator=Instant(), name="mine")
    assert str(error.value) == f"runs/mine: cannot be written: {os.strerror(number)}; {way}. {GO_ON}"


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (FileNotFoundError(2, "No such file", "a.png"), "a.png: No such file; mend that"),
        (PermissionError(13, "No", "runs/mine/a"), f"runs/mine/a: cannot be written: No; {CHECK}"),
        (ConnectionError("refused"), "runs/mine: stopped by ConnectionError: refused"),
    ],
)
def test_an_error_of_the_system_is_told_as_what_it_is(fault: OSError, what: str) -> None:
    def fail() -> None:
        raise fault

    with pytest.raises(NasError) as error:
        nas.search(config(), Stopping(fail), evaluator=Instant(), name="mine")
    assert str(error.value) == f"{what}. {GO_ON}"


# Folders that go


class At(Observer):
    """Does something when trial 1 has trained its only epoch, before its weights are written."""

    def __init__(self, change: Callable[[], object]) -> None:
        self._change = change

    def epoch(self, candidate: Candidate, result: nas.EpochResult) -> None:
        if candidate.number == 1:
            self._change()


@pytest.mark.parametrize("taken", [False, True], ids=["alone", "another in its place"])
@pytest.mark.parametrize("when", [Stopping, At])
def test_a_run_that_is_moved_says_where_to_go_on(when: type[Stopping] | type[At], taken: bool) -> None:
    other = Path("runs/other")
    if taken:
        nas.search(config(trials=1), evaluator=Instant(), name="other")

    def move() -> None:
        RUN.rename("runs/moved")
        if taken:
            other.rename(RUN)

    with pytest.raises(NasError) as error:
        nas.search(config(), when(move), evaluator=Instant(), name="mine")
    assert str(error.value) == (
        "runs/mine: was moved while it was searched in, to runs/moved. Nothing finished is lost. Go on with: "
        "nas resume runs/moved"
    )
    assert RUN.exists() == taken
    if taken:
        assert len(RunState.load(RUN).trials) == 1 and len([*(RUN / "weights").iterdir()]) == 1
    result = nas.resume("runs/moved", evaluator=Instant())
    assert isinstance(result, nas.SearchResult) and result.counts.complete == 3


@pytest.mark.parametrize("when", [Stopping, At])
def test_a_run_that_is_deleted_is_said_to_be(when: type[Stopping] | type[At]) -> None:
    with pytest.raises(NasError) as error:
        nas.search(config(), when(lambda: shutil.rmtree(RUN)), evaluator=Instant(), name="mine")
    assert str(error.value) == "runs/mine: was deleted while it was searched in; start a new run"
    assert error.value.exit_code == 1 and not [*Path("runs").iterdir()]


Done = TypeVar("Done")


def in_a_thread(work: Callable[[], Done]) -> Done:
    """Return what work comes to outside the main thread, where Python allows no handlers of signals."""
    before = handlers()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work).result()
    assert handlers() == before
    return done


@pytest.mark.parametrize("limit", [None, "1h"])
def test_a_search_outside_the_main_thread(limit: str | None) -> None:
    """It gets no signals, and does without."""
    given = config(time_limit=limit)
    assert in_a_thread(lambda: nas.search(given, evaluator=Instant(), name="mine")).counts.complete == 3


class SlowAt(Observer):
    """Takes two seconds over an epoch of trial 1."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch

    def epoch(self, candidate: Candidate, result: nas.EpochResult) -> None:
        if (candidate.number, result.epoch) == (1, self._epoch):
            time.sleep(2)


@pytest.mark.parametrize("epochs", [3, 1, 30])
@pytest.mark.parametrize(("slow", "complete", "running"), [(1, 1, 1), (2, 1, 1), (3, 2, 0)])
def test_a_time_limit_outside_the_main_thread(slow: int, complete: int, running: int, epochs: int) -> None:
    """It is kept after each epoch, however many there were to be: a trial with its last one is complete."""
    evaluator, given = Instant(epochs=3), config(trials=4, time_limit="2s", recipe={"epochs": epochs})
    began = time.monotonic()
    result = in_a_thread(lambda: nas.search(given, SlowAt(slow), evaluator=evaluator, name="mine"))
    assert time.monotonic() - began < 30 and result.stopped_by is nas.StopReason.TIME_LIMIT
    assert (result.counts.complete, result.counts.running) == (complete, running)
    assert result.exported[0].is_file() and result.state == RunState.load(RUN)
    again = in_a_thread(lambda: nas.resume(RUN, evaluator=evaluator, changes={"time_limit": "1h"}))
    assert isinstance(again, nas.SearchResult) and again.stopped_by is nas.StopReason.FINISHED
    whole = nas.search(replace(given, time_limit=None), evaluator=evaluator, name="whole")
    assert again.state.trials == whole.state.trials


def test_a_time_that_is_over_when_all_is_trained_ends_nothing() -> None:
    """Of the last trial, too, an epoch that ends late counts."""
    given = config(trials=2, time_limit="2s", recipe={"epochs": 3})
    result = in_a_thread(lambda: nas.search(given, SlowAt(3), evaluator=Instant(epochs=3), name="mine"))
    assert result.stopped_by is nas.StopReason.FINISHED and result.counts.complete == 2


def test_a_time_that_is_over_outside_the_main_thread() -> None:
    class Slow(Observer):
        def began(self, session: object) -> None:
            time.sleep(0.2)

    given = config(time_limit="0.1s")
    result = in_a_thread(lambda: nas.search(given, Slow(), evaluator=Instant(), name="mine"))
    assert result.stopped_by is nas.StopReason.TIME_LIMIT and not result.state.trials


@pytest.mark.slow
def test_ray_that_is_lost_says_how_to_go_on() -> None:
    settings = ("--name", "mine", *SHORT, "--workers", "1", "--trials", "500")
    search, pipe = command("search", "tiny.yaml", *settings), subprocess.PIPE
    with subprocess.Popen(search, stdout=pipe, stderr=pipe, text=True) as run:
        assert run.stdout is not None
        assert any(line.startswith("[1/500]") for line in run.stdout)
        (raylet,) = (
            process
            for process in descendants(run.pid)
            if Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")[0].endswith(b"/raylet")
        )
        os.kill(raylet, signal.SIGKILL)
        _, said = run.communicate(timeout=60)
    assert run.returncode == 1 and said.startswith("error: Ray on this machine (")
    assert said.endswith(". Nothing finished is lost. Go on with: nas resume runs/mine\n")
    assert said.count("\n") == 1 and not any(trial.failure for trial in RunState.load(RUN).trials)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_time_limit_outside_the_main_thread_on_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.execution.ray_start import start_ray

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), os.pathsep)  # for the workers
    evaluator = Instant(epochs=3)
    given = config(trials=200, workers=1, time_limit="15s", recipe={"epochs": 3})

    class Slow(Observer):
        def started(self, candidate: Candidate) -> None:
            time.sleep(5)

    with keep_ready(given.executor), start_ray("local", dashboard=True):  # which takes long on a busy machine
        result = in_a_thread(lambda: nas.search(given, Slow(), evaluator=evaluator, name="mine"))
    assert result.stopped_by is nas.StopReason.TIME_LIMIT and 0 < result.counts.complete < 20
    again = nas.resume(RUN, evaluator=evaluator, changes={"time_limit": "1h", "workers": 0, "trials": 20})
    assert isinstance(again, nas.SearchResult) and again.counts.complete == 20


# Time limits


def test_the_time_limit_decides_and_a_resume_goes_on() -> None:
    """It is no failure: what there is is exported, and the finals are left for later."""
    given = config(time_limit="1.5s", finalists=1, final_seeds=1, final_epochs=1)
    began = time.monotonic()
    result = nas.search(given, Stopping(lambda: time.sleep(60)), evaluator=Instant(), name="mine")
    assert 1.5 < time.monotonic() - began < 30
    assert result.stopped_by is nas.StopReason.TIME_LIMIT
    assert (result.counts.complete, result.counts.running) == (1, 1)
    assert result.exported[0].is_file() and not result.state.finals and result.finalists == []
    result.check()
    again = nas.resume(RUN, evaluator=Instant(), changes={"time_limit": "1h"})
    assert isinstance(again, nas.SearchResult) and again.stopped_by is nas.StopReason.FINISHED
    assert again.state.trials[0] == result.state.trials[0] and again.counts.complete == 3
    assert len(again.finalists) == 1


def test_time_before_the_first_trial_counts() -> None:
    class Slow(Observer):
        def began(self, session: object) -> None:
            time.sleep(0.2)

    result = nas.search(config(time_limit="0.1s"), Slow(), evaluator=Instant(), name="mine")
    assert result.stopped_by is nas.StopReason.TIME_LIMIT and result.best is None and not result.exported
    with pytest.raises(NasError, match="runs/mine: no trial was begun in time; go on with more --time-limit"):
        result.check()


# Without a terminal


def test_a_search_from_python_prints_nothing_and_needs_no_reports(tmp_path: Path) -> None:
    """Neither `nas.report` nor what it prints with, nor the command line."""
    code = (
        "import sys\n"
        "for name in ('nas.report', 'nas.cli', 'rich', 'rich_click', 'ray'):\n"
        "    sys.modules[name] = None\n"
        "import nas\n"
        "given = {'space': 'tiny.yaml', 'workers': 0, 'trials': 1, 'max_images': 100}\n"
        "result = nas.search(nas.SearchConfig.from_data(given, 'here'), name='mine')\n"
        "assert result.best.score is not None\n"
    )
    assert FORKS.run("-c", code) == (0, "")
    assert (tmp_path / "runs" / "mine" / "best.py").is_file()


def test_an_observer_hears_everything_in_its_order() -> None:
    log: list[object] = []

    class Hearing(Observer):
        def began(self, session: object) -> None:
            log.append("began")

        def round(self, queue: object, which: nas.Round, trials: int, epochs: int) -> None:
            log.append((which, trials, epochs))

        def started(self, candidate: Candidate) -> None:
            log.append(("started", candidate.number))

        def epoch(self, candidate: Candidate, result: nas.EpochResult) -> None:
            log.append(("epoch", candidate.number, result.epoch))

        def trained(self, candidate: Candidate, score: float, weights: bytes) -> None:
            log.append(("trained", candidate.number))

        def finished(self, trial: Trial) -> None:
            log.append(("finished", trial.number))

    given = config(trials=1, finalists=1, final_epochs=2, final_seeds=1, recipe={"epochs": 1})
    nas.search(given, Hearing(), evaluator=Instant(), name="mine")
    one, final = [("epoch", 0, 1)], [("epoch", 0, 1), ("epoch", 0, 2)]
    ends = [("trained", 0), ("finished", 0)]
    assert log == [
        "began", (nas.Round.SEARCH, 1, 1), ("started", 0), *one, *ends,
        (nas.Round.FINALISTS, 1, 2), ("started", 0), *final, *ends,
    ]  # fmt: skip


@pytest.mark.slow
def test_a_terminal_that_is_closed_ends_a_search_with_its_tables_and_129() -> None:
    """What it prints then fails; the exit code does not."""
    master, terminal = pty.openpty()
    driver = subprocess.Popen(
        command("search", "tiny.yaml", "--name", "mine", *SHORT, "--workers", "0", "--trials", "500"),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(terminal)
    said = b""
    while b"[2/500]" not in said:
        said += os.read(master, 4096)
    os.close(master)
    assert driver.wait(60) == 129
    assert (RUN / "trials.csv").is_file() and len(rows(RUN / "trials.csv")) >= 2
