"""Cost and number of all points of a stack of cells.

All cells of a kind share their decisions, so each decision is made once, with what it costs in all of them
together. Their channels and sizes are known beforehand. What remains open is which values are read: it says
which nodes are loose ends, hence how many channels a cell gives, and which of the two cells before it a cell
needs; a cell that nothing needs costs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.cost import Cost
from nas.ops import Shape, ShapeError
from nas.space.cells import (
    ALL,
    LOST,
    NO_OPERATOR,
    SOMETIMES_ZERO,
    CellPlace,
    check_operator,
    find_cell_ends,
    find_lost_node,
    prepare_input,
)
from nas.space.counting.algebra import Decisions, Listing, merge
from nas.space.counting.part_costs import Flow, PartCosts
from nas.space.language.tree import CELL_INPUTS, CellKind, CellNode, Cells, Node, Value

if TYPE_CHECKING:
    from nas.space.counting.compose import Composer, Env, State

Read = frozenset[str]
Alike = frozenset[tuple[CellPlace, int]]
"""The cells of a kind: each place with the number of cells there that count."""

Arrivals = Mapping[tuple[CellPlace | None, Shape], int]
Variants = Mapping[tuple["Env", Decisions], tuple[Cost, bool]]


class End(NamedTuple):
    """Outcome of a kind of cell: the number of values that it gives, and the earlier cells that it needs."""

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
        self._kinds: dict[object, dict[tuple[Env, End], Any]] = {}

    def totals(self, env: Env, total: Any) -> Iterator[tuple[State, Any]]:
        """Yield the totals by the state behind the stack; `total` is of the points before it."""
        nothing = total.nothing()
        # Which cells are live depends on what the cells read, which depends on the decisions inside them. So
        # the possible reads come first, as if all cells were live, and the totals once for each of them.
        every = self._ends(env, frozenset(range(len(self._places))), None, nothing)
        needs = {tuple(end.needed for end in ends) for _, ends in every}
        for needed in sorted(needs, key=lambda reads: [sorted(read) for read in reads]):
            live = self._live(needed)
            arrivals = self._arrivals(needed, live)
            for (after, ends), inside in self._ends(env, live, needed, nothing).items():
                # `needed` bounds what cells may read; here only the points that read all of it count.
                if tuple(end.needed for end in ends) != needed:
                    continue
                try:
                    cost = self._prepared(arrivals, ends)
                except ShapeError as error:
                    self._composer.blocked(self._node, error)
                else:
                    out = Flow(_output(self._places[-1], ends))
                    yield (out, after), total.then(inside).after(cost, ())

    def _live(self, needed: tuple[Read, ...]) -> frozenset[int]:
        """Return the cells that the last one needs, itself included."""
        live = {len(self._places) - 1}
        # One pass from the end is enough, since cells read only earlier ones.
        for i in reversed(range(len(self._places))):
            if i in live:
                reads = needed[self._places[i].kind]
                live.update(i - back for back, name in _BACK if name in reads and i >= back)
        return frozenset(live)

    def _arrivals(self, needed: tuple[Read, ...], live: frozenset[int]) -> Arrivals:
        """Return what enters cells: cell of origin, shape wanted, and how often preparing it costs."""
        found: Counter[tuple[CellPlace | None, Shape]] = Counter()
        for i, place in enumerate(self._places):
            for back, name in _BACK:
                source = self._places[i - back] if i >= back else None
                # An input that nothing uses counts 0 times, but is kept: it must be possible to prepare it.
                found[source, place.entering] += i in live and name in needed[place.kind]
        return found

    def _prepared(self, arrivals: Arrivals, ends: tuple[End, ...]) -> Cost:
        """Return the cost of preparing the inputs of cells. Raises ShapeError where they cannot be."""
        total = Cost()
        for (source, entering), times in arrivals.items():
            flow = Flow(_output(source, ends)) if source else self._flow
            part = self._parts.get(
                ("prepare", flow, entering),
                (flow,),
                lambda net, x, shape=entering: prepare_input(net, x, shape),
            )
            total += part.cost * times
        return total

    # Kinds of cells ------------------------------------------------------------------------------------

    def _ends(
        self, env: Env, live: frozenset[int], needed: tuple[Read, ...] | None, nothing: Any
    ) -> dict[tuple[Env, tuple[End, ...]], Any]:
        """Return the totals of the decisions within cells, by the ends of each kind; only live cells cost.

        Of the points whose cells need no others than `needed`, where given.
        """
        states: dict[tuple[Env, tuple[End, ...]], Any] = {(env, ()): nothing}
        for index, kind in enumerate(self._node.kinds):
            # Equal cells count once with their number; dead ones stay at 0, as their shapes must fit as well.
            cells = Counter({place: 0 for place in self._places if place.kind == index})
            cells.update(place for i, place in enumerate(self._places) if place.kind == index and i in live)
            alike = frozenset(cells.items())
            allowed = needed[index] if needed else frozenset(CELL_INPUTS)
            result: dict[tuple[Env, tuple[End, ...]], Any] = {}
            for (before, ends), total in states.items():
                # The totals within a kind do not depend on the other kind, so they serve all its states.
                key = (index, alike, allowed, before)
                if key not in self._kinds:
                    of_kind = _KindTotals(self._composer, self._node, kind, alike, allowed)
                    self._kinds[key] = of_kind.totals(before, nothing)
                for (after, end), new in self._kinds[key].items():
                    merge(result, (after, (*ends, end)), total.then(new))
            states = result
        return states


@dataclass(frozen=True)
class _KindTotals:
    """Totals of the decisions within one kind of cell, where these need no other cells than `needed`."""

    composer: Composer
    stack: Cells
    kind: CellKind
    cells: Alike
    needed: Read

    def totals(self, env: Env, nothing: Any) -> dict[tuple[Env, End], Any]:
        """Return the totals by the kind's end."""
        states: dict[tuple[Env, Read], Any] = {(env, frozenset()): nothing}
        for node in self.kind.nodes:
            states = self._node(node, states)
        result: dict[tuple[Env, End], Any] = {}
        for (before, read), total in states.items():
            for output, after, decisions in self.composer.expand(self.kind.output, before):
                lost = find_lost_node(self.kind, output, read)
                if lost:
                    self.composer.blocked(lost, ShapeError(LOST))
                    continue
                ends = find_cell_ends(self.kind, output, read)
                end = End(len(ends), read.union(ends).intersection(CELL_INPUTS))
                merge(result, (after, end), total.after(Cost(), decisions))
        return result

    @cached_property
    def _tracked(self) -> Read:
        """The values of which it matters whether they are read: not nodes that are concatenated anyway."""
        # Fewer values tracked are fewer states, and each one halves their number.
        names = {node.name for node in self.kind.nodes}
        if self.kind.output == ALL:
            return frozenset(CELL_INPUTS)
        if isinstance(self.kind.output, tuple):
            names.difference_update(self.kind.output)
        return frozenset(names.union(CELL_INPUTS))

    def _node(self, node: CellNode, states: dict[tuple[Env, Read], Any]) -> dict[tuple[Env, Read], Any]:
        """Return the totals after a node, by the values that were read so far."""
        result: dict[tuple[Env, Read], Any] = {}
        for inputs, some in self._inputs(node, states):
            # A node is a sum: it needs one operator at least that does not give zeros.
            reached = {(env, read, False): total for (env, read), total in some.items()}
            for value, op in zip(inputs, node.ops, strict=True):
                reached = self._slot(node, op, value, reached)
            for (env, read, is_present), total in reached.items():
                if is_present:
                    merge(result, (env, read), total)
                else:
                    self.composer.blocked(node, ShapeError(NO_OPERATOR))
        return result

    def _inputs(
        self, node: CellNode, states: dict[tuple[Env, Read], Any]
    ) -> Iterator[tuple[tuple[Value, ...], dict[tuple[Env, Read], Any]]]:
        """Yield the options of a node's inputs where these are decided together, with the states of each."""
        if isinstance(node.inputs, tuple):
            yield node.inputs, states
            return
        options: dict[tuple[str, ...], dict[tuple[Env, Read], Any]] = {}
        for (env, read), total in states.items():
            for inputs, after, decisions in self.composer.expand(node.inputs, env):
                merge(options.setdefault(inputs, {}), (after, read), total.after(Cost(), decisions))
        yield from options.items()

    def _slot(
        self, node: CellNode, op: Node, value: Value, states: dict[tuple[Env, Read, bool], Any]
    ) -> dict[tuple[Env, Read, bool], Any]:
        """Return the totals after one operator of a node, by whether the node has a nonzero operator yet."""
        result: dict[tuple[Env, Read, bool], Any] = {}
        totals: dict[tuple[Env, bool], dict[tuple[Env, bool], Any]] = {}
        for (env, read, is_present), total in states.items():
            for source, after, decisions in self.composer.expand(value, env):
                start = total.after(Cost(), decisions) if decisions else total
                now = read | self._tracked.intersection((source,))
                from_cell = source in CELL_INPUTS
                # All earlier nodes have one shape, and both inputs another, so the source itself does not
                # matter.
                key = (after, from_cell)
                if key not in totals:
                    totals[key] = self._operator(node, op, *key, total.nothing())
                for (last, is_zero), new in totals[key].items():
                    # A zero operator reads nothing, so its source stays a loose end.
                    if is_zero:
                        merge(result, (last, read, is_present), start.then(new))
                    elif not from_cell or source in self.needed:
                        merge(result, (last, now, True), start.then(new))
        return result

    def _operator(
        self, node: CellNode, op: Node, env: Env, from_cell: bool, nothing: Any
    ) -> dict[tuple[Env, bool], Any]:
        """Return the totals of an operator in all cells of its kind, and whether it is zero and so free."""
        result: dict[tuple[Env, bool], Any] = {}
        # One decision for all cells of the kind: only variants that every cell can have, at their summed
        # cost.
        tables = [(self._variants(node, op, env, from_cell, place), times) for place, times in self.cells]
        for variant in tables[0][0]:
            here = [(*table[variant], times) for table, times in tables if variant in table]
            if len(here) < len(tables):
                continue
            after, made = variant
            zero = {is_zero for _, is_zero, _ in here}
            # Whether a source is read must be the same in all cells, as it is one state for all of them.
            if len(zero) > 1:
                self.composer.blocked(node, ShapeError(SOMETIMES_ZERO))
                continue
            is_zero = zero.pop()
            costs = () if is_zero else (cost * times for cost, _, times in here)
            merge(result, (after, is_zero), nothing.after(sum(costs, Cost()), made))
        return result

    def _variants(self, node: CellNode, op: Node, env: Env, from_cell: bool, place: CellPlace) -> Variants:
        """Return the cost of each variant of an operator in one cell, and whether it is zero."""
        shape, stride = place.shape(from_cell), place.stride(from_cell)
        known = self.composer.variants
        key = (id(op), shape, stride, place.out, env)
        if key not in known:
            # Variants are listed one by one, as the cost of each is to be matched with that in other cells.
            start: dict[State, Any] = {(Flow(shape), env): Listing()}
            result: dict[tuple[Env, Decisions], tuple[Cost, bool]] = {}
            for (flow, after), listing in self.composer.operator(
                op, self.stack.path, stride, place.out, start
            ).items():
                try:
                    check_operator(flow.shape, place)
                except ShapeError as error:
                    self.composer.blocked(node, error)
                else:
                    result |= {(after, made): (cost, flow.dead) for made, cost in listing.costs.items()}
            known[key] = result
        return known[key]


_BACK = ((2, "prev2"), (1, "prev1"))


def _output(place: CellPlace, ends: tuple[End, ...]) -> Shape:
    channels, height, width = place.leaving
    return (channels * ends[place.kind].values, height, width)
