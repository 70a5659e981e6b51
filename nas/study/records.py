"""Trials as they are read: candidates, records with states and scores, and which are best."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial, TrialState

from nas.cost import Cost
from nas.errors import InputError
from nas.measures import MEASURES, SHOWN, Measure
from nas.study.objective import ACCURACY, Objective
from nas.study.storage import open_ledger

if TYPE_CHECKING:
    from nas.space import Choices

STATES = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
REASONS = ("nan_loss", "out_of_memory", "timeout", "worker_died", "error")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network that was accepted as a trial.

    `amounts`: by the names of the measures that are limited or judged by and that its cost does not tell.
    """

    number: int
    choices: Choices
    cost: Cost
    identity: str
    amounts: Mapping[str, int] = field(default_factory=dict)

    def amount(self, measure: Measure) -> int:
        """Return how much the network has of a measure. Raises KeyError for one that was not kept."""
        return measure.of(self.cost) if measure.is_additive else self.amounts[measure.name]

    @property
    def figures(self) -> dict[str, int]:
        """Everything that is known of its amounts, by name."""
        return self.cost.to_data() | dict(self.amounts)


@dataclass(frozen=True, slots=True)
class Record:
    """One trial as the ledger has it.

    `state`: running, complete, pruned or failed. `score`: of a complete trial, else None. `scores`: by epoch.
    `facts`: what was told with the result, such as `seconds`, or the `deviation` of an extrapolated score; a
    failed trial has `reason` and `message`, a pruned one `fidelity`, the epochs it was trained for. One that
    started from the weights of another has its number as `parent`; one that could not, the reason as
    `not_inherited`.
    """

    candidate: Candidate
    state: str
    score: float | None
    scores: Mapping[int, float]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Counts:
    """Trials by state, and proposals that never became trials by what was wrong with them."""

    complete: int = 0
    pruned: int = 0
    failed: int = 0
    running: int = 0
    over_budget: int = 0
    duplicate: int = 0
    unbuildable: int = 0


def read_records(storage: Path | str, name: str) -> list[Record]:
    """Every trial of a study, by number, for a reader beside whoever writes; none where there is no study."""
    if isinstance(storage, Path) and not storage.exists():
        return []
    ledger = open_ledger(storage)
    try:
        study = ledger.get_study_id_from_name(name)
    except KeyError:
        return []
    return [record_of(trial) for trial in ledger.get_all_trials(study, deepcopy=False)]


def best_of(records: list[Record], k: int, objective: Objective = ACCURACY) -> list[Record]:
    """The `k` complete trials of the highest rewards; among equals the cheaper, then the earlier."""

    def rank(record: Record) -> tuple[float, int, int]:
        assert record.score is not None
        candidate = record.candidate
        return -objective.reward(record.score, candidate.amount), candidate.cost.macs, candidate.number

    return sorted((r for r in records if r.score is not None), key=rank)[:k]


def record_of(trial: FrozenTrial) -> Record:
    """A trial of the ledger, read. Raises InputError for one that another tool has written."""
    facts = dict(trial.user_attrs)
    try:
        candidate = candidate_of(trial)
        for key in ("identity", *candidate.figures):
            del facts[key]
        facts.pop("rejected", None)
    except KeyError as error:
        raise InputError(
            f"trial {trial.number} of the study has no {error}: another tool made it; choose another storage "
            "or another name"
        ) from None
    score = trial.value if trial.state == TrialState.COMPLETE else None
    return Record(candidate, STATES[trial.state], score, scores_of(trial), facts)


def candidate_of(trial: FrozenTrial) -> Candidate:
    """Return the network of a trial, as noted in the ledger. Raises KeyError for a trial of another tool."""
    facts = trial.user_attrs
    measured = (measure.name for measure in MEASURES.values() if not measure.is_additive)
    amounts = {name: facts[name] for name in measured if name in facts}
    return Candidate(trial.number, dict(trial.params), Cost.from_data(facts), facts["identity"], amounts)


def scores_of(trial: FrozenTrial) -> dict[int, float]:
    """The scores of a trial by epoch, without those of an attempt that died later than this one stopped."""
    last = trial.user_attrs.get("fidelity", math.inf)
    return {epoch: value for epoch, value in trial.intermediate_values.items() if epoch <= last}


def trials_table(records: list[Record], names: list[str], measures: Sequence[Measure] = SHOWN) -> str:
    """The trials as CSV, a row each, with a column for each of `measures` and of the decisions `names`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    told = ["deviation", "seconds", "parent", "reason", "message"]
    writer.writerow(["trial", "state", "score", "epochs", *(m.name for m in measures), *told, *names])
    for r in records:
        c = r.candidate
        facts = [r.facts.get(key, "") for key in told]
        score = "" if r.score is None else r.score
        epochs = max(r.scores, default=0)
        row = [c.number, r.state, score, epochs, *map(c.amount, measures), *facts]
        writer.writerow([*row, *(c.choices.get(name, "") for name in names)])
    return text.getvalue()
