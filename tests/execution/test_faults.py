"""What befalls searches, as benchmarks/faults.py makes it happen. Other tests that docs/reliability.md names
look closer."""

from __future__ import annotations

import gc
import re
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from fakes import Fake, start

from nas.study.records import TrialState

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import faults

    return faults


GONE = r"(Ray on this machine|the head of the Ray cluster) \([\d.:]+\) has gone: "
STOPPED = "stopped; nothing finished is lost"
ENDS: dict[str, tuple[list[int], str]] = {
    "a worker is killed": ([0], ""),
    "the process that trains is killed": ([0], ""),
    "a worker's node is killed": ([0], ""),
    "a node joins late": ([0], ""),
    "Ray on the driver's machine is killed": ([1, 0], GONE),
    "the head is killed; resumed on a new one": ([1, 0], GONE),
    "the driver is killed at random moments": ([-9] * 20 + [0] * 2, ""),
    "SIGTERM": ([130, 0], STOPPED),
    "SIGHUP": ([129, 0], STOPPED),
    "SIGINT twice": ([130, 0], STOPPED),
    "the disk is full": ([1, 0], r"runs/mine/.* cannot be written: .*; make room\. Nothing finished is lost"),
    "a database's server is killed": ([1, 0], r"storage 'postgresql\+psycopg://me:\*\*\*@.*': stopped by "),
    "a logger's process is killed": ([0], ""),
    "trials hang, raise, allocate, exit, give NaN": ([0], ""),
    "the same on Ray": ([0], ""),
    "the GCS is unreachable": ([0], ""),
    "a cluster of another nas": ([2, 0], r"node [\d.]+ of the Ray cluster has nas 0\.0\.7, and this "),
    "a cluster of another Python": (
        [2, 0],
        r"the Ray cluster at .* runs .* and Python 3\.9\.1, and this machine .*; ",
    ),
    "an object store that is too small": ([0], ""),
}
"""How the search of a row and its resumes end, and what the search says that the fault has ended."""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")  # by SQLAlchemy's pool
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("fault", ENDS)
def test_a_fault_loses_nothing_and_nothing_is_trained_twice(
    faults: ModuleType, tmp_path: Path, fault: str
) -> None:
    try:
        search = faults.FAULTS[fault](tmp_path)
    except NotImplementedError as error:
        pytest.skip(str(error))
    gc.collect()  # what warns of the pool does so here
    codes, said = ENDS[fault]
    assert (search.lost, search.repeated, search.codes) == (0, 0, codes)
    assert search.reasons().keys() == search.faults.keys()
    if codes[0] > 0:
        way_out = "install the same on both" if codes[0] == 2 else "Go on with: nas resume runs/mine"
        assert re.match("error: " + said, search.said[0]) and way_out in search.said[0], search.said


FULL = r"Ray ended its process, as the memory of its machine was nearly full, [\d.]+GB used / [\d.]+GB limit"


@pytest.mark.slow
def test_the_memory_monitor_of_ray_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.execution.ray_executor import RayExecutor

    monkeypatch.setenv("RAY_memory_usage_threshold", "0.001")
    monkeypatch.setattr("nas.execution.ray_trials._ROOM_S", 0.1)
    s, heard = start(tmp_path, trials=1)
    RayExecutor(dashboard=False).run(s, Fake(tmp_path / "log", epoch_s=3), heard)
    (trial,) = s.trials
    assert re.fullmatch(
        rf"worker_died: 5 times; {FULL}, and Ray allows 0\.1% of it; another process had more, or its "
        "trial had not begun",
        str(trial.failure),
    )


@pytest.mark.slow
def test_a_neighbour_of_a_trial_that_allocates_without_end_is_not_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray ends workers by when they began: the neighbour's began after that of the trial that hoards."""
    from nas.execution.ray_executor import RayExecutor

    memory = psutil.virtual_memory()
    if memory.available < 7 * 2**30:
        pytest.skip("needs 7 GiB of memory that is free")
    allowed = 1 - (memory.available - 4 * 2**30) / memory.total
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))  # from where workers import the fakes
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{allowed:.4f}")
    s, heard = start(tmp_path, trials=2)
    fake = Fake(tmp_path / "log", {0: "hoards", 1: "dies once"}, epoch_s=3)
    RayExecutor(dashboard=False, concurrency=2).run(s, fake, heard)
    hoarder, neighbour = s.trials
    assert re.fullmatch(rf"worker_died: 2 times; {FULL}, and Ray allows [\d.]+% of it", str(hoarder.failure))
    assert neighbour.state is TrialState.COMPLETE
    # its own; how often Ray ends it besides depends on what else the machine does
    assert s.count_deaths(1)["process"] == 1


def test_every_fault_of_the_page_has_its_test_and_its_row(faults: ModuleType) -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    table = [line for line in page.splitlines() if line.startswith("| ") and "`tests/" in line]
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", "\n".join(table))
    assert len(named) >= len(table) >= 15
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(), f"{file} has no {test}"
    assert [*faults.FAULTS] == [*ENDS]
    for fault in faults.FAULTS:
        assert f"\n{fault} " in page, f"the page has no row of '{fault}'"
