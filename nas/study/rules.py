"""Whether a queue of trials goes on: after one that failed, and where something else would end it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nas.errors import NasError
    from nas.study.records import Counts, Trial


class Progress(Protocol):
    """How far a queue is."""

    @property
    def remaining(self) -> int:
        """How many trials are still to be asked for."""
        ...

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing to ask for though trials remain."""
        ...

    @property
    def trials(self) -> Sequence[Trial]:
        """Every trial, by number."""
        ...

    @property
    def counts(self) -> Counts:
        """How many trials are in which state."""
        ...


class FailureRule(Protocol):
    """Decides whether a queue gives up."""

    def judge(self, trial: Trial, progress: Progress) -> NasError | None:
        """Return what is to be raised where a trial that has just failed ends its queue."""
        ...


def is_unfinished(progress: Progress) -> bool:
    """Return whether an end would cut a queue short: it has trials to ask for, or some under way."""
    has_more = progress.remaining > 0 and not progress.exhausted
    return has_more or progress.counts.running > 0


def judge_failure(rules: Sequence[FailureRule], trial: Trial, progress: Progress) -> NasError | None:
    """Return what the first of these rules says that ends the queue."""
    return next((error for rule in rules if (error := rule.judge(trial, progress))), None)
