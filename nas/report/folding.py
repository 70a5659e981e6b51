"""A network as a graph of a few boxes: operators that share the first levels of their names are one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

from nas.cost import Cost
from nas.graph import Architecture, Node
from nas.graph.architecture import INPUT
from nas.ops import Join, Shape
from nas.report.repeats import Repeat, list_scopes


@dataclass(frozen=True)
class Box:
    """Operators of one scope, or of `copies` equal ones, the first of which is `scope`.

    `nodes` are those of the first copy, `cost` is that of all. `shapes` are those of the values used outside;
    the input has no operators.
    """

    name: str
    scope: str
    copies: int
    nodes: tuple[Node, ...]
    shapes: tuple[Shape, ...]
    cost: Cost
    is_chain: bool
    """Whether each operator is fed by the one before it alone, so that nothing inside branches or joins."""


@dataclass(frozen=True)
class Group:
    """Boxes, by their indices, that are drawn once and stand for `copies` equal layers."""

    name: str
    scope: str
    copies: int
    boxes: tuple[int, ...]


@dataclass(frozen=True)
class FoldedGraph:
    """Boxes in the order of a forward pass, the input first, edges between their indices, and groups."""

    boxes: tuple[Box, ...]
    edges: tuple[tuple[int, int], ...]
    groups: tuple[Group, ...] = ()


def fold(architecture: Architecture, depth: int, repeats: Sequence[Repeat] = ()) -> FoldedGraph:
    """Return the graph of a network with `depth` levels of its names kept, 1 or more, and each run of equal
    layers drawn once.

    A chain of operators at most one of which has MACs, such as convolution, norm and activation, is one box
    until `depth` has all levels.
    """
    scope_of = _name_boxes(architecture, depth)
    spelling = _Spelling(repeats)
    copies: dict[str, dict[str, list[Node]]] = {INPUT: {INPUT: []}}
    for node in architecture.nodes:
        scope = scope_of[node.name]
        copies.setdefault(spelling.merge(scope), {}).setdefault(scope, []).append(node)
    links = [
        (scope_of[source], scope_of[node.name], source)
        for node in architecture.nodes
        for source in node.inputs
        if scope_of[source] != scope_of[node.name]
    ]
    leaving = {source for _, _, source in links} | {architecture.output}
    boxes = tuple(_make_box(name, scopes, leaving, architecture) for name, scopes in copies.items())
    index = {name: i for i, name in enumerate(copies)}
    edges = {
        (index[spelling.merge(start)], index[spelling.merge(end)])
        for start, end, _ in links
        if spelling.is_drawn(start, end)
    }
    return FoldedGraph(boxes, tuple(sorted(edges)), tuple(_find_groups(boxes, repeats, spelling)))


class _Spelling:
    """How scopes are called where each run of equal layers is drawn once: `s1.layer2..6.conv`."""

    def __init__(self, repeats: Iterable[Repeat]) -> None:
        self._place = {scope: (repeat, i) for repeat in repeats for i, scope in enumerate(repeat.scopes)}
        """Run and number of the copy, by scope."""

    def merge(self, scope: str) -> str:
        """Return the name of a scope and of those that are drawn with it."""
        parts = (self._merge_last(inner) for inner in list_scopes(scope))
        return ".".join(parts)

    def _merge_last(self, scope: str) -> str:
        repeat, _ = self._place.get(scope, (None, 0))
        return (repeat.span if repeat else scope).removeprefix(f"{scope.rpartition('.')[0]}.")

    def is_drawn(self, start: str, end: str) -> bool:
        """Return whether an edge is drawn: not one between copies, nor one that leads into another than the
        first."""
        for before, inside in zip_longest(list_scopes(start), list_scopes(end)):
            repeat, copy = self._place.get(inside, (None, 0))
            if repeat and before != inside and (copy > 0 or before in repeat.scopes):
                return False
        return True


def _make_box(
    name: str, scopes: Mapping[str, list[Node]], leaving: set[str], architecture: Architecture
) -> Box:
    scope, nodes = next(iter(scopes.items()))
    given = [node.shape for node in nodes if node.name in leaving] or [architecture.input_shape]
    cost = sum((architecture.compute_node_cost(node) for copy in scopes.values() for node in copy), Cost())
    return Box(name, scope, len(scopes), tuple(nodes), tuple(dict.fromkeys(given)), cost, _is_chain(nodes))


def _find_groups(boxes: Sequence[Box], repeats: Iterable[Repeat], spelling: _Spelling) -> Iterator[Group]:
    """Yield the runs whose layers are several boxes, once each."""
    copies = {spelling.merge(repeat.scopes[0]): repeat for repeat in reversed(tuple(repeats))}
    for name, repeat in copies.items():
        inside = tuple(i for i, box in enumerate(boxes) if box.name.startswith(f"{name}."))
        if len(inside) > 1:
            yield Group(name, repeat.scopes[0], len(repeat.scopes), inside)


def _name_boxes(architecture: Architecture, depth: int) -> dict[str, str]:
    """Return the scope that is the box of each operator, by name."""
    deepest = max(len(list_scopes(node.name)) for node in architecture.nodes)
    units = _find_chains(architecture) if depth < deepest else set()
    names = {INPUT: INPUT}
    for node in architecture.nodes:
        kept = list_scopes(node.name)[:depth]
        names[node.name] = next((scope for scope in kept if scope in units), kept[-1])
    return names


def _find_chains(architecture: Architecture) -> set[str]:
    """Return scopes that are a chain with MACs in one operator at most."""
    members: defaultdict[str, list[Node]] = defaultdict(list)
    for node in architecture.nodes:
        for scope in list_scopes(node.name):
            members[scope].append(node)
    return {
        scope
        for scope, nodes in members.items()
        if _is_chain(nodes) and sum(architecture.compute_node_cost(node).macs > 0 for node in nodes) <= 1
    }


def _is_chain(nodes: list[Node]) -> bool:
    joins = any(isinstance(node.op, Join) for node in nodes)
    return not joins and all(node.inputs == (before.name,) for before, node in pairwise(nodes))
