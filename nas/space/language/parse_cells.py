"""Parsing of the form `cell`: kinds of cells, their nodes, what these read and apply."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from math import prod
from typing import Any, Protocol

from nas.kinds import Kind
from nas.ops.arguments import Channels, Count
from nas.space.cell_places import ALL, LOOSE
from nas.space.language.parse_values import (
    Context,
    expect_list,
    expect_mapping,
    get_kind,
    reject_unknown,
    to_plain,
)
from nas.space.language.source import Item, Listing, Mapping, Place, Scalar, SpaceError
from nas.space.language.tree import (
    CELL_INPUTS,
    CELL_KINDS,
    Alternative,
    CellKind,
    CellNode,
    Cells,
    Choice,
    Node,
    Value,
    list_children,
    list_own_values,
)

ANY = "any"

MAX_NODES = 10
"""What nodes read is counted by the sets of nodes that are read: twice as many for every node."""

MAX_VARIANTS = 1_000
"""The variants of an operator are listed one by one."""

_MAX_DEPTH = 100
_MAX_REDUCTIONS = 10


def _make_count_kind(what: str, most: int) -> Kind:
    return Kind(
        f"a number of {what}; it is a whole number from 1 to {most}",
        lambda v: get_kind(Count).accepts(v) and v <= most,
    )


CELL_DEPTH = _make_count_kind("normal cells in a group", _MAX_DEPTH)
_REDUCTIONS = _make_count_kind("reductions", _MAX_REDUCTIONS)


class _Parser(Protocol):
    """Parser of the values and the operators of a cell."""

    def parse_operator(self, item: Item, context: Context) -> Node: ...

    def parse_value(self, item: Item, context: Context, kind: Kind | None) -> Value: ...

    def couple_repeated(self, value: Value, place: Place) -> Value: ...

    def declare(self, options: list[Any], place: Place, context: Context, per_layer: bool) -> Choice: ...


class CellParser:
    """Parser of one stack of cells."""

    def __init__(self, parser: _Parser, context: Context) -> None:
        self._parser = parser
        self._outside = context
        self._context = replace(context, cell=context.path)

    def parse_cells(self, item: Mapping, name: str | None, place: Place) -> Cells:
        """Parse the stack of cells at the context's path."""
        context = self._outside
        reject_unknown(item, ["name", "out", "depth", "reductions", *CELL_KINDS], context.path)
        if context.stages or context.cell is not None:
            raise SpaceError(
                place, context.path, "cells cannot stand in a stage or a cell; 'depth' repeats them"
            )
        for key in ("out", "normal"):
            if key not in item.entries:
                raise SpaceError(place, context.path, f"cell needs '{key}'; add {key}: ...")
        if "reductions" in item.entries and "reduction" not in item.entries:
            raise SpaceError(place, context.path, "reductions need a cell; add reduction: ...")
        has_reduction = "reduction" in item.entries
        return Cells(
            name,
            self._parse_value(item, "out", None, get_kind(Channels)),
            self._parse_value(item, "depth", 1, CELL_DEPTH),
            self._parse_value(item, "reductions", 2 if has_reduction else 0, _REDUCTIONS),
            tuple(self._parse_kind(item.entries[kind], kind) for kind in CELL_KINDS if kind in item.entries),
            context.path,
            place,
        )

    def _parse_value(self, item: Mapping, key: str, default: Any, kind: Kind) -> Value:
        inner = item.entries.get(key)
        if inner is None:
            return default
        return self._parser.couple_repeated(
            self._parser.parse_value(inner, self._outside.at(key), kind), inner.place
        )

    # Kinds ---------------------------------------------------------------------------------------------

    def _parse_kind(self, item: Item, name: str) -> CellKind:
        context = self._context.at(name)
        inner = expect_mapping(item, context.path, "the keys of a cell: nodes, inputs, ops, output")
        reject_unknown(inner, ["nodes", "inputs", "ops", "output"], context.path)
        rows = list(self._list_rows(inner, context))
        names = tuple(f"node{i}" for i in range(1, len(rows) + 1))
        nodes = tuple(self._parse_node(row, context, names[:i], names[i]) for i, row in enumerate(rows))
        known = names if name == "reduction" else (*CELL_INPUTS, *names)
        return CellKind(nodes, self._parse_output(inner, context.at("output"), known))

    def _list_rows(self, item: Mapping, context: Context) -> Iterator[Mapping]:
        """Yield inputs and operators of each node; `nodes: 4` stands for four nodes that share the cell's."""
        nodes = item.entries.get("nodes")
        if nodes is None:
            raise SpaceError(item.place, context.path, "a cell needs 'nodes'; add nodes: ...")
        shared = [key for key in ("inputs", "ops") if key in item.entries]
        if isinstance(nodes, Scalar):
            count = _parse_number(nodes, context.at("nodes"), "nodes", MAX_NODES)
            for key in ("inputs", "ops"):
                if key not in shared:
                    raise SpaceError(
                        nodes.place, context.path, f"nodes given by their number need '{key}'; add {key}: ..."
                    )
            entries: dict[str, Item] = {key: item.entries[key] for key in shared}
            yield from [Mapping(entries, nodes.place, item.key_places)] * count
            return
        rows = expect_list(
            nodes, context.path, "[{inputs: [prev2, prev1], ops: [identity, max_pool]}], or a number"
        )
        if shared:
            place = item.key_places[shared[0]]
            raise SpaceError(
                place, context.path, f"'{shared[0]}' is for nodes given by their number; give it in each node"
            )
        if not 1 <= len(rows) <= MAX_NODES:
            raise SpaceError(nodes.place, context.path, f"a cell has 1 to {MAX_NODES} nodes, not {len(rows)}")
        for i, row in enumerate(rows, 1):
            path = f"{context.path}.node{i}"
            inner = expect_mapping(row, path, "'inputs' and 'ops'")
            reject_unknown(inner, ["inputs", "ops"], path)
            for key in ("inputs", "ops"):
                if key not in inner.entries:
                    raise SpaceError(row.place, path, f"a node needs '{key}'; add {key}: ...")
            yield inner

    # Nodes ---------------------------------------------------------------------------------------------

    def _parse_node(self, row: Mapping, context: Context, before: tuple[str, ...], name: str) -> CellNode:
        here = context.at(name)
        ops = row.entries["ops"]
        listed = len(ops.items) if isinstance(ops, Listing) else None
        inputs = self._parse_inputs(row.entries["inputs"], here, (*CELL_INPUTS, *before), listed)
        count = _count_inputs(inputs) or listed
        if count is None:
            raise SpaceError(
                ops.place, here.path, "another choice says how many inputs there are; list the ops"
            )
        if listed not in (None, count):
            raise SpaceError(ops.place, here.path, f"{listed} ops for {count} inputs; list one for each")
        items = ops.items if isinstance(ops, Listing) else (ops,) * count
        return CellNode(
            inputs,
            tuple(self._parse_op(op, here.at(f"op{i}")) for i, op in enumerate(items, 1)),
            here.path,
            row.place,
        )

    def _parse_op(self, item: Item, context: Context) -> Node:
        op = self._parser.parse_operator(item, context)
        if _count_variants(op) > MAX_VARIANTS:
            raise SpaceError(
                item.place, context.path, f"an operator with more than {MAX_VARIANTS:,} variants; offer fewer"
            )
        return op

    def _parse_inputs(self, item: Item, context: Context, known: tuple[str, ...], count: int | None) -> Value:
        """Parse a list of names, each of which may be open, or one open value that gives them all."""
        if isinstance(item, Listing):
            if not item.items:
                raise SpaceError(item.place, context.path, "no inputs; list at least one")
            return tuple(
                self._parse_input(one, context.at(f"input{i}"), known) for i, one in enumerate(item.items, 1)
            )
        inner = expect_mapping(item, context.path, "inputs, such as [prev2, prev1]")
        here = context.at("inputs")
        if ANY in inner.entries:
            reject_unknown(inner, [ANY], context.path)
            size = _parse_number(inner.entries[ANY], here, "inputs here", len(known))
            options = list(combinations(known, size))
            return options[0] if len(options) == 1 else self._parser.declare(options, item.place, here, False)
        kind = Kind(
            f"a list of {count or 'some'} out of what this node can read: {', '.join(known)}",
            lambda v: (
                isinstance(v, tuple)
                and (len(v) == count if count else len(v) > 0)
                and all(one in known for one in v)
            ),
        )
        value = self._parser.couple_repeated(self._parser.parse_value(inner, here, kind), item.place)
        if isinstance(value, Choice) and len({len(v) for v in value.values}) > 1:
            raise SpaceError(item.place, here.path, "options of several lengths; list as many inputs in each")
        return value

    def _parse_input(self, item: Item, context: Context, known: tuple[str, ...]) -> Value:
        if isinstance(item, Scalar) and item.value == ANY:
            return self._parser.declare(list(known), item.place, context, False)
        kind = Kind(
            f"an input of this node; a node reads cells and nodes before it: {', '.join(known)}",
            lambda v: v in known,
        )
        return self._parser.couple_repeated(self._parser.parse_value(item, context, kind), item.place)

    # Output --------------------------------------------------------------------------------------------

    def _parse_output(self, item: Mapping, context: Context, known: tuple[str, ...]) -> Value:
        if "output" not in item.entries:
            return LOOSE
        parts = (LOOSE, *known)
        kind = Kind(
            f"an output; it is {LOOSE}, {ALL}, or a list out of {', '.join(parts)}, each once",
            lambda v: (
                v in (LOOSE, ALL) or (isinstance(v, tuple) and 0 < len(v) == len(set(v).intersection(parts)))
            ),
        )
        inner = item.entries["output"]
        return self._parser.couple_repeated(self._parser.parse_value(inner, context, kind), inner.place)


def _parse_number(item: Item, context: Context, what: str, most: int) -> int:
    """Parse a plain number. Raises SpaceError for anything else."""
    try:
        return int(_make_count_kind(what, most).read(to_plain(item, context.path)))
    except ValueError as error:
        raise SpaceError(item.place, context.path, str(error)) from None


def _count_inputs(inputs: Value) -> int | None:
    """Return the number of inputs; None where another choice decides it."""
    if isinstance(inputs, Choice):
        return len(inputs.values[0])
    return len(inputs) if isinstance(inputs, tuple) else None


def _count_variants(node: Node) -> int:
    """Return an upper bound on the number of points of an operator."""
    inside = [_count_variants(child) for child in list_children(node)]
    own = prod(len(value.values) for value in list_own_values(node) if isinstance(value, Choice))
    return sum(inside) if isinstance(node, Alternative) else own * prod(inside)
