"""Where the boxes of a graph stand and how its edges run.

Here the rows and columns of `nas.report.arrangement` become pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from nas.report.arrangement import Edge, arrange

GAP_X, GAP_Y, EDGE, TIP, PORT = 28, 32, 20, 8, 14
"""Pixels: free between boxes of a row, free between rows, kept for an edge that passes a row, straight before
the end of an edge, between the ends of edges at a box."""


@dataclass(frozen=True)
class VerticalRun:
    """A vertical run at `x`, from `top` down to `bottom`, in pixels: of a box, or of an edge along a row."""

    x: float
    top: float
    bottom: float


@dataclass(frozen=True)
class GraphLayout:
    """`places` are the boxes, by their middle. `routes` has the runs of each edge, from box to box.

    An edge bends between two runs only, where no box is. No place or route leaves `width` x `height` pixels.
    `rows` are what stands side by side, and `row` has the one of each box; an edge has a run in each row from
    that of its first box to that of its last.
    """

    width: float
    height: float
    places: tuple[VerticalRun, ...]
    routes: dict[Edge, tuple[VerticalRun, ...]]
    rows: tuple[VerticalRun, ...]
    row: tuple[int, ...]


def lay_out(heights: Sequence[float], edges: Sequence[Edge], width: float) -> GraphLayout:
    """Place boxes of one width and of these heights in rows, so that every edge leads down.

    `edges` are pairs of indices of boxes; they form one connected graph without cycles, of two boxes or more.
    """
    arranged = arrange(len(heights), edges, width + GAP_X, EDGE)
    rows = _place_rows(arranged.row[: len(heights)], heights)
    halves = [width / 2 if vertex < len(heights) else 0 for vertex in range(len(arranged.x))]
    left = min(x - half for x, half in zip(arranged.x, halves, strict=True))
    slots = [
        VerticalRun(x - left, rows[row].top, rows[row].bottom)
        for x, row in zip(arranged.x, arranged.row, strict=True)
    ]
    places = tuple(_centre(slots[box], height) for box, height in enumerate(heights))
    paths = list(arranged.paths.values())
    ports = _place_ports(paths, slots, width)
    routes = {
        (start, end): (
            VerticalRun(places[start].x, places[start].bottom, slots[start].bottom),
            *(slots[vertex] for vertex in passed),
            VerticalRun(ports[start, end], slots[end].top - TIP, places[end].top),
        )
        for start, *passed, end in paths
    }
    right = max(slot.x + half for slot, half in zip(slots, halves, strict=True))
    boxes = tuple(arranged.row[: len(heights)])
    return GraphLayout(right, rows[-1].bottom, places, routes, tuple(rows), boxes)


def _place_rows(numbers: Sequence[int], heights: Sequence[float]) -> list[VerticalRun]:
    """Return top and bottom of each row, by its number; it is as high as the highest of its boxes."""
    highest: defaultdict[int, float] = defaultdict(float)
    for number, height in zip(numbers, heights, strict=True):
        highest[number] = max(highest[number], height)
    rows: list[VerticalRun] = []
    for number in sorted(highest):
        top = rows[-1].bottom + GAP_Y if rows else 0.0
        rows.append(VerticalRun(0, top, top + highest[number]))
    return rows


def _centre(slot: VerticalRun, height: float) -> VerticalRun:
    top = (slot.top + slot.bottom - height) / 2
    return VerticalRun(slot.x, top, top + height)


def _place_ports(
    paths: Sequence[Sequence[int]], slots: Sequence[VerticalRun], width: float
) -> dict[Edge, float]:
    """Return the x at which each edge ends: side by side on the box, in the order from which they come."""
    arrivals = defaultdict(list)
    for path in paths:
        arrivals[path[-1]].append((slots[path[-2]].x, path[0]))
    ports = {}
    for end, arriving in arrivals.items():
        step = min(PORT, width / len(arriving))
        for i, (_, start) in enumerate(sorted(arriving)):
            ports[start, end] = slots[end].x + step * (i - (len(arriving) - 1) / 2)
    return ports
