"""Cost and number of all points of a stack of cells.

All cells of a kind share their decisions, so each decision is made once, with what it costs in all of them
together. Their channels and sizes are known beforehand. What remains open is which values are read: it says
which nodes are loose ends, hence how many channels a cell gives, and which of the two cells before it a cell
needs; a cell that nothing needs costs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.cost import Cost
from nas.ops import Shape, ShapeError
from nas.space.cells import NO_OPERATOR, SOMETIMES_ZERO, CellPlace, cell_ends, check_operator, prepare
from nas.space.parts import Flow, PartCosts
from nas.space.totals import Decisions, Listing, merge
from nas.space.tree import CELL_INPUTS, CellKind, CellNode, Cells, Node, Value

if TYPE_CHECKING:
    from nas.space.compose import Composer, Env, State

Read = frozenset[str]
Alike = frozenset[tuple[CellPlace, int]]
"""The cells of a kind: each place with the number of cells there that count."""


class End(NamedTuple):
    """What a kind of cell comes to: how many values it gives, which of the cells before it it needs."""

    values: int
    needed: Read


class CellStack:
    """One stack, at known channels and sizes, behind one state."""

    def __init__(
        self, composer: Composer, parts: PartCosts, node: Cells, flow: Flow, places: Sequence[CellPlace]
    ) -> None:
        self._composer = composer
        self._parts = parts
        self._node = node
        self._flow = flow
        self._places = places
        self._known: dict[object, Any] = {}

    def totals(self, env: Env, total: Any) -> Iterator[tuple[State, Any]]:
        """States behind the stack; `total` is of the points before it."""
        every = frozenset(range(len(self._places)))
        nothing = total.nothing()
        needs = {tuple(end.needed for end in ends) for _, ends in self._ends(env, every, nothing)}
        for needed in sorted(needs, key=lambda reads: [sorted(read) for read in reads]):
            live = self._live(needed)
            for (after, ends), inside in self._ends(env, live, nothing).items():
                if tuple(end.needed for end in ends) != needed:
                    continue
                try:
                    cost = self._prepared(ends, live)
                except ShapeError as error:
                    self._composer.blocked(self._node, error)
                else:
                    out = Flow(_output(self._places[-1], ends))
                    yield (out, after), total.then(inside).after(cost, ())

    def _live(self, needed: tuple[Read, ...]) -> frozenset[int]:
        """The cells that the last one needs, itself included."""
        live = {len(self._places) - 1}
        for i in reversed(range(len(self._places))):
            if i in live:
                reads = needed[self._places[i].kind]
                live.update(i - back for back, name in _BACK if name in reads and i >= back)
        return frozenset(live)

    def _prepared(self, ends: tuple[End, ...], live: frozenset[int]) -> Cost:
        """Cost of bringing to a common shape what enters the cells. Raises ShapeError where it cannot be."""
        total = Cost()
        for i, place in enumerate(self._places):
            for back, name in _BACK:
                flow = self._flow if i < back else Flow(_output(self._places[i - back], ends))
                part = self._parts.get(
                    ("prepare", flow, place.entering),
                    (flow,),
                    lambda net, x, shape=place.entering: prepare(net, x, shape),
                )
                if i in live and name in ends[place.kind].needed:
                    total += part.cost
        return total

    # Kinds of cells ------------------------------------------------------------------------------------

    def _ends(self, env: Env, live: frozenset[int], nothing: Any) -> dict[tuple[Env, tuple[End, ...]], Any]:
        """Totals of all decisions within cells, by what each kind comes to; only live cells cost."""
        states: dict[tuple[Env, tuple[End, ...]], Any] = {(env, ()): nothing}
        for index, kind in enumerate(self._node.kinds):
            cells = Counter({place: 0 for place in self._places if place.kind == index})
            cells.update(place for i, place in enumerate(self._places) if place.kind == index and i in live)
            alike = frozenset(cells.items())
            result: dict[tuple[Env, tuple[End, ...]], Any] = {}
            for (before, ends), total in states.items():
                for (after, end), new in self._kind(kind, alike, before, nothing).items():
                    merge(result, (after, (*ends, end)), total.then(new))
            states = result
        return states

    def _kind(self, kind: CellKind, cells: Alike, env: Env, nothing: Any) -> dict[tuple[Env, End], Any]:
        """Totals of the decisions within one kind of cell."""
        key = (id(kind), cells, env)
        if key not in self._known:
            states: dict[tuple[Env, Read], Any] = {(env, frozenset()): nothing}
            tracked = _tracked(kind)
            for node in kind.nodes:
                states = self._cell_node(node, cells, tracked, states)
            self._known[key] = self._outputs(kind, states)
        found: dict[tuple[Env, End], Any] = self._known[key]
        return found

    def _outputs(self, kind: CellKind, states: dict[tuple[Env, Read], Any]) -> dict[tuple[Env, End], Any]:
        result: dict[tuple[Env, End], Any] = {}
        for (env, read), total in states.items():
            for output, after, decisions in self._composer.expand(kind.output, env):
                try:
                    ends = cell_ends(kind, output, read)
                except ShapeError as error:
                    self._composer.blocked(self._node, error)
                else:
                    end = End(len(ends), read.union(ends).intersection(CELL_INPUTS))
                    merge(result, (after, end), total.after(Cost(), decisions))
        return result

    # Nodes of a cell -----------------------------------------------------------------------------------

    def _cell_node(
        self, node: CellNode, cells: Alike, tracked: Read, states: dict[tuple[Env, Read], Any]
    ) -> dict[tuple[Env, Read], Any]:
        """Totals after a node, by the values that were read so far."""
        result: dict[tuple[Env, Read], Any] = {}
        for inputs, some in self._inputs(node, states):
            reached = {(env, read, False): total for (env, read), total in some.items()}
            for value, op in zip(inputs, node.ops, strict=True):
                reached = self._slot(node, op, value, cells, tracked, reached)
            for (env, read, is_present), total in reached.items():
                if is_present:
                    merge(result, (env, read), total)
                else:
                    self._composer.blocked(node, ShapeError(NO_OPERATOR))
        return result

    def _inputs(
        self, node: CellNode, states: dict[tuple[Env, Read], Any]
    ) -> Iterator[tuple[tuple[Value, ...], dict[tuple[Env, Read], Any]]]:
        """What a node's inputs can be, where they are decided together, with the states of each."""
        if isinstance(node.inputs, tuple):
            yield node.inputs, states
            return
        options: dict[tuple[str, ...], dict[tuple[Env, Read], Any]] = {}
        for (env, read), total in states.items():
            for inputs, after, decisions in self._composer.expand(node.inputs, env):
                merge(options.setdefault(inputs, {}), (after, read), total.after(Cost(), decisions))
        yield from options.items()

    def _slot(
        self,
        node: CellNode,
        op: Node,
        value: Value,
        cells: Alike,
        tracked: Read,
        states: dict[tuple[Env, Read, bool], Any],
    ) -> dict[tuple[Env, Read, bool], Any]:
        """Totals after one operator of a node, and whether the node has one that gives more than zeros."""
        result: dict[tuple[Env, Read, bool], Any] = {}
        for (env, read, is_present), total in states.items():
            for source, after, decisions in self._composer.expand(value, env):
                start = total.after(Cost(), decisions)
                now = read | tracked.intersection((source,))
                for (last, is_zero), new in self._operator(
                    node, op, source in CELL_INPUTS, after, cells, total.nothing()
                ).items():
                    state = (last, read, is_present) if is_zero else (last, now, True)
                    merge(result, state, start.then(new))
        return result

    def _operator(
        self, node: CellNode, op: Node, from_cell: bool, env: Env, cells: Alike, nothing: Any
    ) -> dict[tuple[Env, bool], Any]:
        """Totals of an operator in all cells of its kind, and whether it gives zeros: such ones cost nothing."""
        key = (id(op), from_cell, env, cells)
        if key not in self._known:
            result: dict[tuple[Env, bool], Any] = {}
            tables = [(self._variants(node, op, from_cell, env, place), times) for place, times in cells]
            for variant in tables[0][0]:
                after, made = variant
                here = [(*table[variant], times) for table, times in tables if variant in table]
                if len(here) < len(tables):
                    continue
                zero = {is_zero for _, is_zero, _ in here}
                if len(zero) > 1:
                    self._composer.blocked(node, ShapeError(SOMETIMES_ZERO))
                    continue
                is_zero = zero.pop()
                costs = () if is_zero else (cost * times for cost, _, times in here)
                merge(result, (after, is_zero), nothing.after(sum(costs, Cost()), made))
            self._known[key] = result
        found: dict[tuple[Env, bool], Any] = self._known[key]
        return found

    def _variants(
        self, node: CellNode, op: Node, from_cell: bool, env: Env, place: CellPlace
    ) -> dict[tuple[Env, Decisions], tuple[Cost, bool]]:
        """Cost of each variant of an operator in one cell, and whether it gives zeros."""
        key = (id(op), from_cell, env, place)
        if key not in self._known:
            start: dict[State, Any] = {(Flow(place.shape(from_cell)), env): Listing()}
            stride = place.stride(from_cell)
            result: dict[tuple[Env, Decisions], tuple[Cost, bool]] = {}
            ends = self._composer.operator(op, self._node.path, stride, place.out, start)
            for (flow, after), listing in ends.items():
                try:
                    check_operator(flow.shape, place)
                except ShapeError as error:
                    self._composer.blocked(node, error)
                else:
                    result |= {(after, made): (cost, flow.dead) for made, cost in listing.costs.items()}
            self._known[key] = result
        found: dict[tuple[Env, Decisions], tuple[Cost, bool]] = self._known[key]
        return found


_BACK = ((2, "prev2"), (1, "prev1"))


def _output(place: CellPlace, ends: tuple[End, ...]) -> Shape:
    channels, height, width = place.leaving
    return (channels * ends[place.kind].values, height, width)


def _tracked(kind: CellKind) -> Read:
    """The values of which it matters whether they are read: not nodes that are concatenated anyway."""
    names = {node.name for node in kind.nodes}
    match kind.output:
        case "all":
            names = set()
        case tuple():
            names.difference_update(kind.output)
    return frozenset(names.union(CELL_INPUTS))
