"""Trials one after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from nas.execution.base import (
    PROCESS,
    Attempt,
    AttemptStep,
    TrialObserver,
    TrialQueue,
    ask_for_trial,
    tell,
)
from nas.training.base import Evaluator


class LocalExecutor:
    """Trains in this process, with so many `threads` of torch."""

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads

    def run(self, queue: TrialQueue, evaluator: Evaluator, observer: TrialObserver) -> None:
        from nas.training.process import borrowed_process

        with borrowed_process(self._threads):
            while (candidate := ask_for_trial(queue, observer)) is not None:
                with _noted(queue, candidate.number):
                    parent = queue.find_parent(candidate)
                    observer.started(candidate)
                    attempt = Attempt(evaluator, candidate.choices, candidate.number, parent)
                    while tell(queue, observer, candidate, _train_epoch(attempt), attempt.dump_weights):
                        pass


@contextmanager
def _noted(queue: TrialQueue, number: int) -> Iterator[None]:
    """Have an attempt noted as one that died for as long as it lasts: where its network kills this process,
    nobody is left to do so."""
    before = queue.count_deaths(number)
    try:
        queue.note_deaths(number, {**before, PROCESS: before[PROCESS] + 1})
        yield
    except BaseException:
        for _ in range(2):  # a second Ctrl-C breaks off the first
            with suppress(Exception, KeyboardInterrupt):  # such as of a full disk, which is what ends the run
                queue.note_deaths(number, before)
                break
        raise
    queue.note_deaths(number, before)  # a trial that was stopped along with the search


def _train_epoch(attempt: Attempt) -> AttemptStep:
    """Train one epoch. What ends a process of its own is a failure here, where it would end the search."""
    try:
        return attempt.step()
    except SystemExit as error:
        return attempt.fail(error)
