"""Identity of a network: a hash that is equal exactly for graphs that are isomorphic, once idle
operators are left out and joins regrouped.

Colour refinement with individualisation (McKay & Piperno 2014, "Practical graph isomorphism, II"), made
cheap by the shape of networks. A node through which every path runs splits the graph into parts, and a
graph is known when its parts are, in order. Where nodes of a part stay alike (equal branches), those with a
colour of their own are taken out, and what falls into pieces is described piece by piece. In a piece in which
every node is like another, one is singled out; automorphisms found on the way prune the alternatives.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from nas.graph.architecture import Architecture
from nas.graph.idle import leave_out_idle
from nas.graph.regroup import Edges, regroup
from nas.graph.simplify import simplify

DIGEST_SIZE = 13
"""Bytes of an identity. Its length says which build made it: when more networks become one, it changes."""
EARLIER_SIZES = (14, 15, 16)
"""Of builds that told more networks apart."""


def hash_network(architecture: Architecture) -> str:
    """Return a hex digest that is equal for two networks exactly when they are isomorphic as labelled graphs.

    Labels are operators with their arguments and shapes; names do not count. The graphs are simplified,
    operators that change nothing left out and joins regrouped first, so networks of one hash compute the same
    with the same weights, at one cost.
    """
    return hash_simplified(simplify(architecture))


def hash_simplified(simple: Architecture) -> str:
    """Return the canonical hash of an architecture that `simplify` returned."""
    assert all(len(node.inputs) == 1 or node.op.is_join for node in simple.nodes)
    labels, inputs = regroup(leave_out_idle(simple))
    digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
    for first, last in _split_parts(inputs):
        part = [[j - first for j in inputs[i]] if i > first else [] for i in range(first, last + 1)]
        digest.update(_describe_part(labels[first : last + 1], part).encode())
    return digest.hexdigest()


def _describe_part(labels: Sequence[str], inputs: Edges) -> str:
    """Return the digest of a part. Networks of a space share most of their parts, so it is remembered, by a
    short key: the labels themselves are most of the memory that a search would take."""
    key = hashlib.blake2b("\n".join([*labels, repr(inputs)]).encode(), digest_size=16).digest()
    if key not in _known_parts:
        if len(_known_parts) >= _MOST_PARTS:
            _known_parts.clear()
        _known_parts[key] = _describe(labels, inputs)
    return _known_parts[key]


_MOST_PARTS = 1 << 16
_known_parts: dict[bytes, str] = {}


def _split_parts(inputs: Edges) -> Iterator[tuple[int, int]]:
    """Yield the first and last node of each part; every path runs through both."""
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


def _describe(labels: Sequence[str], inputs: Edges, *, least: bool = True) -> str:
    """Return a hex digest that determines a graph up to isomorphism.

    With `least` isomorphic graphs have equal digests; without, these depend on the order of nodes too.
    """
    outputs: Edges = [[] for _ in inputs]
    for node, sources in enumerate(inputs):
        for source in sources:
            outputs[source].append(node)
    order = {label: i for i, label in enumerate(sorted(set(labels)))}
    colours = _refine([order[label] for label in labels], inputs, outputs)
    sizes = Counter(colours)
    lines = []
    for node, colour in enumerate(colours):
        sources = sorted(colours[i] for i in inputs[node]) if sizes[colour] == 1 else []
        lines.append(f"{colour} {labels[node]} {sources}")
    lines.sort()
    pieces = _split_pieces([n for n, colour in enumerate(colours) if sizes[colour] > 1], inputs, outputs)
    if pieces and len(pieces[0]) == len(labels):
        lines.append(_describe_symmetric(colours, inputs, least=least))
    else:
        lines += sorted(
            _describe(*_cut_out(piece, colours, inputs, outputs), least=least) for piece in pieces
        )
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def _refine(colours: list[int], inputs: Edges, outputs: Edges) -> list[int]:
    """Return the coarsest refinement of `colours` in which nodes of a colour have equally coloured
    neighbours."""
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


def _split_pieces(nodes: list[int], inputs: Edges, outputs: Edges) -> list[list[int]]:
    """Return the connected components of the subgraph of some nodes."""
    left = set(nodes)
    pieces = []
    while left:
        piece = [left.pop()]
        for node in piece:
            near = left.intersection(inputs[node] + outputs[node])
            left -= near
            piece.extend(near)
        pieces.append(sorted(piece))
    return pieces


def _cut_out(piece: list[int], colours: list[int], inputs: Edges, outputs: Edges) -> tuple[list[str], Edges]:
    """Return a piece as a graph of its own, whose labels keep the colours of the neighbours left behind."""
    index = {node: i for i, node in enumerate(piece)}
    labels = [
        f"{colours[n]} {sorted(colours[i] for i in inputs[n] if i not in index)}"
        f" {sorted(colours[o] for o in outputs[n] if o not in index)}"
        for n in piece
    ]
    return labels, [[index[i] for i in inputs[n] if i in index] for n in piece]


def _describe_symmetric(colours: list[int], inputs: Edges, *, least: bool) -> str:
    """Return the digest of a graph without a node of its own colour, by individualising each in turn."""
    first = min(colours)
    seen: set[str] = set()
    best = ""
    for chosen in (n for n, colour in enumerate(colours) if colour == first):
        labels = [f"{colour}{'*' if n == chosen else ''}" for n, colour in enumerate(colours)]
        some = _describe(labels, inputs, least=False)
        if not least:
            return some
        # a digest already seen proves an automorphism: singling out this node gives an equal graph
        if some in seen:
            continue
        seen.add(some)
        digest = _describe(labels, inputs)
        best = min(best, digest) if best else digest
    return best
