"""Trials as values: what was proposed, in which state it is, and what its training gave."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any

from nas.cost import Cost
from nas.errors import InputError
from nas.kinds import COUNT, FIGURE, FINITE, TEXT, Kind, optional
from nas.measures import MEASURES, Measure
from nas.study.objective import ACCURACY, Objective
from nas.training.base import EpochResult, Failure, FailureReason

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from nas.space import Choices


class TrialState(Enum):
    """Where a trial is in its life; the last three are final."""

    RUNNING = "running"
    """It trains, or the process that trained it was stopped: a resumed search trains it again."""
    COMPLETE = "complete"
    """It was trained to the end and has a score."""
    PRUNED = "pruned"
    """A pruner stopped it early. It has the values of its epochs, and no score that compares with others."""
    FAILED = "failed"
    """Its training gave no score, for the reason in its `Failure`."""


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
class TrialResult:
    """What a training gave beside its score, up to the last epoch that it trained.

    `seconds`: training time. `loss`, `batch`: of the last epoch, where the training has them. `deviation`:
    standard deviation of an extrapolated score. `parent`: the trial whose weights it started from;
    `not_inherited`: why it could not.

    `start_s`: seconds from its start to its second step, of which `build_s` were before `seconds`. `images`
    were trained on in `train_s` of those, steps alone, where the device could have trained `limit` images a
    second, bound by `limited_by`. Results that differ in measured times alone are equal. `eager`: why it was
    trained without the CUDA graph that was asked for.
    """

    epochs: int = 0
    seconds: float = 0.0
    loss: float | None = None
    batch: int | None = None
    deviation: float | None = None
    parent: int | None = None
    not_inherited: str | None = None
    images: int = 0
    train_s: float = field(default=0.0, compare=False)
    start_s: float = field(default=0.0, compare=False)
    build_s: float = field(default=0.0, compare=False)
    limit: float | None = field(default=None, compare=False)
    limited_by: str | None = field(default=None, compare=False)
    eager: str | None = None

    def add(self, epoch: EpochResult) -> TrialResult:
        """Return the result after one more epoch."""
        return replace(
            self,
            epochs=epoch.epoch,
            seconds=round(self.seconds + epoch.seconds, 6),
            loss=epoch.loss,
            batch=epoch.batch,
            deviation=None if epoch.deviation is None else round(epoch.deviation, 4),
            images=self.images + epoch.images,
            train_s=round(self.train_s + epoch.train_s, 6),
            start_s=round(self.start_s + epoch.build_s + epoch.start_s, 6),
            build_s=round(self.build_s + epoch.build_s, 6),
            limit=float(f"{epoch.limit.images_s:.4g}") if epoch.limit else None,
            limited_by=epoch.limit.by if epoch.limit else None,
            eager=epoch.eager,
            parent=self.parent if epoch.parent is None else epoch.parent,
            not_inherited=epoch.not_inherited or self.not_inherited,
        )

    def to_data(self) -> dict[str, Any]:
        """Return what is not a default, as plain values."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) != f.default}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> TrialResult:
        """Invert `to_data`; other keys are left out."""
        return cls(**{name: data[name] for name in _RESULTS if name in data})


_RESULTS = [f.name for f in fields(TrialResult)]
NO_RESULT = TrialResult()


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial as the ledger has it.

    `score`: of a complete trial, else None. `curve`: the metric by epoch, counted from 1. `result`: of a
    trial that runs, what its writer has heard. `job`: the name of a training that was decided beforehand.
    `prescreen`: the zero-cost score by which it was chosen.

    Of a trial that was read from its storage alone: `began`, `ended`, when it was entered and when it ended;
    `bred_from`, the trial that its sampler made it from. `too_slow`: its network was measured, and took
    longer than the budget allows. `believed`: its score by what all scores say, where it is ranked by that.
    """

    candidate: Candidate
    state: TrialState
    score: float | None = None
    curve: Mapping[int, float] = field(default_factory=dict)
    result: TrialResult = NO_RESULT
    failure: Failure | None = None
    job: str | None = None
    prescreen: float | None = None
    began: datetime | None = field(default=None, compare=False)
    ended: datetime | None = field(default=None, compare=False)
    bred_from: int | None = field(default=None, compare=False)
    too_slow: bool = field(default=False, compare=False)
    believed: float | None = field(default=None, compare=False)

    @property
    def number(self) -> int:
        return self.candidate.number

    @property
    def is_running(self) -> bool:
        return self.state is TrialState.RUNNING

    def add(self, epoch: EpochResult) -> Trial:
        """Return the trial after one more epoch. One that is not later than the last is of a training that
        was begun anew, and what was before it counts no longer."""
        before = self.result if epoch.epoch > self.result.epochs else NO_RESULT
        curve = {**cut_curve(epoch.epoch - 1, self.curve), epoch.epoch: epoch.value}
        return replace(self, curve=curve, result=before.add(epoch))


def cut_curve(epoch: int, curve: Mapping[int, float]) -> dict[int, float]:
    """Return a curve up to an epoch."""
    return {e: value for e, value in curve.items() if e <= epoch}


class RejectionReason(StrEnum):
    """Why a proposal does not become a trial."""

    OVER_BUDGET = "over_budget"
    """Its network is outside the budget, above or below."""
    DUPLICATE = "duplicate"
    """Its network is that of an earlier trial, maybe by other choices."""
    UNBUILDABLE = "unbuildable"
    """Its network cannot be built."""


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

    @property
    def ended(self) -> int:
        return self.complete + self.pruned + self.failed

    @property
    def rejected(self) -> dict[RejectionReason, int]:
        """Proposals that never became trials, by reason."""
        return {
            RejectionReason.OVER_BUDGET: self.over_budget,
            RejectionReason.DUPLICATE: self.duplicate,
            RejectionReason.UNBUILDABLE: self.unbuildable,
        }

    def with_rejected(self, more: Mapping[RejectionReason, int]) -> Counts:
        """Return them with more proposals that never became trials."""
        return replace(self, **{reason.value: n + more.get(reason, 0) for reason, n in self.rejected.items()})


class Rejected(Exception):
    """A point that does not become a trial. `repeats`: numbers of trials whose networks were proposed
    again."""

    def __init__(self, reason: RejectionReason, repeats: Sequence[int] = ()) -> None:
        self.reason = reason
        self.repeats = repeats


LEAST_SCORED = 16
"""Networks with a score that say something of each other."""


def find_best(trials: Iterable[Trial], k: int, objective: Objective = ACCURACY) -> list[Trial]:
    """Return the `k` complete trials of the best rewards, none too slow; among equals the cheaper, then the
    earlier."""
    complete = (trial for trial in trials if trial.score is not None and not trial.too_slow)
    return sorted(complete, key=lambda trial: rank_trial(trial, objective))[:k]


def rank_trial(trial: Trial, objective: Objective) -> tuple[bool, float, int, int]:
    """Return the key by which complete trials are sorted, the best first: those that are ranked by what all
    scores say are the best."""
    assert trial.score is not None
    candidate, believed = trial.candidate, trial.believed
    reward = objective.compute_reward(trial.score if believed is None else believed, candidate.amount)
    return believed is None, -objective.metric.sign * reward, candidate.cost.macs, candidate.number


# As the ledger has them: user attributes of an Optuna trial


def dump_candidate(candidate: Candidate) -> dict[str, Any]:
    """Return the user attributes that a trial begins with."""
    return {**candidate.figures, "identity": candidate.identity, "number": candidate.number}


_MAPPING = Kind("a mapping", lambda value: isinstance(value, dict))
_REASONS, _REJECTIONS = frozenset(FailureReason), frozenset(RejectionReason)
_REASON = Kind("a reason", lambda value: isinstance(value, str) and value in _REASONS)
_COUNTS = Kind(
    "a mapping to whole numbers",
    lambda value: isinstance(value, dict) and all(map(COUNT.accepts, value.values())),
)
_REJECTED = Kind(
    "a mapping of reasons to whole numbers",
    lambda value: (
        isinstance(value, dict) and value.keys() <= _REJECTIONS and all(map(COUNT.accepts, value.values()))
    ),
)


_RESULT: Mapping[str, Kind] = {
    "epochs": COUNT, "seconds": optional(FINITE), "loss": optional(FIGURE), "batch": optional(FIGURE),
    "deviation": optional(FIGURE), "parent": optional(COUNT), "not_inherited": optional(TEXT),
    "reason": _REASON, "message": optional(TEXT), "images": COUNT, "train_s": FINITE, "start_s": FINITE,
    "build_s": FINITE, "limit": optional(FINITE), "limited_by": optional(TEXT),
    "eager": optional(TEXT),
}  # fmt: skip
_ATTRS: Mapping[str, Kind] = {
    **{figure.name: COUNT for figure in fields(Cost)},
    **{measure.name: COUNT for measure in MEASURES.values() if not measure.is_additive},
    "identity": TEXT, "number": COUNT, "job": TEXT, "prescreen": FINITE, "rejected": _REJECTED,
    "deaths": _COUNTS, "fidelity": FINITE,
    "result": _MAPPING, **_RESULT,  # runs of format 1 have the last ones here
}  # fmt: skip


def check_attrs(attrs: Mapping[str, Any]) -> None:
    """Raise ValueError where a user attribute of a trial is not of its kind. Others than ours may be any."""
    for kinds, given in ((_ATTRS, attrs), (_RESULT, attrs.get("result", {}))):
        for name, value in given.items():
            kind = kinds.get(name)
            if kind is not None and not kind.accepts(value):
                raise ValueError(f"{name}: {value!r:.60} is not {kind.rule}")


_NEEDED = [*Cost().to_data(), "identity"]


def check_candidate(attrs: Mapping[str, Any]) -> None:
    """Raise ValueError where of what a trial of ours begins with there is a part, and not all."""
    missing = [name for name in _NEEDED if name not in attrs]
    if missing and len(missing) < len(_NEEDED) - 1:
        raise ValueError(f"user_attrs: it has no {missing[0]}")


def make_lost_attrs(number: int) -> dict[str, Any]:
    """Return the user attributes of a failed trial that stands for one of which nothing is left."""
    why = {"reason": FailureReason.LOST.value, "message": "its first line in the journal was damaged"}
    measured = {measure.name: 0 for measure in MEASURES.values() if not measure.is_additive}
    return {**Cost().to_data(), **measured, "identity": f"lost {number}", "number": number, "result": why}


def read_trial(frozen: FrozenTrial) -> Trial:
    """Read a trial of the ledger. Raises InputError for one that another tool has written."""
    from optuna.trial import TrialState as OptunaState

    states = {
        OptunaState.RUNNING: TrialState.RUNNING,
        OptunaState.COMPLETE: TrialState.COMPLETE,
        OptunaState.PRUNED: TrialState.PRUNED,
        OptunaState.FAIL: TrialState.FAILED,
    }
    return make_trial(
        frozen.number, frozen.params, frozen.user_attrs, states[frozen.state], frozen.values,
        frozen.intermediate_values, (frozen.datetime_start, frozen.datetime_complete), _read_bred(frozen),
    )  # fmt: skip


def make_trial(
    number: int,
    choices: Choices,
    attrs: Mapping[str, Any],
    state: TrialState,
    values: Sequence[float] | None,
    reported: Mapping[int, float],
    times: tuple[datetime | None, datetime | None],
    bred_from: int | None = None,
) -> Trial:
    """Return a trial of what a storage has of it: its user attributes, its values, those reported by epoch,
    when it began and ended. Raises InputError for one that another tool has written."""
    try:
        check_attrs(attrs)
        cost, identity = Cost.from_data(attrs), attrs["identity"]
    except KeyError as error:
        raise InputError(
            f"trial {number} of the study has no {error}: another tool made it; choose another "
            "storage or another name"
        ) from None
    except ValueError as error:
        raise InputError(f"trial {number} of the study is damaged: {error}; restore the study") from None
    measured = (measure.name for measure in MEASURES.values() if not measure.is_additive)
    amounts = {name: attrs[name] for name in measured if name in attrs}
    candidate = Candidate(number, choices, cost, identity, amounts)
    facts = {**attrs, **attrs.get("result", {})}  # runs of format 1 have each of them as an attribute
    last = attrs.get("fidelity", math.inf)
    if "result" in attrs and state is not TrialState.RUNNING:
        last = attrs["result"].get("epochs", 0)
    # The values behind it are of an attempt whose worker died later than this one ended.
    curve = {epoch: value for epoch, value in reported.items() if epoch <= last}
    result, failure = NO_RESULT, None
    if state is not TrialState.RUNNING:
        result = TrialResult.from_data({"epochs": max(curve, default=0), **facts})
    if state is TrialState.FAILED:
        failure = Failure(FailureReason(facts.get("reason", "error")), str(facts.get("message", "")))
    score = values[0] if values and state is TrialState.COMPLETE else None
    began, ended = map(_to_utc, times)
    return Trial(
        candidate, state, score, curve, result, failure, attrs.get("job"), attrs.get("prescreen"),
        began, ended, bred_from,
    )  # fmt: skip


def _to_utc(time: datetime | None) -> datetime | None:
    """Return a time in UTC: Optuna 5 notes its zone, 4 does not, and then it is local."""
    return None if time is None else time.astimezone(UTC)


def _read_bred(frozen: FrozenTrial) -> int | None:
    """Return the earlier trial that a sampler noted; what else a note says is of another tool."""
    from nas.samplers.points import BRED_FROM  # with Optuna, which takes its time

    noted = frozen.system_attrs.get(BRED_FROM)
    return noted if isinstance(noted, int) and 0 <= noted < frozen.number else None
