"""Where the boxes of a graph stand and how its edges run.

Rows and columns are those of `fast_sugiyama`: layers with few crossings (Sugiyama et al. 1981), columns after
Brandes & Köpf (2002). Here they become pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fast_sugiyama import from_edges

GAP_X, GAP_Y, EDGE, TIP, PORT = 28, 32, 20, 8, 14
"""Pixels: free between boxes of a row, free between rows, kept for an edge that passes a row, straight before
the end of an edge, between the ends of edges at a box."""

Edge = tuple[int, int]


@dataclass(frozen=True)
class Run:
    """A vertical run at `x`, from `top` down to `bottom`, in pixels: of a box, or of an edge along a row."""

    x: float
    top: float
    bottom: float


@dataclass(frozen=True)
class Layout:
    """`places` are the boxes, by their middle. `routes` has the runs of each edge, from box to box.

    An edge bends between two runs only, where no box is. No place or route leaves `width` x `height` pixels.
    """

    width: float
    height: float
    places: tuple[Run, ...]
    routes: dict[Edge, tuple[Run, ...]]


def lay_out(heights: Sequence[float], edges: Sequence[Edge], width: float) -> Layout:
    """Place boxes of one width and of these heights in rows, so that every edge leads down.

    `edges` are pairs of indices of boxes; they form one connected graph without cycles, of two boxes or more.
    """
    ((placed, span, _, routed),) = from_edges(
        edges, vertex_spacing=width + GAP_X, dummy_vertices=True, dummy_size=EDGE, transpose=True
    )
    assert routed is not None
    # mirrored, so that branches stand from left to right
    points = {int(vertex): (span - x + width / 2, -y) for vertex, (x, y) in placed}
    rows = _rows([points[box][1] for box in range(len(heights))], heights)
    slots = {vertex: Run(x, rows[y].top, rows[y].bottom) for vertex, (x, y) in points.items()}
    places = tuple(_centred(slots[box], height) for box, height in enumerate(heights))
    paths = _paths([(int(a), int(b)) for a, b in routed], len(heights))
    ports = _ports(paths, slots, width)
    routes = {
        (start, end): (
            Run(places[start].x, places[start].bottom, slots[start].bottom),
            *(slots[vertex] for vertex in passed),
            Run(ports[start, end], slots[end].top - TIP, places[end].top),
        )
        for start, *passed, end in paths
    }
    return Layout(span + width, max(row.bottom for row in rows.values()), places, routes)


def _rows(levels: Sequence[float], heights: Sequence[float]) -> dict[float, Run]:
    """Top and bottom of each row, by the level of its boxes; it is as high as the highest of them."""
    highest: defaultdict[float, float] = defaultdict(float)
    for level, height in zip(levels, heights, strict=True):
        highest[level] = max(highest[level], height)
    rows, top = {}, 0.0
    for level in sorted(highest):
        rows[level] = Run(0, top, top + highest[level])
        top = rows[level].bottom + GAP_Y
    return rows


def _centred(slot: Run, height: float) -> Run:
    top = (slot.top + slot.bottom - height) / 2
    return Run(slot.x, top, top + height)


def _paths(routed: Sequence[Edge], boxes: int) -> list[list[int]]:
    """Each edge as the vertices that it passes, from box to box; those that are no box have one edge on."""
    following = {a: b for a, b in routed if a >= boxes}
    paths = []
    for start, vertex in routed:
        if start < boxes:
            path = [start, vertex]
            while path[-1] >= boxes:
                path.append(following[path[-1]])
            paths.append(path)
    return paths


def _ports(paths: Sequence[Sequence[int]], slots: Mapping[int, Run], width: float) -> dict[Edge, float]:
    """The x at which each edge ends: side by side on the box, in the order from which they come."""
    arrivals = defaultdict(list)
    for path in paths:
        arrivals[path[-1]].append((slots[path[-2]].x, path[0]))
    ports = {}
    for end, arriving in arrivals.items():
        step = min(PORT, width / len(arriving))
        for i, (_, start) in enumerate(sorted(arriving)):
            ports[start, end] = slots[end].x + step * (i - (len(arriving) - 1) / 2)
    return ports
