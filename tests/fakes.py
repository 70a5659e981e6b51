"""Trainings of no time and an observer, for studies of toys; workers import them from here."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from torch import Tensor
from toys import study, total

from nas.errors import NasError
from nas.inherit import NotInherited
from nas.space import Choices
from nas.study.ledger import Ledger
from nas.study.records import Candidate, Trial, TrialState
from nas.study.rules import Progress
from nas.study.study import Study
from nas.training.base import (
    ACCURACY_METRIC,
    EpochResult,
    EvaluatorError,
    Failure,
    FailureReason,
    Limit,
    Metric,
    Parent,
    TrainingFailed,
)
from nas.workflows.observer import Observer

EPOCHS = 3
LIMIT = Limit(1600.0, "memory bandwidth")
ODD: dict[str, Any] = {
    "text": "0.93",
    "None": None,
    "True": True,
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
}
"""What the fault `odd score WORD` gives as the score of epoch 2, and `odd value WORD` as its value."""
_NUMBER = "give a number, such as 0.93"
MISUSES = {
    "odd result": "epoch() gave 0.5; it must give an EpochResult",
    "odd score text": f"the score of epoch 2 is '0.93'; {_NUMBER}",
    "odd value text": f"the value of epoch 2 is '0.93'; {_NUMBER}",
    "odd score None": f"the score of epoch 2 is None; {_NUMBER}",
    "odd score True": f"the score of epoch 2 is True; {_NUMBER}",
    "no training": "gave None, which is no training",
}
"""Faults of an evaluator that is none, and what is said of it."""
INFINITE = ("odd score nan", "odd value nan", "odd score inf", "odd value -inf")
"""Faults of figures that are not finite."""


class FakeTraining:
    """Some epochs of no time; the score is a function of the choices and of the data, negative where less is
    better. The weights are the number, and those of the parent."""

    def __init__(self, fake: Fake, choices: Choices, number: int, parent: Parent | None) -> None:
        if parent and fake.faults.get(number) == "barren":
            raise NotInherited("there is nothing")
        if fake.faults.get(number) == "no training":
            raise EvaluatorError("gave None, which is no training")
        self._fake, self._number, self._epoch = fake, number, 0
        self._inherited = total(parent.choices) + sum(parent.weights) if parent else 0
        self._score = (total(choices) + fake.data[0]) / 100
        fake.note(number)

    @property
    def done(self) -> bool:
        return self._epoch == self._fake.epochs

    def epoch(self) -> EpochResult:
        time.sleep(self._fake.epoch_s)
        self._epoch += 1
        score = self._fake.metric.sign * self._score * self._epoch
        result = EpochResult(
            self._epoch, score, score, 1 / self._epoch, 0.5, 64, images=100, train_s=0.25, limit=LIMIT
        )
        match self._fake.faults.get(self._number, "").split():
            case ["nan"]:
                raise TrainingFailed("nan_loss", "the loss was nan in epoch 1")
            case ["bug"]:
                raise ValueError("a block\nwent wrong")
            case ["dies", "once"] if self._fake.starts().count(self._number) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            case ["machine", "goes", "twice"] if (times := self._fake.starts().count(self._number)) < 3:
                gone = (
                    os.getppid(),
                    os.getpid(),
                )  # the raylet, and this worker, which the second time is first
                order = [f"kill -9 {pid}" for pid in gone[:: 1 if times == 1 else -1]]
                subprocess.Popen(["sh", "-c", "; sleep 0.2; ".join(order)], start_new_session=True)
                time.sleep(60)
            case ["hoards"]:
                hoard = []
                for _ in range(100):
                    hoard.append(b"1" * (64 << 20))
                    time.sleep(0.05)
            case ["dies"]:
                os.kill(os.getpid(), signal.SIGKILL)
            case ["odd", "result"] if self._epoch == 2:
                return cast("EpochResult", 0.5)
            case ["odd", ("value" | "score") as name, what] if self._epoch == 2:
                return replace(result, **{name: ODD[what]})
        return result

    def state_dict(self) -> Mapping[str, Tensor]:
        if self._fake.faults.get(self._number) == "infinite weights":
            return {"stem.norm.running_var": torch.tensor([1.0, math.inf])}
        if self._fake.faults.get(self._number) == "no weights":
            return dict.fromkeys("wv", torch.zeros(2))  # one memory, which safetensors refuses
        return {"w": torch.full((2,), float(self._number + self._inherited))}


@dataclass
class Fake:
    """An evaluator that notes every start in a file, as workers are other processes."""

    log: Path
    faults: dict[int, str] = field(default_factory=dict)
    epoch_s: float = 0.0
    epochs: int = EPOCHS
    metric: Metric = ACCURACY_METRIC
    data: tuple[float, ...] = (0.25,)

    def __str__(self) -> str:
        return "fakes.py:fake"

    def __call__(self, choices: Choices, number: int, parent: Parent | None) -> FakeTraining:
        return FakeTraining(self, choices, number, parent)

    def note(self, number: int) -> None:
        with self.log.open("a") as file:
            file.write(f"{number} {torch.get_num_threads()} {os.getppid()} {os.getpid()}\n")

    def starts(self) -> list[int]:
        return [int(line.split()[0]) for line in self._lines()]

    def threads(self) -> list[int]:
        """How many of torch's each training had."""
        return [int(line.split()[1]) for line in self._lines()]

    def raylets(self) -> list[int]:
        """The processes that began those that train: on Ray one of each node."""
        return [int(line.split()[2]) for line in self._lines()]

    def pids(self) -> set[int]:
        """The processes that trained."""
        return {int(line.split()[3]) for line in self._lines()}

    def _lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


class Heard(Observer):
    """Notes what it hears, and that the study knows of it when it should."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.log: list[tuple[str | int, int]] = []
        self.kept: dict[int, tuple[float, list[float]]] = {}
        self.url: str | None = None

    def dashboard(self, url: str) -> None:
        self.url = url

    def started(self, candidate: Candidate) -> None:
        self.log.append(("started", candidate.number))

    def epoch(self, candidate: Candidate, result: EpochResult) -> None:
        self.log.append((result.epoch, candidate.number))

    def trained(self, candidate: Candidate, score: float, weights: bytes) -> None:
        assert self.study.trials[candidate.number].state is TrialState.RUNNING
        self.kept[candidate.number] = score, safetensors.torch.load(weights)["w"].tolist()

    def finished(self, trial: Trial) -> None:
        assert self.study.trials[trial.number] == trial
        self.log.append((trial.state.value, trial.number))

    def of(self, number: int) -> list[str | int]:
        return [what for what, which in self.log if which == number]


class GivesUp:
    """A rule by which the first trial that fails ends its queue."""

    def judge(self, trial: Trial, progress: Progress) -> NasError:
        return NasError(f"trial {trial.number} failed")


def breed(candidate: Candidate, trials: Sequence[Trial]) -> Parent | None:
    """Trials from 3 on have the one before as their parent, where it is complete."""
    if candidate.number < 3:
        return None
    before = (trial.candidate for trial in trials if trial.number == candidate.number - 1)
    return next((Parent(one.number, one.choices, bytes([100, one.number])) for one in before), None)


def check_faults(s: Study, heard: Heard) -> None:
    """Of faults of trials 1, `nan`, and 2, `bug`."""
    states = [trial.state.value for trial in s.trials]
    assert states == ["complete", "failed", "failed", *["complete"] * (s.counts.complete - 1)]
    nan, bug = s.trials[1:3]
    assert nan.failure == Failure(FailureReason.NAN_LOSS, "the loss was nan in epoch 1")
    assert bug.failure is not None and bug.failure.reason is FailureReason.ERROR
    assert bug.failure.message.startswith("ValueError: a block went wrong (fakes.py:")
    assert heard.of(1) == ["started", "failed"]
    assert set(heard.kept) == {t.number for t in s.trials if t.state is TrialState.COMPLETE}


def check_speeds(s: Study) -> None:
    """Of trials that are complete: what a training tells of its speed comes to the ledger, and back."""
    for trial in (*s.trials, *Ledger(s.ledger._storage, "nas").trials):
        if trial.state is not TrialState.COMPLETE:
            continue
        result = trial.result
        assert (result.images, result.train_s) == (100 * EPOCHS, 0.25 * EPOCHS)
        assert (result.limit, result.limited_by) == (LIMIT.images_s, LIMIT.by) and 0 < result.start_s < 5


def check_misuse(s: Study, heard: Heard, fault: str, error: EvaluatorError) -> None:
    """Of an evaluator that is none in trial 1 of 4 on one worker."""
    assert str(error) == f"evaluator fakes.py:fake: {MISUSES[fault]}"
    assert [trial.state for trial in s.trials][:2] == [TrialState.COMPLETE, TrialState.RUNNING]
    assert s.counts.failed == 0 and set(heard.kept) == {0}
    assert heard.of(1) == (["started"] if fault == "no training" else ["started", 1])


def infinite_faults() -> dict[int, str]:
    """One in each trial but the first and the last two."""
    return dict(enumerate(INFINITE, 1))


def check_infinite(s: Study, heard: Heard) -> None:
    for number, fault in infinite_faults().items():
        _, what, figure = fault.split()
        trial = s.trials[number]
        why = Failure(FailureReason.NAN_LOSS, f"the {what} was {figure} in epoch 2")
        assert (trial.state, trial.score, trial.failure) == (TrialState.FAILED, None, why)
        assert list(trial.curve) == [1] and trial.result.epochs == 1
        assert heard.of(number) == ["started", 1, "failed"]
    assert s.counts.complete == 3 and len(heard.kept) == 3


def start(tmp_path: Path, *, trials: int, **options: Any) -> tuple[Study, Heard]:
    """A study and its observer."""
    s = study(tmp_path / "journal", trials=trials, **options)
    return s, Heard(s)
