"""Operators that change nothing where they stand: for the shape, or for the values, that they are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nas.cost import Cost
from nas.graph.architecture import INPUT, Architecture, Node
from nas.graph.simplify import simplify
from nas.ops import Identity, Operator, Shape
from nas.ops.ranges import ANY


def leave_out_idle(simple: Architecture) -> Architecture:
    """Return a simplified network without operators that give their input back, or that one behind absorbs.

    A ReLU of what is never negative is one, a pooling of single pixels, a slice of all channels. The rest
    computes the same at this input shape, in training too, at the same cost. What is built has them all: at
    another input shape they may change something.
    """
    shapes = simple.shapes
    stands_for = {INPUT: INPUT}
    ranges = {INPUT: ANY}
    kept: dict[str, Node] = {}
    absorbed = False
    for node in simple.nodes:
        inputs = tuple([stands_for[name] for name in node.inputs])
        source, op = inputs[0], node.op
        is_unary = len(inputs) == 1
        if is_unary and shapes[source] == node.shape:
            before = kept.get(source)
            is_idle = op.is_identity_on(node.shape, ranges[source]) or (
                op.is_idempotent and before is not None and before.op == op
            )
            if is_idle and _is_free(op, node.shape):
                stands_for[node.name] = source
                continue
        ranges[node.name] = op.output_range(*[ranges[name] for name in inputs])
        while is_unary and (before := kept.get(inputs[0])) and _can_absorb(op, before, shapes):
            inputs, absorbed = before.inputs, True
        stands_for[node.name] = node.name
        kept[node.name] = node if inputs == node.inputs else replace(node, inputs=inputs)
    if len(kept) == len(simple.nodes) and not absorbed:
        return simple
    nodes = tuple(kept.values()) or (Node(simple.output, Identity(), (INPUT,), simple.input_shape),)
    rest = Architecture(simple.input_shape, nodes)
    return simplify(rest) if absorbed else rest


def _can_absorb(op: Operator, before: Node, shapes: Mapping[str, Shape]) -> bool:
    return (
        len(before.inputs) == 1
        and op.absorbs(before.op)
        and shapes[before.inputs[0]] == before.shape
        and _is_free(before.op, before.shape)
    )


def _is_free(op: Operator, shape: Shape) -> bool:
    return op.cost(shape) == Cost()
