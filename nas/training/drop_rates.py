"""Networks at other rates of dropout than their space gives them: for the time of a training."""

from __future__ import annotations

from dataclasses import replace

from nas.errors import InputError
from nas.graph import Architecture
from nas.graph.architecture import Node
from nas.ops import ColumnMean, Dropout, DropPath


def disable_drops(
    network: Architecture, kinds: tuple[type[Dropout | DropPath | ColumnMean], ...]
) -> Architecture:
    """Set the rate of all operators of some kinds, which drop at random, to 0."""
    nodes = (replace(n, op=replace(n.op, p=0)) if isinstance(n.op, kinds) else n for n in network.nodes)
    return Architecture(network.input_shape, tuple(nodes))


def set_dropout(network: Architecture, p: float) -> Architecture:
    """Set the rate of the last dropout to `p`; without any, add one before the last layer of weights.

    Weights keep their names. Raises InputError for a network that has neither.
    """
    nodes = list(network.nodes)
    for at in reversed(range(len(nodes))):
        if isinstance(nodes[at].op, Dropout):
            nodes[at] = replace(nodes[at], op=Dropout(p))
            return Architecture(network.input_shape, tuple(nodes))
    for at in reversed(range(len(nodes))):
        if nodes[at].op.has_filters:
            layer = nodes[at]
            shape = network.shapes[layer.inputs[0]]
            dropout = Node(f"{layer.name}_dropout", Dropout(p), layer.inputs, shape)
            nodes[at : at + 1] = [dropout, replace(layer, inputs=(dropout.name,))]
            return Architecture(network.input_shape, tuple(nodes))
    raise InputError(
        f"recipe: dropout is {p:g}, and the network has no layer of weights to put it before; leave it out"
    )
