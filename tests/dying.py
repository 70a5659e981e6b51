"""Trainings that hang and die, without torch, so that their process starts at once."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.space import Choices
from nas.training.base import ACCURACY_METRIC, EpochResult, Metric, Parent, TrainingFailed


def hang() -> None:
    time.sleep(600)


def hang_in_c() -> None:
    """Nothing else of the process runs, as `PyDLL` keeps Python's lock."""
    ctypes.PyDLL(None).sleep(600)


def leave_a_child() -> None:
    if not os.fork():
        time.sleep(600)
    os._exit(4)


def be_killed_in_a_while() -> None:
    time.sleep(4)
    os.kill(os.getpid(), signal.SIGKILL)


FAULTS = {
    "hangs": hang,
    "hangs in C": hang_in_c,
    "exits": lambda: os._exit(7),
    "raises SystemExit": lambda: exec("raise SystemExit(3)"),
    "aborts": os.abort,
    "segfaults": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "is asked to end": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "is killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "leaves a child": leave_a_child,
    "takes a while": lambda: time.sleep(4),
    "is killed in a while": be_killed_in_a_while,
}


@dataclass
class Dying:
    """An evaluator of one epoch that fails in itself, and of what befalls the second one of a trial: of
    `exits, then hangs` the first when the trial is tried for the first time, the last from then on.

    The process of each trial is noted in the file `log`. `building`: faults before the first epoch.
    """

    log: Path
    faults: Mapping[int, str] = field(default_factory=dict)
    building: Mapping[int, str] = field(default_factory=dict)
    limit_s: float | None = None
    metric: Metric = ACCURACY_METRIC

    def time_limit(self, number: int) -> float | None:
        return self.limit_s

    def __call__(self, choices: Choices, number: int, parent: Parent | None) -> DyingTraining:
        tries = self.count_starts(number)
        with self.log.open("a") as file:
            file.write(f"{number} {os.getpid()}\n")
        FAULTS.get(self.building.get(number, ""), int)()
        *first, last = self.faults.get(number, "").split(", then ")
        return DyingTraining(first[tries] if tries < len(first) else last)

    def processes(self) -> dict[int, int]:
        """The process of each trial."""
        return dict(self._read())

    def count_starts(self, number: int) -> int:
        return [started for started, _ in self._read()].count(number)

    def _read(self) -> list[tuple[int, int]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(int(number), int(pid)) for number, pid in map(str.split, lines)]


class DyingTraining:
    done = False

    def __init__(self, fault: str) -> None:
        self._fault = fault
        self._epochs = 0

    def epoch(self) -> EpochResult:
        self._epochs += 1
        if self._epochs == 2:
            if self._fault == "starts another":
                subprocess.Popen(["sleep", "600"])
                hang()
            FAULTS.get(self._fault, int)()
            raise TrainingFailed("nan_loss", "as told")
        return EpochResult(self._epochs, 0.5, 0.5, 0.25)

    def state_dict(self) -> Mapping[str, Any]:
        return {}


def start_driver(folder: Path, fault: str, executor: str = "child:ChildExecutor") -> subprocess.Popen[bytes]:
    """Start a driver of a study of three trials, the first of which has a fault: a script without a guard."""
    module, name = executor.split(":")
    code = _DRIVER.format(tests=str(Path(__file__).parent), module=module, executor=name)
    return subprocess.Popen([sys.executable, "-c", code, folder, fault], stderr=subprocess.DEVNULL)


_DRIVER = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from dying import Dying
from fakes import start
from nas.execution.{module} import {executor}
folder = Path(sys.argv[1])
study, heard = start(folder, trials=3)
{executor}().run(study, Dying(folder / "log", {{0: sys.argv[2]}}), heard)
"""
