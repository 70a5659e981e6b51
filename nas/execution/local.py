"""Runs the trials of a study one after the other in this process; and what every runner shares."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nas.training.base import MakeTraining, Parent

if TYPE_CHECKING:
    from nas.data.datasets import ImageData
    from nas.space import Choices
    from nas.study.ledger import Trials
    from nas.study.records import Candidate
    from nas.training.folds import FoldedTraining
    from nas.training.loop import Training


class Events:
    """What a runner tells while it runs: subclass it to listen."""

    def dashboard(self, url: str) -> None:
        """Ray's dashboard answers at `url`."""

    def parent(self, candidate: Candidate) -> Parent | None:
        """Asked before a trial starts: whose weights it starts from, if from any's."""

    def started(self, candidate: Candidate) -> None:
        """A trial starts; again when its worker died and it starts anew."""

    def epoch(self, candidate: Candidate, progress: Progress) -> None:
        """A trial has trained an epoch."""

    def weights(self, candidate: Candidate, score: float, weights: bytes) -> None:
        """A trial is complete, the study does not know it yet: what is kept here survives any kill.

        `weights`: the network's state as safetensors.
        """

    def finished(self, candidate: Candidate) -> None:
        """A trial has ended in any state, and the study has it."""


class Relay(Events):
    """Passes every event on; subclass it to do more than that."""

    def __init__(self, listener: Events) -> None:
        self._listener = listener

    def dashboard(self, url: str) -> None:
        self._listener.dashboard(url)

    def parent(self, candidate: Candidate) -> Parent | None:
        return self._listener.parent(candidate)

    def started(self, candidate: Candidate) -> None:
        self._listener.started(candidate)

    def epoch(self, candidate: Candidate, progress: Progress) -> None:
        self._listener.epoch(candidate, progress)

    def weights(self, candidate: Candidate, score: float, weights: bytes) -> None:
        self._listener.weights(candidate, score, weights)

    def finished(self, candidate: Candidate) -> None:
        self._listener.finished(candidate)


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a trial: an epoch trained, or the `reason` and `message` of a failure.

    `score`: what the trial scores if it ends here. `seconds`: training time of the trial so far. `facts`:
    what else the study is told when the trial ends, such as the `batch`, fewer images than
    the recipe's where these did not fit into memory, and the `parent` whose weights it started from.
    """

    epoch: int = 0
    accuracy: float = 0.0
    score: float = 0.0
    loss: float = 0.0
    seconds: float = 0.0
    done: bool = False
    reason: str = ""
    message: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


class Attempt:
    """A trial in the process that trains it. No exception leaves it: a failure is a result."""

    def __init__(
        self,
        make_training: MakeTraining,
        choices: Choices,
        number: int,
        data: ImageData,
        parent: Parent | None = None,
    ) -> None:
        self._arguments = choices, number, data
        self._parent = parent
        self._make_training = make_training
        self._training: Training | FoldedTraining | None = None
        self._facts: dict[str, Any] = {}
        self._seconds = 0.0

    def step(self) -> Progress:
        """Train one epoch."""
        from nas.training.loop import TrainingFailed

        try:
            if self._training is None:
                self._training = self._begun()
            result = self._training.epoch()
        except TrainingFailed as failure:
            return Progress(done=True, reason=failure.reason, message=failure.message, facts=self._facts)
        except Exception as error:
            # Whatever a block of a user's plugin raises costs one trial, never the search.
            return Progress(done=True, reason="error", message=_one_line(error), facts=self._facts)
        self._seconds += result.seconds
        return Progress(
            result.epoch,
            result.accuracy,
            result.score,
            result.loss,
            self._seconds,
            self._training.done,
            facts={
                "batch": result.batch,
                **({} if result.deviation is None else {"deviation": round(result.deviation, 4)}),
                **self._facts,
            },
        )

    def _begun(self) -> Training | FoldedTraining:
        """The training, from the parent's weights, or from scratch where they cannot be inherited."""
        from nas.inherit import NotInherited

        parent, self._parent = self._parent, None
        if parent is not None:
            try:
                training = self._make_training(*self._arguments, parent)
            except NotInherited as error:
                self._facts["not_inherited"] = f"from trial {parent.number}: {error}"
            else:
                self._facts["parent"] = parent.number
                return training
        return self._make_training(*self._arguments, None)

    def weights(self) -> bytes:
        """The trained network's state as safetensors."""
        import safetensors.torch

        assert self._training is not None
        return safetensors.torch.save(self._training.state_dict())


class Mailbox:
    """Holds what a trial is sent, its parent, and then what it sends, its weights, on the driver's node until
    it is taken: weights outlive the worker and its node, and stay out of what a scheduler keeps."""

    def __init__(self) -> None:
        self._letters: dict[int, Parent | bytes] = {}

    def put(self, number: int, letter: Parent | bytes) -> None:
        self._letters[number] = letter

    def take(self, number: int) -> Parent | bytes:
        return self._letters.pop(number)


def run_local(study: Trials, make_training: MakeTraining, data: ImageData, events: Events) -> None:
    """Train what `study` asks for until it asks no more."""
    while (candidate := study.ask()) is not None:
        parent = events.parent(candidate)
        events.started(candidate)
        attempt = Attempt(make_training, candidate.choices, candidate.number, data, parent)
        progress = attempt.step()
        while not progress.done:
            tell_epoch(study, events, candidate, progress)
            progress = attempt.step()
        weights = b"" if progress.reason else attempt.weights()
        tell_end(study, events, candidate, progress, weights)


def tell_epoch(study: Trials, events: Events, candidate: Candidate, progress: Progress) -> None:
    study.report(candidate.number, progress.epoch, progress.accuracy)
    events.epoch(candidate, progress)


def tell_end(study: Trials, events: Events, candidate: Candidate, progress: Progress, weights: bytes) -> None:
    """Tell the last step of a trial that came to its end or failed."""
    if progress.reason:
        study.fail(candidate.number, progress.reason, progress.message, **progress.facts)
    else:
        tell_epoch(study, events, candidate, progress)
        events.weights(candidate, progress.score, weights)
        study.complete(candidate.number, progress.score, **_facts(progress))
    events.finished(candidate)


def tell_stopped(study: Trials, events: Events, candidate: Candidate, progress: Progress) -> None:
    """Tell a trial that a scheduler stopped after the epoch `progress`."""
    tell_epoch(study, events, candidate, progress)
    study.prune(candidate.number, progress.epoch, **_facts(progress))
    events.finished(candidate)


def _facts(progress: Progress) -> Mapping[str, Any]:
    return {"seconds": round(progress.seconds, 3), "loss": progress.loss, **progress.facts}


def _one_line(error: Exception) -> str:
    """`ValueError: no such thing (blocks.py:12)`."""
    text = " ".join(traceback.format_exception_only(error)[-1].split())
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno})" if frames else ""
    return text + where
