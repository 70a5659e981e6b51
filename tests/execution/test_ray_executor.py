"""Trials on Ray. The trainings are fakes; studies, workers and clusters are real."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from clusters import Cluster, descendants, wait_until, works
from fakes import (
    Fake,
    GivesUp,
    Heard,
    breed,
    check_faults,
    check_speeds,
    start,
)
from toys import history

from nas.errors import InputError, NasError
from nas.execution.local import LocalExecutor
from nas.execution.ray_address import check_address
from nas.study.records import Candidate, TrialState


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers import the fakes from here."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))


@pytest.mark.slow
def test_ray_runs_what_local_runs_and_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One worker: the same trials, parents and scores as in this process."""
    from nas.execution.ray_executor import RayExecutor

    faults = {1: "nan", 2: "bug", 4: "barren"}
    s, heard = start(tmp_path, trials=6, sampler="evolution", inherit=breed)
    fake = Fake(tmp_path / "log", faults)
    RayExecutor(concurrency=1).run(s, fake, heard)
    check_faults(s, heard)
    check_speeds(s)
    assert fake.starts() == [0, 1, 2, 3, 4, 5] and set(fake.threads()) == {1}
    assert heard.of(3) == ["started", 1, 2, 3, "complete"]
    assert heard.url is not None and heard.url.startswith("http://127.0.0.1:")
    assert capfd.readouterr() == ("", "")

    (tmp_path / "local").mkdir()
    local, heard_locally = start(tmp_path / "local", trials=6, sampler="evolution", inherit=breed)
    LocalExecutor().run(local, Fake(tmp_path / "local" / "log", faults), heard_locally)
    assert history(s) == history(local)
    assert list(s.trials) == list(local.trials)
    assert [t.result.parent for t in s.trials] == [None, None, None, None, None, 4]
    assert heard.kept == heard_locally.kept


@pytest.mark.slow
def test_trials_under_way_stay_running_where_the_study_gives_up(tmp_path: Path) -> None:
    """It ends at once, though theirs would take long."""
    from nas.execution.ray_executor import RayExecutor

    s, heard = start(tmp_path, trials=5, rules=[GivesUp()])
    fake = Fake(tmp_path / "log", {0: "bug"}, epoch_s=1.0, epochs=1000)
    RayExecutor(concurrency=2, dashboard=False).run(s, fake, heard)
    assert str(s.given_up) == "trial 0 failed"
    assert [t.state for t in s.trials] == [TrialState.FAILED, TrialState.RUNNING]
    assert heard.of(0) == ["started", "failed"]


def test_nodes_are_counted_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tune asks for a trial after each event, and twice a second, also where all workers have one."""
    from nas.execution.ray_trials import Trials

    looks = []

    def count() -> int:
        looks.append(time.monotonic())
        return 1

    s, _ = start(tmp_path, trials=3)
    quiet = cast(Any, SimpleNamespace(note_ask=lambda *_: None, check=lambda: None))
    trials = Trials(s, quiet, count, Fake(tmp_path / "log"), quiet)
    assert trials.ask("first") is not None
    assert [trials.ask("more") for _ in range(20)] == [None] * 20 and len(looks) == 1
    monkeypatch.setattr("nas.execution.ray_trials._COUNT_S", 0.0)
    assert trials.ask("more") is None and len(looks) == 2


def test_an_end_is_asked_for_while_all_workers_train(tmp_path: Path) -> None:
    from nas.execution.ray_trials import Abort, Trials

    ends: list[NasError] = []
    s, _ = start(tmp_path, trials=1, find_end=lambda: ends[0] if ends else None)
    quiet = cast(Any, SimpleNamespace(note_ask=lambda *_: None, check=lambda: None))
    trials = Trials(s, quiet, lambda: 1, Fake(tmp_path / "log"), quiet)
    assert trials.ask("first") is not None and trials.ask("more") is None
    ends.append(NasError("that will do"))
    with pytest.raises(Abort):
        trials.ask("more")


def test_nothing_is_started_for_a_finished_study(tmp_path: Path) -> None:
    from nas.execution.ray_executor import RayExecutor

    s, heard = start(tmp_path, trials=0)
    RayExecutor(address="nowhere:1").run(s, Fake(tmp_path / "log"), heard)


@pytest.mark.parametrize("address", ["127.0.0.1", "ray://127.0.0.1:10001", "127.0.0.1:", ":6379"])
def test_an_address_that_is_none(tmp_path: Path, address: str) -> None:
    from nas.execution.ray_executor import RayExecutor

    s, heard = start(tmp_path, trials=1)
    with pytest.raises(InputError) as error:
        RayExecutor(address=address).run(s, Fake(tmp_path / "log"), heard)
    assert str(error.value) == f"'{address}' is not a Ray address; write local, auto or host:port"


def unanswered(tmp_path: Path, address: str) -> float:
    from nas.execution.ray_executor import RayExecutor

    s, heard = start(tmp_path, trials=1)
    started = time.monotonic()
    with pytest.raises(InputError) as error:
        RayExecutor(address=address).run(s, Fake(tmp_path / "log"), heard)
    assert str(error.value) == (
        f"no Ray cluster answers at address '{address}'; start one with `ray start --head`, or start "
        "Ray here with --address local"
    )
    return time.monotonic() - started


def test_an_address_that_does_not_answer(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert unanswered(tmp_path, f"127.0.0.1:{free.getsockname()[1]}") < 5


@pytest.mark.slow
def test_an_address_where_something_else_answers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert unanswered(tmp_path, f"127.0.0.1:{other.getsockname()[1]}") < 60  # s


@pytest.mark.slow
def test_ray_that_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.execution.ray_executor import RayExecutor

    monkeypatch.setenv("RAY_TMPDIR", "/dev/null")
    s, heard = start(tmp_path, trials=1)
    with pytest.raises(NasError) as error:
        RayExecutor().run(s, Fake(tmp_path / "log"), heard)
    assert str(error.value).startswith("Ray cannot start: ") and "\n" not in str(error.value)
    assert str(error.value).endswith("; mend the cause, or train without Ray by --workers 0")
    assert s.trials == []


def homes(tmp_path: Path) -> dict[str, Path]:
    """Homes that Ray could not write its token to."""
    found = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "home"}
    found["a file"].touch()
    for name, mode in {"read only": 0o500, "not to be entered": 0}.items():
        found[name] = tmp_path / name
        found[name].mkdir(mode)
    found["an empty token"] = tmp_path / "empty"
    (found["an empty token"] / ".ray").mkdir(parents=True)
    (found["an empty token"] / ".ray" / "auth_token").touch()
    return found


_TOKENS = """
import os, sys
from nas.execution.ray_address import make_token, show_token
for home in sys.argv[1:]:
    os.environ["HOME"] = home
    show_token()
    make_token()
    print(os.environ.pop("RAY_AUTH_MODE", None), len(os.environ.pop("RAY_AUTH_TOKEN", "")))
"""
_WITHOUT_RIGHTS = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"] if os.geteuid() == 0 else []
"""Root may write where its own modes forbid it."""


@pytest.mark.skipif(sys.platform != "linux", reason="needs setpriv")
def test_a_home_that_cannot_be_written_needs_a_token_in_the_environment(tmp_path: Path) -> None:
    places = homes(tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    command = [*_WITHOUT_RIGHTS, sys.executable, "-c", _TOKENS, *map(str, places.values())]
    said = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert said.stderr == ""
    needed = {name: 0 if name == "an empty token" else 64 for name in places}  # Ray writes what is empty anew
    assert said.stdout.splitlines() == [f"None {length}" for length in needed.values()]


@pytest.mark.slow
@pytest.mark.parametrize("home", ["a file", "read only"])
def test_ray_starts_where_the_home_cannot_be_written(tmp_path: Path, home: str) -> None:
    command = [*_WITHOUT_RIGHTS, sys.executable, "-c", _ONE, str(Path(__file__).parents[1]), str(tmp_path)]
    environment = {**os.environ, "HOME": str(homes(tmp_path)[home])}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110)
    assert (said.stdout, said.stderr) == ("", "")
    s, _ = start(tmp_path, trials=1)
    assert s.counts.complete == 1


_SLOW_START = """
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
import nas.execution.ray_executor
from ray._private import services
for name, seconds in {"GCS_SERVER_EXECUTABLE": 7, "RAYLET_EXECUTABLE": 12}.items():
    slow = Path(sys.argv[2]) / name
    slow.write_text(f'#!/bin/sh\\nsleep {seconds}\\nexec "{getattr(services, name)}" "$@"\\n')
    slow.chmod(0o700)
    setattr(services, name, str(slow))
"""


@pytest.mark.slow
def test_a_start_of_ray_that_is_slow(tmp_path: Path) -> None:
    """As on a busy machine, each of its processes by more than Ray itself waits for it."""
    code = _SLOW_START + _ONE
    command = [sys.executable, "-c", code, str(Path(__file__).parents[1]), str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert (said.stdout, said.stderr) == ("", "")
    s, _ = start(tmp_path, trials=1)
    assert s.counts.complete == 1


@pytest.mark.slow
def test_a_temporary_folder_whose_name_is_too_long_for_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.execution.ray_executor import RayExecutor

    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("long" * 20)))
    s, heard = start(tmp_path, trials=1)
    RayExecutor(dashboard=False).run(s, Fake(tmp_path / "log"), heard)
    assert s.counts.complete == 1


def processes_of(session: str) -> list[Path]:
    """What still writes to the folder of a session of Ray."""
    found = []
    for file in Path("/proc").glob("[0-9]*/fd/[12]"):
        with suppress(OSError):
            if str(file.readlink()).startswith(session):
                found.append(file)
    return found


_ENDED = """
import sys, threading, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from fakes import Fake, start
from nas.errors import NasError
from nas.execution import ray_watch
from nas.execution.ray_executor import RayExecutor
import ray
ray_watch._GCS_S = 5 if sys.argv[3] != "gcs_server" else ray_watch._GCS_S
fake = Fake(Path(sys.argv[2]) / "log", epoch_s=0.5)
def end():
    while len(fake.starts()) < 2:
        time.sleep(0.2)
    (Path(sys.argv[2]) / "session").write_text(ray._private.worker._global_node.get_session_dir_path())
    ray._private.worker._global_node.all_processes[sys.argv[3]][0].process.kill()
study, heard = start(Path(sys.argv[2]), trials=400)
threading.Thread(target=end, daemon=True).start()
try:
    RayExecutor(dashboard=False, way_out="Go on with: nas resume runs/mine").run(study, fake, heard)
except NasError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("process", "what"), [("raylet", "Ray on this machine"), ("gcs_server", "the head of the Ray cluster")]
)
def test_a_process_of_ray_that_goes(tmp_path: Path, process: str, what: str) -> None:
    code = [sys.executable, "-c", _ENDED, str(Path(__file__).parents[1]), str(tmp_path), process]
    said = subprocess.run(code, capture_output=True, text=True, timeout=110)
    assert said.returncode == 1 and said.stdout == ""
    assert said.stderr.startswith(f"error: {what} (") and said.stderr.count("\n") == 1
    assert said.stderr.endswith(
        ") has gone: it was stopped or killed, as a system does where memory is full. Go on with: nas resume "
        "runs/mine\n"
    )
    assert processes_of((tmp_path / "session").read_text()) == []
    s, _ = start(tmp_path, trials=400)
    assert s.counts.failed == 0 and s.counts.running


def is_gcs(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(b"gcs_server")


_DRIVER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from fakes import Fake, start
from nas.execution.ray_executor import RayExecutor
if __name__ == "__main__":
    folder = Path(sys.argv[2])
    study, heard = start(folder, trials=40)
    try:
        RayExecutor().run(study, Fake(folder / "log", epoch_s=0.3), heard)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""
_ONE = _DRIVER.replace("trials=40", "trials=1").replace("RayExecutor()", "RayExecutor(dashboard=False)")


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_driver_leaves_no_process_and_a_ledger_to_resume(
    tmp_path: Path, kill: signal.Signals
) -> None:
    command = [sys.executable, "-c", _DRIVER, str(Path(__file__).parents[1]), str(tmp_path)]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    fake = Fake(tmp_path / "log")
    wait_until(lambda: len(fake.starts()) >= 5, 120)
    workers = descendants(driver.pid)
    stopped = time.monotonic()
    driver.send_signal(kill)
    said, _ = driver.communicate(timeout=30)
    assert time.monotonic() - stopped < 10
    assert said == ("interrupted\n" if kill == signal.SIGINT else "")
    wait_until(lambda: not any(map(works, workers)), timeout_s=20)
    s, heard = start(tmp_path, trials=7)
    before = [t for t in s.trials if t.state is TrialState.COMPLETE]
    assert before and s.counts.failed == 0 and 1 <= s.counts.running <= (os.cpu_count() or 1)
    LocalExecutor().run(s, fake, heard)
    assert s.counts.complete == len(s.trials)
    assert [t for t in s.trials if t in before] == before
    assert all(fake.starts().count(t.number) == 1 for t in before)


@pytest.mark.slow
def test_workers_that_cannot_start_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.execution.ray_executor import RayExecutor

    monkeypatch.delenv("PYTHONPATH")
    s, heard = start(tmp_path, trials=3)
    with pytest.raises(NasError) as error:
        RayExecutor(dashboard=False).run(s, Fake(tmp_path / "log"), heard)
    assert str(error.value) == (
        "a worker cannot start: ModuleNotFoundError: No module named 'fakes'; every node needs nas, "
        "and the modules that the search uses"
    )
    assert {t.state for t in s.trials} == {TrialState.RUNNING}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_cluster_whose_nodes_come_and_go_fails_no_trial(tmp_path: Path) -> None:
    """A head without CPUs for trials and one node. Its GCS does not answer for a while; another node joins;
    the machine of trial 3 goes while it trains, and so does the next: the raylet first, then the worker."""
    from nas.execution.ray_executor import RayExecutor

    class Told(Heard):
        def started(self, candidate: Candidate) -> None:
            super().started(candidate)
            if candidate.number == 1:
                (gcs,) = (pid for pid in descendants(cluster.head.pid) if is_gcs(pid))
                os.kill(gcs, signal.SIGSTOP)
                threading.Timer(5, os.kill, (gcs, signal.SIGCONT)).start()
            if candidate.number in (2, 3) and self.of(candidate.number) == ["started"]:
                cluster.node(cpus=1)

    s, _ = start(tmp_path, trials=10)
    heard = Told(s)
    fake = Fake(tmp_path / "log", {3: "machine goes twice"}, epoch_s=0.3)
    with Cluster(tmp_path / "ray") as cluster:
        cluster.node(cpus=1)
        RayExecutor(address=cluster.address).run(s, fake, heard)
    assert s.counts.complete == 10
    assert set(heard.kept) == set(range(10))
    assert fake.starts().count(3) == 3 and {fake.starts().count(n) for n in (0, 1, 2, *range(5, 10))} == {1}


@pytest.mark.slow
def test_a_cluster_with_another_token_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where this machine has none, whether it asks for one or not."""
    (tmp_path / "home").mkdir()
    with Cluster(tmp_path / "ray") as cluster:
        for changes in (
            {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64},
            {"RAY_AUTH_MODE": "token", "HOME": str(tmp_path / "home")},
            {"HOME": str(tmp_path / "home")},
        ):
            with monkeypatch.context() as patch:
                for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
                    patch.delenv(name, raising=False)
                for name, value in changes.items():
                    patch.setenv(name, value)
                with pytest.raises(InputError) as error:
                    check_address(cluster.address)
                assert str(error.value) == (
                    f"the Ray cluster at address '{cluster.address}' refuses this machine's token; copy "
                    "~/.ray/auth_token from its head node, or set RAY_AUTH_TOKEN"
                )
