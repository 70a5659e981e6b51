"""Trials in a process of their own, which hang and die. The trainings are fakes; the process is real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clusters import descendants, wait_until, works
from command_line import apart, command, rows
from dying import Dying, start_driver
from fakes import Fake, breed, check_faults, check_misuse, check_speeds, start
from toys import history

from nas.errors import NasError
from nas.execution import child as child_module
from nas.execution.child import ChildExecutor, _packed, _unpack
from nas.execution.local import LocalExecutor
from nas.study.records import TrialState
from nas.training.base import EvaluatorError, FailureReason, extend_limit


@pytest.fixture
def without_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "extend_limit", lambda limit: limit)


DEATHS = {
    "exits": "2 times; its process ended with exit code 7",
    "raises SystemExit": "2 times; its process ended with exit code 3",
    "aborts": "2 times; its process was ended by SIGABRT (dying.py:",
    "segfaults": "2 times; its process was ended by SIGSEGV (dying.py:",
    "is killed": "2 times; its process was killed by SIGKILL, as a system does where memory is full",
    "leaves a child": "2 times; its process ended with exit code 4",
}


def test_a_trial_that_dies_is_one_failure(tmp_path: Path) -> None:
    """Whatever ends its process, twice: the search goes on in a new one, and its epochs are kept."""
    faults = dict(enumerate(DEATHS, 1))
    s, heard = start(tmp_path, trials=len(faults) + 3)
    dying = Dying(tmp_path / "log", faults, building={len(faults) + 1: "exits"})
    ChildExecutor().run(s, dying, heard)
    assert {trial.state for trial in s.trials} == {TrialState.FAILED} and len(s.trials) == len(faults) + 3
    for number, fault in faults.items():
        trial = s.trials[number]
        assert trial.failure is not None and trial.failure.reason is FailureReason.WORKER_DIED
        assert trial.failure.message.startswith(DEATHS[fault])
        assert (list(trial.curve), trial.result.epochs, trial.result.seconds) == ([1], 1, 0.25)
        assert heard.of(number) == ["started", 1, "started", 1, "failed"]
    built = s.trials[len(faults) + 1]
    assert built.failure is not None and built.failure.message == DEATHS["exits"] and not built.curve
    processes = dying.processes()
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == len(s.trials) + len(DEATHS) + 1
    assert len(set(lines)) == len(lines) and os.getpid() not in processes.values()
    assert len(set(processes.values())) == len(faults) + 3 and not any(map(works, processes.values()))


def test_a_process_that_dies_once_costs_no_trial(tmp_path: Path) -> None:
    s, heard = start(tmp_path, trials=3)
    asked = "is asked to end, then is asked to end, then lives"  # which is none of the network's doing
    ChildExecutor().run(s, Dying(tmp_path / "log", {0: asked, 1: "is killed, then lives"}), heard)
    assert [str(trial.failure) for trial in s.trials] == ["nan_loss: as told"] * 3
    assert heard.of(0) == ["started", 1, "started", 1, "started", 1, "failed"]
    assert heard.of(1) == ["started", 1, "started", 1, "failed"] and heard.of(2) == ["started", 1, "failed"]


@pytest.mark.usefixtures("without_grace")
def test_a_trial_that_hangs_is_ended(tmp_path: Path) -> None:
    """In Python, in C with Python's lock held, while it is built; what it has started ends with it."""
    s, heard = start(tmp_path, trials=5)
    faults = {0: "hangs", 1: "hangs in C", 3: "starts another"}
    ChildExecutor().run(s, Dying(tmp_path / "log", faults, {2: "hangs"}, limit_s=0.3), heard)
    for number, where in enumerate(["epoch 2", "epoch 2", "its preparation", "epoch 2"]):
        failure = s.trials[number].failure
        assert failure is not None and failure.reason is FailureReason.TIMEOUT
        assert failure.message.startswith(f"0.3 s were over in {where}, which did not end (dying.py:")
    assert [list(trial.curve) for trial in s.trials] == [[1], [1], [], [1], [1]]
    assert s.trials[4].failure is not None and s.trials[4].failure.reason is FailureReason.NAN_LOSS
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert "sleep 600" not in left.splitlines()


def test_what_ends_by_itself_is_left_its_time() -> None:
    """A training looks at its limit between batches, and not while it validates."""
    assert extend_limit(1) > 5 and extend_limit(3600) > 1.2 * 3600


def test_a_process_that_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s, heard = start(tmp_path, trials=2)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(NasError) as error:
        ChildExecutor().run(s, Dying(tmp_path / "log"), heard)
    assert str(error.value) == (
        "the process that trains cannot start: its process ended with exit code 1; mend the cause, or train "
        "in this one by --in-process"
    )
    assert s.trials == []


def test_an_evaluator_that_cannot_be_sent_trains_here(tmp_path: Path) -> None:
    class Locked(Dying):
        lock = threading.Lock()

    dying = Locked(tmp_path / "log")
    dying.lock = threading.Lock()
    s, heard = start(tmp_path, trials=2)
    with pytest.warns(UserWarning, match=r"cannot be sent .*TypeError: cannot pickle '_thread.lock'"):
        ChildExecutor().run(s, dying, heard)
    assert s.counts.failed == 2 and set(dying.processes().values()) == {os.getpid()}


def test_nothing_is_started_for_a_finished_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    s, heard = start(tmp_path, trials=0)
    ChildExecutor().run(s, Dying(tmp_path / "log"), heard)


def test_arrays_are_mapped_and_not_copied() -> None:
    arrays: list[Any] = [np.arange(1_000_000), np.ones((3, 5), np.uint8)]
    with _packed((arrays, lambda: arrays[1].sum()), None) as parcel:  # type: ignore[arg-type]
        (found, function), problem = _unpack(parcel.file.fileno(), parcel.parts)
        assert problem is None and function() == 15
        for array, other in zip(arrays, found, strict=True):
            assert np.array_equal(array, other) and other.flags.writeable and not other.flags.owndata


@pytest.mark.slow
def test_a_process_of_its_own_runs_what_this_one_runs(tmp_path: Path) -> None:
    faults = {1: "nan", 2: "bug", 4: "barren"}
    s, heard = start(tmp_path, trials=6, sampler="evolution", inherit=breed)
    fake = Fake(tmp_path / "log", faults)
    ChildExecutor(2).run(s, fake, heard)
    check_faults(s, heard)
    check_speeds(s)
    assert set(fake.threads()) == {2}
    (tmp_path / "local").mkdir()
    local, heard_locally = start(tmp_path / "local", trials=6, sampler="evolution", inherit=breed)
    LocalExecutor().run(local, Fake(tmp_path / "local" / "log", faults), heard_locally)
    assert history(s) == history(local) and list(s.trials) == list(local.trials)
    assert (heard.log, heard.kept) == (heard_locally.log, heard_locally.kept)


@pytest.mark.slow
def test_an_evaluator_that_is_none_ends_the_run(tmp_path: Path) -> None:
    s, heard = start(tmp_path, trials=4)
    with pytest.raises(EvaluatorError) as error:
        ChildExecutor().run(s, Fake(tmp_path / "log", {1: "odd result"}), heard)
    check_misuse(s, heard, "odd result", error.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kill", "fault"),
    [
        (signal.SIGINT, "hangs"),
        (signal.SIGTERM, "hangs in C"),
        (signal.SIGHUP, "hangs"),
        (signal.SIGKILL, "hangs in C"),
    ],
)
def test_the_process_ends_with_its_driver(tmp_path: Path, kill: signal.Signals, fault: str) -> None:
    driver = start_driver(tmp_path, fault)
    dying = Dying(tmp_path / "log")
    wait_until(dying.processes)
    (trains,) = dying.processes().values()
    assert trains != driver.pid and works(trains)
    stopped = time.monotonic()
    driver.send_signal(kill)
    driver.wait(10)
    wait_until(lambda: not works(trains), 5)
    assert time.monotonic() - stopped < 5


@pytest.mark.slow
def test_a_death_counts_after_that_of_the_driver(tmp_path: Path) -> None:
    """The driver is killed between the two deaths of a network, which then has one try left."""
    fault, dying = "is killed, then hangs, then is killed", Dying(tmp_path / "log")
    driver = start_driver(tmp_path, fault)
    wait_until(lambda: dying.count_starts(0) == 2)
    driver.kill()
    driver.wait(10)
    s, heard = start(tmp_path, trials=3)
    ChildExecutor().run(s, Dying(tmp_path / "log", {0: fault}), heard)
    assert [str(trial.failure) for trial in s.trials] == [
        f"worker_died: {DEATHS['is killed']}",
        "nan_loss: as told",
        "nan_loss: as told",
    ]
    assert heard.of(0) == ["started", 1, "failed"] and dying.count_starts(0) == 3
    assert len({trial.candidate.identity for trial in s.trials}) == 3  # it was not proposed again


EVALUATOR = """\
import os, time
import torch
import nas

@nas.evaluator(metric="score")
def train(network):
    network.module()
    for epoch in range(network.epochs):
        print("epoch", flush=True)
        if network.seed % 3 == 1 and epoch == 1:
            {fault}
        yield float(epoch)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "reason"),
    [("time.sleep(600)", "timeout"), ("os.abort()", "worker_died")],
)
def test_a_search_goes_on(tiny_folder: Path, fault: str, reason: str) -> None:
    Path("own.py").write_text(EVALUATOR.replace("{fault}", fault))
    options = ("--workers", "0", "--trials", "3", "--epochs", "2", "--trial-timeout", "1", "--name", "mine")
    said = apart("search", "tiny.yaml", "--evaluator", "own.py:train", *options, timeout=110)
    assert said.code == 0, said
    table = rows(tiny_folder / "runs" / "mine" / "trials.csv")
    assert [row["state"] for row in table] == ["complete", "failed", "complete"]
    assert table[1]["reason"] == reason and table[1]["message"].endswith("(own.py:11)")
    assert "Traceback" not in said.err + said.out


@pytest.mark.slow
def test_a_stopped_command_leaves_no_process(tiny_folder: Path) -> None:
    Path("own.py").write_text(EVALUATOR.replace("{fault}", "time.sleep(600)"))
    options = ("--workers", "0", "--epochs", "2", "--name", "mine", "--evaluator", "own.py:train")
    search = subprocess.Popen(
        command("search", "tiny.yaml", *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: Path("runs/mine").exists() and descendants(search.pid))
    (child,) = descendants(search.pid)
    search.send_signal(signal.SIGINT)
    _, err = search.communicate(timeout=10)
    assert search.returncode == 130 and "Go on with: nas resume runs/mine" in err
    assert not works(child)
