"""A fresh interpreter without `nas` that checks an export, and imports torch before there is one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

FindProblem = Callable[[Path, Path], str | None]
"""Returns what is wrong with a file by a folder of what is expected of it, as `nas.exporters.check` does."""


@contextmanager
def start_checker() -> Iterator[FindProblem]:
    """Give what checks one file in an interpreter that begins now, and ends with the block."""
    script = Path(__file__).with_name("check.py")
    with subprocess.Popen(
        [sys.executable, "-B", "-P", str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:

        def find_problem(file: Path, expected: Path) -> str | None:
            said, complaint = process.communicate(json.dumps([str(file), str(expected)]))
            if not process.returncode:
                return None
            lines = (said or complaint).strip().splitlines()
            return lines[-1] if lines else f"exit code {process.returncode}"

        try:
            yield find_problem
        finally:
            process.kill()
