"""What it takes at least to count a space, estimated before anything is counted."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

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
    Value,
    children,
    walk,
)

MOST_WAYS = 1_000_000
"""In which nodes can be entered and decided, all nodes together."""


def check_effort(
    network: Node, outside: Iterable[Value], declared: dict[str, Choice], coupling: Coupling
) -> None:
    """Raise SpaceError, with the node's place, where counting takes more than a minute or two.

    A node is worked out for each number of channels that may enter it, each combination of coupled decisions
    that are still needed, and each combination of its own options; `outside` are the values that all need.
    """
    place = next((node.place for node in walk(network) if hasattr(node, "place")), None)
    if place is not None:  # else there is nothing to count
        effort = _Effort(declared, coupling, place)
        effort.decide(outside)
        effort.follow(network)


def make_refusal(place: Place, path: str) -> SpaceError:
    """Return what is said where counting takes too long."""
    return SpaceError(
        place,
        path,
        f"the options up to here combine in more than {MOST_WAYS:,} ways, the most that are counted; offer "
        "fewer numbers of channels, fewer open branches, or couple fewer choices",
    )


class _Effort:
    def __init__(self, declared: dict[str, Choice], coupling: Coupling, place: Place) -> None:
        self._declared = declared
        self._coupling = coupling
        self._layers: dict[str, int] = {}
        self._channels = 1
        """How many numbers of channels may enter the node at hand."""
        self._kept: dict[str, int] = {}
        """The options of coupled choices that are decided and still needed, by name."""
        self._ways = 0
        self._place, self._path = place, ""

    def follow(self, node: Node) -> None:
        """Go through a node as counting does."""
        if not isinstance(node, Sequence | LayerNodes | Alternative):
            self._place, self._path = node.place, node.path
        match node:
            case Call():
                self.decide(value for _, value in node.open_args)
                self._give_channels(node)
            case Stage():
                self.decide((node.depth, node.stride))
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
                for child in children(node):
                    self.follow(child)
        for name in self._coupling.ends.get(id(node), ()):
            self._kept.pop(name, None)

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
        self._ways += self._channels * prod(self._kept.values()) * own
        if self._ways > MOST_WAYS:
            raise make_refusal(self._place, self._path)

    def _follow_options(self, nodes: Iterable[Node]) -> None:
        """Follow alternatives, and go on as from the one that leaves most open."""
        channels, kept, ends = self._channels, self._kept, []
        for node in nodes:
            self._channels, self._kept = channels, dict(kept)
            self.follow(node)
            ends.append((self._channels * prod(self._kept.values()), self._channels, self._kept))
        _, self._channels, self._kept = max(ends, key=lambda end: end[0])

    def _follow_branches(self, nodes: Iterable[Node]) -> None:
        """Follow branches, which are joined in all combinations of the channels that they give."""
        channels, ends = self._channels, []
        for node in nodes:
            self._channels = 1  # a branch is worked out alone
            self.follow(node)
            ends.append(self._channels)
            self._channels = channels
            self._add(prod(ends))
        self._channels = max(ends)

    def _give_channels(self, node: Call) -> None:
        for name, value in node.args:
            if name == "out":
                choice = self._find(value)
                own = isinstance(choice, Choice) and choice.name not in self._coupling.coupled
                self._channels = len(choice.options) if own else 1

    def _find(self, value: Value) -> Value:
        if isinstance(value, PerLayer):
            value = value.values[self._layers[value.stage] - 1]
        return self._declared[value.target] if isinstance(value, SameAs) else value
