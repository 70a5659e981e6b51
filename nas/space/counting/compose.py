"""Cost and number of all points of a space, part by part.

What a part costs depends on the shape that enters it and on its own decisions alone. So the points that
reach the same shape with the same shared decisions are carried through the network together, as one value
of an algebra: a cost for one point, or a graph of all points for a whole space.

Decisions are made where they are first needed, as in a forward pass. One that is needed in several places
(a coupled choice) stays in the state from its first use to the end of the part that holds all its uses.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

from nas.blocks import Builder, Ref
from nas.cost import Cost
from nas.ops import ShapeError
from nas.space.cell_places import place_cells
from nas.space.counting.algebra import Decisions, Muted, Sum, Total, merge
from nas.space.counting.cell_stacks import CellStack
from nas.space.counting.coupling import Coupling
from nas.space.counting.effort import MOST_WAYS_BY_SIZE, make_refusal
from nas.space.counting.part_costs import Flow, PartCosts
from nas.space.counting.recall import Memory
from nas.space.elaborate import add_call, join_branches, join_residual, scale_channels
from nas.space.language.source import SpaceError
from nas.space.language.tree import (
    Alternative,
    Call,
    CellNode,
    CellOut,
    Cells,
    Choice,
    LayerNodes,
    Node,
    Option,
    Parallel,
    PerLayer,
    Residual,
    SameAs,
    Sequence,
    Stage,
    StageStride,
    Unscaled,
    Value,
)


@dataclass(frozen=True, slots=True)
class Shared:
    """A coupled decision that is still needed."""

    choice: str
    name: str
    option: Option


_Worked = TypeVar("_Worked")
_OF_LAYERS = StageStride, PerLayer

Env = frozenset[Shared]
State = tuple[Flow, Env]


@dataclass(frozen=True, slots=True)
class _Joined:
    """Values at a join; `kept` says of each branch, the last values, whether `total` counts its cost."""

    flows: tuple[Flow, ...]
    kept: tuple[bool, ...]
    env: Env
    total: Any


class Composer:
    """Composition of totals along a network.

    `options` gives, for a choice and the name of a decision on it, the options to follow: all of them for a
    whole space, one for a point. `memory` is of all points, and None for a whole space.
    """

    def __init__(
        self,
        declared: dict[str, Choice],
        parts: PartCosts,
        options: Callable[[Choice, str], tuple[Option, ...]],
        coupling: Coupling,
        width: Value,
        memory: Memory | None = None,
    ) -> None:
        self._declared = declared
        self.parts = parts
        self._options = options
        self._coupling = coupling
        self._width = width
        self._layers: dict[str, int] = {}
        self._strides: dict[str, Value] = {}
        self._channels: dict[str, int | Unscaled] = {}
        self._ways = 0
        self._memory = memory
        self._results: dict[Hashable, Any] = {}
        self._blocks = 0
        self.obstacles: list[SpaceError] = []
        """What kept points from being built, first come first."""

    def traverse_network(
        self, network: Node, input_values: tuple[Value, ...], start: Total
    ) -> dict[State, Any]:
        """Return the totals by the state at the end, over all decisions on input, width and network."""
        states: dict[State, Any] = {}
        # The width is decided here with the input, as every block needs it.
        for (*shape, _), env, decisions in self.combine((*input_values, self._width), frozenset()):
            merge(states, (Flow(tuple(shape)), env), start.extend(self.parts.constant, decisions))
        return self.traverse(network, states)

    # Nodes ---------------------------------------------------------------------------------------------

    def traverse(self, node: Node, states: dict[State, Any]) -> dict[State, Any]:
        """Return the totals after a node, by the state there."""
        match node:
            case Sequence():
                for item in node.items:
                    states = self.traverse(item, states)
            case Stage():
                states = self._traverse_stage(node, states)
            case LayerNodes():
                states = self.traverse(node.nodes[self._layers[node.stage] - 1], states)
            case _:
                result: dict[State, Any] = {}
                for (flow, env), total in states.items():
                    self._traverse_one(node, flow, env, total, result)
                states = result
        # A decision that nothing needs any more only splits states which could be counted together.
        ended = self._coupling.ends.get(id(node))
        return _forget(states, ended) if ended else states

    def _traverse_one(self, node: Node, flow: Flow, env: Env, total: Any, result: dict[State, Any]) -> None:
        """Add the totals after a node, from one state before it."""
        match node:
            case Call():
                self._call(node, flow, env, total, result)
            case Alternative():
                for option, after, decisions in self.expand(node.choice, env):
                    states = {(flow, after): total.extend(Cost(), decisions)}
                    for state, new in self.traverse(node.get_node(option), states).items():
                        merge(result, state, new)
            case Residual():
                for kept, (body, after), one in self._traverse_branch(node.body, (flow, env), total):
                    end = _Joined((flow, body), (kept,), after, total.multiply(one))
                    self._join(node, (node.shortcut, node.act), join_residual, end, result)
            case Parallel():
                ends = [_Joined((), (), env, total)]
                for branch in node.branches:
                    # Totals of a branch depend on the environment alone, so each is composed once, not for
                    # each end.
                    follow = {
                        before.env: list(self._traverse_branch(branch, (flow, before.env), total))
                        for before in ends
                    }
                    ends = [
                        _Joined((*before.flows, out), (*before.kept, kept), after, before.total.multiply(one))
                        for before in ends
                        for kept, (out, after), one in follow[before.env]
                    ]
                for end in ends:
                    self._join(node, (node.join,), _join_branches, end, result)
            case Cells():
                self._traverse_cells(node, flow, env, total, result)
            case _:
                raise AssertionError(node)

    def _traverse_branch(self, node: Node, state: State, total: Any) -> Iterator[tuple[bool, State, Any]]:
        """Yield the states at a branch's end, the totals of it alone, and whether they count its cost.

        A sum drops what is zero, and with it all that the zero was made from. Which branches it drops is
        known at the join only, so a branch that ends in zero is followed both ways.
        """
        # From nothing, not from `total`: the branches' totals are multiplied with it once, at the join.
        ends = self.traverse(node, {state: total.nothing})
        for end, new in ends.items():
            yield True, end, new
        if any(flow.dead for flow, _ in ends):
            for end, muted in self.traverse(node, {state: Muted(total.nothing)}).items():
                if end[0].dead:
                    yield False, end, muted.total

    def _call(self, node: Call, flow: Flow, env: Env, total: Any, result: dict[State, Any]) -> None:
        names = tuple(name for name, _ in node.open_args)
        values = (self._width, *(value for _, value in node.open_args))
        for (width, *given), after, decisions in self.combine(values, env):
            self._ways += 1
            if self._ways > MOST_WAYS_BY_SIZE:  # of sizes that the estimate beforehand does not see
                raise make_refusal(node.place, node.path)
            arguments = node.fixed_args | dict(zip(names, given, strict=True))
            # The same block on the same shape costs the same wherever it stands.
            key = (node.block, flow, width, *arguments.items())
            try:
                part = self.parts.get(
                    key, (flow,), lambda net, x, a=arguments, w=width: add_call(net, node, x, a, w)
                )
            except ShapeError as error:
                self.remember(node, error)
            else:
                merge(result, (part.out, after), total.extend(part.cost, decisions))

    def _join(
        self,
        node: Residual | Parallel,
        values: tuple[Value, ...],
        join: Callable[..., Ref],
        end: _Joined,
        result: dict[State, Any],
    ) -> None:
        """Add the totals after the branches that end here are joined in the way that `values` say."""
        for given, env, decisions in self.combine(values, end.env):
            try:
                part = self.parts.get(
                    (type(node), end.flows, given), end.flows, lambda net, *x, g=given: join(net, *x, *g)
                )
            except ShapeError as error:
                self.remember(node, error)
            else:
                # Of the two totals of a zero branch, the one stays whose guess of its fate was right.
                if part.used[-len(end.kept) :] == end.kept:
                    merge(result, (part.out, env), end.total.extend(part.cost, decisions))

    def _traverse_stage(self, node: Stage, states: dict[State, Any]) -> dict[State, Any]:
        self._strides[node.path] = node.stride
        result: dict[State, Any] = {}
        depth = node.depth
        if isinstance(depth, Choice) and depth.name not in self._coupling.coupled:
            name = depth.at(self._layers)
            # Depths share their first layers: one pass to the deepest, leaving totals at every depth on the
            # way.
            wanted = self._options(depth, name)
            for layer in range(1, max(map(depth.get_value, wanted)) + 1):
                states = self._traverse_layer(node, layer, states)
                if layer in wanted:
                    for state, total in states.items():
                        merge(result, state, total.extend(Cost(), ((name, layer),)))
            return result
        # A coupled depth is part of the state from the first layer on, so each depth walks by itself.
        for (flow, env), total in states.items():
            for layers, after, decisions in self.expand(depth, env):
                one = {(flow, after): total.extend(Cost(), decisions)}
                for layer in range(1, layers + 1):
                    one = self._traverse_layer(node, layer, one)
                for state, new in one.items():
                    merge(result, state, new)
        return result

    def _traverse_cells(
        self, node: Cells, flow: Flow, env: Env, total: Any, result: dict[State, Any]
    ) -> None:
        values = (self._width, node.out, node.depth, node.reductions)
        for (width, out, depth, reductions), after, decisions in self.combine(values, env):
            try:
                scale = partial(scale_channels, width=width)
                places = place_cells(flow.shape, out, depth, reductions, scale)
            except ShapeError as error:
                self.remember(node, error)
                continue
            stack = CellStack(self, self.parts, node, flow, places)
            for state, new in stack.compute_totals(after, total.extend(Cost(), decisions)):
                merge(result, state, new)

    def traverse_operator(
        self, node: Node, cell: str, stride: int, out: int | Unscaled, states: dict[State, Any]
    ) -> dict[State, Any]:
        """Return the totals after an operator of a cell, by the state there."""
        self._strides[cell], self._channels[cell], self._layers[cell] = stride, out, 1
        states = self.traverse(node, states)
        del self._layers[cell]
        return states

    def _traverse_layer(self, node: Stage, layer: int, states: dict[State, Any]) -> dict[State, Any]:
        self._layers[node.path] = layer
        states = self._compute_or_recall(node.block, states)
        del self._layers[node.path]
        return states

    def _compute_or_recall(self, node: Node, states: dict[State, Any]) -> dict[State, Any]:
        """Return the totals after a node; of one point, what was worked out for points like it."""
        if self._memory is None or not all(isinstance(total, Sum) for total in states.values()):
            return self.traverse(node, states)
        result: dict[State, Any] = {}
        for state, total in states.items():
            ends = self.recall((id(node), state), partial(self.traverse, node, {state: Sum()}))
            for end, new in ends.items():
                merge(result, end, total.multiply(new))
        return result

    def recall(self, key: Hashable, work: Callable[[], _Worked]) -> _Worked:
        """Return what `work` does, which is done once for all that make the same decisions in it.

        `key` stands for all that it depends on beside these and the layers around.
        """
        if self._memory is None:
            if key not in self._results:
                self._results[key] = work()
            return cast("_Worked", self._results[key])
        around = [(n, i, self._strides.get(n), self._channels.get(n)) for n, i in self._layers.items()]
        key = (key, *around)
        met = self._memory.find(key, lambda choice, name: self._options(choice, name)[0])
        if met is not None:
            return cast("_Worked", met.value)
        asked: dict[str, tuple[Choice, Option]] = {}
        options, blocks = self._options, self._blocks

        def noted(choice: Choice, name: str) -> tuple[Option, ...]:
            taken = options(choice, name)
            asked.setdefault(name, (choice, taken[0]))
            return taken

        self._options = noted  # what is recalled inside is noted as well
        worked = work()
        self._options = options
        if self._blocks == blocks:  # what keeps a point from being built is said anew for each
            self._memory.keep(key, asked, worked)
        return worked

    def remember(self, node: Call | Residual | Parallel | Cells | CellNode, error: ShapeError) -> None:
        """Remember what keeps points from being built."""
        self._blocks += 1
        obstacle = SpaceError(node.place, node.path, str(error))
        if len(self.obstacles) < 8 and str(obstacle) not in map(str, self.obstacles):
            self.obstacles.append(obstacle)

    # Values --------------------------------------------------------------------------------------------

    def expand(self, value: Value, env: Env) -> Iterable[tuple[Any, Env, Decisions]]:
        """Return what a value can be, each with the decisions shared and made by it."""
        if isinstance(value, CellOut):
            value = self._channels[value.cell]
        while isinstance(value, _OF_LAYERS):
            layer = self._layers[value.stage]
            if isinstance(value, PerLayer):
                value = value.values[layer - 1]
            else:
                value = self._strides[value.stage] if layer == 1 else 1
        if isinstance(value, SameAs):
            value = self._declared[value.target]
        if not isinstance(value, Choice):
            return ((value, env, ()),)
        name = value.at(self._layers)
        shared = value.name in self._coupling.coupled
        if shared:
            # Decided before, in another place: follow that decision and count no new one.
            for decision in env:
                if decision.name == name:
                    return ((value.get_value(decision.option), env, ()),)
        return [
            (
                value.get_value(option),
                env | {Shared(value.name, name, option)} if shared else env,
                ((name, option),),
            )
            for option in self._options(value, name)
        ]

    def combine(
        self, values: tuple[Value, ...], env: Env
    ) -> Iterable[tuple[tuple[Any, ...], Env, Decisions]]:
        """Return what several values can be together."""
        # One after the other, since two values may be the same coupled decision.
        found: list[tuple[tuple[Any, ...], Env, Decisions]] = [((), env, ())]
        for value in values:
            found = [
                ((*given, one), last, decisions + more)
                for given, after, decisions in found
                for one, last, more in self.expand(value, after)
            ]
        return found


def _join_branches(net: Builder, *branches_and_join: Any) -> Ref:
    *branches, join = branches_and_join
    return join_branches(net, branches, join)


def _forget(states: dict[State, Any], ended: frozenset[str]) -> dict[State, Any]:
    """Return the states without the decisions that nothing needs any more."""
    result: dict[State, Any] = {}
    for (flow, env), total in states.items():
        merge(result, (flow, frozenset(d for d in env if d.choice not in ended)), total)
    return result
