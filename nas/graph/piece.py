"""A piece of a network by itself: what is timed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

from nas.cost import Cost
from nas.graph.architecture import INPUT, Architecture, Node, make_operator
from nas.ops import Shape


@dataclass(frozen=True)
class Piece:
    """Nodes in topological order, the last of which is the output, between some `inputs` (name to shape).

    A whole network is one too, and `is_whole`. Pieces of one `key` are the same operators on the same shapes
    in the same order, wherever they stand and whatever their nodes are called.
    """

    inputs: Mapping[str, Shape]
    nodes: tuple[Node, ...]
    is_whole: bool = False

    @classmethod
    def of(cls, network: Architecture) -> Piece:
        """Return a whole network as a piece."""
        return cls({INPUT: network.input_shape}, network.nodes, is_whole=True)

    @cached_property
    def key(self) -> str:
        """A digest without names."""
        places = {name: place for place, name in enumerate((*self.inputs, *(n.name for n in self.nodes)))}
        rows = [[n.op.name, n.op.arguments(), [places[i] for i in n.inputs]] for n in self.nodes]
        text = json.dumps([[*map(list, self.inputs.values())], rows])
        return blake2b(text.encode(), digest_size=12).hexdigest()

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Shape of every value by name."""
        return {**self.inputs, **{node.name: node.shape for node in self.nodes}}

    @cached_property
    def cost(self) -> Cost:
        """Cost of one image."""
        own = (node.op.cost(*(self.shapes[name] for name in node.inputs)) for node in self.nodes)
        return sum(own, Cost())

    def to_data(self) -> dict[str, Any]:
        """Return plain values, from which `from_data` makes an equal piece."""
        rows = [[n.name, n.op.name, n.op.arguments(), list(n.inputs)] for n in self.nodes]
        inputs = {name: list(shape) for name, shape in self.inputs.items()}
        return {"inputs": inputs, "nodes": rows, "is_whole": self.is_whole}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Piece:
        """Make a piece of what `to_data` has written."""
        inputs: dict[str, Shape] = {name: tuple(shape) for name, shape in data["inputs"].items()}
        shapes, nodes = dict(inputs), []
        for name, op_name, arguments, sources in data["nodes"]:
            op = make_operator(op_name, arguments)
            shapes[name] = op.output_shape(*(shapes[source] for source in sources))
            nodes.append(Node(name, op, tuple(sources), shapes[name]))
        return cls(inputs, tuple(nodes), data["is_whole"])


def cut_piece(nodes: Sequence[Node], inputs: Mapping[str, Shape]) -> Piece:
    """Return a simplified part of a network as a piece, with those of the `inputs` that it reads."""
    read = {name for node in nodes for name in node.inputs}
    return Piece({name: shape for name, shape in inputs.items() if name in read}, tuple(nodes))
