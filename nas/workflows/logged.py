"""What a search hands to its loggers: each trial when it has ended, and in the end the best network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from nas.loggers import Entry
from nas.loggers.sender import Senders
from nas.runs.score_noise import RepeatKey
from nas.workflows.observer import Observer, Round

if TYPE_CHECKING:
    from nas.execution.base import TrialQueue
    from nas.study.records import Candidate, Trial
    from nas.training.base import EpochResult
    from nas.workflows.session import Session


class RunLog(Observer):
    """Hands what it hears of a search to the loggers of its config. Use it as a context.

    `tell`: is told of a logger that cannot go on; the search does, without it.
    """

    def __init__(self, session: Session, tell: Callable[[str], None]) -> None:
        self._metric = session.evaluator.metric.name
        self._losses: dict[int, dict[int, float]] = {}
        manifest, place = session.manifest, session.folder.log_folder
        self._senders = Senders(session.config.log, place, manifest.study, manifest.select_given(), tell)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self._senders.__exit__(*problem)

    def round(self, queue: TrialQueue, which: Round, trials: int, epochs: int) -> None:
        self._losses.clear()
        for trial in queue.trials:
            self._log(trial)

    def epoch(self, candidate: Candidate, result: EpochResult) -> None:
        if result.loss is not None:
            self._losses.setdefault(candidate.number, {})[result.epoch] = result.loss

    def finished(self, trial: Trial) -> None:
        self._log(trial)
        self._senders.check()

    def conclude(self, best: Trial | None, files: Sequence[Path]) -> Mapping[str, str]:
        """Send the files of the best network, and wait. Return the line that opens what is logged, by
        the names of the loggers that have all."""
        if best is not None:
            self._senders.keep(files, _list_figures(best))
        return self._senders.finish("what is missing is written when the run goes on")

    def _log(self, trial: Trial) -> None:
        if trial.is_running:
            return
        losses = self._losses.pop(trial.number, {})
        curves = {"loss": {e: v for e, v in losses.items() if e in trial.curve}, self._metric: trial.curve}
        self._senders.log(
            Entry(
                name=f"{_name_kind(trial)}-{trial.number:05d}",
                number=trial.number,
                state=trial.state.value,
                choices=dict(trial.candidate.choices),
                curves={name: sorted(curve.items()) for name, curve in curves.items() if curve},
                figures=_list_figures(trial),
            )
        )


def _name_kind(trial: Trial) -> str:
    if trial.job is None:
        return "trial"
    return "repeat" if RepeatKey.parse(trial.job) else "final"


def _list_figures(trial: Trial) -> dict[str, float]:
    score = {} if trial.score is None else {"score": trial.score}
    return {**score, **trial.candidate.figures, "seconds": trial.result.seconds}
