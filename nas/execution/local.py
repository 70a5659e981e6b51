"""Trials one after the other, in this process."""

from __future__ import annotations

from nas.execution.base import Attempt, AttemptStep, TrialObserver, TrialQueue, tell
from nas.training.base import Evaluator


class LocalExecutor:
    """Trains in this process, with so many `threads` of torch."""

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads

    def run(self, queue: TrialQueue, evaluator: Evaluator, observer: TrialObserver) -> None:
        from nas.training.process import borrowed_process

        with borrowed_process(self._threads):
            while (candidate := queue.ask()) is not None:
                parent = queue.find_parent(candidate)
                observer.started(candidate)
                attempt = Attempt(evaluator, candidate.choices, candidate.number, parent)
                while tell(queue, observer, candidate, _train_epoch(attempt), attempt.dump_weights):
                    pass


def _train_epoch(attempt: Attempt) -> AttemptStep:
    """Train one epoch. What ends a process of its own is a failure here, where it would end the search."""
    try:
        return attempt.step()
    except SystemExit as error:
        return attempt.fail(error)
