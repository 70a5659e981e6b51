"""Trials as tables that other programs read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from nas.measures import SHOWN, Measure
from nas.study.records import Trial


def dump_trials(trials: Sequence[Trial], names: Sequence[str], measures: Sequence[Measure] = SHOWN) -> str:
    """Return the trials as CSV, a row each, with columns of `measures` and of the decisions `names`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["trial", "state", "score", "epochs", *(measure.name for measure in measures)]
    writer.writerow([*head, "deviation", "seconds", "parent", "reason", "message", *names])
    for trial in trials:
        result, failure = trial.result, trial.failure
        cells = [
            trial.number, trial.state.value, trial.score, max(trial.curve, default=0),
            *map(trial.candidate.amount, measures), result.deviation, result.seconds or None, result.parent,
            failure and failure.reason.value, failure and failure.message,
            *(trial.candidate.choices.get(name) for name in names),
        ]  # fmt: skip
        writer.writerow(["" if cell is None else cell for cell in cells])
    return text.getvalue()


OUTCOME = ("score", "seconds", "reason", "message")
"""What a row of a table says of a training that was decided beforehand."""


def list_outcome(trial: Trial | None) -> list[object]:
    """Return what came of a training, under `OUTCOME`; nothing where it has not begun."""
    if trial is None:
        return [""] * len(OUTCOME)
    reason, message = (trial.failure.reason.value, trial.failure.message) if trial.failure else ("", "")
    return ["" if trial.score is None else trial.score, trial.result.seconds, reason, message]


def dump_curves(trials: Iterable[Trial]) -> str:
    """Return the metric of each trial after each epoch, counted from 1, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "epoch", "score"])
    for trial in trials:
        writer.writerows([trial.number, epoch, value] for epoch, value in sorted(trial.curve.items()))
    return text.getvalue()
