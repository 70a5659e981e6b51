"""The front of a search: the trials that no other beats, and the volume that they dominate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nas.measures import MACS, MEASURES, Budget, Measure

if TYPE_CHECKING:
    from nas.space import Space
    from nas.study.objective import Objective
    from nas.study.records import Trial
    from nas.training.base import Metric


def find_front(trials: Sequence[Trial], objective: Objective) -> list[Trial]:
    """Return the complete trials that no other beats: none has at least the score at no more of all costs of
    the objective, or of MACs where it has none.

    Of equal trials the earliest is taken. In the order of the costs.
    """
    front: list[tuple[tuple[float, ...], Trial]] = []
    for point, _, trial in sorted(
        (_make_point(trial, objective), trial.number, trial) for trial in trials if trial.score is not None
    ):
        # Whatever beats a point comes before it.
        if not any(all(a <= b for a, b in zip(other, point, strict=True)) for other, _ in front):
            front.append((point, trial))
    return [trial for _, trial in front]


def compute_hypervolume(front: Sequence[Trial], worst: Mapping[Measure, int], metric: Metric) -> float:
    """Return the share of the box of all scores and no cost to the `worst` that is dominated, 0 to 1.

    The indicator of Zitzler & Thiele 1999, with the worst score at the worst costs as its reference point.
    Scores are of a metric with a range; trials beyond the reference add nothing.
    """
    points = []
    for trial in front:
        assert trial.score is not None
        room = (1 - trial.candidate.amount(cost) / max(1, most) for cost, most in worst.items())
        points.append((metric.share(trial.score), *(max(0.0, share) for share in room)))
    return _compute_volume(points)


def find_worst_costs(space: Space, budget: Budget, costs: Sequence[Measure]) -> dict[Measure, int]:
    """Return the reference of the hypervolume: the most that the budget allows, else the space has.

    Of a measure that does not add up, the latter is the most that the networks have which have the most of
    one that does.
    """
    allowed = {cost: budget[cost].high for cost in costs if cost in budget}
    return {cost: _find_most(space, cost) if (high := allowed.get(cost)) is None else high for cost in costs}


def _find_most(space: Space, measure: Measure) -> int:
    if measure.is_additive:
        return space.ends(measure).most.value
    ends = [space.ends(other).most.choices for other in MEASURES.values() if other.is_additive]
    return max(space.amount(choices, measure) for choices in ends)


def _make_point(trial: Trial, objective: Objective) -> tuple[float, ...]:
    """Return what is minimised, the costs first."""
    assert trial.score is not None
    costs = objective.costs or (MACS,)
    return *(trial.candidate.amount(cost) for cost in costs), -objective.metric.sign * trial.score


def _compute_volume(points: Sequence[tuple[float, ...]]) -> float:
    """Return the volume of the boxes together from the origin to each point: slice by slice along the last
    axis."""
    if not points:
        return 0.0
    if len(points[0]) == 1:
        return max(point[0] for point in points)
    ordered = sorted(points, key=lambda point: -point[-1])
    ends = [*(point[-1] for point in ordered[1:]), 0.0]
    return sum(
        (point[-1] - end) * _compute_volume([other[:-1] for other in ordered[: i + 1]])
        for i, (point, end) in enumerate(zip(ordered, ends, strict=True))
        if point[-1] > end
    )
