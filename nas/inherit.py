"""Weights that a network starts with, taken from a trained network that is much like it.

Nodes are matched by their place: the same name and the same kind of operator. Along the graph of the child
travels what each of its channels is a copy of in the parent, so that one rule serves equal, narrower and
wider layers. Where only widths grow, kernels grow or layers with a skip are added, the child computes what
its parent does: Net2Net (Chen, Goodfellow & Shlens 2016).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import safetensors.torch
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn

from nas.errors import InputError
from nas.graph import Architecture, Node
from nas.graph.architecture import INPUT
from nas.module import build_module
from nas.ops import (
    Act,
    Add,
    AvgPool,
    BatchNorm,
    ChannelShuffle,
    ChannelSlice,
    Concat,
    Conv2d,
    Dropout,
    DropPath,
    Flatten,
    GlobalPool,
    Linear,
    MaxPool,
    Multiply,
    Operator,
    PadChannels,
    ScaledConv2d,
    Shift,
    Times,
    Unary,
    Zero,
)
from nas.ops.base import size_text

_CHANNELWISE = (Act, MaxPool, AvgPool, GlobalPool, Times, Shift, Zero)
"""An output channel is a function of the input channel of the same number alone."""
_MOVES = (ChannelShuffle, ChannelSlice, PadChannels)
"""An output channel is an input channel, or zero."""
_IDEMPOTENT = (Act("relu"), Act("relu6"))
"""Activations that change nothing when they are applied again."""


class NotInherited(InputError):
    """There is nothing to inherit from these weights; the message says why."""


@dataclass(frozen=True)
class Inherited:
    """What a child starts with.

    `whole`, `resized` and `new` count its operators with weights: those that have the parent's, those that
    have a part or copies of them, and those that keep their own. `share` of its parameters (0 to 1) are the
    parent's. `exact` says that it computes what the parent computes in evaluation, up to rounding.
    """

    state: dict[str, Tensor]
    whole: int
    resized: int
    new: int
    share: float
    exact: bool


def inherit(
    child: Architecture,
    initial: Mapping[str, Tensor],
    parent: Architecture,
    weights: Mapping[str, Tensor],
    *,
    seed: int,
) -> Inherited:
    """The state of a `child` that starts with the `weights` of its trained `parent`.

    `initial` is the child's own state, of which new operators keep theirs. Kernels are cropped or padded with
    zeros around their centre; of more channels the parent has, the first are taken. With fewer, channel i is
    a copy of channel i modulo the parent's number, and what reads the copies divides its weights among them
    (Net2WiderNet). The parts are drawn by `seed`, for each reader and copy its own: equal parts would give
    equal gradients, and copies that stay equal for ever. New layers with a skip start at zero, new layers in
    a chain of ReLUs as identity (Net2DeeperNet).

    Raises NotInherited where `weights` are not those of `parent`, or both do not give equal outputs.
    """
    _check(child, parent, weights)
    walk = _Walk(child, initial, parent, weights, torch.Generator().manual_seed(seed))
    for node in child.nodes:
        walk.step(node)
    return walk.result()


def read_weights(data: bytes) -> dict[str, Tensor]:
    """The state in a safetensors file's bytes. Raises NotInherited where it is damaged."""
    try:
        state: dict[str, Tensor] = safetensors.torch.load(data)
    except SafetensorError as error:
        raise NotInherited(f"the weights cannot be read: {error}") from None
    return state


def _check(child: Architecture, parent: Architecture, weights: Mapping[str, Tensor]) -> None:
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in build_module(parent).state_dict().items()}
    if shapes != {name: value.shape for name, value in weights.items()}:
        raise NotInherited("the weights are not those of the parent's network")
    outputs = child.nodes[-1].shape, parent.nodes[-1].shape
    if outputs[0] != outputs[1]:
        raise NotInherited(
            f"the parent gives {size_text(outputs[1])} values, and the child {size_text(outputs[0])}"
        )


@dataclass(frozen=True)
class _Tie:
    """What a value of the child is of the parent's value `place`: channel i that of channel `origin[i]`, or
    new where that is -1. `exact`: equal for every image; else only by place."""

    place: str
    origin: Tensor
    exact: bool


class _Walk:
    """A forward pass over the child's nodes that ties their values to the parent's and takes its weights."""

    def __init__(
        self,
        child: Architecture,
        initial: Mapping[str, Tensor],
        parent: Architecture,
        weights: Mapping[str, Tensor],
        generator: torch.Generator,
    ) -> None:
        self._child = child
        self._parent = parent
        self._weights = weights
        self._generator = generator
        self._state = {name: value.clone() for name, value in initial.items()}
        self._nodes = {node.name: node for node in child.nodes}
        self._twins = {node.name: node for node in parent.nodes}
        self._readers: dict[str, list[Node]] = defaultdict(list)
        for node in child.nodes:
            for name in node.inputs:
                self._readers[name].append(node)
        self._places = {INPUT: INPUT}
        for node in parent.nodes:
            self._places[node.name] = self._places[node.inputs[0]] if _is_silent(node.op) else node.name
        same = child.input_shape == parent.input_shape
        start = _cyclic(child.input_shape[0], parent.input_shape[0])
        self._ties: dict[str, _Tie | None] = {INPUT: _Tie(INPUT, start, same)}
        self._identities: set[str] = set()
        self._inherited = 0

    def step(self, node: Node) -> None:
        twin = self._twin(node)
        if _is_silent(node.op):
            tie = self._ties[node.inputs[0]]
        elif twin is None:
            tie = self._new(node)
        else:
            tie = self._matched(node, twin)
        self._ties[node.name] = tie

    def result(self) -> Inherited:
        whole = resized = new = 0
        for node in self._child.nodes:
            names = self._names(node)
            if names and self._twin(node) is None:
                new += 1
            elif all(_equal(self._state[name], self._weights.get(name)) for name in names):
                whole += bool(names)
            else:
                resized += 1
        parameters = sum(
            self._state[name].numel()
            for node in self._child.nodes
            for name in self._names(node)
            if name.rpartition(".")[2] in _PARAMETERS
        )
        end = self._as(self._child.output, self._parent.output)
        exact = end.exact and _is_identity(end.origin, self._parent.nodes[-1].shape[0])
        return Inherited(self._state, whole, resized, new, self._inherited / max(1, parameters), exact)

    def _names(self, node: Node) -> list[str]:
        """The names of a node's weights in the state."""
        names = (f"{node.name}.{part}" for part in (*_PARAMETERS, *_STATISTICS))
        return [name for name in names if name in self._state]

    def _twin(self, node: Node) -> Node | None:
        """The parent's node at the same place."""
        twin = self._twins.get(node.name)
        return twin if twin and type(twin.op) is type(node.op) else None

    def _as(self, name: str, place: str) -> _Tie:
        """The child's value `name` as the parent's value `place`."""
        place = self._places[place]
        tie = self._ties[name]
        if tie and tie.place == place:
            return tie
        wanted = self._parent.shapes[place][0]
        if tie and self._parent.shapes[tie.place][0] == wanted:
            return _Tie(place, tie.origin, exact=False)
        return _Tie(place, _cyclic(self._child.shapes[name][0], wanted), exact=False)

    # Nodes that the parent has

    def _matched(self, node: Node, twin: Node) -> _Tie:
        source = self._as(node.inputs[0], twin.inputs[0])
        match node.op:
            case Conv2d():
                return self._convolution(node, twin, source)
            case Linear():
                return self._filters(node, source, 1, 1)
            case BatchNorm(eps=eps):
                assert isinstance(twin.op, BatchNorm)
                self._take(node, source.origin)
                exact = source.exact and eps == twin.op.eps
                return _Tie(node.name, source.origin, exact)
            case Add() | Multiply():
                return self._join(node, twin)
            case Concat():
                return self._concatenation(node, twin)
            case Flatten():
                return self._flattened(node, twin, source)
            case op if isinstance(op, _MOVES):
                return self._moved(node, twin, source)
            case op if isinstance(op, _CHANNELWISE):
                return _Tie(node.name, source.origin, source.exact and op == twin.op)
            case _:
                sources = [self._as(*pair) for pair in zip(node.inputs, twin.inputs, strict=False)]
                same = node.op == twin.op and node.shape == twin.shape
                exact = same and all(
                    tie.exact and _is_identity(tie.origin, self._parent.shapes[tie.place][0])
                    for tie in sources
                )
                return _Tie(node.name, _cyclic(node.shape[0], twin.shape[0]), exact)

    def _convolution(self, node: Node, twin: Node, source: _Tie) -> _Tie:
        op, theirs = node.op, twin.op
        assert isinstance(op, Conv2d) and isinstance(theirs, Conv2d)
        tie = self._filters(node, source, op.groups, theirs.groups)
        exact = tie.exact and _pads_kernel(op, theirs) and (op.bias or not theirs.bias)
        if isinstance(op, ScaledConv2d):  # whose filters are standardised: zeros and copies change them
            exact &= op == theirs and _is_identity(source.origin, self._parent.shapes[source.place][0])
        return replace(tie, exact=exact)

    def _filters(self, node: Node, source: _Tie, groups: int, their_groups: int) -> _Tie:
        """Take the filters of a convolution or a linear layer; of the result, `exact` is about channels."""
        own, theirs = self._state[f"{node.name}.weight"], self._weights[f"{node.name}.weight"]
        depthwise = groups == len(own) == len(source.origin) and their_groups == len(theirs)
        outputs = source.origin if depthwise else _cyclic(len(own), len(theirs))
        # Of the parent's channels that each input of each filter (outputs, inputs of a group) is a copy of,
        # the slot in the parent's filter.
        width, their_width = own.shape[1], theirs.shape[1]
        first = torch.arange(len(own)) // (len(own) // groups) * width
        inputs = source.origin[first[:, None] + torch.arange(width)]
        slots = inputs - (outputs // (len(theirs) // their_groups) * their_width)[:, None]
        fits = (inputs >= 0) & (outputs >= 0)[:, None] & (slots >= 0) & (slots < their_width)
        slots = slots.clamp(0, their_width - 1)
        # Copies of one channel share its weight.
        parts = fits * (0.5 + torch.rand(fits.shape, generator=self._generator))
        wholes = torch.zeros(len(own), their_width).scatter_add_(1, slots, parts)
        shares = torch.where(fits, parts / wholes.gather(1, slots), 0.0)
        kernel = own.shape[2:]
        taken = _framed(theirs, kernel)[outputs.clamp(0)[:, None], slots]
        taken = taken * shares.view(*shares.shape, *(1 for _ in kernel))
        known = fits.any(1)
        self._state[f"{node.name}.weight"] = torch.where(
            known.view(-1, *(1 for _ in own.shape[1:])), taken, own
        )
        area = 1
        for size, their_size in zip(kernel, theirs.shape[2:], strict=True):
            area *= min(size, their_size)
        self._inherited += int(fits.sum()) * area
        outputs = torch.where(known, outputs, -1)
        self._take(node, outputs, skip="weight")
        complete = bool((wholes > 0)[known].all())
        return _Tie(node.name, outputs, source.exact and complete)

    def _take(self, node: Node, origin: Tensor, skip: str = "") -> None:
        """Take what a node has one value of for each channel, and the number of batches."""
        known = origin >= 0
        for name in self._names(node):
            part = name.rpartition(".")[2]
            if part == skip:
                continue
            own, theirs = self._state[name], self._weights.get(name)
            if theirs is None:  # a bias that the parent does without
                self._state[name] = torch.zeros_like(own)
            elif own.ndim == 0:
                self._state[name] = theirs.clone()
            else:
                mask = known.view(-1, *(1 for _ in own.shape[1:]))
                self._state[name] = torch.where(mask, theirs[origin.clamp(0)], own)
                self._inherited += int(known.sum()) if part in _PARAMETERS else 0

    def _join(self, node: Node, twin: Node) -> _Tie:
        """A sum or product: of the same channels of all its inputs, or by place."""
        ties = [self._as(*pair) for pair in zip(node.inputs, twin.inputs, strict=False)]
        agree = all(torch.equal(tie.origin, ties[0].origin) for tie in ties)
        exact = agree and len(node.inputs) == len(twin.inputs) and all(tie.exact for tie in ties)
        origin = ties[0].origin if agree else _cyclic(node.shape[0], twin.shape[0])
        return _Tie(node.name, origin, exact)

    def _concatenation(self, node: Node, twin: Node) -> _Tie:
        """Channels keep their origins, behind those of the inputs before; an input of the child's own has
        none."""
        places = [self._places[name] for name in twin.inputs]
        starts = [0]
        for place in places:
            starts.append(starts[-1] + self._parent.shapes[place][0])
        origins, exact = [], True
        for slot, name in enumerate(node.inputs):
            tie = self._ties[name]
            if tie is None or tie.place not in places:
                origins.append(torch.full((self._child.shapes[name][0],), -1))
                continue
            same_slot = slot < len(places) and places[slot] == tie.place
            start = starts[slot if same_slot else places.index(tie.place)]
            origins.append(torch.where(tie.origin < 0, -1, tie.origin + start))
            exact &= tie.exact
        return _Tie(node.name, torch.cat(origins), exact)

    def _flattened(self, node: Node, twin: Node, source: _Tie) -> _Tie:
        pixels = node.shape[0] // len(source.origin)
        if pixels != twin.shape[0] // self._parent.shapes[twin.inputs[0]][0]:
            return _Tie(node.name, _cyclic(node.shape[0], twin.shape[0]), exact=False)
        spread = source.origin[:, None] * pixels + torch.arange(pixels)
        origin = torch.where((source.origin < 0)[:, None], -1, spread)
        return _Tie(node.name, origin.flatten(), source.exact)

    def _moved(self, node: Node, twin: Node, source: _Tie) -> _Tie:
        """Channels that are shuffled, cut off or padded with zeros take their origins along."""
        came = _inputs_of(node.op, len(source.origin))
        theirs = _inputs_of(twin.op, self._parent.shapes[twin.inputs[0]][0])
        at = torch.full((self._parent.shapes[twin.inputs[0]][0],), -1)
        at[theirs[theirs >= 0]] = torch.nonzero(theirs >= 0).flatten()
        before = torch.where(came < 0, -1, source.origin[came.clamp(0)])
        origin = torch.where(before < 0, -1, at[before.clamp(0)])
        zeros = torch.nonzero(theirs < 0).flatten()
        if len(zeros):
            origin[came < 0] = zeros[_cyclic(int((came < 0).sum()), len(zeros))]
        return _Tie(node.name, origin, source.exact)

    # Nodes that the parent lacks

    def _new(self, node: Node) -> _Tie | None:
        tie = self._ties[node.inputs[0]]
        match node.op:
            case Add():
                return self._skip(node)
            case Conv2d() if self._may_be_identity(node):
                self._identities.add(node.name)
                nn.init.dirac_(self._state[f"{node.name}.weight"], node.op.groups)
                return tie
            case BatchNorm(eps=eps) if node.inputs[0] in self._identities:
                self._state[f"{node.name}.weight"].fill_((1 + eps) ** 0.5)
                return tie
            case Act() if tie:
                return replace(tie, exact=tie.exact and self._is_again(node.op, tie))
            case op if tie and isinstance(op, (*_CHANNELWISE, BatchNorm, Multiply)):
                return replace(tie, exact=False)
        return None

    def _skip(self, node: Node) -> _Tie | None:
        """A new sum: the value that skips the new branches, which start at zero."""
        skips = [tie for tie in map(self._ties.get, node.inputs) if tie]
        branches = [name for name in node.inputs if self._ties[name] is None]
        if not skips:
            return None
        silent = [self._silence(name) for name in branches]
        return replace(skips[0], exact=skips[0].exact and len(skips) == 1 and all(silent))

    def _silence(self, name: str) -> bool:
        """Start a new value at zero, by the scale or the filters that it comes from, if by any."""
        node = self._nodes[name]
        while not self._names(node) and (node.op.keeps_zero or isinstance(node.op, Multiply)):
            if node.inputs[0] == INPUT:
                return False
            node = self._nodes[node.inputs[0]]
        if self._twin(node) or not isinstance(node.op, BatchNorm | Conv2d):
            return False
        scale = "gain" if isinstance(node.op, ScaledConv2d) else "weight"
        for part in (scale, "bias"):
            if f"{node.name}.{part}" in self._state:
                self._state[f"{node.name}.{part}"].zero_()
        return True

    def _may_be_identity(self, node: Node) -> bool:
        """Whether a convolution, the norm behind it and the activation behind that can begin as identity: the
        value goes nowhere else, keeps its shape and is one that the activation does not change."""
        op, (name,) = node.op, node.inputs
        tie = self._ties[name]
        if not (
            tie
            and tie.exact
            and type(op) is Conv2d
            and not op.bias
            and self._child.shapes[name] == node.shape
            and op.stride == 1
        ):
            return False
        chain = [name]
        for kind in (Conv2d, BatchNorm, Act):
            readers = self._readers[chain[-1]]
            if len(readers) != 1 or type(readers[0].op) is not kind or self._twin(readers[0]):
                return False
            chain.append(readers[0].name)
        return self._is_again(self._nodes[chain[-1]].op, tie)

    def _is_again(self, op: Operator, tie: _Tie) -> bool:
        """Whether an activation changes nothing, as the tied value comes out of its like."""
        before = self._twins.get(tie.place)
        return before is not None and before.op == op and op in _IDEMPOTENT


_PARAMETERS = ("weight", "bias", "gain")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def _is_silent(op: Operator) -> bool:
    """Whether an operator changes nothing in evaluation."""
    return op.is_identity or isinstance(op, Dropout | DropPath)


def _cyclic(count: int, parents: int) -> Tensor:
    """The origins of `count` channels: the parent's in their order, again and again."""
    return torch.arange(count) % parents


def _is_identity(origin: Tensor, parents: int) -> bool:
    return torch.equal(origin, torch.arange(parents))


def _equal(value: Tensor, other: Tensor | None) -> bool:
    return other is not None and torch.equal(value, other)


def _framed(filters: Tensor, kernel: tuple[int, ...]) -> Tensor:
    """Filters (O, I, *K) cropped, or padded with zeros, to `kernel` around their centre."""
    pads: list[int] = []
    for size, wanted in zip(reversed(filters.shape[2:]), reversed(kernel), strict=True):
        pads += [(wanted - size) // 2] * 2
    return F.pad(filters, pads) if pads else filters


def _pads_kernel(op: Conv2d, theirs: Conv2d) -> bool:
    """Whether a convolution with the parent's filters, padded with zeros, sees the same pixels."""
    sizes, their_sizes = _pair(op.kernel), _pair(theirs.kernel)
    paddings, their_paddings = _pair(op.padding or 0), _pair(theirs.padding or 0)
    grown = [size - their_size for size, their_size in zip(sizes, their_sizes, strict=True)]
    return (op.stride, op.dilation) == (theirs.stride, theirs.dilation) and all(
        more >= 0 and 2 * (padding - their_padding) == op.dilation * more
        for more, padding, their_padding in zip(grown, paddings, their_paddings, strict=True)
    )


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _inputs_of(op: Operator, channels: int) -> Tensor:
    """The input channel that each output channel of a move is, -1 for zero."""
    assert isinstance(op, Unary)
    numbers = torch.arange(1, channels + 1).view(1, channels, 1, 1)
    moved: Tensor = op.layer((channels, 1, 1)).build()(numbers)
    return moved.flatten() - 1
