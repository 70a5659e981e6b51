"""The network as data: named nodes in topological order, each an operator with the shape it gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nas.cost import Cost
from nas.ops import OPERATORS, Join, Operator, Shape
from nas.ops.arguments import list_arguments

if TYPE_CHECKING:
    import networkx as nx

INPUT = "input"
"""Name of the node that stands for the image."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operator at its place. `inputs` are names of earlier nodes, in the order of their slots."""

    name: str
    op: Operator
    inputs: tuple[str, ...]
    shape: Shape


@dataclass(frozen=True)
class Architecture:
    """A network: from one image of `input_shape` through `nodes` to the last of them.

    Nodes stand in topological order, so that reading them in order is a forward pass. Equality is equality
    of names and operators; equality of networks is `hash_network`.
    """

    input_shape: Shape
    nodes: tuple[Node, ...]

    @property
    def output(self) -> str:
        return self.nodes[-1].name

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Output shape of every node by name, the input included."""
        return {INPUT: self.input_shape} | {node.name: node.shape for node in self.nodes}

    @cached_property
    def graph(self) -> nx.DiGraph[str]:
        """The same as a frozen networkx graph.

        Nodes have `op` (None for the input) and `shape`; edges have `slots`, the input slots of the head
        that the tail feeds: usually one, several where a node joins a value with itself.
        """
        import networkx as nx

        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_node(INPUT, op=None, shape=self.input_shape)
        for node in self.nodes:
            graph.add_node(node.name, op=node.op, shape=node.shape)
            for source in dict.fromkeys(node.inputs):
                slots = tuple(i for i, name in enumerate(node.inputs) if name == source)
                graph.add_edge(source, node.name, slots=slots)
        nx.freeze(graph)
        return graph

    def compute_node_cost(self, node: Node) -> Cost:
        """Return the cost of one node."""
        return node.op.cost(*(self.shapes[name] for name in node.inputs))

    @cached_property
    def cost(self) -> Cost:
        """Cost of one forward pass at `input_shape`."""
        return sum((self.compute_node_cost(node) for node in self.nodes), Cost())

    def to_json(self) -> str:
        """Return text from which `from_json` makes an equal architecture."""
        rows = [[n.name, n.op.name, n.op.arguments(), list(n.inputs)] for n in self.nodes]
        return json.dumps({"input": list(self.input_shape), "nodes": rows})

    @classmethod
    def from_json(cls, text: str) -> Architecture:
        """Make an architecture from `to_json`'s text, inferring the shapes anew.

        Raises ValueError for anything that `to_json` could not have written, ShapeError where shapes do
        not fit.
        """
        try:
            document = json.loads(text)
            shapes: dict[str, Shape] = {INPUT: tuple(document["input"])}
            if not all(isinstance(size, int) and size > 0 for size in shapes[INPUT]):
                raise ValueError(f"{document['input']} is not a shape")
            nodes = []
            for name, op_name, arguments, inputs in document["nodes"]:
                op = make_operator(op_name, arguments)
                if name in shapes or not inputs or (len(inputs) > 1 and not isinstance(op, Join)):
                    raise ValueError(f"node {name} repeats a name or has a wrong number of inputs")
                shapes[name] = op.output_shape(*(shapes[i] for i in inputs))
                nodes.append(Node(name, op, tuple(inputs), shapes[name]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not an architecture: {error!r}") from error
        if not nodes:
            raise ValueError("an architecture has at least one node")
        return cls(shapes[INPUT], tuple(nodes))


def make_operator(name: str, arguments: dict[str, Any]) -> Operator:
    """Return the operator of a name, with arguments as `Operator.arguments` writes them."""
    kinds = list_arguments(OPERATORS[name])
    return OPERATORS[name](**{key: kinds[key].kind.read(value) for key, value in arguments.items()})
