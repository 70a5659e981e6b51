"""A forward pass over the child's graph: ties its values to the parent's, and takes the parent's weights."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate

import torch
from torch import Tensor, nn

from nas.graph import Architecture, Node
from nas.graph.architecture import INPUT
from nas.inherit.filters import covers_kernel, expand_like, inherit_filters
from nas.inherit.origins import (
    Tie,
    cycle_origins,
    expand_origins,
    is_identity,
    rearrange_origins,
    shift_origins,
)
from nas.ops import (
    Act,
    Add,
    BatchNorm,
    ChannelShuffle,
    ChannelSlice,
    Concat,
    Conv2d,
    Flatten,
    Linear,
    Multiply,
    Operator,
    PadChannels,
    ScaledConv2d,
)

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_IDEMPOTENT = (Act("relu"), Act("relu6"))
"""Activations that change nothing when they are applied again."""


class Walk:
    """Pass over the child's nodes: call `step` with each in order; then `state` is the child's.

    `taken` counts the values of its parameters that are the parent's.
    """

    def __init__(
        self,
        child: Architecture,
        initial: Mapping[str, Tensor],
        parent: Architecture,
        weights: Mapping[str, Tensor],
        generator: torch.Generator,
    ) -> None:
        self.state = {name: value.clone() for name, value in initial.items()}
        self.taken = 0
        self._child = child
        self._parent = parent
        self._weights = weights
        self._generator = generator
        self._nodes = {node.name: node for node in child.nodes}
        self._twins = {node.name: node for node in parent.nodes}
        self._readers: dict[str, list[Node]] = defaultdict(list)
        for node in child.nodes:
            for name in node.inputs:
                self._readers[name].append(node)
        self._names: dict[str, list[str]] = {node.name: [] for node in child.nodes}
        for name in self.state:
            self._names[_find_node(name, self._names)].append(name)
        # Dropout and its like change nothing in evaluation, so a value behind one is the value before it:
        # parent and child may differ in them.
        self._places = {INPUT: INPUT}
        for node in parent.nodes:
            self._places[node.name] = self._places[node.inputs[0]] if _is_silent(node.op) else node.name
        start = cycle_origins(child.input_shape[0], parent.input_shape[0])
        same = child.input_shape == parent.input_shape
        self._ties: dict[str, Tie | None] = {INPUT: Tie(INPUT, start, same)}
        self._identities: set[str] = set()

    def step(self, node: Node) -> None:
        """Take the weights of a node."""
        twin = self.find_twin(node)
        if _is_silent(node.op):
            tie = self._ties[node.inputs[0]]
        else:
            tie = self._start_new(node) if twin is None else self._match(node, twin)
        self._ties[node.name] = tie

    @property
    def is_exact(self) -> bool:
        """Whether the child computes what the parent does, after the last step."""
        end = self._tie_to(self._child.output, self._parent.output)
        return end.exact and is_identity(end.origin, self._parent.nodes[-1].shape[0])

    def find_twin(self, node: Node) -> Node | None:
        """Return the parent's node of the same name and kind, if any."""
        twin = self._twins.get(node.name)
        return twin if twin and type(twin.op) is type(node.op) else None

    def list_state_names(self, node: Node) -> list[str]:
        """Return the names of a node's weights and statistics in the state."""
        return self._names[node.name]

    def _tie_to(self, name: str, place: str) -> Tie:
        """Return the child's value `name` as the parent's value `place`."""
        place = self._places[place]
        tie, channels = self._ties[name], self._parent.shapes[place][0]
        if tie and tie.place == place:
            return tie
        # Another value with as many channels: in residual stages they carry the same features, so origins
        # hold.
        if tie and self._parent.shapes[tie.place][0] == channels:
            return Tie(place, tie.origin, exact=False)
        return Tie(place, cycle_origins(self._child.shapes[name][0], channels), exact=False)

    # Nodes that the parent has

    def _match(self, node: Node, twin: Node) -> Tie:
        sources = [self._tie_to(*pair) for pair in zip(node.inputs, twin.inputs, strict=False)]
        source = sources[0]
        match node.op, twin.op:
            case Conv2d() as op, Conv2d() as their_op:
                return self._inherit_convolution(node, op, their_op, source)
            case Linear() as op, Linear() as their_op:
                tie = self._inherit_filters(node, source, 1, 1)
                return replace(tie, exact=tie.exact and (op.bias or not their_op.bias))
            # Statistics are those of single channels, so copies of a channel take copies of them.
            case BatchNorm() as op, BatchNorm() as their_op:
                self._inherit_vectors(self.list_state_names(node), source.origin)
                return Tie(node.name, source.origin, source.exact and op.eps == their_op.eps)
            case Add() | Multiply(), _:
                return self._tie_join(node, twin, sources)
            case Concat(), _:
                return self._tie_concat(node, twin)
            case Flatten(), _ if self._count_pixels(node) == twin.shape[0] // self._count_channels(source):
                return Tie(node.name, expand_origins(source.origin, self._count_pixels(node)), source.exact)
            # These only move channels; following them keeps grouped layers behind aligned with the parent's.
            case ChannelShuffle() | ChannelSlice() | PadChannels(), _:
                origin = rearrange_origins(source.origin, node.op, self._count_channels(source), twin.op)
                return Tie(node.name, origin, source.exact)
            case op, their_op if op.has_filters:
                tie = self._inherit_filters(node, source, 1, 1)
                return replace(tie, exact=tie.exact and op == their_op)
            case op, their_op if op.is_channelwise:
                self._inherit_vectors(self.list_state_names(node), source.origin)
                return Tie(node.name, source.origin, source.exact and op == their_op)
        is_taken = self._take_equal(self.list_state_names(node))
        same = is_taken and (node.op, node.shape) == (twin.op, twin.shape)
        whole = (tie.exact and is_identity(tie.origin, self._count_channels(tie)) for tie in sources)
        exact = same and all(whole)
        return Tie(node.name, cycle_origins(node.shape[0], twin.shape[0]), exact)

    def _inherit_convolution(self, node: Node, op: Conv2d, their_op: Conv2d, source: Tie) -> Tie:
        tie = self._inherit_filters(node, source, op.groups, their_op.groups)
        exact = tie.exact and covers_kernel(op, their_op) and (op.bias or not their_op.bias)
        if isinstance(op, ScaledConv2d):  # whose filters are standardised: zeros and copies change them
            exact &= op == their_op and is_identity(source.origin, self._count_channels(source))
        return replace(tie, exact=exact)

    def _inherit_filters(self, node: Node, source: Tie, groups: int, their_groups: int) -> Tie:
        """Take the filters of a convolution or a linear layer; of the result, `exact` is about channels."""
        # Net2WiderNet: what reads copies shares out its weights, so that their sum is what the parent
        # computed.
        name = f"{node.name}.weight"
        own, theirs = self.state[name], self._weights[name]
        filters = inherit_filters(own, theirs, source.origin, groups, their_groups, self._generator)
        self._inherit_vectors(
            [other for other in self.list_state_names(node) if other != name], filters.origin
        )
        self.state[name] = filters.weight
        self.taken += filters.taken
        return Tie(node.name, filters.origin, source.exact and filters.is_complete)

    def _inherit_vectors(self, names: list[str], origin: Tensor) -> None:
        """Take what there is one value of for each channel, and the number of batches."""
        known = origin >= 0
        for name in names:
            own, theirs = self.state[name], self._weights.get(name)
            if theirs is None:  # a bias that the parent does without
                self.state[name] = torch.zeros_like(own)
            elif own.ndim == 0:
                self.state[name] = theirs.clone()
            else:
                self.state[name] = torch.where(expand_like(known, own), theirs[origin.clamp(0)], own)
                self.taken += int(known.sum()) if is_parameter(name) else 0

    def _take_equal(self, names: list[str]) -> bool:
        """Take what the parent has of these shapes; return whether that is all of them."""
        equal = [
            name
            for name in names
            if name in self._weights and self._weights[name].shape == self.state[name].shape
        ]
        for name in equal:
            self.state[name] = self._weights[name].clone()
            self.taken += self.state[name].numel() if is_parameter(name) else 0
        return equal == names

    def _tie_join(self, node: Node, twin: Node, sources: list[Tie]) -> Tie:
        """Tie a sum or product: channel by channel where its inputs agree, else by place."""
        # Adding channels of different origins would mix features, so the sum starts over by place.
        origin = sources[0].origin
        agree = all(torch.equal(tie.origin, origin) for tie in sources)
        if not agree:
            origin = cycle_origins(node.shape[0], twin.shape[0])
        exact = agree and len(node.inputs) == len(twin.inputs) and all(tie.exact for tie in sources)
        return Tie(node.name, origin, exact)

    def _tie_concat(self, node: Node, twin: Node) -> Tie:
        """Tie a concatenation: origins shift by the channels before; inputs that the parent lacks are new."""
        places = [self._places[name] for name in twin.inputs]
        starts = list(accumulate((self._parent.shapes[place][0] for place in places), initial=0))
        origins, exact = [], True
        for slot, name in enumerate(node.inputs):
            tie = self._ties[name]
            if tie is None or tie.place not in places:
                origins.append(torch.full((self._child.shapes[name][0],), -1))
                continue
            # The same slot first: a value that the parent concatenates twice has two ranges of channels.
            is_there = slot < len(places) and places[slot] == tie.place
            origins.append(shift_origins(tie.origin, starts[slot if is_there else places.index(tie.place)]))
            exact &= tie.exact
        return Tie(node.name, torch.cat(origins), exact)

    def _count_channels(self, tie: Tie) -> int:
        """Return the number of channels of the parent's value."""
        return self._parent.shapes[tie.place][0]

    def _count_pixels(self, node: Node) -> int:
        """Return how many features a flattened image has for each channel."""
        return node.shape[0] // self._child.shapes[node.inputs[0]][0]

    # Nodes that the parent lacks

    def _start_new(self, node: Node) -> Tie | None:
        tie = self._ties[node.inputs[0]]
        match node.op:
            case Add():
                return self._skip_branches(node)
            # Net2DeeperNet: a Dirac kernel passes each channel on.
            case Conv2d() as op if tie and self._may_be_identity(node, op, tie):
                self._identities.add(node.name)
                nn.init.dirac_(self.state[f"{node.name}.weight"], op.groups)
                return tie
            case BatchNorm() as op if node.inputs[0] in self._identities:
                # A fresh norm has mean 0 and variance 1, and divides by sqrt(1 + eps): the scale takes that
                # back.
                self.state[f"{node.name}.weight"].fill_(math.sqrt(1 + op.eps))
                return tie
            case Act() as op if tie:
                return replace(tie, exact=tie.exact and self._is_repeated(op, tie))
            case op if tie and (op.is_channelwise or isinstance(op, Multiply)):
                return replace(tie, exact=False)
        return None

    def _skip_branches(self, node: Node) -> Tie | None:
        """Tie a new sum to the value that skips its new branches, which start at zero."""
        # Only branches that the parent lacks may be silenced: the others are what the sum is to give.
        skips = [tie for name in node.inputs if (tie := self._ties[name])]
        silent = [self._silence(name) for name in node.inputs if skips and self._ties[name] is None]
        if not skips:
            return None
        return replace(skips[0], exact=skips[0].exact and len(skips) == 1 and all(silent))

    def _silence(self, name: str) -> bool:
        """Start a new value at zero, by the scale or the filters that it comes from, if by any."""
        node = self._nodes[name]
        # Go back through what keeps zeros, to the last layer whose scale or filters can make them.
        while not self.list_state_names(node) and (node.op.keeps_zero or isinstance(node.op, Multiply)):
            if node.inputs[0] == INPUT:
                return False
            node = self._nodes[node.inputs[0]]
        if self.find_twin(node) or not isinstance(node.op, BatchNorm | Conv2d):
            return False
        scale = "gain" if isinstance(node.op, ScaledConv2d) else "weight"
        for part in {scale, "bias"}:
            if f"{node.name}.{part}" in self.state:
                self.state[f"{node.name}.{part}"].zero_()
        return True

    def _may_be_identity(self, node: Node, op: Conv2d, tie: Tie) -> bool:
        """Return whether a new convolution can start as identity, with the norm and the activation behind it.

        The value goes nowhere else, keeps its shape and is one that the activation does not change.
        """
        if not tie.exact or op != Conv2d(node.shape[0], op.kernel, groups=op.groups, init=op.init):
            return False
        # Exactly convolution, norm, activation, each read by the next alone: any other reader would see the
        # value before the activation.
        chain = [node.inputs[0]]
        for kind in (Conv2d, BatchNorm, Act):
            readers = self._readers[chain[-1]]
            if len(readers) != 1 or type(readers[0].op) is not kind or self.find_twin(readers[0]):
                return False
            chain.append(readers[0].name)
        same_shape = self._child.shapes[chain[0]] == node.shape
        return same_shape and self._is_repeated(self._nodes[chain[-1]].op, tie)

    def _is_repeated(self, op: Operator, tie: Tie) -> bool:
        """Return whether an activation changes nothing because the tied value comes out of an equal one."""
        before = self._twins.get(tie.place)
        return before is not None and before.op == op and op in _IDEMPOTENT


def is_parameter(name: str) -> bool:
    """Return whether a name in a state is a parameter's, and not a statistic's."""
    return name.rpartition(".")[2] not in _STATISTICS


def _find_node(name: str, nodes: Mapping[str, object]) -> str:
    """Return the node that a name in a state belongs to: `s1.conv` for `s1.conv.weight`."""
    while name not in nodes:
        name = name.rpartition(".")[0]
    return name


def _is_silent(op: Operator) -> bool:
    """Return whether an operator changes nothing in evaluation."""
    return op.is_identity or op.is_training_only
