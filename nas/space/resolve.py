"""Deciding the open values of a space: a point of it, and the space that is left, without choices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nas.space.language.tree import (
    Alternative,
    Call,
    CellKind,
    CellNode,
    Cells,
    Choice,
    LayerNodes,
    Layers,
    Node,
    Option,
    Parallel,
    PerLayer,
    Residual,
    SameAs,
    Sequence,
    Stage,
    Value,
    rename_node,
)

Choose = Callable[[str, tuple[Option, ...]], Option]
"""Given the name of a decision and its options, one of them."""


class Resolver:
    """Replaces choices by options, asking `choose` once for each decision that is needed."""

    def __init__(self, declared: dict[str, Choice], choose: Choose) -> None:
        self._declared = declared
        self._choose = choose
        self.decided: dict[str, Option] = {}

    def decide(self, choice: Choice, layers: Layers) -> Option:
        """Return the option taken for a choice."""
        name = choice.at(layers)
        if name not in self.decided:
            self.decided[name] = self._choose(name, choice.options)
        return self.decided[name]

    def is_settled(self, value: Value) -> bool:
        """Return whether nothing about a value outside stages is still open."""
        name = value.target if isinstance(value, SameAs) else getattr(value, "name", "")
        return not isinstance(value, Choice | SameAs) or name in self.decided

    def resolve_value(self, value: Value, layers: Layers) -> Any:
        """Return a value without choices; the stage's stride stays for the builder to fill in."""
        if isinstance(value, SameAs):
            value = self._declared[value.target]
        if isinstance(value, Choice):
            return value.get_value(self.decide(value, layers))
        if isinstance(value, PerLayer):
            return self.resolve_value(value.values[layers[value.stage] - 1], layers)
        return value

    def resolve_sequence(self, node: Sequence, layers: Layers) -> Sequence:
        """Return a sequence without choices."""
        return Sequence(node.name, tuple(self.resolve_node(item, layers) for item in node.items))

    def resolve_node(self, node: Node, layers: Layers) -> Node:
        """Return a node without choices, as it is in the current layers."""
        match node:
            case Call():
                if not node.open_args:
                    return node
                return replace(node, args=tuple((key, self.resolve_value(v, layers)) for key, v in node.args))
            case Sequence():
                return self.resolve_sequence(node, layers)
            case Alternative():
                return rename_node(
                    self.resolve_node(node.get_node(self.decide(node.choice, layers)), layers), node.name
                )
            case LayerNodes():
                return rename_node(self.resolve_node(node.nodes[layers[node.stage] - 1], layers), node.name)
            case Residual():
                return replace(
                    node,
                    body=self.resolve_node(node.body, layers),
                    shortcut=self.resolve_value(node.shortcut, layers),
                    act=self.resolve_value(node.act, layers),
                )
            case Parallel():
                branches = tuple(self.resolve_node(branch, layers) for branch in node.branches)
                return replace(node, branches=branches, join=self.resolve_value(node.join, layers))
            case Stage():
                depth = self.resolve_value(node.depth, layers)
                stride = self.resolve_value(node.stride, layers)
                each = [self.resolve_node(node.block, {**layers, node.path: i}) for i in range(1, depth + 1)]
                return replace(node, depth=depth, stride=stride, block=_merge_layers(each, node.path))
            case Cells():
                return replace(
                    node,
                    out=self.resolve_value(node.out, layers),
                    depth=self.resolve_value(node.depth, layers),
                    reductions=self.resolve_value(node.reductions, layers),
                    kinds=tuple(self._resolve_cell_kind(kind, layers) for kind in node.kinds),
                )

    def _resolve_cell_kind(self, kind: CellKind, layers: Layers) -> CellKind:
        nodes = tuple(
            replace(
                node,
                inputs=self._resolve_inputs(node, layers),
                ops=tuple(self.resolve_node(op, layers) for op in node.ops),
            )
            for node in kind.nodes
        )
        return CellKind(nodes, self.resolve_value(kind.output, layers))

    def _resolve_inputs(self, node: CellNode, layers: Layers) -> tuple[str, ...]:
        if isinstance(node.inputs, tuple):
            return tuple(self.resolve_value(value, layers) for value in node.inputs)
        inputs: tuple[str, ...] = self.resolve_value(node.inputs, layers)
        return inputs


def _merge_layers(nodes: list[Node], stage: str) -> Node:
    """Return one node for all layers of a stage: merged where only values differ, else a list."""
    first = nodes[0]
    if all(node == first for node in nodes):
        return first
    if all(isinstance(n, Call) and _get_signature(n) == _get_signature(first) for n in nodes):
        calls = [n for n in nodes if isinstance(n, Call)]
        columns = zip(*(call.args for call in calls), strict=True)
        args = tuple((column[0][0], _merge_values([v for _, v in column], stage)) for column in columns)
        return replace(calls[0], args=args)
    if all(isinstance(n, Sequence) and _get_signature(n) == _get_signature(first) for n in nodes):
        rows = zip(*(n.items for n in nodes if isinstance(n, Sequence)), strict=True)
        assert isinstance(first, Sequence)
        return Sequence(first.name, tuple(_merge_layers(list(row), stage) for row in rows))
    return LayerNodes(getattr(first, "name", None), tuple(_strip_name(n) for n in nodes), stage)


def _get_signature(node: Node) -> object:
    match node:
        case Call():
            return (node.name, node.block, tuple(key for key, _ in node.args))
        case Sequence():
            return (node.name, tuple(map(_get_signature, node.items)))
        case _:
            return (type(node), node.name)


def _strip_name(node: Node) -> Node:
    return node if isinstance(node, Stage) else replace(node, name=None)


def _merge_values(values: list[Any], stage: str) -> Any:
    if all(value == values[0] for value in values):
        return values[0]
    return PerLayer(tuple(values), stage)
