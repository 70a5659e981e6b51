"""The simplest form of a network: without identities, dead branches and nodes that nothing uses."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from nas.cost import Cost
from nas.graph.architecture import INPUT, Architecture, Node
from nas.ops import Identity, Operator, Shape


def simplify(architecture: Architecture) -> Architecture:
    """Return an architecture that computes the same from the same weights, without what has no effect.

    Identities are bypassed, values that are always zero are dropped from sums, and nodes from which the
    output cannot be reached go. Names of what stays are kept.
    """
    if _is_simplest(architecture):
        return architecture
    part = simplify_part(architecture.nodes, {INPUT: architecture.input_shape}, architecture.output)
    nodes = part.nodes or (Node(architecture.output, Identity(), (INPUT,), architecture.input_shape),)
    return Architecture(architecture.input_shape, nodes)


@dataclass(frozen=True, slots=True)
class SimplifiedPart:
    """A simplified piece of a network.

    `nodes` are those that the output needs, the output last; none where the output is an input. `used` are
    the inputs that the output needs, `dead` says that the output is always zero.
    """

    nodes: tuple[Node, ...]
    used: frozenset[str]
    dead: bool
    cost: Cost


def simplify_part(
    nodes: Iterable[Node], inputs: Mapping[str, Shape], output: str, dead_inputs: Collection[str] = ()
) -> SimplifiedPart:
    """Return the simplest form of a piece of a network between some inputs and one output."""
    shapes = dict(inputs)
    stands_for = {name: name for name in inputs}
    dead = set(dead_inputs)
    kept: list[Node] = []
    for node in nodes:
        sources = tuple([stands_for[name] for name in node.inputs])
        if dead.isdisjoint(sources):
            is_dead = node.op.gives_zero([False] * len(sources))
        else:
            if node.op.leaves_out_zeros:
                sources = tuple(name for name in sources if name not in dead) or sources[:1]
            is_dead = node.op.gives_zero([name in dead for name in sources])
        if _is_bypass(node.op, sources) or (
            is_dead and sources[0] in dead and shapes[sources[0]] == node.shape
        ):
            stands_for[node.name] = sources[0]
            continue
        stands_for[node.name] = node.name
        shapes[node.name] = node.shape
        kept.append(node if sources == node.inputs else replace(node, inputs=sources))
        if is_dead:
            dead.add(node.name)
    output = stands_for[output]
    needed = {output}
    reaching = []
    for node in reversed(kept):
        if node.name in needed:
            needed.update(node.inputs)
            reaching.append(node)
    costs = (node.op.cost(*(shapes[name] for name in node.inputs)) for node in reaching)
    return SimplifiedPart(
        tuple(reversed(reaching)), frozenset(needed.intersection(inputs)), output in dead, sum(costs, Cost())
    )


def _is_bypass(op: Operator, inputs: tuple[str, ...]) -> bool:
    return op.is_identity or (len(inputs) == 1 and op.is_join)


def _is_simplest(architecture: Architecture) -> bool:
    """Return whether nothing is to go, as in most networks: every node but the last is read by another."""
    read = {name for node in architecture.nodes for name in node.inputs}
    return all(
        not _is_bypass(node.op, node.inputs)
        and not node.op.gives_zero([False] * len(node.inputs))
        and (node.name in read or node.name == architecture.output)
        for node in architecture.nodes
    )
