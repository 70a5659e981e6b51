"""Rows and columns for the boxes of a graph that flows downwards.

The steps are those of Sugiyama, Tagawa & Toda 1981: rows from longest paths, a vertex where a long edge
passes a row, an order in each row that has few crossings, columns. Columns are those of Brandes & Köpf 2002,
with blocks pushed together along longest paths.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

Edge = tuple[int, int]
Rows = list[list[int]]

SWEEPS, PASSES = 24, 8
"""How often rows are sorted by their neighbours at most, and neighbours then exchanged."""


@dataclass(frozen=True)
class Arrangement:
    """The `row` and the middle `x` of each vertex. The first vertices are the boxes, the others are where an
    edge passes a row; `paths` are the vertices of each edge, one a row, from box to box.
    """

    row: Sequence[int]
    x: Sequence[float]
    paths: dict[Edge, tuple[int, ...]]


def arrange(boxes: int, edges: Sequence[Edge], wide: float, narrow: float) -> Arrangement:
    """Arrange boxes, so that every edge leads to a lower row. The same input gives the same arrangement.

    Each `edge` leads from a box to one of a higher number. A box takes `wide` pixels of its row, an edge that
    passes the row `narrow` ones.
    """
    row = _assign_rows(boxes, edges)
    paths: dict[Edge, tuple[int, ...]] = {}
    for start, end in edges:
        passed = range(row[start] + 1, row[end])
        paths[start, end] = (start, *range(len(row), len(row) + len(passed)), end)
        row.extend(passed)
    links = [link for path in paths.values() for link in pairwise(path)]
    graph = _Graph(len(row), links)
    sizes = [wide] * boxes + [narrow] * (len(row) - boxes)
    found = []
    for alternating in (False, True):
        rows, crossings = _order_rows(graph, row, _traverse(graph, boxes, alternating))
        x = _place_columns(graph, rows, sizes, boxes)
        found.append((crossings, round(sum(abs(x[a] - x[b]) for a, b in links)), x))
    *_, x = min(found, key=lambda one: one[:2])
    return Arrangement(row, x, paths)


class _Graph:
    """What is linked to a vertex in the row above it, and in the row below."""

    def __init__(self, vertices: int, links: Sequence[Edge]) -> None:
        self.above: Rows = [[] for _ in range(vertices)]
        self.below: Rows = [[] for _ in range(vertices)]
        for a, b in links:
            self.above[b].append(a)
            self.below[a].append(b)


# Rows


def _assign_rows(boxes: int, edges: Sequence[Edge]) -> list[int]:
    """Put each box below all that it reads; one that more boxes read than it does moves down to its
    readers."""
    graph = _Graph(boxes, edges)
    row = [0] * boxes
    for box in range(boxes):
        row[box] = max((row[source] + 1 for source in graph.above[box]), default=0)
    for box in reversed(range(boxes)):
        if len(graph.below[box]) > len(graph.above[box]):
            row[box] = min(row[reader] for reader in graph.below[box]) - 1
    used = {old: new for new, old in enumerate(sorted(set(row)))}
    return [used[old] for old in row]


# Order in the rows


def _order_rows(graph: _Graph, row: Sequence[int], vertices: Iterable[int]) -> tuple[Rows, int]:
    """Return vertices from left to right and how often their links cross: as they are given, then sorted by
    their neighbours in turns from above and from below, as long as links cross."""
    rows: Rows = [[] for _ in range(max(row) + 1)]
    for vertex in vertices:
        rows[row[vertex]].append(vertex)
    best, fewest = rows, _count_crossings(graph, rows)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        rows = _sort_rows(graph, rows, downwards=sweep % 2 == 0)
        _exchange_neighbours(graph, rows)
        crossings = _count_crossings(graph, rows)
        if crossings < fewest:
            best, fewest = [list(one) for one in rows], crossings
    return best, fewest


def _traverse(graph: _Graph, boxes: int, alternating: bool) -> Iterator[int]:
    """Return all vertices, depth first and each after those above it, so that what hangs together stands
    together.

    Edges that pass a row stand to the right of what they pass; `alternating` ones, in the order of the boxes
    that they leave, every other time to the left, so that cells which each read the two before them do not
    drift to one side.
    """
    leaving = [box for box in range(boxes) if any(below >= boxes for below in graph.below[box])]
    on_left = set(leaving[1::2]) if alternating else set()
    waits = [len(above) for above in graph.above]
    ready = [vertex for vertex in reversed(range(len(waits))) if not waits[vertex]]
    while ready:
        vertex = ready.pop()
        yield vertex
        fresh = []
        for below in graph.below[vertex]:
            waits[below] -= 1
            if not waits[below]:
                fresh.append(below)
        if vertex < boxes:
            fresh.sort(key=lambda below: (below >= boxes) != (vertex in on_left))
        ready += reversed(fresh)


def _sort_rows(graph: _Graph, rows: Rows, downwards: bool) -> Rows:
    """Return each row sorted by where the neighbours of its vertices stand, on average, in the row before
    it."""
    place = _find_places(rows)
    neighbours = graph.above if downwards else graph.below
    result = [list(row) for row in rows]
    for row in result if downwards else reversed(result):
        wish = {
            vertex: sum(place[n] for n in neighbours[vertex]) / len(neighbours[vertex])
            if neighbours[vertex]
            else place[vertex]
            for vertex in row
        }
        row.sort(key=wish.__getitem__)
        place.update((vertex, i) for i, vertex in enumerate(row))
    return result


def _exchange_neighbours(graph: _Graph, rows: Rows) -> None:
    """Exchange vertices that stand side by side while that removes crossings."""
    place = _find_places(rows)
    for _ in range(PASSES):
        changed = False
        for row in rows:
            for i in range(len(row) - 1):
                a, b = row[i], row[i + 1]
                gain = 0
                for linked in (graph.above, graph.below):
                    gain += _count_crossings_of(linked[a], linked[b], place) - _count_crossings_of(
                        linked[b], linked[a], place
                    )
                if gain > 0:
                    row[i], row[i + 1] = b, a
                    place[a], place[b] = i + 1, i
                    changed = True
        if not changed:
            return


def _count_crossings_of(left: Sequence[int], right: Sequence[int], place: dict[int, int]) -> int:
    """Return the crossings between the links of two vertices that stand in this order."""
    return sum(place[b] < place[a] for a in left for b in right)


def _count_crossings(graph: _Graph, rows: Rows) -> int:
    place = _find_places(rows)
    crossings = 0
    for row in rows:
        ends: list[int] = []
        for vertex in row:
            own = sorted(place[below] for below in graph.below[vertex])
            crossings += sum(len(ends) - bisect_left(ends, end + 1) for end in own)
            for end in own:
                insort(ends, end)
    return crossings


def _find_places(rows: Rows) -> dict[int, int]:
    return {vertex: i for row in rows for i, vertex in enumerate(row)}


# Columns


def _place_columns(graph: _Graph, rows: Rows, sizes: Sequence[float], boxes: int) -> list[float]:
    """Return the middle of each vertex: the mean of the two in the middle of four, each of which leans to a
    side."""
    bent = _find_bent(graph, rows, boxes)
    leaning = []
    for upwards in (False, True):
        for leftwards in (False, True):
            turned = [row[::-1] if leftwards else row for row in (rows[::-1] if upwards else rows)]
            x = _lean(turned, graph.below if upwards else graph.above, sizes, bent)
            leaning.append([-value for value in x] if leftwards else x)
    spans = [max(x) - min(x) for x in leaning]
    narrowest = leaning[spans.index(min(spans))]
    for i, x in enumerate(leaning):
        side = max if i % 2 else min  # those that lean to the left end at its right side
        shift = side(narrowest) - side(x)
        leaning[i] = [value + shift for value in x]
    return [sum(sorted(four)[1:3]) / 2 for four in zip(*leaning, strict=True)]


def _find_bent(graph: _Graph, rows: Rows, boxes: int) -> set[Edge]:
    """Return the links that cross the inside of a long edge, which is to be straight; both ways."""
    place = _find_places(rows)
    bent: set[Edge] = set()
    for row in rows[1:]:
        inner = [(place[graph.above[v][0]], i) for i, v in enumerate(row) if _is_inside(graph, v, boxes)]
        for i, vertex in enumerate(row):
            if _is_inside(graph, vertex, boxes):
                continue
            for above in graph.above[vertex]:
                start = place[above]
                if any((start - a) * (i - b) < 0 for a, b in inner):
                    bent |= {(above, vertex), (vertex, above)}
    return bent


def _is_inside(graph: _Graph, vertex: int, boxes: int) -> bool:
    return vertex >= boxes and graph.above[vertex][0] >= boxes


def _lean(rows: Rows, linked: Rows, sizes: Sequence[float], bent: set[Edge]) -> list[float]:
    """Return the columns where each vertex stands, if it can, straight below the median of those that it is
    linked to in the row before, and as far to the left as possible."""
    root = _align(rows, linked, bent)
    follows: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
    waits = [0] * len(sizes)
    for row in rows:
        for a, b in pairwise(row):
            follows[root[a]].append((root[b], (sizes[a] + sizes[b]) / 2))
            waits[root[b]] += 1
    x = [0.0] * len(sizes)
    order = [vertex for vertex in range(len(sizes)) if root[vertex] == vertex and not waits[vertex]]
    for block in order:  # which grows
        for after, step in follows[block]:
            x[after] = max(x[after], x[block] + step)
            waits[after] -= 1
            if not waits[after]:
                order.append(after)
    for block in reversed(order):
        if follows[block]:
            x[block] = min(x[after] - step for after, step in follows[block])
    return [x[root[vertex]] for vertex in range(len(sizes))]


def _align(rows: Rows, linked: Rows, bent: set[Edge]) -> list[int]:
    """Return for each vertex the first of the block that it stands in, all at the same x."""
    place = _find_places(rows)
    root = list(range(len(linked)))
    for row in rows[1:]:
        last = -1
        for vertex in row:
            before = sorted(linked[vertex], key=place.__getitem__)
            for i in sorted({(len(before) - 1) // 2, len(before) // 2}) if before else ():
                if (before[i], vertex) not in bent and place[before[i]] > last:
                    root[vertex] = root[before[i]]
                    last = place[before[i]]
                    break
    return root
