"""Cost and number of all points of one kind of cell, in all cells of a stack that are of it.

What is open is which values are read: it says which nodes are loose ends, hence how many values a cell gives,
which nodes are dead ends, and which of the two cells before it a cell needs; a node that nothing needs costs
nothing.

Nodes are followed from the last to the first, since whether one is needed is known when all that can read it
have been decided. Whether a node is absent is known only after those that read it, so these are followed both
ways where it can be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.cost import Cost
from nas.ops import ShapeError
from nas.space.cell_places import ALL, LOOSE, SOMETIMES_ZERO, ZEROS_OF, CellPlace, check_operator, find_given
from nas.space.counting.algebra import Decisions, Enumeration, merge
from nas.space.counting.part_costs import Flow
from nas.space.language.tree import CELL_INPUTS, CellKind, CellNode, Cells, Node, Value

if TYPE_CHECKING:
    from nas.space.counting.compose import Composer, Env, State

Read = frozenset[str]
Alike = frozenset[tuple[CellPlace, int]]
"""The cells of a kind: each place with the number of cells there that count."""

Variants = Mapping[tuple["Env", Decisions], tuple[Cost, bool]]


class End(NamedTuple):
    """Outcome of a kind of cell: the number of values that it gives, whether all of them are zeros, and the
    earlier cells that it needs."""

    values: int
    dead: bool
    needed: Read


class Later(NamedTuple):
    """What the nodes behind a place in a cell ask of the values before it.

    They read `wanted`, and take `gone` to be absent. `loose` are those that nothing reads, by name only where
    it matters which; `dead` says that none of them gives the cell more than zeros.
    """

    wanted: Read = frozenset()
    gone: Read = frozenset()
    loose: tuple[str, ...] = ()
    dead: bool = True


class Fate(Enum):
    """What becomes of a node: it is needed; absent, as all of its connections are; or a dead end."""

    NEEDED = auto()
    ABSENT = auto()
    DEAD_END = auto()


class Outputs(NamedTuple):
    """Outputs of a kind of cell under which its nodes have one fate.

    All of them give the values `given`, and where `gives_loose` the nodes that nothing reads; `named` are the
    nodes that some of them give by name.
    """

    options: tuple[str | tuple[str, ...], ...]
    given: frozenset[str]
    gives_loose: bool
    named: frozenset[str] = frozenset()


class OperatorTotals(NamedTuple):
    """Totals of an operator where it gives more than zeros, the same at no cost, and where it gives zeros."""

    present: dict[Env, Any]
    free: dict[Env, Any]
    zeros: dict[Env, Any]


_PRESENT, _FREE, _ZEROS = range(3)

Link = tuple["Env", bool, int]
"""What becomes of a connection: the decisions shared there, whether its source is an input of the cell, and
which of `OperatorTotals` it has."""


@dataclass(frozen=True)
class KindTotals:
    """Totals of the decisions within one kind of cell, where these need no other cells than `needed`."""

    composer: Composer
    stack: Cells
    kind: CellKind
    cells: Alike
    needed: Read
    env: Env

    def compute_totals(self, nothing: Any) -> dict[tuple[Env, End], Any]:
        """Return the totals by the kind's end."""
        result: dict[tuple[Env, End], Any] = {}
        for outputs in self._list_outputs():
            states = {(self.env, Later()): nothing}
            for node in reversed(self.kind.nodes):
                states = self._add_node(node, outputs, states)
            for (before, later), total in states.items():
                for output, after, decisions in self.composer.expand(self.kind.output, before):
                    if output in outputs.options and (end := self._end(output, later)).needed <= self.needed:
                        merge(result, (after, end), total.extend(Cost(), decisions))
        return result

    def _list_outputs(self) -> Iterator[Outputs]:
        """Yield the outputs that are counted together: those without dead ends, then each of the others."""
        names = {node.name for node in self.kind.nodes}
        options = [output for output, _, _ in self.composer.expand(self.kind.output, self.env)]
        given = {output: frozenset(find_given(self.kind, output)) for output in options}
        whole = [output for output in options if LOOSE in output or names <= given[output]]
        if len(whole) > 1:
            named = frozenset[str]().union(*(given[output] for output in whole if output != ALL))
            yield Outputs(tuple(whole), frozenset(), True, named)
        for output in options if len(whole) < 2 else [one for one in options if one not in whole]:
            yield Outputs((output,), given[output], LOOSE in output)

    def _end(self, output: str | tuple[str, ...], later: Later) -> End:
        given = find_given(self.kind, output)
        loose = [name for name in later.loose if name not in given] if LOOSE in output else []
        inputs = later.wanted.union(given).intersection(CELL_INPUTS)
        dead = later.dead and not set(CELL_INPUTS).intersection(given)
        return End(len(given) + len(loose) or 1, dead, inputs | {ZEROS_OF} if dead else inputs)

    @cached_property
    def _may_be_absent(self) -> Read:
        """The nodes all of whose connections can be absent."""
        found: set[str] = set()
        for node in self.kind.nodes:
            if isinstance(node.inputs, tuple):
                sources = [{one for one, _, _ in self.composer.expand(v, self.env)} for v in node.inputs]
            else:
                lists = [inputs for inputs, _, _ in self.composer.expand(node.inputs, self.env)]
                sources = [set(slot) for slot in zip(*lists, strict=True)]
            if all(
                not found.isdisjoint(some) or self._may_give_zeros(node, op, some)
                for op, some in zip(node.ops, sources, strict=True)
            ):
                found.add(node.name)
        return frozenset(found)

    def _may_give_zeros(self, node: CellNode, op: Node, sources: set[str]) -> bool:
        # an operator gives zeros in all cells or in none, so one cell answers for all
        place = next(iter(self.cells))[0]
        return any(
            is_zero
            for from_cell in {source in CELL_INPUTS for source in sources}
            for _, is_zero in self._list_variants(node, op, self.env, from_cell, place).values()
        )

    def _add_node(
        self, node: CellNode, outputs: Outputs, states: dict[tuple[Env, Later], Any]
    ) -> dict[tuple[Env, Later], Any]:
        """Return the totals with a node, by what it and the nodes behind it ask of the values before it."""
        starts: dict[Fate, dict[tuple[Env, Later], Any]] = {}
        for (env, later), total in states.items():
            for fate, now in self._list_fates(node.name, outputs, later):
                merge(starts.setdefault(fate, {}), (env, now), total)
        result: dict[tuple[Env, Later], Any] = {}
        for fate, start in starts.items():
            for inputs, some in self._list_inputs(node, start):
                reached = {(env, later, False): total for (env, later), total in some.items()}
                for value, op in zip(inputs, node.ops, strict=True):
                    reached = self._add_slot(node, op, value, outputs, fate, reached)
                for (env, later, is_present), total in reached.items():
                    if is_present == (fate is Fate.NEEDED):
                        merge(result, (env, later), total)
        return result

    def _list_fates(self, name: str, outputs: Outputs, later: Later) -> Iterator[tuple[Fate, Later]]:
        """Yield what can become of a node, and what is then asked of the values before it."""
        if name in later.gone:
            yield Fate.ABSENT, later._replace(gone=later.gone - {name})
        elif name in later.wanted:
            dead = later.dead and name not in outputs.given
            yield Fate.NEEDED, later._replace(wanted=later.wanted - {name}, dead=dead)
        elif name in outputs.given or outputs.gives_loose:
            loose = () if name in outputs.given else (name if name in outputs.named else "",)
            yield Fate.NEEDED, later._replace(loose=later.loose + loose, dead=False)
            if name in self._may_be_absent:
                yield Fate.ABSENT, later
        else:
            yield Fate.DEAD_END, later

    def _list_inputs(
        self, node: CellNode, states: dict[tuple[Env, Later], Any]
    ) -> Iterator[tuple[tuple[Value, ...], dict[tuple[Env, Later], Any]]]:
        """Yield the options of a node's inputs where these are decided together, with the states of each."""
        if isinstance(node.inputs, tuple):
            yield node.inputs, states
            return
        options: dict[tuple[str, ...], dict[tuple[Env, Later], Any]] = {}
        for (env, later), total in states.items():
            for inputs, after, decisions in self.composer.expand(node.inputs, env):
                merge(options.setdefault(inputs, {}), (after, later), total.extend(Cost(), decisions))
        yield from options.items()

    def _add_slot(
        self,
        node: CellNode,
        op: Node,
        value: Value,
        outputs: Outputs,
        fate: Fate,
        states: dict[tuple[Env, Later, bool], Any],
    ) -> dict[tuple[Env, Later, bool], Any]:
        """Return the totals with one operator of a node, by whether the node has a connection yet."""
        result: dict[tuple[Env, Later, bool], Any] = {}
        factors: dict[tuple[Link, tuple[Decisions, ...]], dict[Env, Any]] = {}
        for (env, later, is_present), total in states.items():
            # Sources behind which the same is asked are one factor, which many states share.
            alike: dict[tuple[Link, Later, bool], list[Decisions]] = {}
            for source, after, decisions in self.composer.expand(value, env):
                from_cell = source in CELL_INPUTS
                alike.setdefault(((after, from_cell, _ZEROS), later, is_present), []).append(decisions)
                for connects, asked in self._list_readings(source, outputs, fate, later):
                    link = (after, from_cell, _PRESENT if connects else _FREE)
                    alike.setdefault((link, asked, is_present or connects), []).append(decisions)
            for (link, asked, is_connected), made in alike.items():
                key = (link, tuple(made))
                if key not in factors:
                    factors[key] = self._count_factor(node, op, *key, total.nothing)
                for last, new in factors[key].items():
                    merge(result, (last, asked, is_connected), total.multiply(new))
        return result

    def _count_factor(
        self, node: CellNode, op: Node, link: Link, made: Sequence[Decisions], nothing: Any
    ) -> dict[Env, Any]:
        """Return the totals of an operator on any of several sources, each of which some decisions choose."""
        # All earlier nodes have one shape, and both inputs another, so the source itself does not matter.
        env, from_cell, which = link
        totals = self._count_operator(node, op, env, from_cell, nothing)[which]
        if not totals:
            return {}
        sources = [nothing.extend(Cost(), decisions) for decisions in made]
        source = reduce(lambda one, other: one.with_other(other), sources)
        return {last: source.multiply(new) for last, new in totals.items()}

    def _list_readings(
        self, source: str, outputs: Outputs, fate: Fate, later: Later
    ) -> Iterator[tuple[bool, Later]]:
        """Yield whether an operator that gives more than zeros connects its node to its source, and what is
        then asked of the values before the node."""
        wanted, gone, loose, dead = later
        may_be_absent = source in self._may_be_absent
        if fate is Fate.DEAD_END:
            yield False, later
        elif source in CELL_INPUTS:
            if fate is Fate.NEEDED and source in self.needed:
                yield True, Later(wanted | {source}, gone, loose, dead)
        else:
            if fate is Fate.NEEDED and source not in gone:
                is_known = source in wanted or (source in outputs.given and not may_be_absent)
                yield True, later if is_known else Later(wanted | {source}, gone, loose, dead)
            if may_be_absent and source not in wanted:
                yield False, Later(wanted, gone | {source}, loose, dead)

    def _count_operator(
        self, node: CellNode, op: Node, env: Env, from_cell: bool, nothing: Any
    ) -> OperatorTotals:
        """Return the totals of an operator in all cells of its kind."""
        key = (id(op), self.cells, from_cell, env, nothing)
        return self.composer.recall(key, lambda: self._work_out_operator(node, op, env, from_cell, nothing))

    def _work_out_operator(
        self, node: CellNode, op: Node, env: Env, from_cell: bool, nothing: Any
    ) -> OperatorTotals:
        found = OperatorTotals({}, {}, {})
        # One decision for all cells of the kind: only variants that every cell can have, at their summed
        # cost.
        tables = [
            (self._list_variants(node, op, env, from_cell, place), times) for place, times in self.cells
        ]
        for variant in tables[0][0]:
            here = [(*table[variant], times) for table, times in tables if variant in table]
            if len(here) < len(tables):
                continue
            after, made = variant
            is_zero = {is_zero for _, is_zero, _ in here}
            # Whether a source is read must be the same in all cells, as it is one state for all of them.
            if len(is_zero) > 1:
                self.composer.remember(node, ShapeError(SOMETIMES_ZERO))
            elif is_zero.pop():
                merge(found.zeros, after, nothing.extend(Cost(), made))
            else:
                cost = sum((cost * times for cost, _, times in here), Cost())
                merge(found.present, after, nothing.extend(cost, made))
                merge(found.free, after, nothing.extend(Cost(), made))
        return found

    def _list_variants(
        self, node: CellNode, op: Node, env: Env, from_cell: bool, place: CellPlace
    ) -> Variants:
        """Return the cost of each variant of an operator in one cell, and whether it is zero."""
        key = (id(op), place.find_shape(from_cell), place.find_stride(from_cell), place.out, env)
        return self.composer.recall(key, lambda: self._work_out_variants(node, op, env, from_cell, place))

    def _work_out_variants(
        self, node: CellNode, op: Node, env: Env, from_cell: bool, place: CellPlace
    ) -> Variants:
        shape, stride = place.find_shape(from_cell), place.find_stride(from_cell)
        # Variants are listed one by one, as the cost of each is to be matched with that in other cells.
        start: dict[State, Any] = {(Flow(shape), env): Enumeration()}
        result: dict[tuple[Env, Decisions], tuple[Cost, bool]] = {}
        for (flow, after), listing in self.composer.traverse_operator(
            op, self.stack.path, stride, place.out, start
        ).items():
            try:
                check_operator(flow.shape, place)
            except ShapeError as error:
                self.composer.remember(node, error)
            else:
                result |= {(after, made): (cost, flow.dead) for made, cost in listing.costs.items()}
        return result
