"""What it takes at least to count a space, estimated before anything is counted."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

from nas.space.counting.coupling import Coupling
from nas.space.language.source import Place, SpaceError
from nas.space.language.stages import find_max_depth
from nas.space.language.tree import (
    Alternative,
    Call,
    Choice,
    LayerNodes,
    Node,
    Parallel,
    PerLayer,
    SameAs,
    Sequence,
    Stage,
    StageStride,
    Value,
    list_children,
    walk,
)

MOST_WAYS = 1_000_000
"""In which nodes can be entered and decided, all nodes together."""
MOST_WAYS_BY_SIZE = 2 * MOST_WAYS
"""The same where what enters a node differs in its height too."""


def check_effort(
    network: Node, outside: Iterable[Value], declared: dict[str, Choice], coupling: Coupling
) -> None:
    """Raise SpaceError, with the node's place, where counting takes more than a minute or two.

    A node is worked out for each number of channels that may enter it, each combination of coupled decisions
    that are still needed, and each combination of its own options; `outside` are the values that all need.
    """
    place = next((node.place for node in walk(network) if hasattr(node, "place")), None)
    if place is not None:  # else there is nothing to count
        channels, height, *others = outside
        effort = _Effort(declared, coupling, place, height)
        effort.decide((channels, height, *others))
        effort.follow(network)


def make_refusal(place: Place, path: str) -> SpaceError:
    """Return what is said where counting takes too long."""
    return SpaceError(
        place,
        path,
        f"the options up to here combine in more than {MOST_WAYS:,} ways, the most that are counted; offer "
        "fewer numbers of channels, fewer strides, fewer open branches, or couple fewer choices",
    )


class _Effort:
    def __init__(self, declared: dict[str, Choice], coupling: Coupling, place: Place, height: Value) -> None:
        self._declared = declared
        self._coupling = coupling
        self._layers: dict[str, int] = {}
        self._strides: dict[str, Value] = {}
        self._heights = {max(self._list_options(height))}
        """Of the maps that may enter the node at hand."""
        self._later: dict[str, int] = {}
        """How often each coupled stride was taken that is still in `_kept`."""
        self._channels = 1
        """How many numbers of channels may enter the node at hand."""
        self._kept: dict[str, int] = {}
        """The options of coupled choices that are decided and still needed, by name."""
        self._ways = 0
        self._ways_by_size = 0
        """As `_ways`, where maps of each height are worked out by themselves."""
        self._place, self._path = place, ""

    def follow(self, node: Node) -> None:
        """Go through a node as counting does."""
        if not isinstance(node, Sequence | LayerNodes | Alternative):
            self._place, self._path = node.place, node.path
        match node:
            case Call():
                self.decide(value for _, value in node.open_args)
                self._give_channels(node)
                self._shrink(node)
            case Stage():
                self.decide((node.depth, node.stride))
                self._strides[node.path] = self._find_stride(node.stride)
                for layer in range(1, find_max_depth(self._find(node.depth), self._declared) + 1):
                    self._layers[node.path] = layer
                    self.follow(node.block)
            case LayerNodes():
                self.follow(node.nodes[self._layers[node.stage] - 1])
            case Alternative():
                self.decide((node.choice,))
                self._follow_options(node.nodes)
            case Parallel():
                self._follow_branches(node.branches)
            case _:
                for child in list_children(node):
                    self.follow(child)
        for name in self._coupling.ends.get(id(node), ()):
            self._kept.pop(name, None)
            for _ in range(self._later.pop(name, 0)):
                self._shrink_by(self._declared[name])

    def decide(self, values: Iterable[Value]) -> None:
        """Count the ways of a node that decides values."""
        own = 1
        for choice in map(self._find, values):
            if isinstance(choice, Choice):
                if choice.name in self._coupling.coupled:
                    self._kept[choice.name] = len(choice.options)
                else:
                    own *= len(choice.options)
        self._add(own)

    def _add(self, own: int) -> None:
        ways = self._channels * prod(self._kept.values()) * own
        self._ways += ways
        self._ways_by_size += ways * len(self._heights)
        if self._ways > MOST_WAYS or self._ways_by_size > MOST_WAYS_BY_SIZE:
            raise make_refusal(self._place, self._path)

    def _follow_options(self, nodes: Iterable[Node]) -> None:
        """Follow alternatives, and go on as from the one that leaves most open."""
        channels, kept, heights, ends = self._channels, self._kept, self._heights, []
        for node in nodes:
            self._channels, self._kept, self._heights = channels, dict(kept), heights
            self.follow(node)
            ends.append(
                (self._channels * prod(self._kept.values()), self._channels, self._kept, self._heights)
            )
        _, self._channels, self._kept, _ = max(ends, key=lambda end: end[0])
        self._heights = set().union(*(end[3] for end in ends))

    def _follow_branches(self, nodes: Iterable[Node]) -> None:
        """Follow branches, which are joined in all combinations of the channels that they give."""
        channels, heights, ends = self._channels, self._heights, []
        joined = None
        for node in nodes:
            self._channels, self._heights = 1, heights  # a branch is worked out alone
            self.follow(node)
            ends.append(self._channels)
            joined = self._heights if joined is None else joined & self._heights  # others cannot be joined
            self._channels, self._heights = channels, joined
            self._add(prod(ends))
        self._channels = max(ends)

    def _give_channels(self, node: Call) -> None:
        for name, value in node.args:
            if name == "out":
                choice = self._find(value)
                own = isinstance(choice, Choice) and choice.name not in self._coupling.coupled
                self._channels = len(choice.options) if own else 1

    def _shrink(self, node: Call) -> None:
        """Follow the heights of the maps that leave a node."""
        stride = self._find_stride(dict(node.args).get("stride", 1))
        if isinstance(stride, Choice) and stride.name in self._coupling.coupled:
            self._later[stride.name] = self._later.get(stride.name, 0) + 1
        else:
            self._shrink_by(stride)

    def _shrink_by(self, stride: Value) -> None:
        steps = {by if isinstance(by, int) else by[0] for by in self._list_options(stride)}
        self._heights = {-(-height // step) for step in steps for height in self._heights}

    def _find_stride(self, value: Value) -> Value:
        value = self._find(value)
        if isinstance(value, StageStride):
            return self._strides[value.stage] if self._layers.get(value.stage) == 1 else 1
        return value

    def _list_options(self, value: Value) -> list[Any]:
        choice = self._find(value)
        return [*choice.values] if isinstance(choice, Choice) else [choice]

    def _find(self, value: Value) -> Value:
        if isinstance(value, PerLayer):
            return self._find(value.values[self._layers[value.stage] - 1])
        return self._declared[value.target] if isinstance(value, SameAs) else value
