"""What a search keeps while it runs: weights of the best trials, best.yaml, and whose weights others start
from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nas.files import write_atomically
from nas.runs.folder import RunFolder
from nas.study.objective import Objective
from nas.study.records import Candidate, Trial
from nas.study.study import Study
from nas.training.base import Parent
from nas.workflows.observer import Observer


class WeightsKeeper(Observer):
    """Keeps the weights of the `keep` best trials of a study. `name_best` is told of a new best trial.
    `check_place` raises where the folder is not the run's any more. `spared`: files of weights that stay."""

    def __init__(
        self,
        folder: RunFolder,
        study: Study,
        keep: int,
        name_best: Callable[[], None],
        check_place: Callable[[], None],
        spared: AbstractSet[Path] = frozenset(),
    ) -> None:
        self._folder = folder
        self._study = study
        self._spared = spared
        self._keep = keep
        self._name_best = name_best
        self._check_place = check_place
        self._best: Trial | None = None
        folder.weights_folder.mkdir(exist_ok=True)
        self.tidy()

    def trained(self, candidate: Candidate, score: float, weights: bytes) -> None:
        self._check_place()
        kept = self._study.best(self._keep)
        objective = self._study.objective
        worst = kept[-1] if len(kept) == self._keep else None
        if worst is None or _is_as_good(objective, candidate, score, worst):
            write_atomically(self._folder.weights_file(candidate.number), weights)

    def finished(self, trial: Trial) -> None:
        if trial.score is not None:
            self.tidy()

    def tidy(self) -> None:
        """Bring best.yaml and weights/ in line with the study."""
        kept = self._study.best(self._keep)
        files = {self._folder.weights_file(trial.number) for trial in kept}
        for file in set(self._folder.list_weights()) - files - self._spared:
            file.unlink()
        if kept and kept[0] != self._best:
            self._best = kept[0]
            self._name_best()


class FinalsKeeper(Observer):
    """Keeps the weights of long trainings. `check_place` is as above."""

    def __init__(self, folder: RunFolder, check_place: Callable[[], None]) -> None:
        self._folder = folder
        self._check_place = check_place

    def trained(self, candidate: Candidate, score: float, weights: bytes) -> None:
        self._check_place()
        write_atomically(self._folder.final_weights_file(candidate.number), weights)


class FileKeeper(Observer):
    """Keeps the weights of one training in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def trained(self, candidate: Candidate, score: float, weights: bytes) -> None:
        write_atomically(self._file, weights)


@dataclass(frozen=True)
class Inheritance:
    """Trials start from the weights of the kept trial with the most equal choices; among equals the
    better."""

    folder: RunFolder
    keep: int

    def __call__(self, candidate: Candidate, ranked: Sequence[Trial]) -> Parent | None:
        kept = [trial.candidate for trial in ranked[: self.keep]]
        for other in sorted(kept, key=lambda other: -_count_equal(other, candidate)):
            with suppress(OSError):  # someone took the file away
                weights = self.folder.weights_file(other.number).read_bytes()
                return Parent(other.number, other.choices, weights)
        return None


def _is_as_good(objective: Objective, candidate: Candidate, score: float, other: Trial) -> bool:
    assert other.score is not None
    sign = objective.metric.sign
    own = objective.compute_reward(score, candidate.amount)
    return sign * own >= sign * objective.compute_reward(other.score, other.candidate.amount)


def _count_equal(one: Candidate, other: Candidate) -> int:
    return sum(name in other.choices and other.choices[name] == o for name, o in one.choices.items())
