"""Cost and number of all points of a stack of cells.

All cells of a kind share their decisions, so each decision is made once, with what it costs in all of them
together. Their channels and sizes are known beforehand. What remains open is how many values a kind of cell
gives and which of the two cells before it a cell needs, as `cell_kinds` counts it; a cell that nothing needs
costs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from nas.cost import Cost
from nas.ops import Shape, ShapeError
from nas.space.cell_places import CellPlace, prepare_input
from nas.space.counting.algebra import merge
from nas.space.counting.cell_kinds import End, KindTotals, Read
from nas.space.counting.part_costs import Flow, PartCosts
from nas.space.language.tree import CELL_INPUTS, Cells

if TYPE_CHECKING:
    from nas.space.counting.compose import Composer, Env, State

Arrivals = Mapping[tuple[CellPlace | None, Shape], int]


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

    def compute_totals(self, env: Env, total: Any) -> Iterator[tuple[State, Any]]:
        """Yield the totals by the state behind the stack; `total` is of the points before it."""
        nothing = total.nothing
        # Which cells are live depends on what the cells read, which depends on the decisions inside them. So
        # the possible reads come first, as if all cells were live, and the totals once for each of them.
        every = self._compute_ends(env, frozenset(range(len(self._places))), None, nothing)
        needs = {tuple(end.needed for end in ends) for _, ends in every}
        for needed in sorted(needs, key=lambda reads: [sorted(read) for read in reads]):
            live = self._find_live(needed)
            arrivals = self._list_arrivals(needed, live)
            for (after, ends), inside in self._compute_ends(env, live, needed, nothing).items():
                # `needed` bounds what cells may read; here only the points that read all of it count.
                if tuple(end.needed for end in ends) != needed:
                    continue
                try:
                    cost = self._sum_preparation(arrivals, ends)
                except ShapeError as error:
                    self._composer.remember(self._node, error)
                else:
                    yield (
                        (_make_output(self._places[-1], ends), after),
                        total.multiply(inside).extend(cost, ()),
                    )

    def _find_live(self, needed: tuple[Read, ...]) -> frozenset[int]:
        """Return the cells that the last one needs, itself included."""
        live = {len(self._places) - 1}
        # One pass from the end is enough, since cells read only earlier ones.
        for i in reversed(range(len(self._places))):
            if i in live:
                reads = needed[self._places[i].kind]
                live.update(i - back for back, name in _BACK if name in reads and i >= back)
        return frozenset(live)

    def _list_arrivals(self, needed: tuple[Read, ...], live: frozenset[int]) -> Arrivals:
        """Return what enters cells: cell of origin, shape wanted, and how often preparing it costs."""
        found: Counter[tuple[CellPlace | None, Shape]] = Counter()
        for i, place in enumerate(self._places):
            for back, name in _BACK:
                source = self._places[i - back] if i >= back else None
                # An input that nothing uses counts 0 times, but is kept: it must be possible to prepare it.
                found[source, place.entering] += i in live and name in needed[place.kind]
        return found

    def _sum_preparation(self, arrivals: Arrivals, ends: tuple[End, ...]) -> Cost:
        """Return the cost of preparing the inputs of cells. Raises ShapeError where they cannot be."""
        total = Cost()
        for (source, entering), times in arrivals.items():
            flow = _make_output(source, ends) if source else self._flow
            part = self._parts.get(
                ("prepare", flow, entering),
                (flow,),
                lambda net, x, shape=entering: prepare_input(net, x, shape),
            )
            total += part.cost * times
        return total

    # Kinds of cells ------------------------------------------------------------------------------------

    def _compute_ends(
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
                of_kind = KindTotals(self._composer, self._node, kind, alike, allowed, before)
                key = (id(kind), alike, allowed, before, nothing)
                for (after, end), new in self._composer.recall(
                    key, partial(of_kind.compute_totals, nothing)
                ).items():
                    merge(result, (after, (*ends, end)), total.multiply(new))
            states = result
        return states


_BACK = ((2, "prev2"), (1, "prev1"))


def _make_output(place: CellPlace, ends: tuple[End, ...]) -> Flow:
    channels, height, width = place.leaving
    end = ends[place.kind]
    return Flow((channels * end.values, height, width), end.dead)
