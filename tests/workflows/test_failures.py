"""What is told of trials that fail."""

from __future__ import annotations

from nas.cost import Cost
from nas.study.records import Candidate, Trial, TrialState
from nas.training.base import Failure, FailureReason
from nas.workflows.failures import describe_failures

NAN, DIED = FailureReason.NAN_LOSS, FailureReason.WORKER_DIED


def failed(*failures: tuple[FailureReason, str]) -> str:
    return describe_failures(
        [
            Trial(Candidate(number, {}, Cost(), str(number)), TrialState.FAILED, failure=Failure(*failure))
            for number, failure in enumerate(failures)
        ]
    )


def test_what_failures_have_in_common() -> None:
    assert failed((NAN, "in epoch 1"), (NAN, "in epoch 1")) == "nan_loss: in epoch 1"
    assert failed((NAN, "in epoch 1"), (NAN, "in epoch 2")) == "nan_loss, at last: in epoch 2"
    assert failed((NAN, "in epoch 1"), (DIED, "here"), (DIED, "there")) == (
        "2 by worker_died, at last: there; 1 by nan_loss, at last: in epoch 1"
    )
