"""The front of a search: the trials that no other beats, and the volume that they dominate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nas.cost import Budget, Cost
from nas.study.records import Record

if TYPE_CHECKING:
    from nas.space import Space


def pareto(records: Sequence[Record], costs: Sequence[str] = ("macs",)) -> list[Record]:
    """The complete trials that no other beats: none has at least the score at no more of all `costs`.

    `costs`: fields of Cost. Of equal trials the earliest is taken. In the order of the costs.
    """
    front: list[tuple[tuple[float, ...], Record]] = []
    for point, _, record in sorted(
        (_point(record, costs), record.candidate.number, record)
        for record in records
        if record.score is not None
    ):
        # Whatever beats a point comes before it.
        if not any(all(a <= b for a, b in zip(other, point, strict=True)) for other, _ in front):
            front.append((point, record))
    return [record for _, record in front]


def hypervolume(front: Sequence[Record], costs: Sequence[str], worst: Cost) -> float:
    """The share of the box from score 0 to 1 and from no cost to `worst` that is dominated, 0 to 1.

    The indicator of Zitzler & Thiele 1999, with score 0 at the cost `worst` as its reference point. A score
    is an accuracy; trials beyond the reference add nothing.
    """
    points = []
    for record in front:
        assert record.score is not None
        room = (1 - getattr(record.candidate.cost, cost) / max(1, getattr(worst, cost)) for cost in costs)
        points.append((min(1.0, max(0.0, record.score)), *(max(0.0, share) for share in room)))
    return _volume(points)


def worst_cost(space: Space, budget: Budget) -> Cost:
    """The reference of the hypervolume: the most that the budget allows, else the space has."""
    extent = space.extent
    macs, params = budget.macs.high, budget.params.high
    return Cost(
        extent.largest_cost.macs if macs is None else macs, extent.most_params if params is None else params
    )


def _point(record: Record, costs: Sequence[str]) -> tuple[float, ...]:
    """What is minimised, the costs first."""
    assert record.score is not None
    return *(getattr(record.candidate.cost, cost) for cost in costs), -record.score


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
