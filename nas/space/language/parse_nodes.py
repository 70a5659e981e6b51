"""Parsing of nodes: block calls, sequences, stages, branches, alternatives, a user's own blocks."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as MappingABC
from dataclasses import replace
from typing import Any

from nas.blocks import get_block_arguments, is_detail, list_blocks
from nas.errors import suggest_word
from nas.kinds import Kind
from nas.ops.arguments import Activation, Argument, Count, Stride
from nas.space.language.names import find_name_problem
from nas.space.language.node_names import get_block, read_name, reject_name, wrap_named
from nas.space.language.parse_cells import CellParser
from nas.space.language.parse_values import (
    NO_STAGE,
    Context,
    ValueParser,
    expect_list,
    expect_mapping,
    expect_text,
    get_kind,
    is_per_layer,
    reject_unknown,
    to_plain,
)
from nas.space.language.source import Item, Listing, Mapping, Place, Scalar, SpaceError
from nas.space.language.stages import find_list_lengths, find_max_depth, takes_stride
from nas.space.language.tree import (
    Alternative,
    Call,
    Choice,
    LayerNodes,
    Node,
    Parallel,
    Residual,
    SameAs,
    Sequence,
    Stage,
    Value,
)

SHORTCUTS = ("auto", "identity", "projection", "pooled", "padded")
JOINS = ("concat", "add")

_MAX_LAYERS = 1_000

_SHORTCUT = Kind(f"a shortcut; a shortcut is {', '.join(SHORTCUTS)}", lambda v: v in SHORTCUTS)
_JOIN = Kind(f"a join; branches join by {' or '.join(JOINS)}", lambda v: v in JOINS)
STAGE_DEPTH = Kind(
    f"a depth; a depth is a whole number of layers from 1 to {_MAX_LAYERS:,}",
    lambda v: get_kind(Count).accepts(v) and v <= _MAX_LAYERS,
)
FORMS = ("stage", "cell", "residual", "parallel", "sequence", "choice", "layers")

_NODES = "[{conv: {out: 32}}, max_pool]"
_MAX_NODES = 20_000
_MAX_DEPTH = 60
"""Blocks made of blocks multiply; every reader of a network calls itself that deep."""

Definitions = MappingABC[str, tuple[dict[str, Item], Item]]
"""A user's blocks: arguments with their default values (null: required), and body."""


class NodeParser(ValueParser):
    """Parser of nodes; `defaults` are arguments by block, `definitions` the user's own blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.defaults: dict[str, dict[str, tuple[Value, Place]]] = {}
        self.definitions: Definitions = {}
        self._stages: list[Stage] = []
        self._count = 0
        self._depth = 0

    def parse_node(self, item: Item, context: Context, name: str | None, in_stage: bool = False) -> Node:
        """Parse the node at `context.path`; `in_stage` for a stage's layer, which takes its stride."""
        self._count += 1
        if self._count > _MAX_NODES:
            raise SpaceError(
                item.place, context.path, f"the network has more than {_MAX_NODES:,} nodes; repeat by 'stage'"
            )
        if self._depth == _MAX_DEPTH:
            raise SpaceError(
                item.place, context.path, f"nested more than {_MAX_DEPTH} nodes deep; use fewer levels"
            )
        self._depth += 1
        node = self._parse_form(item, context, name, in_stage)
        self._depth -= 1
        return node

    def link(self, declared: MappingABC[str, Choice]) -> None:
        """Check couplings, and that lists of layers are as long as their stage."""
        super().link(declared)
        for stage in self._stages:
            most = find_max_depth(stage.depth, declared)
            for size in find_list_lengths(stage.block, stage.path):
                if size != most:
                    raise SpaceError(
                        stage.place,
                        stage.path,
                        f"'layers' lists {size}, but the stage has up to {most} layers; list one for each",
                    )

    def _parse_form(self, item: Item, context: Context, name: str | None, in_stage: bool) -> Node:
        if isinstance(item, Listing):
            return self.parse_sequence(item, context, name)
        if isinstance(item, Scalar):
            block = expect_text(item, context.path, "a block, a list of blocks or a mapping")
            return self._parse_call(block, Mapping({}, item.place, {}), item.place, context, name, in_stage)
        for form in ("choice", "layers"):
            if form in item.entries:
                parse = self._parse_alternative if form == "choice" else self._parse_layers
                return parse(item, context, name, in_stage)
        if len(item.entries) != 1:
            raise SpaceError(
                item.place,
                context.path,
                f"a node has one key, its block, but here are {', '.join(item.entries) or 'none'}; "
                "indent the arguments below the block, and begin each node of a list with a dash",
            )
        ((key, inner),) = item
        place = item.key_places[key]
        if key in ("stage", "cell", "residual", "parallel", "sequence"):
            arguments = expect_mapping(inner, context.path, f"the keys of '{key}' below it")
            match key:
                case "stage":
                    return self._parse_stage(arguments, context, place)
                case "cell":
                    return CellParser(self, context).parse_cells(arguments, name, place)
                case "residual":
                    return self._parse_residual(arguments, context, name, place)
                case "parallel":
                    return self._parse_parallel(arguments, context, name, place)
                case _:
                    reject_unknown(arguments, ["name", "body"], context.path)
                    body = _require(arguments, "body", "sequence", context)
                    reject_name(body, context, "the only node of a sequence takes its name")
                    return self.parse_node(body, context, name)
        if isinstance(inner, Scalar) and inner.value is None:
            inner = Mapping({}, inner.place, {})
        arguments = expect_mapping(inner, context.path, f"arguments of '{key}', such as {{out: 32}}")
        return self._parse_call(key, arguments, place, context, name, in_stage)

    def parse_sequence(self, item: Listing, context: Context, name: str | None) -> Sequence:
        """Parse nodes one after the other; a list inside a list is flattened."""
        flat = list(_flatten(item))
        names = self._name_nodes(flat, context)
        return Sequence(
            name, tuple(self.parse_node(i, context.at(n), n) for i, n in zip(flat, names, strict=True))
        )

    def _name_nodes(self, items: list[Item], context: Context) -> list[str]:
        """Return names for a sequence's nodes: as given, else the block's, numbered where they repeat."""
        given = [read_name(item, context) for item in items]
        used: set[str] = set()
        for item, name in zip(items, given, strict=True):
            if name in used:
                raise SpaceError(item.place, context.path, f"two nodes are named '{name}'; rename one")
            used.update([name] if name else [])
        names = []
        numbers: dict[str, int] = {}
        for item, name in zip(items, given, strict=True):
            base = get_block(item)
            fresh, number = name or base, numbers.get(base, 2)
            while not name and fresh in used:
                fresh, number = f"{base}_{number}", number + 1
            numbers[base] = number
            used.add(fresh)
            names.append(fresh)
        return names

    def _parse_call(
        self, block: str, item: Mapping, place: Place, context: Context, name: str | None, in_stage: bool
    ) -> Node:
        if block in self.definitions:
            return self._expand_block(block, item, place, context, name, in_stage)
        if block not in list_blocks():
            known = [*list_blocks(), *self.definitions, *FORMS]
            listed = ", ".join(sorted(set(known)))
            hint = suggest_word(block, known, f"one of your own comes with --plugin FILE; allowed: {listed}")
            raise SpaceError(place, "", f"unknown block '{block}'{hint}")
        arguments = get_block_arguments(block)
        values: dict[str, Value] = {}
        for key, inner in self._apply_replaced(item, context, arguments):
            if key == "name":
                continue
            if key not in arguments:
                hint = suggest_word(key, list(arguments))
                raise SpaceError(item.key_places[key], context.path, f"{block} has no argument '{key}'{hint}")
            values[key] = self.parse_value(inner, context.at(key), arguments[key].kind)
        for key, (value, _) in self.defaults.get(block, {}).items():
            values.setdefault(key, value)
        for key, implied in context.implied.items():
            if in_stage and key in arguments:
                values.setdefault(key, implied)
        for key, argument in arguments.items():
            if argument.required and key not in values:
                raise SpaceError(place, context.path, f"{block} needs '{key}'; add {key}: ...")
        ordered = tuple((key, self.couple_repeated(values[key], place)) for key in arguments if key in values)
        return Call(name, block, ordered, context.path, place)

    def _expand_block(
        self, block: str, item: Mapping, place: Place, context: Context, name: str | None, in_stage: bool
    ) -> Node:
        if block in context.expanding:
            chain = " -> ".join([*context.expanding, block])
            raise SpaceError(place, context.path, f"block '{block}' contains itself: {chain}")
        declared, body = self.definitions[block]
        reject_unknown(item, ["name", *declared], context.path)
        item = self._apply_replaced(item, context, declared)
        bound: dict[str, Value] = {}
        preset: set[str] = set()
        for key, default in declared.items():
            given = item.entries.get(key)
            if given is not None:
                bound[key] = self.parse_value(given, context.at(key), None)
                if isinstance(given, Scalar) and given.value in {f"${one}" for one in context.preset}:
                    preset.add(key)
            elif key in self.defaults.get(block, {}):
                bound[key] = self.defaults[block][key][0]
            elif key in context.implied and in_stage:
                bound[key] = replace(context.implied[key], implicit=False)
            else:
                bound[key] = to_plain(default, f"blocks.{block}.args.{key}")
                preset.add(key)
                if bound[key] is None:
                    raise SpaceError(place, context.path, f"{block} needs '{key}'; add {key}: ...")
        expanding = (*context.expanding, block)
        inside = replace(context, arguments=bound, preset=frozenset(preset), expanding=expanding)
        reject_name(body, context, "a block's only node takes the block's name")
        if name is not None and not isinstance(body, Listing) and get_block(body) not in self.definitions:
            body = Listing((body,), body.place)  # so that all inside is named by the place that it has
        node = self.parse_node(body, inside, name)
        return _settle(node, context.implied) if in_stage else node

    def parse_operator(self, item: Item, context: Context) -> Node:
        """Parse an operator of a cell: a node that takes the cell's channels and stride by default."""
        reject_name(item, context, "an operator of a cell is named by its place")
        return self.parse_node(item, context, None, in_stage=True)

    def _parse_stage(self, item: Mapping, context: Context, place: Place) -> Stage:
        if context.cell is not None:
            raise SpaceError(place, context.path, "an operator of a cell has no stages; list the layers")
        reject_unknown(item, ["name", "depth", "stride", "block"], context.path)
        item = self._apply_replaced(item, context, ("depth", "stride"))
        depth = self._parse_optional(item, "depth", 1, STAGE_DEPTH, context)
        stride = self._parse_optional(item, "stride", 1, get_kind(Stride), context)
        if context.path in context.stages or find_name_problem(context.path.rpartition(".")[2]):
            raise SpaceError(place, context.path, "a stage here has no name of its own; put it in a list")
        inside = replace(context, stages=(*context.stages, context.path))
        block_item = _require(item, "block", "stage", context)
        reject_name(block_item, context, "a stage's block takes the stage's name")
        block = self.parse_node(block_item, inside, None, in_stage=True)
        path = context.path
        if stride != 1 and not takes_stride(block, path):
            raise SpaceError(
                place,
                path,
                "the stride has nowhere to go; give a node of the block 'stride: $stride', in place of a "
                "stride of its own",
            )
        stage = Stage(path.rpartition(".")[2], path, depth, stride, block, place)
        self._stages.append(stage)
        return stage

    def _parse_residual(self, item: Mapping, context: Context, name: str | None, place: Place) -> Residual:
        reject_unknown(item, ["name", "body", "shortcut", "act"], context.path)
        item = self._apply_replaced(item, context, ("shortcut", "act"))
        body_item = _require(item, "body", "residual", context)
        reject_name(body_item, context, "a residual's body is named 'body'")
        return Residual(
            name,
            self.parse_node(body_item, context.at("body"), None),
            self._parse_optional(item, "shortcut", "auto", _SHORTCUT, context),
            self._parse_optional(item, "act", "none", get_kind(Activation), context),
            context.path,
            place,
        )

    def _parse_parallel(self, item: Mapping, context: Context, name: str | None, place: Place) -> Parallel:
        reject_unknown(item, ["name", "branches", "join"], context.path)
        item = self._apply_replaced(item, context, ("join",))
        branches = expect_list(_require(item, "branches", "parallel", context), context.path, _NODES)
        if not branches:
            raise SpaceError(place, context.path, "'branches' is empty; list at least one")
        nodes = tuple(
            self.parse_node(wrap_named(branch), context.at(f"branch{i}"), None)
            for i, branch in enumerate(branches, 1)
        )
        join = self._parse_optional(item, "join", "concat", _JOIN, context)
        return Parallel(name, nodes, join, context.path, place)

    def _parse_alternative(
        self, item: Mapping, context: Context, name: str | None, in_stage: bool
    ) -> Alternative:
        reject_unknown(item, ["name", "choice", "per"], context.path)
        items = expect_list(item.entries["choice"], context.path, _NODES)
        labels = self._name_nodes(list(items), context)
        each = is_per_layer(item, context.path)
        choice = self.declare(labels, item.place, context.at("block"), each)
        nodes = tuple(
            self.parse_node(option, context.at(label), None, in_stage)
            for option, label in zip(items, labels, strict=True)
        )
        return Alternative(name, choice, nodes)

    def _parse_layers(self, item: Mapping, context: Context, name: str | None, in_stage: bool) -> LayerNodes:
        reject_unknown(item, ["name", "layers"], context.path)
        if not context.stages:
            raise SpaceError(item.place, context.path, NO_STAGE)
        stage = context.stages[-1]
        rest = context.path[len(stage) :]
        items = expect_list(item.entries["layers"], context.path, _NODES)
        if not items:
            raise SpaceError(item.place, context.path, "'layers' lists none; list one for each layer")
        for one in items:
            reject_name(one, context, "the node of a layer is named by the layer")
        nodes = tuple(
            self.parse_node(one, replace(context, path=f"{stage}.layer{i}{rest}"), None, in_stage)
            for i, one in enumerate(items, 1)
        )
        return LayerNodes(name, nodes, stage)

    def _apply_replaced(self, item: Mapping, context: Context, keys: Iterable[str]) -> Mapping:
        """Return the arguments of a node, with those that `set` adds to it."""
        self.places_seen.update(context.at(key).path for key in keys)
        set_elsewhere = {
            key: self.replaced[context.at(key).path] for key in keys if context.at(key).path in self.replaced
        }
        return replace(item, entries={**item.entries, **set_elsewhere}) if set_elsewhere else item

    def _parse_optional(self, item: Mapping, key: str, default: Any, kind: Kind, context: Context) -> Value:
        inner = item.entries.get(key)
        return (
            default
            if inner is None
            else self.couple_repeated(self.parse_value(inner, context.at(key), kind), inner.place)
        )

    def parse_defaults(self, block: str, item: Item, place: Place) -> None:
        """Read what `defaults:` gives to one block."""
        context = Context(f"defaults.{block}")
        known: MappingABC[str, Argument | None]
        if block in self.definitions:
            known = dict.fromkeys(self.definitions[block][0])
        elif block in list_blocks():
            known = get_block_arguments(block)
        else:
            names = [*list_blocks(), *self.definitions]
            raise SpaceError(place, "defaults", f"unknown block '{block}'{suggest_word(block, names)}")
        arguments = expect_mapping(item, context.path, "arguments, such as {act: silu}")
        for key, inner in arguments:
            if key not in known:
                hint = suggest_word(key, list(known))
                raise SpaceError(
                    arguments.key_places[key], context.path, f"{block} has no argument '{key}'{hint}"
                )
            argument = known[key]
            here = replace(context.at(key), takes_choice=not is_detail(block, key))
            value = self.parse_value(inner, here, argument.kind if argument else None)
            if isinstance(value, Choice | SameAs) and not here.takes_choice:
                rule = "blocks use it inside, so it cannot be a choice; give a plain value"
                raise SpaceError(inner.place, here.path, rule)
            self.defaults.setdefault(block, {})[key] = (value, inner.place)


def _settle(node: Node, implied: Iterable[str]) -> Node:
    """Return the node of a block with the defaults of what it would take of the stage or cell around, had it
    no block around: only its arguments take these."""
    match node:
        case Alternative() | LayerNodes():
            return replace(node, nodes=tuple(_settle(one, implied) for one in node.nodes))
        case Call():
            known, given = get_block_arguments(node.block), dict(node.args)
            own = {key: known[key].default for key in implied if key in known}
            ordered = ((key, given.get(key, own.get(key))) for key in known if key in {*given, *own})
            return replace(node, args=tuple(ordered))
        case _:
            return node


def _require(item: Mapping, key: str, form: str, context: Context) -> Item:
    if key not in item.entries:
        raise SpaceError(item.place, context.path, f"{form} needs '{key}'; add {key}: ...")
    return item.entries[key]


def _flatten(item: Listing) -> list[Item]:
    return [one for i in item.items for one in (_flatten(i) if isinstance(i, Listing) else [i])]
