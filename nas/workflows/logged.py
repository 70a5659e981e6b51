"""What a search hands to its loggers: each trial when it has ended, and in the end the best network."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from nas.errors import NasError
from nas.loggers import Entry
from nas.loggers.sender import Sender
from nas.workflows.observer import Observer

if TYPE_CHECKING:
    from nas.execution.base import TrialQueue
    from nas.study.records import Candidate, Trial
    from nas.training.base import EpochResult
    from nas.workflows.session import Session

_PATIENCE_S = 60.0
"""That a search waits in its end."""
_HURRY_S = 2.0
"""That one waits that is stopped."""


class RunLog(Observer):
    """Hands what it hears of a search to the loggers of its config. Use it as a context.

    `tell`: is told of a logger that cannot go on; the search does, without it.
    """

    def __init__(self, session: Session, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._metric = session.evaluator.metric.name
        self._losses: dict[int, dict[int, float]] = {}
        self._senders: list[Sender] = []
        for name in session.config.log:
            place = session.folder.log_folder(name)
            try:
                self._senders.append(Sender(name, place, session.manifest.study, session.config.given()))
            except (OSError, NasError) as error:
                self._drop(name, str(error))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wait(_HURRY_S)

    def round(self, queue: TrialQueue, title: str, trials: int, epochs: int) -> None:
        self._losses.clear()
        for trial in queue.trials:
            self._log(trial)

    def epoch(self, candidate: Candidate, result: EpochResult) -> None:
        if result.loss is not None:
            self._losses.setdefault(candidate.number, {})[result.epoch] = result.loss

    def finished(self, trial: Trial) -> None:
        self._log(trial)
        self._check()

    def finish(self, best: Trial | None, files: Sequence[Path]) -> Mapping[str, str]:
        """Hand over the files of the best network, and wait. Return the line that opens what is logged, by
        the names of the loggers that have all."""
        if best is not None:
            for sender in self._senders:
                sender.keep(files, _figures(best))
        self._wait(_PATIENCE_S)
        self._check()
        commands = {sender.name: sender.command for sender in self._senders}
        self._senders.clear()
        return commands

    def _wait(self, patience_s: float) -> None:
        until = time.monotonic() + patience_s
        for sender in self._senders:
            sender.finish(until)

    def _log(self, trial: Trial) -> None:
        if trial.is_running:
            return
        losses = self._losses.pop(trial.number, {})
        curves = {"loss": {e: v for e, v in losses.items() if e in trial.curve}, self._metric: trial.curve}
        entry = Entry(
            name=f"{'final' if trial.job else 'trial'}-{trial.number:05d}",
            number=trial.number,
            state=trial.state.value,
            choices=dict(trial.candidate.choices),
            curves={name: sorted(curve.items()) for name, curve in curves.items() if curve},
            figures=_figures(trial),
        )
        for sender in self._senders:
            sender.log(entry)

    def _check(self) -> None:
        """Leave out what cannot go on."""
        for sender in self._senders.copy():
            if sender.problem:
                self._senders.remove(sender)
                self._drop(sender.name, sender.problem)

    def _drop(self, name: str, why: str) -> None:
        self._tell(f"Nothing more is logged to {name}: {why}")


def _figures(trial: Trial) -> dict[str, float]:
    score = {} if trial.score is None else {"score": trial.score}
    return {**score, **trial.candidate.figures, "seconds": trial.result.seconds}
