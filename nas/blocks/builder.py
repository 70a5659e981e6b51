"""Builds a graph the way one writes a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from sys import intern
from typing import Any, NamedTuple

from nas.graph import Architecture, Node
from nas.graph.architecture import INPUT
from nas.ops import (
    Act,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv2d,
    DropPath,
    GlobalPool,
    Identity,
    Multiply,
    Operator,
    Shape,
    ShapeError,
)
from nas.ops.arguments import Activation, Kernel, Padding

MOST_NODES = 50_000
"""Of a network; the largest that is known has some thousands."""


_MOST_PARTS = 10_000


class _BlockPart(NamedTuple):
    """What a block adds, with names that begin with a dot; `names` has those of scopes too, without it."""

    nodes: tuple[Node, ...]
    output: Ref
    names: tuple[str, ...]
    size: int


Parts = dict[tuple[object, ...], _BlockPart | None]
"""Parts of networks, by all that they depend on."""


def round_channels(channels: float, divisor: int = 8) -> int:
    """Return the nearest multiple that is not below 90 % (Sandler et al. 2018, code, `_make_divisible`).

    >>> round_channels(26), round_channels(27)
    (24, 32)
    """
    multiple = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return multiple if multiple >= 0.9 * channels else multiple + divisor


@dataclass(frozen=True, slots=True)
class Ref:
    """A value in the network being built: the output of a node."""

    name: str
    shape: Shape

    @property
    def channels(self) -> int:
        return self.shape[0]


class Builder:
    """Builder of a network, operator by operator, each named within the open scopes.

    `classes` is the number of classes that a classifier gives. `drop_path` is the stochastic depth rate of
    the layer being built, set by whoever knows the layer's place. `details` are arguments, by operator, that
    blocks leave open: the eps of batch norm, how weights start. `known` remembers parts of networks of so
    many classes.
    """

    def __init__(
        self,
        input_shape: Shape,
        classes: int,
        details: Mapping[str, Mapping[str, Any]] | None = None,
        known: Parts | None = None,
    ) -> None:
        self.input = Ref(INPUT, input_shape)
        self.classes = classes
        self._details = details or {}
        self.drop_path = 0.0
        self._nodes: list[Node] = []
        self._size = 0
        self._names = {INPUT}
        self._numbers: dict[str, int] = {}
        """The next to try for a name that is in use: to count from 2 takes the square of the time."""
        self._scope = ""
        self._known = known

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefix the names of all that is added inside by `name.`, numbered where the name is in use."""
        outer = self._scope
        self._scope = self._claim_name(name) + "."
        try:
            yield
        finally:
            self._scope = outer

    def add(self, op: Operator, *inputs: Ref, name: str) -> Ref:
        """Add one operator of a block. Raises ShapeError where the inputs do not fit."""
        details = self._details.get(op.name)
        return self.add_as_given(replace(op, **details) if details else op, *inputs, name=name)

    def add_as_given(self, op: Operator, *inputs: Ref, name: str) -> Ref:
        """Add one operator with nothing left open. Raises ShapeError where the inputs do not fit."""
        shape = op.output_shape(*[x.shape for x in inputs])
        full_name = self._claim_name(name)
        self._size += len(inputs)
        if self._size > MOST_NODES:
            raise ShapeError(
                f"the network has more than {MOST_NODES:,} nodes, each counted by its inputs, the most that "
                "is built; use fewer layers, branches or columns"
            )
        self._nodes.append(Node(full_name, op, tuple([x.name for x in inputs]), shape))
        return Ref(full_name, shape)

    def add_part(self, name: str, build: Callable[[Builder, Ref], Ref], x: Ref) -> Ref:
        """Add what `build(net, x)` adds, which depends on `name` and x's shape alone, and on the drop rate as
        that of its `DropPath`s.

        Networks of a space have few parts: one that is known is added again from its operators. Raises as
        `build`.
        """
        if self._known is None:
            return build(self, x)
        key = (name, x.shape, self.drop_path > 0, repr(self._details))
        if key not in self._known:
            if len(self._known) >= _MOST_PARTS:
                self._known.clear()
            self._known[key] = self._record(build, x)
        part = self._known[key]
        names = [self._scope + name for name in part.names] if part else []
        if part is None or self._size + part.size > MOST_NODES or not self._names.isdisjoint(names):
            return build(self, x)
        self._names.update(names)
        self._size += part.size
        stands_for = {INPUT: x.name} | {f".{name}": self._scope + name for name in part.names}
        for node in part.nodes:
            op = DropPath(self.drop_path) if type(node.op) is DropPath else node.op
            inputs = tuple([stands_for[name] for name in node.inputs])
            self._nodes.append(Node(stands_for[node.name], op, inputs, node.shape))
        return Ref(stands_for[part.output.name], part.output.shape)

    def _record(self, build: Callable[[Builder, Ref], Ref], x: Ref) -> _BlockPart | None:
        """Return a part by itself; None where it cannot be built."""
        net = Builder(x.shape, self.classes, self._details)
        net.drop_path, net._scope = self.drop_path, "."
        try:
            output = build(net, Ref(INPUT, x.shape))
        except ShapeError:
            return None
        names = tuple(intern(name[1:]) for name in net._names - {INPUT})
        return _BlockPart(net.nodes, output, names, net._size)

    def _claim_name(self, name: str) -> str:
        full_name = wanted = self._scope + name
        number = self._numbers.get(wanted, 2)
        while full_name in self._names:
            full_name = f"{wanted}_{number}"
            number += 1
        full_name = intern(full_name)  # parts that are remembered have few names
        self._numbers[wanted] = number
        self._names.add(full_name)
        return full_name

    def conv_norm_act(
        self,
        x: Ref,
        out: int,
        kernel: Kernel = 1,
        stride: int = 1,
        *,
        groups: int = 1,
        dilation: int = 1,
        padding: Padding = None,
        act: Activation = "relu",
        gamma: float = 1.0,
        name: str,
    ) -> Ref:
        """Add a convolution without bias, batch norm and activation: the unit of most networks since 2015.

        The scale of the batch norm starts at `gamma`.
        """
        with self.scope(name):
            x = self.add(Conv2d(out, kernel, stride, padding, groups, dilation), x, name="conv")
            x = self.add(BatchNorm(gamma=gamma), x, name="norm")
            return self.act(x, act)

    def act(self, x: Ref, kind: Activation, name: str = "act") -> Ref:
        """Add an activation; none for `none`."""
        return x if kind == "none" else self.add(Act(kind), x, name=name)

    def squeeze_excite(self, x: Ref, squeezed: int, *, act: Activation, gate: Activation = "sigmoid") -> Ref:
        """Weight channels by gates computed from the pooled image (Hu et al. 2018, figure 3)."""
        with self.scope("se"):
            y = self.add(GlobalPool(), x, name="pool")
            y = self.add(Conv2d(squeezed, bias=True), y, name="reduce")
            y = self.act(y, act)
            y = self.add(Conv2d(x.channels, bias=True), y, name="expand")
            y = self.act(y, gate, name="gate")
            return self.add(Multiply(), x, y, name="scale")

    def add_residual(self, x: Ref, shortcut: Ref) -> Ref:
        """Add `x + shortcut`, the branch x dropped at the layer's stochastic depth rate."""
        if self.drop_path:
            x = self.add(DropPath(self.drop_path), x, name="drop_path")
        return self.add(Add(), x, shortcut, name="add")

    def shortcut(self, x: Ref, out: int, stride: int) -> Ref:
        """Return x where it has the shape wanted, else add a 1x1 projection (He et al. 2016, option B)."""
        if x.channels == out and stride == 1:
            return x
        return self.conv_norm_act(x, out, 1, stride, act="none", name="shortcut")

    def pooled_shortcut(self, x: Ref, out: int, stride: int) -> Ref:
        """Add a shortcut whose stride an average pool takes (He et al. 2019, figure 2c, ResNet-D)."""
        if stride > 1:
            x = self.add(AvgPool(stride, stride, 0, ceil=True, count_pad=False), x, name="shortcut_pool")
            return self.conv_norm_act(x, out, act="none", name="shortcut")
        return self.shortcut(x, out, stride)

    def concat(self, *branches: Ref) -> Ref:
        return self.add(Concat(), *branches, name="concat")

    def norm_act_conv(
        self, x: Ref, out: int, kernel: Kernel = 1, stride: int = 1, *, act: Activation = "relu", name: str
    ) -> Ref:
        """Add batch norm, activation, convolution: the unit of pre-activation networks (He et al. 2016b)."""
        with self.scope(name):
            x = self.norm_act(x, act)
            return self.add(Conv2d(out, kernel, stride), x, name="conv")

    def norm_act(self, x: Ref, act: Activation, name: str | None = None) -> Ref:
        """Add batch norm and activation, in a scope of their own if given a name."""
        with self.scope(name) if name else nullcontext():
            return self.act(self.add(BatchNorm(), x, name="norm"), act)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All that was added, in order."""
        return tuple(self._nodes)

    def architecture(self, output: Ref) -> Architecture:
        """Return the network that ends in `output`; where that is the input itself, it is one identity."""
        if output.name == INPUT:
            output = self.add(Identity(), output, name=Identity.name)
        end = 1 + next(i for i, node in enumerate(self._nodes) if node.name == output.name)
        return Architecture(self.input.shape, tuple(self._nodes[:end]))
