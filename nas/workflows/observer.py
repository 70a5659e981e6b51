"""Who hears what happens in a search."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nas.execution.base import TrialQueue
    from nas.runs.state import RunState
    from nas.study.records import Candidate, Trial
    from nas.training.base import EpochResult
    from nas.workflows.session import Session


class Round(StrEnum):
    """Trainings that are begun together."""

    SEARCH = "search"
    """The trials of a search."""
    REPEATS = "repeats"
    """Networks of a search again, under another seed."""
    FINALISTS = "finalists"
    """The best networks of a search again, longer, under fresh seeds."""
    CALIBRATION = "calibration"
    """Networks by the proxy under several seeds, longer, and by other proxies."""
    VERSUS = "versus"
    """A network and those that it is compared with, each under several seeds."""
    COEFFICIENTS = "coefficients"
    """A network and those of twice its MACs, each under several seeds."""


def ignore(text: str) -> None:
    """Ignore what is done."""


class Observer:
    """Hears what happens in a search, and answers nothing. Extend it and override what is of interest.

    From Python a search prints nothing by itself. A line for each trial:

        >>> import nas
        >>> class Lines(nas.Observer):
        ...     def finished(self, trial):
        ...         print(f"trial {trial.candidate.number}: {trial.score}, {trial.candidate.cost}")
        >>> short = {"max_images": 200, "workers": 0, "in_process": True}
        >>> config = nas.SearchConfig.from_data({"space": "tiny.yaml", "trials": 1, **short})
        >>> result = nas.search(config, Lines())  # doctest: +ELLIPSIS
        trial 0: 0..., ... MACs, ... params
    """

    def doing(self, what: str) -> None:
        """Something begins that may take seconds, such as `Starting Ray`; it ends where another begins, a
        trial starts, or the search is over."""

    def decoding(self, done: int, total: int) -> None:
        """So many images of the data set are decoded."""

    def noted(self, text: str) -> None:
        """Something about the run that a person may want to know, in one line."""

    def began(self, session: Session) -> None:
        """A search, or a calibration, has its run folder; nothing is trained yet."""

    def round(self, queue: TrialQueue, which: Round, trials: int, epochs: int) -> None:
        """Trainings begin, in all `trials` of `epochs` epochs. `which`: those of the search, then its repeats
        and its finalists."""

    def dashboard(self, url: str) -> None:
        """Ray's dashboard answers at `url`."""

    def started(self, candidate: Candidate) -> None:
        """A trial starts; again when its worker died and it starts anew."""

    def epoch(self, candidate: Candidate, result: EpochResult) -> None:
        """A trial has trained an epoch."""

    def trained(self, candidate: Candidate, score: float, weights: bytes) -> None:
        """A trial is complete and the study does not know it yet: what is kept here survives any kill.

        `weights`: the network's state as safetensors.
        """

    def finished(self, trial: Trial) -> None:
        """A trial has ended in any state, and the study has it."""

    def stopped(self, state: RunState) -> None:
        """The search was asked to end before its trials have. What it has is written."""


class Observers(Observer):
    """Tells several observers, one after the other."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def doing(self, what: str) -> None:
        for observer in self._observers:
            observer.doing(what)

    def decoding(self, done: int, total: int) -> None:
        for observer in self._observers:
            observer.decoding(done, total)

    def noted(self, text: str) -> None:
        for observer in self._observers:
            observer.noted(text)

    def began(self, session: Session) -> None:
        for observer in self._observers:
            observer.began(session)

    def round(self, queue: TrialQueue, which: Round, trials: int, epochs: int) -> None:
        for observer in self._observers:
            observer.round(queue, which, trials, epochs)

    def dashboard(self, url: str) -> None:
        for observer in self._observers:
            observer.dashboard(url)

    def started(self, candidate: Candidate) -> None:
        for observer in self._observers:
            observer.started(candidate)

    def epoch(self, candidate: Candidate, result: EpochResult) -> None:
        for observer in self._observers:
            observer.epoch(candidate, result)

    def trained(self, candidate: Candidate, score: float, weights: bytes) -> None:
        for observer in self._observers:
            observer.trained(candidate, score, weights)

    def finished(self, trial: Trial) -> None:
        for observer in self._observers:
            observer.finished(trial)

    def stopped(self, state: RunState) -> None:
        for observer in self._observers:
            observer.stopped(state)
