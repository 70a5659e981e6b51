"""Runs of `pytest --pyargs nas.testing` in processes of their own."""

from __future__ import annotations

import contextlib
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from forks import FORKS

ROOT = Path(__file__).parents[1]


def installed(folder: Path) -> Path:
    """Return the folder, in which pytest then finds the entry points of pyproject.toml: those of an
    installation may be older."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    info = folder / "entry_points-0.dist-info"
    info.mkdir(exist_ok=True)
    rows = [f"{name} = {module}" for name, module in project["entry-points"]["pytest11"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[pytest11]", *rows, ""]))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: entry_points\nVersion: 0\n")
    return folder


def run_suites(
    folder: Path,
    *arguments: str | Path,
    what: tuple[str, ...] = ("--pyargs", "nas.testing"),
    path: Sequence[str] = (),
) -> tuple[int, Counter[str], str]:
    """Return the exit code, how many tests passed, failed and so on, and all that was said."""
    places = [str(installed(folder)), str(ROOT)]
    options = ("-rA", "-q", "-p", "no:cacheprovider", "-n", "0")
    with contextlib.chdir(folder):
        code, said = FORKS.run("-m", "pytest", *options, *what, *map(str, arguments), path=[*path, *places])
    words = ("PASSED ", "FAILED ", "ERROR ", "SKIPPED ")
    counts = Counter(line.split()[0] for line in said.splitlines() if line.startswith(words))
    return code, counts, said
