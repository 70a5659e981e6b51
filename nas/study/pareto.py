"""The front of a search: the trials that no other beats, and the volume that they dominate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nas.cost import Budget, Cost
from nas.study.objective import Objective
from nas.study.records import Trial

if TYPE_CHECKING:
    from nas.space import Space


def pareto_front(trials: Sequence[Trial], objective: Objective) -> list[Trial]:
    """Return the complete trials that no other beats: none has at least the score at no more of all costs of
    the objective, or of MACs where it has none.

    Of equal trials the earliest is taken. In the order of the costs.
    """
    front: list[tuple[tuple[float, ...], Trial]] = []
    for point, _, trial in sorted(
        (_point(trial, objective), trial.number, trial) for trial in trials if trial.score is not None
    ):
        # Whatever beats a point comes before it.
        if not any(all(a <= b for a, b in zip(other, point, strict=True)) for other, _ in front):
            front.append((point, trial))
    return [trial for _, trial in front]


def hypervolume(front: Sequence[Trial], objective: Objective, worst: Cost) -> float:
    """Return the share of the box from score 0 to 1 and from no cost to `worst` that is dominated, 0 to 1.

    The indicator of Zitzler & Thiele 1999, with score 0 at the cost `worst` as its reference point. A score
    is an accuracy; trials beyond the reference add nothing.
    """
    points = []
    for trial in front:
        assert trial.score is not None
        cost = trial.candidate.cost
        room = (1 - getattr(cost, name) / max(1, getattr(worst, name)) for name in objective.costs)
        points.append((min(1.0, max(0.0, trial.score)), *(max(0.0, share) for share in room)))
    return _volume(points)


def worst_cost(space: Space, budget: Budget) -> Cost:
    """Return the reference of the hypervolume: the most that the budget allows, else the space has."""
    extent = space.extent
    macs, params = budget.macs.high, budget.params.high
    return Cost(
        extent.largest_cost.macs if macs is None else macs, extent.most_params if params is None else params
    )


def _point(trial: Trial, objective: Objective) -> tuple[float, ...]:
    """What is minimised, the costs first."""
    assert trial.score is not None
    costs = objective.costs or ("macs",)
    return *(getattr(trial.candidate.cost, name) for name in costs), -objective.metric.sign * trial.score


def _volume(points: Sequence[tuple[float, ...]]) -> float:
    """Of the union of the boxes from the origin to each point: slice by slice along the last axis."""
    if not points:
        return 0.0
    if len(points[0]) == 1:
        return max(point[0] for point in points)
    ordered = sorted(points, key=lambda point: -point[-1])
    ends = [*(point[-1] for point in ordered[1:]), 0.0]
    return sum(
        (point[-1] - end) * _volume([other[:-1] for other in ordered[: i + 1]])
        for i, (point, end) in enumerate(zip(ordered, ends, strict=True))
        if point[-1] > end
    )
