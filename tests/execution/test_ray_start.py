"""Ray as it starts and ends, without trials or with fakes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from clusters import descendants, wait_until, works
from command_line import SHORT, command
from fakes import Fake, start

from nas.errors import NasError
from nas.execution import keep_ready
from nas.execution.config import ExecutorConfig


@pytest.mark.slow
def test_ray_is_kept_from_one_round_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts while the driver does something else, and leaves neither a process nor a thread."""
    from nas.execution.ray_executor import RayExecutor

    # isort: split
    import ray

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    before = descendants(os.getpid())
    jobs = []
    with keep_ready(ExecutorConfig(workers=1)) as begin:
        begin()
        begin()
        for name in ("search", "finals"):
            (tmp_path / name).mkdir()
            queue, heard = start(tmp_path / name, trials=2)
            RayExecutor(concurrency=1).run(queue, Fake(tmp_path / name / "log"), heard)
            assert queue.counts.complete == 2
            jobs.append(ray.get_runtime_context().get_job_id())
    assert len(set(jobs)) == 1 and not ray.is_initialized()
    wait_until(lambda: not any(map(works, {*descendants(os.getpid())} - {*before})), 10)
    assert "nas-ray" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.slow
def test_processes_that_begin_with_ray_train_the_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as there are trials at a time, also where data take long to read; Ray starts no other."""
    from nas.execution.ray_executor import RayExecutor
    from nas.execution.ray_start import start_ray

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    queue, heard = start(tmp_path, trials=4)
    fake = Fake(tmp_path / "log", epoch_s=0.8)  # long enough for both to get one on a busy machine
    with keep_ready(ExecutorConfig(workers=2)) as begin:
        begin()
        with start_ray("local", dashboard=True):
            ahead = {pid for pid in descendants(os.getpid()) if b"ray::IDLE" in _command_line(pid)}
            time.sleep(4)  # Ray would end those that nobody needs after one
        RayExecutor(concurrency=2).run(queue, fake, heard)
    assert queue.counts.complete == 4
    assert fake.pids() == ahead and len(ahead) == 2


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


@pytest.mark.slow
def test_what_nobody_needs_of_ray_is_left_out() -> None:
    from nas.execution.ray_start import start_ray

    # isort: split
    import ray

    with start_ray("local", dashboard=False):
        node: Any = ray._private.worker._global_node  # there is no public way
        assert list(node.all_processes) == ["gcs_server", "raylet", "dashboard"]  # trials need no dashboard


@pytest.mark.slow
def test_ray_leaves_what_it_leaves_in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes of its dashboard have a socket that nobody removes."""
    from nas.execution.ray_start import start_ray

    # isort: split
    import ray

    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with start_ray("local", dashboard=True):
        node: Any = ray._private.worker._global_node  # there is no public way
        assert [*Path(node.get_session_dir_path()).glob("pymp-*/listener-*")]
        assert os.environ["TMPDIR"] == str(tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_ray_that_starts_here_takes_less_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own intervals count, and those of this process are as they were."""
    from nas.execution.ray_idle import INTERVALS
    from nas.execution.ray_start import start_ray

    monkeypatch.setenv("REPORTER_UPDATE_INTERVAL_MS", "7000")
    with start_ray("local", dashboard=True):
        lines = {pid: _command_line(pid).decode() for pid in descendants(os.getpid())}
        shown = {name for line in lines.values() for name in re.findall(r"^ray-dashboard-(\w+)-", line)}
        assert shown >= {"EventHead", "JobHead", "MetricsHead", "NodeHead", "ReportHead", "StateHead"}
        assert not shown & {"DataHead", "ServeHead", "TrainHead"}
        (raylet,) = (pid for pid, line in lines.items() if "raylet/raylet" in line.split("\0")[0])
        told = Path(f"/proc/{raylet}/environ").read_text().split("\0")
        assert {f"{name}={value}" for name, value in INTERVALS.items()} - {*told} == {
            "REPORTER_UPDATE_INTERVAL_MS=10000"
        }
    assert os.environ.keys() & INTERVALS.keys() == {"REPORTER_UPDATE_INTERVAL_MS"}


def test_what_is_swapped_is_back_however_it_ends() -> None:
    from nas.execution.ray_start import swapped

    class Owner:
        @staticmethod
        def name() -> str:
            return "own"

    before = vars(Owner)["name"]
    with pytest.raises(ZeroDivisionError), swapped(Owner, name=lambda _: "other"):
        assert Owner().name() == "other"
        raise ZeroDivisionError
    assert vars(Owner)["name"] is before and Owner.name() == "own"


@pytest.mark.slow
def test_a_search_on_ray_that_is_asked_twice_to_end_says_how_to_go_on(tiny_folder: Path) -> None:
    """As `timeout` asks, and systems that end whole groups of processes. Ray's own handler would print a
    stack, and a second signal while Ray ends would be nobody's."""
    flags = ("--workers", "1", "--trials", "400", "--name", "mine", *SHORT)
    with subprocess.Popen(
        command("search", "tiny.yaml", *flags), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as search:
        assert search.stdout is not None
        heard = ""
        while "[1/400]" not in heard:
            line = search.stdout.readline()
            assert line, heard
            heard += line
        for _ in range(2):
            search.send_signal(signal.SIGTERM)
            time.sleep(0.05)
        heard += search.stdout.read()
    assert search.returncode == 130
    assert heard.endswith("error: stopped; nothing finished is lost. Go on with: nas resume runs/mine\n")
    assert "SIGTERM received" not in heard


@pytest.mark.slow
def test_ray_that_is_begun_and_not_needed_ends(capfd: pytest.CaptureFixture[str]) -> None:
    """As where the data cannot be read: the error comes out, and nothing of Ray stays."""
    import nas.execution.ray_start  # noqa: F401  # its settings come first

    # isort: split
    import ray

    before = descendants(os.getpid())
    with pytest.raises(ZeroDivisionError), keep_ready(ExecutorConfig(workers=1)) as begin:
        begin()
        _ = 1 / 0
    assert not ray.is_initialized() and capfd.readouterr() == ("", "")
    wait_until(lambda: not any(map(works, {*descendants(os.getpid())} - {*before})), 10)


@pytest.mark.slow
def test_what_keeps_ray_from_starting_is_told_to_who_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.execution.ray_executor import RayExecutor

    monkeypatch.setenv("RAY_TMPDIR", "/dev/null")
    queue, heard = start(tmp_path, trials=1)
    with keep_ready(ExecutorConfig(workers=1)) as begin:
        begin()
        with pytest.raises(NasError, match=r"^Ray cannot start: "):
            RayExecutor(concurrency=1).run(queue, Fake(tmp_path / "log"), heard)
    assert queue.trials == []


@pytest.mark.parametrize("config", [ExecutorConfig(workers=0), ExecutorConfig(workers=2)])
def test_nothing_is_started_where_nothing_is_needed(config: ExecutorConfig) -> None:
    with keep_ready(config):
        assert "nas-ray" not in {thread.name for thread in threading.enumerate()}
    with keep_ready(ExecutorConfig(workers=0)) as begin:
        begin()
        assert "nas-ray" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("report", "is_lost"),
    [
        ("The actor died because its node has died.", True),
        ("The actor 0b1c is unavailable: the connection is broken. The task may have run.", True),
        ("The actor died because of an error raised in its creation task, ValueError", False),
        ("ray::Worker.step() (pid=1)\nOutOfDiskError: Local disk is full", False),
    ],
)
def test_what_an_actor_raises_is_no_loss_of_its_machine(report: str, is_lost: bool) -> None:
    from nas.execution.ray_deaths import has_lost_machine

    assert has_lost_machine(report) == is_lost


def test_a_dashboard_of_another_ray_is_whole() -> None:
    from nas.execution.ray_idle import choose_dashboard_modules

    assert choose_dashboard_modules("2.61.0") == []
