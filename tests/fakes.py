"""Trainings of no time and a listener, for studies of toys; workers import them from here."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch
import torch
from toys import study

from nas.execution.local import Events
from nas.inherit import NotInherited
from nas.training.base import Parent
from nas.training.loop import EpochResult, TrainingFailed

EPOCHS = 3


DATA = [0.25]


class FakeTraining:
    """Three epochs of no time; the score is a function of the choices and of the data. The weights are the
    number, and those of the parent."""

    def __init__(self, fake: Fake, choices, number, data, parent):
        if parent and fake.faults.get(number) == "barren":
            raise NotInherited("there is nothing")
        self._fake, self._number, self._epoch = fake, number, 0
        self._inherited = sum(parent.choices.values()) + sum(parent.weights) if parent else 0
        self._score = (sum(choices.values()) + data[0]) / 100
        fake.note(number)

    @property
    def done(self):
        return self._epoch == EPOCHS

    def epoch(self):
        time.sleep(self._fake.epoch_s)
        self._epoch += 1
        match self._fake.faults.get(self._number):
            case "nan":
                raise TrainingFailed("nan_loss", "the loss was nan in epoch 1")
            case "bug":
                raise ValueError("a block\nwent wrong")
            case "dies once" if self._fake.starts().count(self._number) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            case "node dies once" if self._fake.starts().count(self._number) == 1:
                os.kill(os.getppid(), signal.SIGKILL)  # the raylet
                time.sleep(60)
            case "dies":
                os.kill(os.getpid(), signal.SIGKILL)
        return EpochResult(
            self._epoch, self._score * self._epoch, self._score * self._epoch, 1 / self._epoch, 0.5, 64
        )

    def state_dict(self):
        return {"w": torch.full((2,), float(self._number + self._inherited))}


@dataclass
class Fake:
    """Makes the trainings and notes every start in a file, as workers are other processes."""

    log: Path
    faults: dict[int, str] = field(default_factory=dict)
    epoch_s: float = 0.0

    def __call__(self, choices, number, data, parent):
        return FakeTraining(self, choices, number, data, parent)

    def note(self, number):
        with self.log.open("a") as file:
            file.write(f"{number} {torch.get_num_threads()}\n")

    def starts(self):
        return [int(line.split()[0]) for line in self._lines()]

    def threads(self):
        """How many of torch's each training had."""
        return [int(line.split()[1]) for line in self._lines()]

    def _lines(self):
        return self.log.read_text().splitlines() if self.log.exists() else []


class Heard(Events):
    def __init__(self, study):
        self.study = study
        self.log = []
        self.kept = {}
        self.url = None

    def dashboard(self, url):
        self.url = url

    def started(self, candidate):
        self.log.append(("started", candidate.number))

    def epoch(self, candidate, progress):
        self.log.append((progress.epoch, candidate.number))

    def weights(self, candidate, score, weights):
        assert self.study.records()[candidate.number].state == "running"
        self.kept[candidate.number] = score, safetensors.torch.load(weights)["w"].tolist()

    def finished(self, candidate):
        self.log.append((self.study.records()[candidate.number].state, candidate.number))

    def of(self, number):
        return [what for what, which in self.log if which == number]


class Breeding(Heard):
    """Trials from 3 on have the one before as their parent."""

    def parent(self, candidate):
        if candidate.number < 3:
            return None
        one = self.study.records()[candidate.number - 1].candidate
        return Parent(one.number, one.choices, bytes([100, one.number]))


def start(tmp_path, *, trials, **options):
    """A study and its listener."""
    s = study(tmp_path / "journal", trials=trials, **options)
    return s, Heard(s)
