"""Runs of equal layers: neighbours of one structure, each fed by the one before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from nas.graph import Architecture, Node
from nas.graph.architecture import INPUT

Source = tuple[int, str]
"""What a copy takes from an earlier one of its run: how many copies before, and the name inside it."""


@dataclass(frozen=True)
class Repeat:
    """Scopes of equal layers, two or more, in the order of a forward pass; `span` is the name of all."""

    scopes: tuple[str, ...]

    @property
    def span(self) -> str:
        return format_span(self.scopes[0], self.scopes[-1])


def list_scopes(name: str) -> list[str]:
    """Return the scopes of a name: `a`, `a.b` and `a.b.c` of `a.b.c`."""
    return list(accumulate(name.split("."), lambda scope, part: f"{scope}.{part}"))


def format_span(first: str, last: str) -> str:
    """Return the name of siblings from the first to the last: `s1.layer2..6`, `s1.reduce..expand`."""
    parent = first.rpartition(".")[0]
    ending = last.removeprefix(f"{parent}.")
    return f"{first}..{last.removeprefix(stem) if (stem := first.rstrip('0123456789')) != first else ending}"


def find_repeats(architecture: Architecture, depth: int) -> tuple[Repeat, ...]:
    """Return the runs of equal layers among scopes of at most `depth` levels, those inside of others too.

    Layers are equal when their operators, names, shapes and edges are, but for the shape of what the first
    takes and the rates of stochastic depth and dropout. Each after the first takes values of those before it,
    at equal distances, or what the first takes.
    """
    siblings: defaultdict[str, dict[str, list[Node]]] = defaultdict(dict)
    for node in architecture.nodes:
        for scope in list_scopes(node.name)[:depth]:
            siblings[scope.rpartition(".")[0]].setdefault(scope, []).append(node)
    return tuple(repeat for inside in siblings.values() for repeat in _split_runs(inside))


def _split_runs(siblings: Mapping[str, Sequence[Node]]) -> Iterator[Repeat]:
    layers = [_LayerStructure(scope, nodes) for scope, nodes in siblings.items()]
    start = 0
    while start < len(layers):
        end = start + 1
        sources: dict[int, Source] = {}
        while end < len(layers) and _continues(layers[start:end], layers[end], sources):
            end += 1
        if end > start + 1:
            yield Repeat(tuple(layer.scope for layer in layers[start:end]))
        start = end


class _LayerStructure:
    """Operators of a scope: `taken` are the values from outside, `structure` is all else but the scope."""

    def __init__(self, scope: str, nodes: Sequence[Node]) -> None:
        self.scope = scope
        self.inside = {node.name: node.name.removeprefix(scope) for node in nodes}
        sources = dict.fromkeys(name for node in nodes for name in node.inputs if name not in self.inside)
        self.taken = tuple(sources)
        slots = {name: f" {slot}" for slot, name in enumerate(self.taken)} | self.inside
        self.structure = tuple(
            (
                self.inside[node.name],
                node.op.name if node.op.is_training_only else node.op,
                node.shape,
                tuple(slots[name] for name in node.inputs),
            )
            for node in nodes
        )


def _continues(run: Sequence[_LayerStructure], layer: _LayerStructure, sources: dict[int, Source]) -> bool:
    """Return whether a layer goes on with a run; `sources`, by slot, are what its copies take of earlier
    ones."""
    if layer.structure != run[0].structure:
        return False
    found: dict[int, Source] = {}
    for slot, name in enumerate(layer.taken):
        for distance, earlier in enumerate(reversed(run), 1):
            if name in earlier.inside:
                found[slot] = distance, earlier.inside[name]
        if slot not in found and (slot in sources or name not in run[0].taken or name == INPUT):
            return False
        if found.get(slot, (0, "")) != sources.get(slot, found.get(slot, (0, ""))):
            return False
    sources.update(found)
    return any(distance == 1 for distance, _ in found.values())
