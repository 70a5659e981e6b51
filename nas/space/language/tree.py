"""A space as data: nodes that describe a network, and values some of which are open choices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from sys import intern
from typing import Any

from nas.space.language.source import Place

Option = bool | int | float | str | None
"""What a choice offers. A pair such as a [1, 7] kernel is offered as its text, `[1, 7]`."""

Layers = Mapping[str, int]
"""The current layer, from 1, of each enclosing stage, by the stage's path."""


@dataclass(frozen=True)
class Choice:
    """An open value. `name` is its place in the file; `stage` is set where each layer decides alone."""

    name: str
    options: tuple[Option, ...]
    values: tuple[Any, ...] = field(repr=False)
    stage: str | None = None

    def at(self, layers: Layers) -> str:
        """Name of the decision: `s2.kernel`, or `s2.layer3.kernel` for one made in each layer."""
        if self.stage is None:
            return self.name
        # one string for all points that are kept
        return intern(f"{self.stage}.layer{layers[self.stage]}{self.name[len(self.stage) :]}")

    def get_value(self, option: Option) -> Any:
        """Return the value that an option stands for."""
        return self.values[self.options.index(option)]


@dataclass(frozen=True)
class SameAs:
    """The decision of another choice, by the name it is declared under."""

    target: str
    place: Place = field(compare=False)


@dataclass(frozen=True)
class PerLayer:
    """One value for each layer of a stage."""

    values: tuple[Any, ...]
    stage: str


@dataclass(frozen=True)
class StageStride:
    """The stage's stride in its first layer, 1 in the others. `implicit`: nobody wrote it."""

    stage: str
    implicit: bool = False


@dataclass(frozen=True)
class Unscaled:
    """Channels that the width does not multiply, or with `at_least` does not make fewer."""

    channels: int
    at_least: bool


@dataclass(frozen=True)
class CellOut:
    """The channels of the cell around. `implicit`: nobody wrote it."""

    cell: str
    implicit: bool = False


Value = Any
"""A plain value, or Choice, SameAs, PerLayer, StageStride, CellOut, Unscaled."""

OPEN = (Choice, SameAs, PerLayer, StageStride, CellOut)


@dataclass(frozen=True)
class Call:
    """A block or operator with its arguments. `name` is None where the surroundings name it."""

    name: str | None
    block: str
    args: tuple[tuple[str, Value], ...]
    path: str = field(compare=False)
    place: Place = field(compare=False)

    @cached_property
    def fixed_args(self) -> dict[str, Any]:
        return {k: v for k, v in self.args if not isinstance(v, OPEN)}

    @cached_property
    def open_args(self) -> tuple[tuple[str, Value], ...]:
        return tuple((k, v) for k, v in self.args if isinstance(v, OPEN))


@dataclass(frozen=True)
class Sequence:
    """Nodes one after the other; with a name, they are a group of that name."""

    name: str | None
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Stage:
    """A block repeated; the first layer carries the stride."""

    name: str
    path: str
    depth: Value
    stride: Value
    block: Node
    place: Place = field(compare=False)


@dataclass(frozen=True)
class Residual:
    """A body plus a shortcut, then an activation."""

    name: str | None
    body: Node
    shortcut: Value
    act: Value
    path: str = field(compare=False)
    place: Place = field(compare=False)


@dataclass(frozen=True)
class Parallel:
    """Branches from one input, joined by concat or add."""

    name: str | None
    branches: tuple[Node, ...]
    join: Value
    path: str = field(compare=False)
    place: Place = field(compare=False)


@dataclass(frozen=True)
class Alternative:
    """A choice between nodes; the options of `choice` are their labels."""

    name: str | None
    choice: Choice
    nodes: tuple[Node, ...]

    def get_node(self, option: Option) -> Node:
        return self.nodes[self.choice.options.index(option)]


@dataclass(frozen=True)
class LayerNodes:
    """One node for each layer of a stage."""

    name: str | None
    nodes: tuple[Node, ...]
    stage: str


CELL_KINDS = ("normal", "reduction")

CELL_INPUTS = ("prev2", "prev1")
"""What a cell reads: the outputs of the cell two before it, and of the one before it."""


@dataclass(frozen=True)
class CellNode:
    """A node of a cell: the sum of operators, each on one of the values before it.

    `inputs` has a name for each operator, or is one open value that gives them all.
    """

    inputs: Value
    ops: tuple[Node, ...]
    path: str = field(compare=False)
    place: Place = field(compare=False)

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]


@dataclass(frozen=True)
class CellKind:
    """Nodes of all cells of one kind; `output` says which of their values are concatenated."""

    nodes: tuple[CellNode, ...]
    output: Value


@dataclass(frozen=True)
class Cells:
    """A stack of cells: groups of `depth` normal cells, with a reduction cell between groups.

    `out` is the number of channels of a node in the first group; every reduction doubles it. `kinds` are
    normal and reduction, or normal alone.
    """

    name: str | None
    out: Value
    depth: Value
    reductions: Value
    kinds: tuple[CellKind, ...]
    path: str = field(compare=False)
    place: Place = field(compare=False)

    @property
    def cell_nodes(self) -> tuple[CellNode, ...]:
        return tuple(node for kind in self.kinds for node in kind.nodes)


Node = Call | Sequence | Stage | Residual | Parallel | Alternative | LayerNodes | Cells


def list_children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly inside a node."""
    match node:
        case Sequence(items=inside) | Parallel(branches=inside):
            return inside
        case Alternative(nodes=inside) | LayerNodes(nodes=inside):
            return inside
        case Stage(block=inner) | Residual(body=inner):
            return (inner,)
        case Cells(cell_nodes=inside):
            return tuple(op for one in inside for op in one.ops)
        case Call():
            return ()


def list_own_values(node: Node) -> tuple[Value, ...]:
    """Return the values of a node itself, not of the nodes inside."""
    match node:
        case Call(args=args):
            return tuple(value for _, value in args)
        case Stage(depth=depth, stride=stride):
            return (depth, stride)
        case Residual(shortcut=shortcut, act=act):
            return (shortcut, act)
        case Parallel(join=join):
            return (join,)
        case Alternative(choice=choice):
            return (choice,)
        case Cells():
            inputs = [
                v for n in node.cell_nodes for v in (n.inputs if isinstance(n.inputs, tuple) else [n.inputs])
            ]
            return (node.out, node.depth, node.reductions, *inputs, *(kind.output for kind in node.kinds))
        case Sequence() | LayerNodes():
            return ()


def rename_node(node: Node, name: str | None) -> Node:
    """Return a node under the name of the choice or list that it was an option of; a stage keeps its own."""
    if isinstance(node, Stage):
        return node if node.name == name else Sequence(name, (node,))
    if name is None:
        return node
    return Sequence(name, (node,)) if isinstance(node, Sequence) and node.name else replace(node, name=name)


def name_node_kind(node: Node) -> str:
    """Return what a node is: its block, or its form."""
    return node.block if isinstance(node, Call) else type(node).__name__.lower()


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all nodes inside it, outer first."""
    yield node
    for child in list_children(node):
        yield from walk(child)


def list_chain(node: Node) -> Iterator[Node]:
    """Yield what stands one after the other in a node, groups opened."""
    if isinstance(node, Sequence):
        for item in node.items:
            yield from list_chain(item)
    else:
        yield node


def find_choices(values: Iterable[Value]) -> Iterator[Choice]:
    """Yield the choices among values, and in their layers."""
    for value in _flatten(values):
        if isinstance(value, Choice):
            yield value


def find_couplings(values: Iterable[Value]) -> Iterator[SameAs]:
    """Yield the couplings among values, and in their layers."""
    for value in _flatten(values):
        if isinstance(value, SameAs):
            yield value


def _flatten(values: Iterable[Value]) -> Iterator[Value]:
    """Yield values, those of each layer one by one."""
    for value in values:
        if isinstance(value, PerLayer):
            yield from _flatten(value.values)
        else:
            yield value
