"""What befalls searches, as benchmarks/faults.py makes it happen. Other tests have the other rows of its
table; docs/reliability.md names the test of each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes import Fake, start

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import faults

    return faults


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("fault", "codes", "said"),
    [
        (
            "the head is killed; resumed on a new one",
            [1, 0],
            "(Ray on this machine|the head of the Ray cluster) ",
        ),
        ("SIGINT twice", [130, 0], "stopped; nothing finished is lost. Go on with: nas resume runs/mine"),
        (
            "the disk is full",
            [1, 0],
            r"runs/mine/.* cannot be written: .*; make room\. Nothing finished is lost\.",
        ),
    ],
)
def test_a_fault_loses_nothing_and_nothing_is_trained_twice(
    faults: ModuleType, tmp_path: Path, fault: str, codes: list[int], said: str
) -> None:
    try:
        search = faults.FAULTS[fault](tmp_path)
    except NotImplementedError as error:
        pytest.skip(str(error))
    assert (search.lost, search.repeated, search.codes) == (0, 0, codes)
    assert re.match("error: " + said, search.said[0]) and "Go on with: nas resume runs/mine" in search.said[0]
    assert not search.reasons()


@pytest.mark.slow
def test_the_memory_monitor_of_ray_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.execution.ray_executor import RayExecutor

    monkeypatch.setenv("RAY_memory_usage_threshold", "0.001")
    s, heard = start(tmp_path, trials=1)
    RayExecutor(dashboard=False).run(s, Fake(tmp_path / "log", epoch_s=3), heard)
    (trial,) = s.trials
    assert re.fullmatch(
        r"worker_died: 2 times; Ray ended its process, as the memory of its machine was nearly full, "
        r"[\d.]+GB used / [\d.]+GB limit, and Ray allows 0\.1% of it",
        str(trial.failure),
    )


def test_every_fault_of_the_page_has_its_test_and_its_row(faults: ModuleType) -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    table = [line for line in page.splitlines() if line.startswith("| ") and "`tests/" in line]
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", "\n".join(table))
    assert len(named) >= len(table) >= 15
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(), f"{file} has no {test}"
    for fault in faults.FAULTS:
        assert f"\n{fault} " in page, f"the page has no row of '{fault}'"
