"""A layout that is too high, cut between rows into columns that stand side by side."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nas.report.arrangement import Edge
from nas.report.layout import GAP_X, GraphLayout, VerticalRun

LANE, TURN = 10, 32
"""Pixels: between edges that go up beside a column, kept below and above a column for their turns."""

SHORTEST = 0.6
"""Of a column, as a share of what columns of one height would have."""


@dataclass(frozen=True)
class Columns:
    """All columns as one layout, the column of each box, and where each column's boxes and edges end."""

    layout: GraphLayout
    column: tuple[int, ...]
    rights: tuple[float, ...]


def split_columns(
    layout: GraphLayout, height: float, width: float, groups: Sequence[Sequence[int]] = (), beside: float = 0
) -> Columns:
    """Cut a layout of boxes of this width into columns of at most `height` pixels, or as few as can be.

    It is cut where few edges pass, and not inside of `groups` of boxes where that can be avoided. `beside`
    pixels are left free to the right of each column. An edge that passes a cut turns below its column, goes
    up beside it in a run of its own, from bottom to top, and turns above the next column.
    """
    passing = _list_passing(layout)
    firsts = _choose_cuts(layout, height, passing, groups)
    column_of = [bisect_right(firsts, row) - 1 for row in range(len(layout.rows))]
    extents = _measure(layout, width, column_of)
    shifts: list[tuple[float, float]] = []
    lanes: dict[tuple[Edge, int], tuple[float, int]] = {}
    right = 0.0
    for (left, end), first in zip(extents, firsts, strict=True):
        if first:
            right += beside + GAP_X
            for rank, edge in enumerate(passing[first]):
                lanes[edge, first] = right + LANE * rank, rank
            right += LANE * (len(passing[first]) - 1) + GAP_X
        shifts.append((right - left, _turn(passing[first]) - layout.rows[first].top))
        right += end - left

    def move(run: VerticalRun, row: int) -> VerticalRun:
        across, down = shifts[column_of[row]]
        return VerticalRun(run.x + across, run.top + down, run.bottom + down)

    routes = {}
    for edge, route in layout.routes.items():
        moved: list[VerticalRun] = []
        for row, run in enumerate(route, layout.row[edge[0]]):
            here = move(run, row)
            if moved and (edge, row) in lanes:
                x, rank = lanes[edge, row]
                moved[-1] = replace(moved[-1], bottom=moved[-1].bottom + LANE * rank)
                here = replace(here, top=here.top - LANE * rank)
                moved.append(VerticalRun(x, moved[-1].bottom, here.top))
            moved.append(here)
        routes[edge] = tuple(moved)
    places = tuple(move(place, row) for place, row in zip(layout.places, layout.row, strict=True))
    rows = tuple(move(run, row) for row, run in enumerate(layout.rows))
    lasts = [*(first - 1 for first in firsts[1:]), len(rows) - 1]
    bottom = max(rows[last].bottom + _turn(passing[last + 1]) for last in lasts)
    return Columns(
        GraphLayout(right + beside, bottom, places, routes, rows, layout.row),
        tuple(column_of[row] for row in layout.row),
        tuple(end + across for (_, end), (across, _) in zip(extents, shifts, strict=True)),
    )


def _list_passing(layout: GraphLayout) -> list[list[Edge]]:
    """Return the edges that enter each row from that above, the rightmost first; none after the last."""
    entering: list[list[tuple[float, Edge]]] = [[] for _ in range(len(layout.rows) + 1)]
    for edge, route in layout.routes.items():
        for row, before in enumerate(route[:-1], layout.row[edge[0]] + 1):
            entering[row].append((-before.x, edge))
    return [[edge for _, edge in sorted(edges)] for edges in entering]


def _turn(edges: Sequence[Edge]) -> float:
    """Return the pixels that edges take where they turn."""
    return TURN + LANE * (len(edges) - 1) if edges else 0


def _choose_cuts(
    layout: GraphLayout, height: float, passing: Sequence[Sequence[Edge]], groups: Sequence[Sequence[int]]
) -> list[int]:
    """Return the first row of each column, each column higher than what its edges take to turn."""
    rows = layout.rows
    spans = [(min(inside), max(inside)) for group in groups for inside in [[layout.row[i] for i in group]]]
    firsts = [0]
    while True:
        start = firsts[-1]
        tall = [rows[row].bottom - rows[start].top + _turn(passing[start]) for row in range(len(rows))]
        if tall[-1] <= height:
            return firsts
        share = tall[-1] / math.ceil(tall[-1] / height)
        able = [row for row in range(start + 1, len(rows)) if tall[row - 1] > _turn(passing[row])]
        fit = [row for row in able if tall[row - 1] + _turn(passing[row]) <= height]
        fit = [row for row in fit if tall[row - 1] >= SHORTEST * share] or fit[-1:] or able[:1]
        if not fit:
            return firsts
        cuts = {
            row: (sum(a < row <= b for a, b in spans), len(passing[row]), abs(tall[row - 1] - share))
            for row in fit
        }
        firsts.append(min(cuts, key=cuts.__getitem__))


def _measure(layout: GraphLayout, width: float, column_of: Sequence[int]) -> list[tuple[float, float]]:
    """Return the left and right end of each column's boxes and edges."""
    found: defaultdict[int, list[float]] = defaultdict(list)
    for place, row in zip(layout.places, layout.row, strict=True):
        found[column_of[row]] += [place.x - width / 2, place.x + width / 2]
    for (start, _), route in layout.routes.items():
        for row, run in enumerate(route, layout.row[start]):
            found[column_of[row]].append(run.x)
    return [(min(found[column]), max(found[column])) for column in sorted(found)]
