"""Every fault of docs/reliability.md, made to happen to a real search: what is lost, what is trained twice.

    python benchmarks/faults.py [--only WORD] [--kills 20] [--seconds 30] [--seed 0] [--python PATH]

A row is a search of trials of half a second, or of 4 s where a node joins late, its fault, and its resume
where the fault ended it. `lost`: trials that were finished and are not in the ledger as they were, or that
it has no end of in the end. `repeated`: trainings that began after their trial was finished. `codes`: how
each command of the row ended; below, what the one said that the fault has ended. Clusters are of several
raylets on this machine.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

# isort: split
from clusters import Cluster, descendants, kill_tree, wait_until, works
from command_line import TINY
from servers import postgres

from nas.runs.state import RunState
from nas.study.records import Trial, TrialState
from nas.study.storage import open_storage

ROOT = Path(__file__).resolve().parents[1]
EVALUATOR = """\
import os, resource, time
from pathlib import Path
import nas

FAULTS = {faults}
LOG = Path({log!r})

def note(what, number):
    with LOG.open("a") as file:
        file.write(f"{{what}} {{number}} {{os.getpid()}} {{os.getppid()}} {{time.time_ns()}}\\n")

@nas.evaluator(metric="score")
def train(network):
    network.module()
    number = network.seed
    note("begins", number)
    for epoch in range(2):
        time.sleep({epoch_s})
        if epoch == 1:
            match FAULTS.get(number):
                case "hangs":
                    time.sleep(600)
                case "raises":
                    raise ValueError("as told")
                case "allocates without end":
                    used = Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]
                    resource.setrlimit(resource.RLIMIT_DATA, ((int(used) << 10) + (512 << 20), -1))
                    hoard = []
                    while True:
                        hoard.append(bytearray(64 << 20))
                case "exits the interpreter":
                    os._exit(7)
                case "returns NaN":
                    yield float("nan")
            note("trained", number)
        yield (number * 7 % 10 + epoch) / 20
"""


class Line(NamedTuple):
    """A trial that `begins`, or has `trained`: in which process, of which parent, when."""

    what: str
    number: int
    process: int
    parent: int
    time_ns: int


@dataclass
class Search:
    """A search by the command line in a folder of its own, that is resumed until it is finished."""

    folder: Path
    trials: int = 8
    flags: tuple[str, ...] = ("--workers", "0")
    faults: Mapping[int, str] = field(default_factory=dict)
    epoch_s: float = 0.25
    storage: str | None = None
    codes: list[int] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    repeated: int = 0
    lost: int = 0
    _before: dict[int, Trial] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "tiny.yaml").write_text(TINY)
        self.log = self.folder.resolve() / "log"
        text = EVALUATOR.format(faults=dict(self.faults), log=str(self.log), epoch_s=self.epoch_s)
        (self.folder / "own.py").write_text(text)

    @property
    def run(self) -> Path:
        return self.folder / "runs" / "mine"

    def begin(self, *flags: str) -> subprocess.Popen[str]:
        """Start the search, or go on with it."""
        first = ["search", "tiny.yaml", "--name", "mine", "--trials", str(self.trials), "--epochs", "2"]
        words = ["resume", "runs/mine"] if (self.run / "run.yaml").exists() else first
        command = [sys.executable, "-P", "-m", "nas", *words, "--evaluator", "own.py:train"]
        command += ["--storage", self.storage] if self.storage else []
        return subprocess.Popen(
            [*command, *(flags or self.flags)],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def lines(self) -> list[Line]:
        """What was trained."""
        found = self.log.read_text().splitlines() if self.log.exists() else []
        return [Line(what, *map(int, figures)) for what, *figures in map(str.split, found)]

    def ended(self) -> dict[int, Trial]:
        """The finished trials, by number."""
        if not (self.run / "run.yaml").exists():
            return {}
        trials = RunState.load(self.run, storage=self.storage).trials
        assert [trial.number for trial in trials] == list(range(len(trials)))
        return {trial.number: trial for trial in trials if not trial.is_running}

    @property
    def trials_ended(self) -> list[Trial]:
        """The trials that were finished when the last command ended."""
        return [*self._before.values()]

    def count(self, what: str) -> int:
        """Return how many trials have begun or trained, as `begins` or `trained` asks."""
        return sum(line.what == what for line in self.lines())

    def await_trained(self, count: int, driver: subprocess.Popen[str]) -> None:
        """Wait until so many trials have trained."""

        def has() -> bool:
            assert driver.poll() is None, driver.communicate()
            return self.count("trained") >= count

        wait_until(has, 180)

    def end(self, driver: subprocess.Popen[str], timeout_s: float = 240) -> None:
        """Wait until a driver has ended, and count."""
        said, _ = driver.communicate(timeout=timeout_s)
        self.codes.append(driver.returncode)
        self.said.append(next(reversed(said.strip().splitlines()), ""))
        assert "Traceback" not in said, said
        now = self.ended()
        self.lost += sum(now.get(number) != trial for number, trial in self._before.items())
        self._before = now
        ends = self._finished_ns()
        self.repeated = sum(
            line.what == "begins" and line.time_ns > ends.get(line.number, math.inf) for line in self.lines()
        )

    def _finished_ns(self) -> dict[int, float]:
        """When the ledger took the end of each trial."""
        if not (self.run / "run.yaml").exists():
            return {}
        storage = open_storage(self.storage or self.run / "study.journal")
        trials = optuna.load_study(study_name="mine", storage=storage).trials
        ends = {trial.number: trial.datetime_complete for trial in trials}
        return {number: end.timestamp() * 1e9 for number, end in ends.items() if end is not None}

    def finish(self, *flags: str) -> Search:
        """Go on until all trials are finished."""
        self.end(self.begin(*flags))
        self.lost += self.trials - len(self._before)
        return self

    def close(self) -> Search:
        """As `finish`, of a search that a fault has not ended."""
        self.lost += self.trials - len(self._before)
        return self

    def add(self, other: Search) -> Search:
        """Count another search with this one, its trials after those here."""
        self._before |= {self.trials + number: trial for number, trial in other._before.items()}
        self.trials += other.trials
        self.codes = sorted(self.codes + other.codes)
        self.said += other.said
        self.lost += other.lost
        self.repeated += other.repeated
        return self

    def reasons(self) -> dict[int, str]:
        return {n: str(trial.failure.reason) for n, trial in self._before.items() if trial.failure}


# The faults. Each takes a folder and gives what the searches of its rows came to.

RAY = ("--workers", "2")


def worker_killed(folder: Path, flags: tuple[str, ...] = RAY) -> Search:
    search = Search(folder, flags=flags)
    driver = search.begin()
    search.await_trained(2, driver)
    wait_until(lambda: search.lines()[-1].what == "begins")
    os.kill(search.lines()[-1].process, signal.SIGKILL)
    search.end(driver)
    assert not search.reasons(), search.reasons()
    return search.close()


def process_killed(folder: Path) -> Search:
    return worker_killed(folder, ("--workers", "0"))


def find_child(driver: subprocess.Popen[str], name: str) -> int:
    """Return the process below one that has this name among the words of its command."""

    def has_name(pid: int) -> bool:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        return any(Path(word).name == name for word in words[:4])

    (found,) = filter(has_name, descendants(driver.pid))
    return found


def ray_killed(folder: Path) -> Search:
    search = Search(folder, trials=30, flags=RAY)
    driver = search.begin()
    search.await_trained(2, driver)
    os.kill(find_child(driver, "raylet"), signal.SIGKILL)
    search.end(driver)
    return search.finish("--workers", "0")


def logger_killed(folder: Path) -> Search:
    if find_spec("tensorboard") is None:
        raise NotImplementedError("needs tensorboard")
    search = Search(folder, flags=("--workers", "0", "--log", "tensorboard"))
    driver = search.begin()
    search.await_trained(2, driver)
    os.kill(find_child(driver, "nas.loggers.logger_worker"), signal.SIGKILL)
    search.end(driver)
    return search.close()


def database_killed(folder: Path) -> Search:
    try:
        with postgres() as (url, kill, start):
            search = Search(folder, storage=url)
            driver = search.begin()
            search.await_trained(2, driver)
            kill()
            driver.wait(60)
            start()
            search.end(driver)
            return search.finish()
    except pytest.skip.Exception as needs:
        raise NotImplementedError(str(needs)) from None


@contextmanager
def cluster_of(folder: Path, *flags: str) -> Iterator[Cluster]:
    with Cluster(folder / "ray", *flags) as cluster:
        cluster.node(cpus=1)
        yield cluster


def node_killed(folder: Path) -> Search:
    with cluster_of(folder) as cluster:
        second = cluster.node(cpus=1)
        search = Search(folder, flags=("--address", cluster.address))
        driver = search.begin()
        search.await_trained(2, driver)
        kill_tree(second)
        search.end(driver)
    assert not search.reasons(), search.reasons()
    return search.close()


def node_late(folder: Path) -> Search:
    with cluster_of(folder) as cluster:
        search = Search(folder, trials=6, flags=("--address", cluster.address), epoch_s=2)
        driver = search.begin()
        wait_until(lambda: search.count("begins"), 180)
        cluster.node(cpus=1)
        search.end(driver)
    assert len({line.parent for line in search.lines()}) == 2, "no trial was trained on the node that joined"
    return search.close()


def head_killed(folder: Path) -> Search:
    with cluster_of(folder) as cluster:
        search = Search(folder, flags=("--address", cluster.address))
        driver = search.begin()
        search.await_trained(2, driver)
        kill_tree(cluster.head)
        with cluster_of(folder) as other:  # meanwhile the search waits for the head
            search.end(driver)
            return search.finish("--address", other.address)


def driver_killed(folder: Path, kills: int = 20, seed: int = 0) -> Search:
    """Of two searches at a time, as their drivers mostly wait, of half of the moments each."""
    with ThreadPoolExecutor() as pool:
        one = pool.submit(_kill_driver, folder / "one", kills - kills // 2, seed)
        other = pool.submit(_kill_driver, folder / "other", kills // 2, seed + 1)
        return one.result().add(other.result())


def _kill_driver(folder: Path, kills: int, seed: int) -> Search:
    """From its own start to the second trial that it ends, in turns with workers of Ray and without."""
    rng = random.Random(seed)
    search = Search(folder, trials=3 * kills)
    for kill in range(kills):
        driver = search.begin(*(RAY if kill % 4 == 1 else ("--workers", "0")))
        if rng.random() < 0.75:
            target = search.count("trained") + 1  # to read the ledger each time would keep a core busy
            while search.count("trained") < target and driver.poll() is None:
                time.sleep(0.1)
        time.sleep(rng.random())
        left = descendants(driver.pid)
        driver.kill()
        search.end(driver)
        while any(map(works, left)):
            time.sleep(0.1)
    return search.finish()


def signalled(*signals: signal.Signals) -> Callable[[Path], Search]:
    def search_until(folder: Path) -> Search:
        search = Search(folder)
        driver = search.begin()
        search.await_trained(2, driver)
        for one in signals:
            driver.send_signal(one)
            time.sleep(0.05)
        search.end(driver)
        return search.finish()

    return search_until


def disk_full(folder: Path) -> Search:
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        raise NotImplementedError("needs the right to mount a small disk")
    try:
        (folder / "runs").symlink_to(disk)
        search = Search(folder, trials=30)
        driver = search.begin()
        search.await_trained(2, driver)
        filler = disk / "other"
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(b"0" * 512):
                    pass
            except OSError:
                pass
        search.end(driver)
        filler.unlink()
        return search.finish()
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


TRIAL_FAULTS = {
    "hangs": "timeout",
    "raises": "error",
    "allocates without end": "error",
    "exits the interpreter": "worker_died",
    "returns NaN": "nan_loss",
}


def trial_faults(folder: Path, flags: tuple[str, ...] = ("--workers", "0")) -> Search:
    faults = dict(enumerate(TRIAL_FAULTS, 1))
    search = Search(folder, flags=(*flags, "--trial-timeout", "2"), faults=faults)
    search.end(search.begin())
    assert search.reasons() == dict(enumerate(TRIAL_FAULTS.values(), 1)), search.reasons()
    return search.close()


def trial_faults_on_ray(folder: Path) -> Search:
    return trial_faults(folder, RAY)


def gcs_away(folder: Path, seconds: float = 30) -> Search:
    with cluster_of(folder) as cluster:
        search = Search(folder, flags=("--address", cluster.address))
        driver = search.begin()
        search.await_trained(2, driver)
        gcs = find_child(cluster.head, "gcs_server")
        os.kill(gcs, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(gcs, signal.SIGCONT)
        search.end(driver)
    return search.close()


def other_nas(folder: Path) -> Search:
    other = folder / "other" / "nas"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("__version__ = '0.0.7'\n")
    with Cluster(folder / "ray") as cluster:
        wrong = cluster.node(cpus=1, PYTHONPATH=str(other.parent))
        search = Search(folder)
        search.end(search.begin("--address", cluster.address))
        assert not search.lines() and not search.run.exists()
        kill_tree(wrong)
    return search.finish()


def other_python(folder: Path, python: str | None = None) -> Search:
    """A cluster of another interpreter, `python`; without one, a head that says that it is of another."""
    if python is not None:
        with Cluster(folder / "ray", python=python) as cluster:
            search = Search(folder)
            search.end(search.begin("--address", cluster.address))
            assert not search.lines() and not search.run.exists()
        return search.finish()
    with cluster_of(folder) as cluster:
        own = cluster.claim_python("3.9.1")
        search = Search(folder)
        search.end(search.begin("--address", cluster.address))
        assert not search.lines() and not search.run.exists()
        cluster.claim_python(own)
        return search.finish("--address", cluster.address)


def store_small(folder: Path) -> Search:
    """Data of twice the store's size: what has no room in it goes to the disk."""
    with cluster_of(folder, "--object-store-memory=80000000") as cluster:
        search = Search(folder, flags=("--address", cluster.address))
        own = search.folder / "own.py"
        own.write_text(own.read_text() + "\nDATA = bytearray(os.urandom(160_000_000))\n")
        search.end(search.begin())
    return search.close()


FAULTS: dict[str, Callable[..., Search]] = {
    "a worker is killed": worker_killed,
    "the process that trains is killed": process_killed,
    "a worker's node is killed": node_killed,
    "a node joins late": node_late,
    "Ray on the driver's machine is killed": ray_killed,
    "the head is killed; resumed on a new one": head_killed,
    "the driver is killed at random moments": driver_killed,
    "SIGTERM": signalled(signal.SIGTERM),
    "SIGHUP": signalled(signal.SIGHUP),
    "SIGINT twice": signalled(signal.SIGINT, signal.SIGINT),
    "the disk is full": disk_full,
    "a database's server is killed": database_killed,
    "a logger's process is killed": logger_killed,
    "trials hang, raise, allocate, exit, give NaN": trial_faults,
    "the same on Ray": trial_faults_on_ray,
    "the GCS is unreachable": gcs_away,
    "a cluster of another nas": other_nas,
    "a cluster of another Python": other_python,
    "an object store that is too small": store_small,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", help="parts of the names of faults, with commas")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30, help="for which the GCS is away")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--python", help="another interpreter, which has the same Ray; else one is claimed")
    given = parser.parse_args()
    options: dict[Callable[..., Search], dict[str, Any]] = {
        driver_killed: {"kills": given.kills, "seed": given.seed},
        gcs_away: {"seconds": given.seconds},
        other_python: {"python": given.python},
    }
    print(f"{'fault':46}{'finished':>9}{'failed':>8}{'lost':>6}{'repeated':>10}{'seconds':>9}  codes")
    for name, fault in FAULTS.items():
        if not any(word in name for word in given.only.split(",")):
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="nas-faults-") as folder:
            try:
                own = Path(folder) / "f"
                own.mkdir()
                search = fault(own, **options.get(fault, {}))
            except (NotImplementedError, AssertionError) as error:
                print(f"{name:46}{type(error).__name__}: {error}", flush=True)
                continue
            trials = search.trials_ended
        finished = sum(trial.state is TrialState.COMPLETE for trial in trials)
        codes = " ".join(map(str, search.codes))
        print(
            f"{name:46}{finished:9}{len(trials) - finished:8}{search.lost:6}{search.repeated:10}"
            f"{time.monotonic() - began:9.0f}  {codes}",
            flush=True,
        )
        if search.codes[0] not in (0, -signal.SIGKILL):
            print(f"    {search.said[0]}", flush=True)


if __name__ == "__main__":
    main()
