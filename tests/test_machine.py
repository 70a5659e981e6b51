"""Cores and memory that this process may use, where something allows it a part of the machine's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nas import machine

SPARE = len(os.sched_getaffinity(0)) - 1


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of control groups, of which none has a limit; this process is in `jobs/one`."""
    monkeypatch.setattr(machine, "_GROUPS", tmp_path)
    monkeypatch.setattr(machine, "_OWN", tmp_path / "own")
    (tmp_path / "own").write_text("0::/jobs/one\n")
    (tmp_path / "jobs" / "one").mkdir(parents=True)
    return tmp_path


def test_a_machine_without_limits(groups: Path) -> None:
    assert machine.count_cores({}) == len(os.sched_getaffinity(0))
    assert 2**27 < machine.read_memory_bytes() < 2**50


@pytest.mark.parametrize("name", ["SLURM_CPUS_PER_TASK", "PBS_NCPUS", "NSLOTS"])
def test_what_a_batch_system_says(groups: Path, name: str) -> None:
    assert machine.count_cores({name: "1"}) == 1
    assert machine.count_cores({name: "4096"}) == machine.count_cores({name: "many"}) == SPARE + 1


def test_what_taskset_says() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from nas.machine import count_cores; print(count_cores({}))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "1\n"


@pytest.mark.parametrize("where", ["jobs/one", "jobs", "."])
@pytest.mark.parametrize("limits", [("50000 100000", "268435456"), ("100000 100000\n", "268435456\n")])
def test_what_a_container_says(groups: Path, where: str, limits: tuple[str, str]) -> None:
    """Its own control group or one around it, in which a part of a core is one."""
    (groups / "jobs" / "one" / "cpu.max").write_text("max 100000\n")
    (groups / "jobs" / "one" / "memory.max").write_text("max\n")
    (groups / where / "cpu.max").write_text(limits[0])
    (groups / where / "memory.max").write_text(limits[1])
    assert (machine.count_cores({}), machine.read_memory_bytes()) == (1, 2**28)


def test_what_a_container_of_old_says(groups: Path) -> None:
    (groups / "own").write_text("4:memory:/a\n3:cpu,cpuacct:/a\n")
    for name, files in {"memory": {"memory.limit_in_bytes": "268435456"}, "cpu/a": {}}.items():
        (groups / name).mkdir(parents=True)
        for file, text in files.items():
            (groups / name / file).write_text(text)
    (groups / "cpu" / "cpu.cfs_quota_us").write_text("-1")
    (groups / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert (machine.count_cores({}), machine.read_memory_bytes()) == (SPARE + 1, 2**28)
    (groups / "cpu" / "a" / "cpu.cfs_quota_us").write_text("100000")
    (groups / "cpu" / "a" / "cpu.cfs_period_us").write_text("100000")
    assert machine.count_cores({}) == 1


def test_the_processor_is_named_with_its_vectors(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 avx512_vnni\n")
    assert machine.name_processor(file) == "Some CPU (avx2, avx512_vnni)"
    file.write_text("processor : 0\nFeatures : fp asimd asimddp\n")
    assert machine.name_processor(file).endswith(" (asimd, asimddp)")
    assert machine.name_processor(tmp_path / "none")


def test_processors_without_a_name_are_told_apart(tmp_path: Path) -> None:
    """Cores of ARM have numbers; a Cortex-A72 and a Neoverse N1 are."""
    names = []
    for part in ("0xd08", "0xd0c"):
        file = tmp_path / part
        file.write_text(f"processor : 0\nFeatures : fp asimd\nCPU implementer : 0x41\nCPU part : {part}\n")
        names.append(machine.name_processor(file))
    assert names[0].endswith(" 0x41:0xd08 (asimd)") and names[1].endswith(" 0x41:0xd0c (asimd)")
