"""The simplest form of a network: without identities, dead branches and nodes that nothing uses."""

from __future__ import annotations

from nas.graph.architecture import INPUT, Architecture, Node
from nas.ops import Add, Concat, Identity, Join, Multiply, Operator, Zero


def simplify(architecture: Architecture) -> Architecture:
    """An architecture that computes the same from the same weights, with nothing in it that has no effect.

    Identities are bypassed, values that are always zero are dropped from sums, and nodes from which the
    output cannot be reached go. Names of what stays are kept.
    """
    shapes = architecture.shapes
    stands_for = {INPUT: INPUT}
    dead: set[str] = set()
    kept: list[Node] = []
    for node in architecture.nodes:
        inputs = tuple(stands_for[name] for name in node.inputs)
        if isinstance(node.op, Add):
            inputs = tuple(name for name in inputs if name not in dead) or inputs[:1]
        is_dead = _is_dead(node.op, [name in dead for name in inputs])
        if _is_bypass(node.op, inputs) or (is_dead and inputs[0] in dead and shapes[inputs[0]] == node.shape):
            stands_for[node.name] = inputs[0]
            continue
        stands_for[node.name] = node.name
        kept.append(Node(node.name, node.op, inputs, node.shape))
        if is_dead:
            dead.add(node.name)
    output = stands_for[architecture.output]
    if output == INPUT:
        kept = [Node(architecture.output, Identity(), (INPUT,), architecture.input_shape)]
        output = architecture.output
    return Architecture(architecture.input_shape, _reaching(kept, output))


def _is_bypass(op: Operator, inputs: tuple[str, ...]) -> bool:
    return op.is_identity or (isinstance(op, Join) and len(inputs) == 1)


def _is_dead(op: Operator, dead: list[bool]) -> bool:
    """Whether the output is zero, given which inputs are."""
    match op:
        case Zero():
            return True
        case Multiply():
            return any(dead)
        case Add() | Concat():
            return all(dead)
        case _:
            return op.keeps_zero and dead[0]


def _reaching(nodes: list[Node], output: str) -> tuple[Node, ...]:
    """The nodes from which the output can be reached; the output is the last of them."""
    needed = {output}
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return tuple(node for node in nodes if node.name in needed)
