"""Identity of a network: a hash that is equal exactly for isomorphic graphs.

Colour refinement with individualisation (McKay & Piperno 2014, "Practical graph isomorphism, II"), made
cheap by the shape of networks: a node through which every path runs splits the graph into parts, and a
graph is known when its parts are, in order. A part is refined until every node has a colour of its own;
where nodes stay alike (equal branches), one of them is singled out, and automorphisms found on the way
prune the alternatives.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from nas.graph.architecture import INPUT, Architecture
from nas.graph.simplify import simplify
from nas.ops import Join

_Edges = list[list[int]]


def canonical_hash(architecture: Architecture) -> str:
    """Hex digest, equal for two networks exactly when they are isomorphic as labelled graphs.

    Labels are operators with their arguments and shapes; names do not count; the graphs are simplified
    first; inputs of add, multiply and concat are unordered.
    """
    simple = simplify(architecture)
    index = {INPUT: 0} | {node.name: i for i, node in enumerate(simple.nodes, 1)}
    labels = [f"input {simple.input_shape}"] + [f"{node.op!r} {node.shape}" for node in simple.nodes]
    inputs: _Edges = [[]] + [[index[name] for name in node.inputs] for node in simple.nodes]
    assert all(len(node.inputs) == 1 or isinstance(node.op, Join) for node in simple.nodes)
    digest = hashlib.blake2b(digest_size=16)
    for first, last in _parts(inputs):
        part_inputs = [[j - first for j in inputs[i]] if i > first else [] for i in range(first, last + 1)]
        digest.update(_certificate(labels[first : last + 1], part_inputs).encode() + b"\0")
    return digest.hexdigest()


def _parts(inputs: _Edges) -> Iterator[tuple[int, int]]:
    """First and last node of each part between two nodes through which every path runs."""
    last_use = list(range(len(inputs)))
    for node, sources in enumerate(inputs):
        for source in sources:
            last_use[source] = node
    first = 0
    needed_until = 0
    for node in range(len(inputs)):
        if node and needed_until <= node:
            yield first, node
            first = node
        needed_until = max(needed_until, last_use[node])
    if len(inputs) == 1:
        yield 0, 0


def _certificate(labels: Sequence[str], inputs: _Edges) -> str:
    """Text equal for two parts exactly when they are isomorphic."""
    outputs: _Edges = [[] for _ in inputs]
    for node, sources in enumerate(inputs):
        for source in sources:
            outputs[source].append(node)
    order = {label: i for i, label in enumerate(sorted(set(labels)))}
    colours = _refine([order[label] for label in labels], inputs, outputs)
    return "\n".join(sorted(set(labels))) + "\n" + _least(labels, colours, inputs, outputs)


def _refine(colours: list[int], inputs: _Edges, outputs: _Edges) -> list[int]:
    """The coarsest colouring, finer than `colours`, in which alike nodes have alike neighbours."""
    count = len(set(colours))
    while count < len(colours):
        keys = [
            (colour, sorted([colours[i] for i in inputs[n]]), sorted([colours[o] for o in outputs[n]]))
            for n, colour in enumerate(colours)
        ]
        ranked = sorted(range(len(keys)), key=keys.__getitem__)
        fresh = [0] * len(keys)
        for before, node in pairwise(ranked):
            fresh[node] = fresh[before] + (keys[node] != keys[before])
        colours, before_count, count = fresh, count, fresh[ranked[-1]] + 1
        if count == before_count:
            break
    return colours


def _least(labels: Sequence[str], colours: list[int], inputs: _Edges, outputs: _Edges) -> str:
    """The least text of the part over all ways to single out nodes that stay alike."""
    cell = _first_cell(colours)
    if not cell:
        return _text(labels, colours, inputs)
    best = ""
    seen: set[str] = set()
    for node in cell:
        split = _refine(_singled(colours, node), inputs, outputs)
        # a first leaf already seen proves an automorphism: this branch has the leaves of an earlier one
        leaf = _first_leaf(labels, split, inputs, outputs)
        if leaf in seen:
            continue
        seen.add(leaf)
        text = _least(labels, split, inputs, outputs)
        best = min(best, text) if best else text
    return best


def _first_leaf(labels: Sequence[str], colours: list[int], inputs: _Edges, outputs: _Edges) -> str:
    while cell := _first_cell(colours):
        colours = _refine(_singled(colours, cell[0]), inputs, outputs)
    return _text(labels, colours, inputs)


def _first_cell(colours: list[int]) -> list[int]:
    """The nodes of the least colour that several nodes share; empty when every node has its own."""
    shared = [colour for colour, count in Counter(colours).items() if count > 1]
    least = min(shared, default=None)
    return [node for node, colour in enumerate(colours) if colour == least]


def _singled(colours: list[int], node: int) -> list[int]:
    """Colours in which one node comes before those it was alike with."""
    return [2 * colour + (colour == colours[node] and n != node) for n, colour in enumerate(colours)]


def _text(labels: Sequence[str], colours: list[int], inputs: _Edges) -> str:
    """The part written down in the order of colours, every node having its own."""
    rows = sorted((colours[n], labels[n], sorted(colours[i] for i in inputs[n])) for n in range(len(colours)))
    return "\n".join(f"{label} {sources}" for _, label, sources in rows)
