"""Why something that another program asks of a run is not done."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from nas.errors import InputError
from nas.study.records import RejectionReason

if TYPE_CHECKING:
    from nas.space import Choices


class Reason(StrEnum):
    """What is wrong, for a program."""

    MALFORMED = "malformed"
    """It is no request, or has other parts than that request."""
    NOT_A_MEMBER = "not_a_member"
    """The choices are not a point of the space."""
    UNBUILDABLE = RejectionReason.UNBUILDABLE.value
    """The choices are a point whose network cannot be built."""
    OVER_BUDGET = RejectionReason.OVER_BUDGET.value
    """The network is outside the budget, above or below."""
    DUPLICATE = RejectionReason.DUPLICATE.value
    """The network is that of an earlier trial, maybe by other choices."""
    FINISHED = "finished"
    """All trials of the run have been asked for."""
    EXHAUSTED = "exhausted"
    """No untried network inside the budget was found."""
    UNKNOWN_TRIAL = "unknown_trial"
    """There is no trial of this number."""
    ALREADY_TOLD = "already_told"
    """The trial has ended."""
    NOT_A_SCORE = "not_a_score"
    """The score is no finite number."""


class Refused(InputError):
    """What another program asked of a run is not done, and nothing has changed.

    `nearest`: of a proposal, the choices of a network near to it that would be taken now, where one was
    found.
    """

    def __init__(self, reason: Reason, message: str, nearest: Choices | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.nearest = nearest
