"""The command line in this process and in processes of its own, and a space that trains in no time."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from nas.cli import main

TINY = """\
name: tiny
about: A few small networks.
input: [1, 32, 32]
classes: 10
network:
  - conv: {name: stem, out: {choice: [4, 6, 8]}, kernel: {choice: [3, 5]}, stride: 2}
  - stage:
      name: s1
      depth: {choice: [1, 2, 3]}
      stride: 2
      block:
        conv: {out: {choice: [8, 12, 16]}, kernel: {choice: [3, 5], per: layer}}
  - classifier
"""
SHORT = ("--epochs", "1", "--max-images", "200")


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


def nas(*arguments: str) -> Said:
    """Run a command in this process. Without Ray its trainings are in this process too: one of their own
    takes a second to start."""
    out, err = io.StringIO(), io.StringIO()
    if "--workers 0" in " ".join(arguments):
        arguments = (*arguments, "--in-process")
    with (
        patch.object(sys, "argv", ["nas", *arguments]),
        patch("nas.report.heartbeat.QUIET_S", 1e9),  # a machine that is busy says more
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    return Said(code, out.getvalue(), err.getvalue())


def command(*arguments: str) -> list[str]:
    """The command line of a process of its own."""
    return [str(Path(sys.executable).with_name("nas")), *arguments]


def apart(*arguments: str, **options: Any) -> Said:
    """Run a command in a process of its own; `options` are those of `subprocess.run`."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False, **options)
    return Said(done.returncode, done.stdout, done.stderr)


def rows(table: Path) -> list[dict[str, str]]:
    """A table of a run folder."""
    with table.open(newline="") as file:
        return list(csv.DictReader(file))
