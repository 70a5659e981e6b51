"""An architecture as a tree: operators grouped by the dotted parts of their names."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

from torch import nn

from nas.graph import Architecture, Node
from nas.graph.architecture import INPUT
from nas.ops import DropPath, Join, Multiply, Operator, Shape


@dataclass(frozen=True)
class Leaf:
    """One operator in its scope. Values are known by the name of the node that gives them."""

    name: str
    op: Operator
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Scope:
    """Operators and inner scopes that share the name up to a dot.

    `inputs` are values made outside, in the order of their first use; `outputs` are those used outside.
    """

    path: str
    name: str
    items: tuple[Item, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @cached_property
    def is_chain(self) -> bool:
        """Whether it is what nn.Sequential runs: layers, each fed by the one before it alone."""
        if len(self.inputs) != 1:
            return False
        value = self.inputs
        for item in self.items:
            is_join = isinstance(item, Leaf) and isinstance(item.op, Join)
            if is_join or item.inputs != value or len(item.outputs) != 1 or hasattr(nn.Sequential, item.name):
                return False
            value = item.outputs
        return self.outputs == value

    @cached_property
    def rates(self) -> tuple[float, ...]:
        """Rates of stochastic depth within, in order."""
        inner: list[float] = []
        for item in self.items:
            if isinstance(item, Scope):
                inner += item.rates
            elif isinstance(item.op, DropPath):
                inner.append(item.op.p)
        return tuple(inner)

    def make_shape_key(self, shapes: Mapping[str, Shape]) -> Hashable:
        """Return what is equal for two scopes that one class can stand for.

        Layers of a stage differ in their one rate of stochastic depth; such a class takes it as an argument.
        """
        inputs = tuple(shapes[name] for name in self.inputs)
        return self._structure, inputs, self.rates if len(set(self.rates)) > 1 else ()

    @cached_property
    def _structure(self) -> Hashable:
        number = {name: i for i, name in enumerate(self.inputs)}
        rows: list[Hashable] = []
        for item in self.items:
            if isinstance(item, Scope):
                kind = item._structure
            else:
                kind = replace(item.op, p=0.0) if isinstance(item.op, DropPath) else item.op
            rows.append((item.name, kind, tuple(number[name] for name in item.inputs)))
            for name in item.outputs:
                number[name] = len(number)
        return tuple(rows), tuple(number[name] for name in self.outputs)


Item = Leaf | Scope


def build_scopes(architecture: Architecture) -> Scope:
    """Return the whole network as a scope without a name, from the image to its one output.

    Every scope is to be contiguous in the order of nodes and every node of use, as a builder and `simplify`
    leave them.
    """
    last_use = {source: i for i, node in enumerate(architecture.nodes) for source in node.inputs}
    assert all(node.name in last_use for node in architecture.nodes[:-1]), "simplify before exporting"
    last_use[architecture.output] = len(architecture.nodes)
    position = {node.name: i for i, node in enumerate(architecture.nodes)} | {INPUT: -1}
    return _build_scope("", architecture.nodes, position, last_use)


def _build_scope(
    path: str, nodes: Sequence[Node], position: Mapping[str, int], last_use: Mapping[str, int]
) -> Scope:
    depth = path.count(".") + 1 if path else 0
    first, end = position[nodes[0].name], position[nodes[-1].name] + 1
    items: list[Item] = []
    for name, group in groupby(nodes, key=lambda node: node.name.split(".")[depth]):
        members = list(group)
        inner = f"{path}.{name}" if path else name
        if members[0].name == inner:
            (node,) = members
            items.append(Leaf(name, node.op, node.inputs, (inner,)))
        else:
            items += _unwrap_gate(_build_scope(inner, members, position, last_use))
    paths = [item.path for item in items if isinstance(item, Scope)]
    assert len(set(paths)) == len(paths), f"the scopes in '{path}' are not contiguous"
    sources = dict.fromkeys(source for node in nodes for source in node.inputs if position[source] < first)
    outputs = tuple(node.name for node in nodes if last_use[node.name] >= end)
    return Scope(path, path.rpartition(".")[2], tuple(items), tuple(sources), outputs)


def _unwrap_gate(scope: Scope) -> tuple[Item, ...]:
    """Return a scope whose last step multiplies its input by the rest of it, as that rest and the product.

    So squeeze-and-excite reads `y * self.se(y)`, where `se` is a plain chain of layers. A product has no
    weights, hence no name that must stay.
    """
    *layers, last = scope.items
    if not (layers and isinstance(last, Leaf) and isinstance(last.op, Multiply)):
        return (scope,)
    gate = replace(scope, items=tuple(layers), outputs=layers[-1].outputs)
    is_gate = (
        gate.is_chain and last.inputs == (*scope.inputs, *gate.outputs) and last.outputs == scope.outputs
    )
    return (gate, replace(last, name=f"{scope.name}_{last.name}")) if is_gate else (scope,)
