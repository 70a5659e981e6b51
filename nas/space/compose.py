"""Cost and number of all points of a space, part by part.

What a part costs depends on the shape that enters it and on its own decisions alone. So the points that
reach the same shape with the same shared decisions are carried through the network together, as one value
of an algebra: a cost for one point, or a count with the cheapest and dearest point for a whole space.

Decisions are made where they are first needed, as in a forward pass. One that is needed in several places
(a coupled choice) stays in the state from its first use to the end of the part that holds all its uses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, Self

from nas.blocks import Builder, Ref
from nas.cost import Cost
from nas.ops import Shape
from nas.space.elaborate import call, join_branches, join_residual
from nas.space.source import SpaceError
from nas.space.tree import (
    Alternative,
    Call,
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
    Value,
    children,
    own_values,
)

Decisions = tuple[tuple[str, Option], ...]


class Total(Protocol):
    """What is known of the points that share a state."""

    def after(self, cost: Cost, decisions: Decisions) -> Self:
        """The same points, each with a part of this cost added and these decisions made."""

    def with_other(self, other: Self) -> Self:
        """These points and those, together."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A coupled decision that is still needed."""

    choice: str
    name: str
    option: Option


Env = frozenset[Shared]
State = tuple[Shape, Env]


class DeadBranches(Exception):
    """The network has zero operators: what it costs is known after simplification only."""


class PartCosts:
    """Costs of parts, each worked out once: the memory behind every cost question about a space."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._known: dict[object, tuple[Shape, Cost] | SpaceError] = {}

    def get(self, key: object, shape: Shape, build: Callable[[Builder, Ref], Ref]) -> tuple[Shape, Cost]:
        """Output shape and cost of what `build` adds to an input of this shape.

        Raises SpaceError where it cannot be built and DeadBranches where zeros are in it.
        """
        found = self._known.get(key)
        if found is None:
            net = Builder(shape, self._classes)
            try:
                output = build(net, net.input)
            except SpaceError as error:
                self._known[key] = found = error
            else:
                cost = net.cost(output)
                if cost is None:
                    raise DeadBranches
                self._known[key] = found = (output.shape, cost)
        if isinstance(found, SpaceError):
            raise found
        return found


class Composer:
    """Carries totals through a network.

    `options` gives, for a choice and the name of a decision on it, the options to follow: all of them for a
    whole space, one for a point. `coupled` are the choices that several places need, `ends` those whose
    last use is inside a node, by the node's id.
    """

    def __init__(
        self,
        declared: dict[str, Choice],
        parts: PartCosts,
        options: Callable[[Choice, str], tuple[Option, ...]],
        coupling: Coupling,
        width: Value,
    ) -> None:
        self._declared = declared
        self._parts = parts
        self._options = options
        self._coupling = coupling
        self._width = width
        self._layers: dict[str, int] = {}
        self._strides: dict[str, Value] = {}
        self.obstacles: list[SpaceError] = []
        """What kept points from being built, first come first."""

    def network(self, network: Node, input_values: tuple[Value, ...], start: Total) -> dict[State, Any]:
        """Totals by the state at the end, from all decisions on the input and the network."""
        states: dict[State, Any] = {}
        for shape, env, decisions in self._combinations(input_values, frozenset()):
            _merge(states, (shape, env), start.after(Cost(), decisions))
        return self._through(network, states)

    # Nodes ---------------------------------------------------------------------------------------------

    def _through(self, node: Node, states: dict[State, Any]) -> dict[State, Any]:
        """Totals after a node, by the state there."""
        match node:
            case Sequence():
                for item in node.items:
                    states = self._through(item, states)
            case Stage():
                states = self._stage(node, states)
            case LayerNodes():
                states = self._through(node.nodes[self._layers[node.stage] - 1], states)
            case _:
                result: dict[State, Any] = {}
                for (shape, env), total in states.items():
                    self._one(node, shape, env, total, result)
                states = result
        ended = self._coupling.ends.get(id(node))
        return _forget(states, ended) if ended else states

    def _one(self, node: Node, shape: Shape, env: Env, total: Any, result: dict[State, Any]) -> None:
        """Add the totals after a node, from one state before it."""
        match node:
            case Call():
                self._call(node, shape, env, total, result)
            case Alternative():
                for option, after, decisions in self._expand(node.choice, env):
                    states = {(shape, after): total.after(Cost(), decisions)}
                    for state, new in self._through(node.chosen(option), states).items():
                        _merge(result, state, new)
            case Residual():
                for (body, after), one in self._through(node.body, {(shape, env): total}).items():
                    for values, last, decisions in self._combinations((node.shortcut, node.act), after):
                        key: object = ("residual", shape, body, values)
                        self._joined(
                            key, [shape, body], last, one, decisions, result,
                            partial(_residual, node, values),
                        )  # fmt: skip
            case Parallel():
                ends: list[tuple[list[Shape], Env, Any]] = [([], env, total)]
                for branch in node.branches:
                    ends = [
                        ([*shapes, out], last, one)
                        for shapes, after, before in ends
                        for (out, last), one in self._through(branch, {(shape, after): before}).items()
                    ]
                for shapes, after, one in ends:
                    for (how,), last, decisions in self._combinations((node.join,), after):
                        key = ("parallel", tuple(shapes), how)
                        self._joined(
                            key, shapes, last, one, decisions, result,
                            partial(_branches, node, how),
                        )  # fmt: skip
            case _:
                raise AssertionError(node)

    def _call(self, node: Call, shape: Shape, env: Env, total: Any, result: dict[State, Any]) -> None:
        names = tuple(name for name, _ in node.open_args)
        values = (self._width, *(value for _, value in node.open_args))
        for (width, *given), after, decisions in self._combinations(values, env):
            arguments = node.fixed_args | dict(zip(names, given, strict=True))
            key = (node.block, shape, width, *arguments.items())
            try:
                out, cost = self._parts.get(
                    key, shape, lambda net, x, a=arguments, w=width: call(net, node, x, a, w)
                )
            except SpaceError as error:
                self._blocked(error)
            else:
                _merge(result, (out, after), total.after(cost, decisions))

    def _joined(
        self,
        key: object,
        shapes: list[Shape],
        env: Env,
        total: Any,
        decisions: Decisions,
        result: dict[State, Any],
        join: Callable[..., Ref],
    ) -> None:
        """Add the totals after values of these shapes are joined."""

        def build(net: Builder, x: Ref) -> Ref:
            return join(net, *(Ref(net.input.name, shape) for shape in shapes))

        try:
            out, cost = self._parts.get(key, shapes[0], build)
        except SpaceError as error:
            self._blocked(error)
        else:
            _merge(result, (out, env), total.after(cost, decisions))

    def _stage(self, node: Stage, states: dict[State, Any]) -> dict[State, Any]:
        self._strides[node.path] = node.stride
        result: dict[State, Any] = {}
        depth = node.depth
        if isinstance(depth, Choice) and depth.name not in self._coupling.coupled:
            name = depth.at(self._layers)
            wanted = self._options(depth, name)
            for layer in range(1, max(map(depth.value, wanted)) + 1):
                states = self._layer(node, layer, states)
                if layer in wanted:
                    for state, total in states.items():
                        _merge(result, state, total.after(Cost(), ((name, layer),)))
            return result
        for (shape, env), total in states.items():
            for layers, after, decisions in self._expand(depth, env):
                one = {(shape, after): total.after(Cost(), decisions)}
                for layer in range(1, layers + 1):
                    one = self._layer(node, layer, one)
                for state, new in one.items():
                    _merge(result, state, new)
        return result

    def _layer(self, node: Stage, layer: int, states: dict[State, Any]) -> dict[State, Any]:
        self._layers[node.path] = layer
        states = self._through(node.block, states)
        del self._layers[node.path]
        return states

    def _blocked(self, error: SpaceError) -> None:
        if len(self.obstacles) < 8:
            self.obstacles.append(error)

    # Values --------------------------------------------------------------------------------------------

    def _expand(self, value: Value, env: Env) -> Iterator[tuple[Any, Env, Decisions]]:
        """What a value can be, each with the decisions shared and made by it."""
        if isinstance(value, StageStride):
            value = self._strides[value.stage] if self._layers[value.stage] == 1 else 1
        if isinstance(value, PerLayer):
            value = value.values[self._layers[value.stage] - 1]
        if isinstance(value, SameAs):
            value = self._declared[value.target]
        if not isinstance(value, Choice):
            yield value, env, ()
            return
        name = value.at(self._layers)
        shared = value.name in self._coupling.coupled
        if shared:
            for decision in env:
                if decision.name == name:
                    yield value.value(decision.option), env, ()
                    return
        for option in self._options(value, name):
            after = env | {Shared(value.name, name, option)} if shared else env
            yield value.value(option), after, ((name, option),)

    def _combinations(
        self, values: tuple[Value, ...], env: Env
    ) -> Iterator[tuple[tuple[Any, ...], Env, Decisions]]:
        """What several values can be together."""
        if not values:
            yield (), env, ()
            return
        for first, after, decisions in self._expand(values[0], env):
            for rest, last, more in self._combinations(values[1:], after):
                yield (first, *rest), last, decisions + more


@dataclass(frozen=True)
class Coupling:
    """Which choices several places need, and where the last of their uses is."""

    coupled: frozenset[str]
    ends: dict[int, frozenset[str]]

    @classmethod
    def none(cls) -> Coupling:
        """For a point: every choice has one option, so nothing needs to be remembered."""
        return cls(frozenset(), {})

    @classmethod
    def of(cls, network: Node, outside: tuple[Value, ...], declared: dict[str, Choice]) -> Coupling:
        """Of a network and the values outside it, which every part may need."""
        counts: dict[int, Counter[str]] = {}

        def count(node: Node) -> Counter[str]:
            uses = Counter(name for value in own_values(node) for name in _choices_in(value, declared))
            for child in children(node):
                uses.update(count(child))
            if isinstance(node, Stage):
                for name in uses:
                    if declared[name].stage != node.path:
                        uses[name] *= 2
            counts[id(node)] = uses
            return uses

        total = Counter(count(network))
        global_names = {name for value in outside for name in _choices_in(value, declared)}
        for name in global_names:
            total[name] += 2
        coupled = frozenset(name for name, n in total.items() if n > 1)
        ends: dict[int, frozenset[str]] = {}

        def mark(node: Node) -> None:
            inner = children(node)
            for child in inner:
                mark(child)
            here = frozenset(
                name
                for name in coupled - global_names
                if counts[id(node)][name] == total[name]
                and all(counts[id(child)][name] != total[name] for child in inner)
            )
            if here:
                ends[id(node)] = here

        mark(network)
        return cls(coupled, ends)


def _choices_in(value: Value, declared: dict[str, Choice]) -> Iterator[str]:
    if isinstance(value, Choice):
        yield value.name
    elif isinstance(value, SameAs):
        yield value.target
    elif isinstance(value, PerLayer):
        for inner in value.values:
            yield from _choices_in(inner, declared)


def _residual(node: Residual, values: tuple[Any, ...], net: Builder, x: Ref, body: Ref) -> Ref:
    return join_residual(net, node, x, body, *values)


def _branches(node: Parallel, how: str, net: Builder, *branches: Ref) -> Ref:
    return join_branches(net, node, list(branches), how)


def _merge(totals: dict[State, Any], state: State, new: Any) -> None:
    old = totals.get(state)
    totals[state] = new if old is None else old.with_other(new)


def _forget(states: dict[State, Any], ended: frozenset[str]) -> dict[State, Any]:
    """The states without the decisions that nothing needs any more."""
    result: dict[State, Any] = {}
    for (shape, env), total in states.items():
        _merge(result, (shape, frozenset(d for d in env if d.choice not in ended)), total)
    return result
