"""What of this machine this process may use: a batch system, `taskset` or a container may allow a part."""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from nas.errors import InputError

_CPU_VARIABLES = ("SLURM_CPUS_PER_TASK", "PBS_NCPUS", "NCPUS", "LSB_DJOB_NUMPROC", "NSLOTS")
"""What Slurm, PBS, LSF and Grid Engine say of a job."""
_GROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_CPUINFO = Path("/proc/cpuinfo")


def check_system() -> None:
    """Raise InputError where trainings cannot be run."""
    if sys.platform == "win32":
        raise InputError("a search runs on Linux and macOS; on Windows, run it inside of WSL")


def count_cores(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many cores this process may use, at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    found = [len(affinity(0)) if affinity else os.cpu_count() or 1]
    found += [int(text) for name in _CPU_VARIABLES if (text := environment.get(name, "")).isdecimal()]
    for quota, period in _read_limits("cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us"):
        found.append(math.ceil(quota / period))
    return max(1, min(found))


def check_threads(threads: int) -> None:
    """Raise InputError for more threads than cores that this process may use."""
    if threads > (cores := count_cores()):
        raise InputError(
            f"--threads: {threads} are more than the {cores} cores that may be used here; name up to {cores}"
        )


def read_memory_bytes() -> int:
    """Return the memory that this process and its like may take."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    found += [limit for limit, _ in _read_limits("memory.max", "memory.limit_in_bytes")]
    return min(found)


def name_processor(file: Path | None = None) -> str:
    """Return the name of the processor, and which vectors of those that runtimes choose by it has."""
    said = _describe(file)
    name = said.get("model name") or platform.processor() or platform.machine()
    if "CPU part" in said:  # as of ARM, whose cores have no name
        name = f"{name} {said.get('CPU implementer', '')}:{said['CPU part']}"
    own = list_vectors(file)
    return f"{name} ({', '.join(own)})" if own else name


def list_vectors(file: Path | None = None) -> list[str]:
    """Return which vectors of those that runtimes choose by the processor has, as Linux names them."""
    said = _describe(file)
    flags = set((said.get("flags") or said.get("Features") or "").split())
    return [flag for flag in _VECTORS if flag in flags]


def _describe(file: Path | None) -> dict[str, str]:
    """Return what Linux says of a core by its name; nothing where it is another system."""
    lines: list[str] = []
    with suppress(OSError):
        lines = (file or _CPUINFO).read_text(errors="replace").splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


_VECTORS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "sve")


def _read_limits(name: str, *names_1: str) -> Iterator[tuple[int, int]]:
    """Give the limits of this process's control groups, each a number and what it is per, or 1.

    `name`: of the file in groups of version 2; `names_1`: in those of version 1.
    """
    for folder in _list_folders():
        for files in ((name,), names_1):
            with suppress(OSError, ValueError):  # no such group, or no limit: `max`, or -1
                words = [word for file in files for word in (folder / file).read_text().split()]
                limit, per = int(words[0]), int(words[1]) if len(words) > 1 else 1
                if limit > 0 and per > 0:
                    yield limit, per


def _list_folders() -> Iterator[Path]:
    """Give the folders of this process's control groups, and of those that these are in."""
    lines: list[str] = []
    with suppress(OSError):
        lines = _OWN.read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for mount in {"": [""], "cpu,cpuacct": ["cpu", "cpu,cpuacct"]}.get(controllers, [controllers]):
            group = Path(path)
            for inner in (group, *group.parents):
                yield _GROUPS / mount / inner.relative_to("/")
