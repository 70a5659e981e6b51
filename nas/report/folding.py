"""A network as a graph of a few boxes: operators that share the first levels of their names are one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate, pairwise

from nas.cost import Cost
from nas.graph import Architecture, Node
from nas.graph.architecture import INPUT
from nas.ops import Join, Shape


@dataclass(frozen=True)
class Box:
    """Operators of one scope. `shapes` are those of the values used outside; the input has no operators."""

    name: str
    nodes: tuple[Node, ...]
    shapes: tuple[Shape, ...]
    cost: Cost
    is_chain: bool
    """Whether each operator is fed by the one before it alone, so that nothing inside branches or joins."""


@dataclass(frozen=True)
class FoldedGraph:
    """Boxes in the order of a forward pass, the input first, and edges between their indices."""

    boxes: tuple[Box, ...]
    edges: tuple[tuple[int, int], ...]


def fold(architecture: Architecture, depth: int) -> FoldedGraph:
    """Return the graph of a network with `depth` levels of its names kept, 1 or more.

    A chain of operators at most one of which has MACs, such as convolution, norm and activation, is one box
    until `depth` has all levels.
    """
    box_of = _name_boxes(architecture, depth)
    members: dict[str, list[Node]] = {INPUT: []}
    for node in architecture.nodes:
        members.setdefault(box_of[node.name], []).append(node)
    links = [
        (source, node.name)
        for node in architecture.nodes
        for source in node.inputs
        if box_of[source] != box_of[node.name]
    ]
    leaving = {source for source, _ in links} | {architecture.output}
    index = {name: i for i, name in enumerate(members)}
    return FoldedGraph(
        tuple(_make_box(name, nodes, leaving, architecture) for name, nodes in members.items()),
        tuple(sorted({(index[box_of[source]], index[box_of[reader]]) for source, reader in links})),
    )


def _make_box(name: str, nodes: list[Node], leaving: set[str], architecture: Architecture) -> Box:
    given = [node.shape for node in nodes if node.name in leaving] or [architecture.input_shape]
    cost = sum(map(architecture.node_cost, nodes), Cost())
    return Box(name, tuple(nodes), tuple(dict.fromkeys(given)), cost, _is_chain(nodes))


def list_scopes(name: str) -> list[str]:
    """Return the scopes of a name: `a`, `a.b` and `a.b.c` of `a.b.c`."""
    return list(accumulate(name.split("."), lambda scope, part: f"{scope}.{part}"))


def _name_boxes(architecture: Architecture, depth: int) -> dict[str, str]:
    """Return the box of each operator, by name."""
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
        if _is_chain(nodes) and sum(architecture.node_cost(node).macs > 0 for node in nodes) <= 1
    }


def _is_chain(nodes: list[Node]) -> bool:
    joins = any(isinstance(node.op, Join) for node in nodes)
    return not joins and all(node.inputs == (before.name,) for before, node in pairwise(nodes))
