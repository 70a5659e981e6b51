"""A space without choices to its architecture, and the parts that every route to a cost shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from nas.blocks import (
    BLOCKS,
    Builder,
    Ref,
    get_block_arguments,
    is_bundled,
    is_operator,
    make_operator,
    round_channels,
)
from nas.blocks.builder import Parts
from nas.graph import Architecture, simplify_part
from nas.ops import Add, AvgPool, DropPath, PadChannels, Shape, ShapeError, Zero
from nas.ops.arguments import Channels
from nas.ops.base import expect_image, format_shape
from nas.space.cell_places import (
    SOMETIMES_ZERO,
    ZEROS_OF,
    CellPlace,
    check_operator,
    find_cell_ends,
    place_cells,
    prepare_input,
)
from nas.space.language.parse_values import get_kind
from nas.space.language.source import SpaceError
from nas.space.language.tree import (
    CELL_INPUTS,
    Alternative,
    Call,
    CellNode,
    CellOut,
    Cells,
    LayerNodes,
    Node,
    Parallel,
    PerLayer,
    Residual,
    Sequence,
    Stage,
    StageStride,
    Unscaled,
    Value,
    list_children,
    rename_node,
)

_CHANNELS = get_kind(Channels)


def elaborate(
    network: Sequence,
    input_shape: Shape,
    classes: int,
    width: float = 1,
    drop_path: float = 0,
    details: Mapping[str, Mapping[str, Any]] | None = None,
    known: Parts | None = None,
) -> Architecture:
    """Build the graph of operators of a network without choices.

    `details` are the arguments of operators that blocks leave open; `known` remembers parts of networks of so
    many classes. `drop_path` is the stochastic depth rate
    towards which layers grow linearly from 0: layer i of n has `drop_path * i / n` (Huang et al. 2016,
    equation 4, counted as torchvision does).

    Raises SpaceError, with line and path, where a network cannot be built.
    """
    net = Builder(input_shape, classes, details, known)
    elaborator = _Elaborator(net, width, drop_path, _count_layers(network))
    return net.architecture(elaborator.build(network, net.input))


class _Elaborator:
    def __init__(self, net: Builder, width: float, drop_path: float, total_layers: int) -> None:
        self._net = net
        self._width = width
        self._drop_path = drop_path
        self._total_layers = total_layers
        self._layers_done = 0
        self._layers: dict[str, int] = {}
        self._strides: dict[str, int] = {}
        self._channels: dict[str, int | Unscaled] = {}
        """Of the cell that is being built, by the path of its stack."""

    def build(self, node: Node, x: Ref) -> Ref:
        """Add a node; one with a name gets a scope of its own."""
        net = self._net
        match node:
            case Call():
                return self._build_call(node, x)
            case Stage():
                return self._build_stage(node, x)
            case LayerNodes():
                return self.build(rename_node(node.nodes[self._layers[node.stage] - 1], node.name), x)
            case Alternative():
                raise AssertionError("a choice is left")
        with net.scope(node.name) if node.name else nullcontext():
            match node:
                case Sequence():
                    for item in node.items:
                        x = self.build(item, x)
                    return x
                case Residual():
                    with net.scope("body"):
                        y = self.build(node.body, x)
                    with locate_errors(node):
                        return join_residual(
                            net, x, y, self._get_value(node.shortcut), self._get_value(node.act)
                        )
                case Parallel():
                    branches = []
                    for i, branch in enumerate(node.branches, 1):
                        with net.scope(f"branch{i}"):
                            branches.append(self.build(branch, x))
                    with locate_errors(node):
                        return join_branches(net, branches, self._get_value(node.join))
                case Cells():
                    return self._build_cells(node, x)

    def _build_call(self, node: Call, x: Ref) -> Ref:
        arguments = node.fixed_args | {key: self._get_value(value) for key, value in node.open_args}
        with locate_errors(node):
            return add_call(self._net, node, x, arguments, self._width)

    def _build_stage(self, node: Stage, x: Ref) -> Ref:
        depth, self._strides[node.path] = self._get_value(node.depth), self._get_value(node.stride)
        outermost = not self._layers
        with self._net.scope(node.name):
            for layer in range(1, depth + 1):
                self._layers[node.path] = layer
                if outermost:
                    self._net.drop_path = self._advance_rate()
                with self._net.scope(f"layer{layer}"):
                    x = self.build(node.block, x)
            del self._layers[node.path]
        self._net.drop_path = 0.0 if outermost else self._net.drop_path
        return x

    def _advance_rate(self) -> float:
        """Return the stochastic depth rate of the next layer of the network."""
        self._layers_done += 1
        return self._drop_path * (self._layers_done - 1) / self._total_layers

    def _build_cells(self, node: Cells, x: Ref) -> Ref:
        with locate_errors(node):
            scale = partial(scale_channels, width=self._width)
            places = place_cells(x.shape, node.out, node.depth, node.reductions, scale)
        present: dict[str, bool] = {}
        before, last = x, x
        for i, place in enumerate(places, 1):
            self._channels[node.path] = place.out
            rate = self._advance_rate()
            with self._net.scope(f"cell{i}"):
                before, last = last, self._build_cell(node, place, (before, last), present, rate)
        return last

    def _build_cell(
        self, stack: Cells, place: CellPlace, cells: tuple[Ref, Ref], present: dict[str, bool], rate: float
    ) -> Ref:
        """Build one cell; `present` remembers which operators, by path, give more than zeros."""
        net, kind = self._net, stack.kinds[place.kind]
        values: dict[str, Ref] = {}
        with locate_errors(stack):
            for name, cell in zip(CELL_INPUTS, cells, strict=True):
                with net.scope(name):
                    values[name] = prepare_input(net, cell, place.entering)
        read: set[str] = set()
        absent: set[str] = set()
        for node in kind.nodes:
            with net.scope(node.name), locate_errors(node):
                ends: dict[bool, list[Ref]] = {True: [], False: []}
                for i, (source, op) in enumerate(zip(node.inputs, node.ops, strict=True), 1):
                    self._strides[stack.path] = place.find_stride(source in CELL_INPUTS)
                    with net.scope(f"op{i}"):
                        y, is_zero = self._build_operator(stack, op, values[source], place, rate)
                    if present.setdefault(f"{node.path}.op{i}", not is_zero) == is_zero:
                        raise ShapeError(SOMETIMES_ZERO)
                    is_zero |= source in absent
                    ends[is_zero].append(y)
                    read |= set() if is_zero else {source}
                if not ends[False]:
                    absent.add(node.name)
                values[node.name] = net.add(Add(), *(ends[False] or ends[True]), name="add")
        given = find_cell_ends(kind, kind.output, read, absent)
        return net.concat(*self._replace_absent(place, values, given, absent))

    def _replace_absent(
        self, place: CellPlace, values: Mapping[str, Ref], ends: tuple[str, ...], absent: set[str]
    ) -> list[Ref]:
        """Return the values that a cell gives; for absent nodes, zeros that need as little as they can."""
        if absent.isdisjoint(ends):
            return [values[end] for end in ends]
        present = next((end for end in ends if end not in absent), None)
        stride = 1 if present else place.find_stride(from_cell=True)
        zeros = self._net.add(Zero(stride), values[present or ZEROS_OF], name="zeros")
        return [zeros if end in absent else values[end] for end in ends]

    def _build_operator(
        self, stack: Cells, op: Node, x: Ref, place: CellPlace, rate: float
    ) -> tuple[Ref, bool]:
        """Build an operator of a cell, with stochastic depth unless it is an identity, and return whether it
        gives zeros."""
        net = self._net
        first = len(net.nodes)
        self._layers[stack.path] = 1  # so that its stride is that of a first layer
        y = self.build(op, x)
        del self._layers[stack.path]
        check_operator(y.shape, place)
        part = simplify_part(net.nodes[first:], {x.name: x.shape}, y.name)
        if rate and part.nodes and not part.dead:
            y = net.add(DropPath(rate), y, name="drop_path")
        return y, part.dead

    def _get_value(self, value: Value) -> Any:
        if isinstance(value, CellOut):
            return self._channels[value.cell]
        if isinstance(value, PerLayer):
            return self._get_value(value.values[self._layers[value.stage] - 1])
        if isinstance(value, StageStride):
            return self._strides[value.stage] if self._layers[value.stage] == 1 else 1
        return value


def add_call(net: Builder, node: Call, x: Ref, arguments: Mapping[str, Any], width: float = 1) -> Ref:
    """Add one block or operator. Raises ShapeError where shapes do not fit."""
    known = get_block_arguments(node.block)
    channels = {
        key: scale_channels(arguments.get(key, argument.default), width)
        for key, argument in known.items()
        if argument.kind is _CHANNELS
    }
    arguments = {**arguments, **channels}
    if is_operator(node.block):
        return net.add_as_given(make_operator(node.block, arguments), x, name=node.name or node.block)
    block = BLOCKS[node.block]
    with net.scope(node.name) if node.name else nullcontext():
        if not is_bundled(node.block):
            return block(net, x, **arguments)
        return net.add_part(f"{node.block} {arguments}", lambda part, y: block(part, y, **arguments), x)


def join_residual(net: Builder, x: Ref, y: Ref, shortcut: str, act: str) -> Ref:
    """Add a shortcut of x to its body y, then the activation.

    `identity` is x; `projection` a 1x1 convolution with the stride (He et al. 2016, option B); `pooled`
    pools first, then projects (He et al. 2019, ResNet-D); `padded` pools and pads channels with zeros
    (option A); `auto` is identity where shapes agree, else projection.
    """
    side = x
    if shortcut == "identity" and x.shape != y.shape:
        raise ShapeError(
            f"shortcut identity needs a body that gives the shape of its input, {format_shape(x.shape)}, got "
            f"{format_shape(y.shape)}; give the body these channels and stride 1, or write shortcut: auto"
        )
    if shortcut == "projection" or (shortcut == "auto" and x.shape != y.shape):
        side = net.conv_norm_act(x, y.channels, 1, _find_stride(x, y), act="none", name="shortcut")
    elif shortcut in ("pooled", "padded"):
        stride = _find_stride(x, y)
        with net.scope("shortcut"):
            if stride > 1:
                side = net.add(AvgPool(stride, stride, 0, ceil=True, count_pad=False), x, name="pool")
            if shortcut == "padded" and side.channels != y.channels:
                side = net.add(PadChannels(y.channels), side, name="pad")
            elif shortcut == "pooled" and side.channels != y.channels:
                side = net.conv_norm_act(side, y.channels, act="none", name="project")
    return net.act(net.add_residual(y, side), act)


def _find_stride(x: Ref, y: Ref) -> int:
    return -(-expect_image(x.shape)[1] // expect_image(y.shape)[1])


def join_branches(net: Builder, branches: list[Ref], join: str) -> Ref:
    """Join branches by concat or add."""
    return net.concat(*branches) if join == "concat" else net.add(Add(), *branches, name="add")


@contextmanager
def locate_errors(node: Call | Residual | Parallel | Cells | CellNode) -> Iterator[None]:
    """Raise a ShapeError from inside as a SpaceError with the node's place in the file."""
    try:
        yield
    except ShapeError as error:
        raise SpaceError(node.place, node.path, str(error)) from None


def scale_channels(channels: int | Unscaled, width: float) -> int:
    """Return channels times width, as a multiple of 8; at width 1 they stay as they are."""
    if isinstance(channels, Unscaled):
        least = channels.channels
        return max(least, scale_channels(least, width)) if channels.at_least else least
    return channels if width == 1 else round_channels(channels * width)


def _count_layers(node: Node) -> int:
    match node:
        case Stage():
            assert isinstance(node.depth, int)
            return node.depth
        case Cells():
            return int(node.depth * (node.reductions + 1) + node.reductions)
        case _:
            return sum(map(_count_layers, list_children(node)))
