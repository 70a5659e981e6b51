"""What a search made of its time: how long its trials trained, started and waited."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nas.study.records import TrialState
from nas.workflows.observer import Observer, Round

if TYPE_CHECKING:
    from nas.execution.base import TrialQueue
    from nas.study.records import Candidate, Trial
    from nas.training.base import EpochResult


@dataclass(frozen=True)
class Usage:
    """Seconds of all trials that ran at a time, one after the other: `total_s`, of which networks were made
    ready for `started_s`, up to their second step, and `trained_s`. In `steps_s` of these, steps alone,
    `images` were trained on; the device would have needed `limits_s` for as many, by what bound it.
    """

    total_s: float = 0.0
    started_s: float = 0.0
    trained_s: float = 0.0
    images: int = 0
    steps_s: float = 0.0
    limits_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def waited_s(self) -> float:
        """The rest: for the next network, for a worker, for the last trial of a round."""
        return max(0.0, self.total_s - self.started_s - self.trained_s)

    @property
    def images_s(self) -> float | None:
        """Images per second of a trial in its steps; None where trainings do not tell."""
        return self.images / self.steps_s if self.images and self.steps_s else None

    @property
    def share(self) -> float | None:
        """That over what the device allows a trial."""
        least_s = sum(self.limits_s.values())
        return least_s / self.steps_s if least_s and self.steps_s else None

    @property
    def limited_by(self) -> str | None:
        """What bound the device for most of that time."""
        return max(self.limits_s, key=lambda what: self.limits_s[what], default=None)


class Meter(Observer):
    """Measures the usage of a search that it hears of, until it is told to stop."""

    def __init__(self) -> None:
        self._known = Usage()
        self._began: float | None = None
        self._slots = 0
        self._heard: dict[int, float] = {}
        """When something was heard of a running trial, by its number."""

    @property
    def usage(self) -> Usage:
        """The usage up to now; of an epoch that is not over it is all training."""
        now, known = time.monotonic(), self._known
        round_s = 0.0 if self._began is None else self._slots * (now - self._began)
        under_way_s = sum(now - heard for heard in dict(self._heard).values())  # other threads ask
        return replace(known, total_s=known.total_s + round_s, trained_s=known.trained_s + under_way_s)

    def stop(self) -> None:
        """Count what comes no more."""
        self._known, self._began = self.usage, None
        self._heard.clear()

    def round(self, queue: TrialQueue, which: Round, trials: int, epochs: int) -> None:
        self.stop()
        self._began, self._slots = time.monotonic(), 0

    def started(self, candidate: Candidate) -> None:
        self._heard[candidate.number] = time.monotonic()
        self._slots = max(self._slots, len(self._heard))

    def epoch(self, candidate: Candidate, result: EpochResult) -> None:
        self._heard[candidate.number] = time.monotonic()
        known, limits_s = self._known, dict(self._known.limits_s)
        if limit := result.limit:
            limits_s[limit.by] = limits_s.get(limit.by, 0.0) + result.images / limit.images_s
        self._known = replace(
            known,
            started_s=known.started_s + result.build_s + result.start_s,
            trained_s=known.trained_s + result.seconds - result.start_s,
            images=known.images + result.images,
            steps_s=known.steps_s + result.train_s,
            limits_s=limits_s,
        )

    def finished(self, trial: Trial) -> None:
        heard = self._heard.pop(trial.number, None)
        if trial.state is TrialState.FAILED and heard is not None:  # in an epoch that gave nothing
            lost_s = time.monotonic() - heard
            self._known = replace(self._known, trained_s=self._known.trained_s + lost_s)
