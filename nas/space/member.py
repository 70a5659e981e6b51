"""Which point of a space a network is: the network's nodes are laid over those of the space.

Names do not count, nor lists inside lists; a stage is the same as its layers one after the other. Plain
values must be equal, and an open value must offer what the network has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from nas.blocks import get_block_arguments
from nas.errors import InputError
from nas.graph import hash_network
from nas.kinds import dump_value, join_or
from nas.space.language.source import Place
from nas.space.language.tree import (
    CELL_KINDS,
    Alternative,
    Call,
    CellOut,
    Cells,
    Choice,
    LayerNodes,
    Layers,
    Node,
    Parallel,
    PerLayer,
    Residual,
    SameAs,
    Sequence,
    Stage,
    StageStride,
    Value,
    list_children,
    name_node_kind,
    walk,
)
from nas.space.space import INPUT_AXES, Choices, Space

_MAX_STEPS = 100_000
"""Options that look alike multiply: after so many comparisons a network counts as no member."""


def find_point(space: Space, network: Space) -> Choices:
    """Find the point of a space at which it is `network`, a space without choices.

    What the space says of operators inside blocks, such as how weights start, holds for the network too.
    Raises InputError where there is none, with the place and the value at which the nearest points differ.
    """
    network = network.with_details_of(space)
    identity = hash_network(network.architecture())
    search = _Search(space, network)
    alike = None
    for choices in search.search_points():
        if space.identity(choices) == identity:
            return choices
        alike = choices
    raise InputError(
        search.describe_difference() if alike is None else _describe_distinction(space, alike, network)
    )


def _describe_distinction(space: Space, choices: Choices, network: Space) -> str:
    """Describe the first operators that differ although all nodes agree."""
    pairs = zip(space.architecture(choices).nodes, network.architecture().nodes, strict=False)
    ours, theirs = next((a, b) for a, b in pairs if a.op != b.op)
    return (
        f"{space.file}: {ours.name}: {theirs.op}, in {network.file}, is not {ours.op}; the nodes agree, so "
        "compare drop_path, defaults and stages"
    )


@dataclass(frozen=True, slots=True)
class _Nodes:
    """A node, in its layers of the stages around, and those that follow it."""

    node: Node
    layers: Layers
    rest: _Nodes | None


@dataclass(frozen=True, slots=True)
class _Pair:
    """Nodes of the space and of the network that must be alike; then the other such pairs."""

    ours: _Nodes | None
    theirs: _Nodes | None
    rest: _Pair | None


@dataclass(frozen=True, slots=True)
class _State:
    """State of the search: pairs to be compared, the choices that follow so far, and how much agreed."""

    pairs: _Pair | None
    choices: Choices
    agreed: int


@dataclass(frozen=True, slots=True)
class _Where:
    """A place in the space, and the place in the network that is compared with it."""

    place: Place | str
    path: str
    theirs: Place | str

    def at(self, key: str) -> _Where:
        """Return the place of an argument."""
        return replace(self, path=f"{self.path}.{key}")


class _Mismatch(Exception):
    """`agreed`: how much was alike before. `wanted`: what is not there, where that is the difference."""

    def __init__(self, agreed: int, place: Place | str, path: str, message: str, wanted: str = "") -> None:
        self.agreed = agreed
        self.place = place
        self.path = path
        self.message = message
        self.wanted = wanted


class _Search:
    """Depth-first search over the points of a space, each as far as it agrees with a network."""

    def __init__(self, space: Space, network: Space) -> None:
        self._space, self._network = space, network
        self._ours, self._theirs = _Values(space), _Values(network)
        self._nearest: list[_Mismatch] = []

    def search_points(self) -> Iterator[Choices]:
        """Yield the points whose nodes and values are all those of the network."""
        pair = _Pair(_Nodes(self._space.network, {}, None), _Nodes(self._network.network, {}, None), None)
        states = self._advance(self._compare_outside, _State(pair, {}, 0))
        for _ in range(_MAX_STEPS):
            if not states:
                return
            state = states.pop()
            if state.pairs is None:
                yield state.choices
            else:
                states += self._advance(self._compare_next, state)

    def describe_difference(self) -> str:
        """Describe how the points that agree longest differ."""
        first = self._nearest[0]
        wanted = list(dict.fromkeys(d.wanted for d in self._nearest if d.wanted))
        path = first.path.rpartition(".")[0] if len(wanted) > 1 else first.path
        return f"{first.place}: {path}: {first.message}{join_or(wanted) if wanted else ''}"

    def _advance(self, step: Callable[[_State], list[_State]], state: _State) -> list[_State]:
        """Return the states after a step, in reverse order; none where the step fails."""
        try:
            return step(state)[::-1]
        except _Mismatch as difference:
            most = self._nearest[0].agreed if self._nearest else 0
            if difference.agreed > most:
                self._nearest = []
            if difference.agreed >= most:
                self._nearest.append(difference)
            return []

    def _compare_outside(self, state: _State) -> list[_State]:
        """Compare what stands outside the nodes."""
        ours, theirs = self._space, self._network
        rows = list(zip((f"input.{axis}" for axis in INPUT_AXES), ours.input, theirs.input, strict=True))
        rows += [(key, getattr(ours, key), getattr(theirs, key)) for key in ("classes", "width")]
        for path, our, their in rows:
            state = self._agree(state, our, {}, their, _Where(ours.file, path, theirs.file))
        return [state]

    def _compare_next(self, state: _State) -> list[_State]:
        """Compare the next two nodes."""
        assert state.pairs is not None
        ours, theirs, rest = (
            _flatten_first(state.pairs.ours),
            _flatten_first(state.pairs.theirs),
            state.pairs.rest,
        )
        match ours, theirs:
            case None, None:
                return [replace(state, pairs=rest)]
            case _Nodes(Alternative() as node, layers, others), _:
                offers = self._ours.list_offers(node.choice, layers, state.choices)
                options = [
                    (_Nodes(node.get_node(label), layers, others), choices) for label, choices in offers
                ]
                return [
                    _State(_Pair(first, theirs, rest), choices, state.agreed) for first, choices in options
                ]
            case _Nodes(Stage() as one) as a, _Nodes(Stage() as two) as b:
                return [self._compare_stages(state, a, one, b, two)]
            case _Nodes(Stage() as node, layers) as nodes, _:
                return [
                    _State(_Pair(_unroll(nodes, node, depth), theirs, rest), choices, state.agreed)
                    for depth, choices in self._ours.list_offers(node.depth, layers, state.choices)
                ]
            case _, _Nodes(Stage() as node, layers) as nodes:
                depth = self._theirs.get_plain(node.depth, layers)
                return [replace(state, pairs=_Pair(ours, _unroll(nodes, node, depth), rest))]
            case _Nodes() as a, _Nodes() as b:
                return [self._compare_nodes(state, a, b)]
        raise self._report_missing(state, ours, theirs)

    def _compare_stages(self, state: _State, ours: _Nodes, a: Stage, theirs: _Nodes, b: Stage) -> _State:
        """Compare depth and stride; the layers, two by two, and the nodes behind are left."""
        where = _Where(a.place, a.path, b.place)
        depth = self._theirs.get_plain(b.depth, theirs.layers)
        state = self._agree(state, a.depth, ours.layers, depth, where.at("depth"))
        stride = self._theirs.get_plain(b.stride, theirs.layers)
        state = self._agree(state, a.stride, ours.layers, stride, where.at("stride"))
        pairs = _skip_both(ours, theirs, state)
        for i in range(depth, 0, -1):
            one, two = ({**n.layers, s.path: i} for n, s in ((ours, a), (theirs, b)))
            pairs = _Pair(_Nodes(a.block, one, None), _Nodes(b.block, two, None), pairs)
        return replace(state, pairs=pairs)

    def _compare_nodes(self, state: _State, ours: _Nodes, theirs: _Nodes) -> _State:
        """Compare kind and values; the nodes inside, and the nodes behind, are left."""
        a, b = ours.node, theirs.node
        assert isinstance(a, _PLACED) and isinstance(b, _PLACED)
        where = _Where(a.place, a.path, b.place)
        if (
            name_node_kind(a) != name_node_kind(b)
            or len(list_children(a)) != len(list_children(b))
            or _count_operators(a) != _count_operators(b)
        ):
            message = f"{b.place} has {_describe(b)}, not "
            raise _Mismatch(state.agreed, a.place, a.path, message, _describe(a))
        state = replace(state, agreed=state.agreed + 1)
        theirs_by_key = _get_values(b)
        for key, value in _get_values(a).items():
            given = self._theirs.get_plain(theirs_by_key[key], theirs.layers)
            state = self._agree(state, value, ours.layers, given, where.at(key))
        pairs = _skip_both(ours, theirs, state)
        for one, two in reversed(list(zip(list_children(a), list_children(b), strict=True))):
            pairs = _Pair(_Nodes(one, ours.layers, None), _Nodes(two, theirs.layers, None), pairs)
        return replace(state, pairs=pairs)

    def _agree(self, state: _State, value: Value, layers: Layers, given: Any, where: _Where) -> _State:
        """Return the state after setting a value of the space to the given one."""
        offered = []
        for option, choices in self._ours.list_offers(value, layers, state.choices):
            if option == given:
                return _State(state.pairs, choices, state.agreed + 1)
            offered.append(dump_value(option))
        name = self._ours.get_decision(value, layers)
        rule = f"one of {', '.join(offered)}" if len(offered) > 1 else offered[0]
        because = f", as '{name}' is before" if name in state.choices else ""
        message = f"{dump_value(given)}, at {where.theirs}, is not {rule}{because}"
        raise _Mismatch(state.agreed, where.place, where.path if because or not name else name, message)

    def _report_missing(self, state: _State, ours: _Nodes | None, theirs: _Nodes | None) -> _Mismatch:
        """Return the mismatch of a side that has nodes left."""
        left = ours or theirs
        assert left is not None and isinstance(left.node, _PLACED)
        place, path, what = left.node.place, left.node.path, _describe(left.node)
        if ours:
            return _Mismatch(state.agreed, place, path, f"{self._network.file} ends before ", what)
        return _Mismatch(state.agreed, place, path, f"{self._space.file} ends before this {what}")


class _Values:
    """The values of a space, open or not."""

    def __init__(self, space: Space) -> None:
        self._declared = space.declared
        self._strides = {n.path: n.stride for n in walk(space.network) if isinstance(n, Stage)}

    def list_offers(self, value: Value, layers: Layers, choices: Choices) -> Iterator[tuple[Any, Choices]]:
        """Yield what a value can be given some choices, each with the choices made then."""
        match self._unwrap(value, layers):
            case Choice() as choice:
                name = choice.at(layers)
                made = [choices[name]] if name in choices else choice.options
                yield from ((choice.get_value(option), {**choices, name: option}) for option in made)
            case plain:
                yield plain, choices

    def get_plain(self, value: Value, layers: Layers) -> Any:
        """Return a value that is not open."""
        return next(self.list_offers(value, layers, {}))[0]

    def get_decision(self, value: Value, layers: Layers) -> str:
        """Return the name of the decision that an open value waits for; empty for a plain one."""
        own = self._unwrap(value, layers)
        return own.at(layers) if isinstance(own, Choice) else ""

    def _unwrap(self, value: Value, layers: Layers) -> Any:
        """Return the choice or plain value behind a coupling, a list of layers or a stage's stride."""
        match value:
            case SameAs():
                return self._declared[value.target]
            case PerLayer():
                return self._unwrap(value.values[layers[value.stage] - 1], layers)
            case CellOut():
                return "$out"
            case StageStride() if value.stage not in self._strides:
                return "$stride"  # of a cell
            case StageStride():
                return self._unwrap(self._strides[value.stage], layers) if layers[value.stage] == 1 else 1
        return value


_PLACED = (Call, Stage, Residual, Parallel, Cells)


def _flatten_first(nodes: _Nodes | None) -> _Nodes | None:
    """Expand the first of the nodes until it is not a list."""
    while nodes is not None:
        match nodes.node:
            case Sequence(items=items):
                layers, nodes = nodes.layers, nodes.rest
                for item in reversed(items):
                    nodes = _Nodes(item, layers, nodes)
            case LayerNodes() as each:
                nodes = replace(nodes, node=each.nodes[nodes.layers[each.stage] - 1])
            case _:
                break
    return nodes


def _skip_both(ours: _Nodes, theirs: _Nodes, state: _State) -> _Pair:
    """Return the pairs that follow once two nodes agree."""
    assert state.pairs is not None
    return _Pair(ours.rest, theirs.rest, state.pairs.rest)


def _unroll(nodes: _Nodes, stage: Stage, depth: int) -> _Nodes | None:
    """Return the nodes with the first, a stage, replaced by its layers."""
    result = nodes.rest
    for layer in range(depth, 0, -1):
        result = _Nodes(stage.block, {**nodes.layers, stage.path: layer}, result)
    return result


def _get_values(node: Node) -> dict[str, Value]:
    """Return the values of a node by name, with the defaults of those left out."""
    match node:
        case Call():
            known = get_block_arguments(node.block)
            return {key: argument.default for key, argument in known.items()} | dict(node.args)
        case Residual():
            return {"shortcut": node.shortcut, "act": node.act}
        case Parallel():
            return {"join": node.join}
        case Cells():
            return _get_cell_values(node)
    return {}


def _get_cell_values(stack: Cells) -> dict[str, Value]:
    """Return the values of a stack of cells; plain inputs are listed both as one value and one by one."""
    values = {"out": stack.out, "depth": stack.depth, "reductions": stack.reductions}
    for name, kind in zip(CELL_KINDS, stack.kinds, strict=False):
        for node in kind.nodes:
            path = f"{name}.{node.name}"
            separate = node.inputs if isinstance(node.inputs, tuple) else ()
            values |= {f"{path}.input{i}": value for i, value in enumerate(separate, 1)}
            if all(isinstance(value, str) for value in separate):
                values[f"{path}.inputs"] = node.inputs
        values[f"{name}.output"] = kind.output
    return values


def _count_operators(node: Node) -> list[list[int]]:
    """Return how many operators each node of each kind of cell has."""
    return [[len(n.ops) for n in kind.nodes] for kind in node.kinds] if isinstance(node, Cells) else []


def _describe(node: Node) -> str:
    """Describe a node: `mbconv`, `parallel of 4 branches`, `cells of 4 and 5 nodes, with 16 operators`."""
    kind = name_node_kind(node)
    if isinstance(node, Cells):
        sizes = " and ".join(str(len(one.nodes)) for one in node.kinds)
        return f"{kind} of {sizes} nodes, with {len(list_children(node))} operators"
    return f"{kind} of {len(node.branches)} branches" if isinstance(node, Parallel) else kind
