"""Which failures end a search, and what is told of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nas.errors import NasError
from nas.study.records import Trial
from nas.training.base import EvaluatorError, FailureReason

if TYPE_CHECKING:
    from nas.study.rules import Progress
    from nas.workflows.stops import Stoppable


class EarlyFailure:
    """Ends a search by a user's evaluator that fails before any trial has a score: it would fail again.

    That is not so of a training that took too long, as networks differ in that, and of one or two whose
    process died, as of too little memory.
    """

    def __init__(self, evaluator: object) -> None:
        self._evaluator = evaluator
        self._deaths = 0

    def judge(self, trial: Trial, progress: Progress) -> NasError | None:
        assert trial.failure is not None
        reason = trial.failure.reason
        self._deaths += reason is FailureReason.WORKER_DIED
        excused = reason is FailureReason.TIMEOUT or (
            reason is FailureReason.WORKER_DIED and self._deaths < _DEATHS
        )
        if excused or progress.counts.complete:
            return None
        return EvaluatorError(
            f"evaluator {self._evaluator}: fails in trial {trial.number}: {trial.failure}; mend it"
        )


_DEATHS = 3


class FirstFailures:
    """Ends a run whose first trials all fail: what they have in common would fail the others too.

    It does so after five of them, and where the run is resumed and has no other yet, after each five more.
    """

    def __init__(self, session: Stoppable) -> None:
        self._session = session

    def judge(self, trial: Trial, progress: Progress) -> NasError | None:
        counts = progress.counts
        some_work = counts.complete or counts.pruned or not progress.remaining
        if counts.failed % _FIRST or some_work:
            return None
        return NasError(
            f"{self._session.folder.path}: the first {counts.failed} trials all failed: "
            f"{describe_failures(progress.trials)}. Mend the cause, then go on with: "
            f"{self._session.resume_command}"
        )


_FIRST = 5


def describe_failures(trials: Sequence[Trial]) -> str:
    """Return why trials failed: the one message of all, or of each reason how many it failed, and one."""
    failures = [trial.failure for trial in trials if trial.failure]
    if len(set(failures)) == 1:
        return str(failures[0])
    reasons = Counter(failure.reason for failure in failures).most_common()
    last = {failure.reason: failure.message for failure in failures}
    if len(reasons) == 1:
        return f"{reasons[0][0]}, at last: {last[reasons[0][0]]}"
    return "; ".join(f"{count} by {reason}, at last: {last[reason]}" for reason, count in reasons)
