"""Parsing of values: plain ones, choices, ranges, couplings, one value per layer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from nas.errors import suggest_word
from nas.kinds import Kind, dump_value
from nas.ops.arguments import Channels, Stride
from nas.space.language.source import Item, Listing, Mapping, Place, Scalar, SpaceError
from nas.space.language.tree import OPEN, CellOut, Choice, PerLayer, SameAs, StageStride, Unscaled, Value

UNSCALED = ("fixed", "at_least")
_FORMS = ("choice", "range", "same_as", "layers", *UNSCALED)


def get_kind(annotated: Any) -> Kind:
    """Return the kind inside an annotation of `nas.ops.arguments`."""
    (kind,) = (k for k in get_args(annotated) if isinstance(k, Kind))
    return kind


@dataclass(frozen=True)
class Context:
    """Place in a space: the path that names choices, the stages or the cell around, the block's arguments.

    `takes_choice`: whether a choice may be written here. `preset`: the arguments that have the value that the
    block's definition gives, where none may.
    """

    path: str = ""
    stages: tuple[str, ...] = ()
    cell: str | None = None
    arguments: MappingABC[str, Value] = field(default_factory=dict)
    expanding: tuple[str, ...] = ()
    takes_choice: bool = True
    preset: frozenset[str] = frozenset()

    def at(self, name: str) -> Context:
        """Return the context one step inside."""
        return replace(self, path=f"{self.path}.{name}" if self.path else name)

    @property
    def implied(self) -> dict[str, StageStride | CellOut]:
        """Arguments that a block here takes by itself, of the stage or the cell around it."""
        if self.cell is not None:
            return {"stride": StageStride(self.cell, implicit=True), "out": CellOut(self.cell, implicit=True)}
        return {"stride": StageStride(self.stages[-1], implicit=True)} if self.stages else {}


class ValueParser:
    """Parser of values, which remembers the choices that they declare, by name."""

    def __init__(self) -> None:
        self.declared: dict[str, Choice] = {}
        self.replaced: dict[str, Item] = {}
        """Items to read in place of those that stand in the file, by path; each is taken out when read."""
        self.places_seen: set[str] = set()
        self._couplings: list[tuple[SameAs, Kind | None, Context]] = []
        self._placed: set[str] = set()
        self._places: dict[str, Place] = {}

    def parse_value(self, item: Item, context: Context, kind: Kind | None) -> Value:
        """Parse the value at `context.path`; with `kind` None it is checked where it is used."""
        self.places_seen.add(context.path)
        item = self.replaced.pop(context.path, item)
        if isinstance(item, Mapping):
            return self._parse_key(item, context, kind)
        value = to_plain(item, context.path)
        if isinstance(value, str) and value.startswith("$"):
            name, value = value[1:], self._parse_argument(value[1:], item.place, context)
            context = replace(context, takes_choice=context.takes_choice and name not in context.preset)
        return self.check_kind(value, context, kind, item.place)

    def check_kind(self, value: Value, context: Context, kind: Kind | None, place: Place) -> Value:
        """Return the value. Raises SpaceError where it, or one of its options, is not of the kind."""
        if kind is None:
            return value
        if isinstance(value, StageStride):
            if kind is not _STRIDE:
                raise SpaceError(place, context.path, f"the stage's stride is not {kind.rule}")
            return value
        if isinstance(value, CellOut):
            if kind is not _CHANNELS:
                raise SpaceError(place, context.path, f"the cell's channels are not {kind.rule}")
            return value
        if isinstance(value, SameAs):
            self._couplings.append((value, kind, context))
            return value
        if isinstance(value, Unscaled):
            if kind is not _CHANNELS:
                rule = f"{' and '.join(UNSCALED)} are for channels, which the width multiplies; this is not"
                raise SpaceError(place, context.path, f"{rule} {kind.rule}")
            self.check_kind(value.channels, replace(context, takes_choice=False), kind, place)
            return value
        for one in value.values if isinstance(value, Choice | PerLayer) else (value,):
            if isinstance(one, (*OPEN, Unscaled)):
                self.check_kind(one, context, kind, place)
                continue
            try:
                kind.read(one)
            except ValueError as error:
                way_out = _suggest_choice(value, kind) if context.takes_choice else ""
                raise SpaceError(place, context.path, f"{error}{way_out}") from None
        return value

    def link(self, declared: MappingABC[str, Choice]) -> None:
        """Check couplings and names, now that the choices that the space uses are known."""
        for choice in declared.values():
            if choice.stage is not None:
                self._check_unique(choice, declared)
        for coupling, kind, context in self._couplings:
            target = declared.get(coupling.target)
            if target is None:
                raise SpaceError(
                    coupling.place,
                    context.path,
                    f"no choice is named '{coupling.target}'{self._suggest_target(coupling, declared)}",
                )
            if target.stage is not None and target.stage not in context.stages:
                raise SpaceError(
                    coupling.place,
                    context.path,
                    f"'{target.name}' is decided in each layer of stage '{target.stage}'; "
                    "only that stage's layers can share it",
                )
            self.check_kind(target, context, kind, coupling.place)

    def _suggest_target(self, coupling: SameAs, declared: MappingABC[str, Choice]) -> str:
        """Return what to write in place of a coupling to a choice that is not there."""
        if coupling.target in self.places_seen:
            return (
                "; what stands there is plain, or a choice by another name: make it {choice: [...]}, "
                "name that choice, or repeat the value here"
            )
        return suggest_word(coupling.target, list(declared)) or "; the space has no choice"

    def _check_unique(self, choice: Choice, declared: MappingABC[str, Choice]) -> None:
        """Raise SpaceError where a decision of this choice in a layer has the name of another choice."""
        stage = choice.stage or ""
        names = re.compile(rf"{re.escape(stage)}\.layer[0-9]+{re.escape(choice.name[len(stage) :])}")
        for name in filter(names.fullmatch, declared):
            raise SpaceError(
                self._places[name],
                name,
                f"'{choice.name}' has a decision of this name; choose another one",
            )

    def couple_repeated(self, value: Value, place: Place) -> Value:
        """Return the value, or a coupling where a node has this choice already.

        A choice that is given to a user's block may end up in several nodes.
        """
        if not isinstance(value, Choice) or value.name.startswith("defaults."):
            return value
        if value.name in self._placed:
            return SameAs(value.name, place)
        self._placed.add(value.name)
        return value

    def declare(
        self,
        options: list[Any],
        place: Place,
        context: Context,
        per_layer: bool,
        name: str | None = None,
    ) -> Choice:
        """Declare a choice, named by its place unless `name` is given.

        Raises SpaceError where it is empty, repeats an option or has a name that is taken.
        """
        if not options:
            raise SpaceError(place, context.path, "an empty choice has no option; list at least one")
        seen: set[Any] = set()
        for option in options:
            if option in seen:
                raise SpaceError(place, context.path, f"option {dump_value(option)} stands twice; keep one")
            seen.add(option)
        if per_layer and not context.stages:
            raise SpaceError(
                place,
                context.path,
                "'per: layer' needs a stage around it; leave it out or put the block in one",
            )
        name = context.path if name is None else name
        choice = Choice(
            name=name,
            options=tuple(json.dumps(list(o)) if isinstance(o, tuple) else o for o in options),
            values=tuple(options),
            stage=context.stages[-1] if per_layer else None,
        )
        if choice.name in self.declared:
            line = self._places[choice.name].line
            raise SpaceError(
                place,
                context.path,
                f"the choice in line {line} is named '{choice.name}' too; give one of them another 'name'",
            )
        self.declared[choice.name] = choice
        self._places[choice.name] = place
        return choice

    def _parse_key(self, item: Mapping, context: Context, kind: Kind | None) -> Value:
        form = next((f for f in _FORMS if f in item.entries), None)
        if form is None:
            raise SpaceError(
                item.place,
                context.path,
                f"{_describe_item(item)} is not a value; write a plain value or one of {', '.join(_FORMS)}",
            )
        allowed = [form, "per", "name"] if form in ("choice", "range") else [form]
        reject_unknown(item, allowed, context.path)
        inner = item.entries[form]
        if form == "same_as":
            coupling = SameAs(expect_text(inner, context.path, "the name of a choice"), inner.place)
            return self.check_kind(coupling, context, kind or _ANYTHING, inner.place)
        if form == "layers":
            return self._parse_per_layer(inner, context, kind)
        if form in UNSCALED:
            return self.check_kind(
                Unscaled(to_plain(inner, context.path), form == "at_least"), context, kind, inner.place
            )
        example = "[8, 32, 8]" if form == "range" else "[3, 5, 7]"
        options = [to_plain(i, context.path) for i in expect_list(inner, context.path, example)]
        if form == "range":
            options = _parse_range(options, inner.place, context.path)
        each = is_per_layer(item, context.path)
        name = self._read_choice_name(item, context, each)
        choice = self.declare(options, item.place, context, each, name)
        return self.check_kind(choice, context, kind, inner.place)

    def _read_choice_name(self, item: Mapping, context: Context, per_layer: bool) -> str | None:
        """Read the name that a choice is given."""
        if "name" not in item.entries:
            return None
        place = item.entries["name"].place
        name = expect_text(item.entries["name"], context.path, "a name, such as s2.kernel")
        if not re.fullmatch(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*", name, re.ASCII):
            raise SpaceError(
                place, context.path, f"'{name}' is not a name; a choice is named like a place, s2.kernel"
            )
        stage = context.stages[-1] if context.stages else ""
        if per_layer and not name.startswith(f"{stage}."):
            raise SpaceError(
                place, context.path, f"a choice made in each layer is named after its stage, '{stage}.…'"
            )
        return name

    def _parse_per_layer(self, inner: Item, context: Context, kind: Kind | None) -> PerLayer:
        if not context.stages:
            raise SpaceError(inner.place, context.path, NO_STAGE)
        stage = context.stages[-1]
        rest = context.path[len(stage) :]
        values = [
            self.parse_value(item, replace(context, path=f"{stage}.layer{i}{rest}"), kind)
            for i, item in enumerate(expect_list(inner, context.path), 1)
        ]
        return PerLayer(tuple(values), stage)

    def _parse_argument(self, name: str, place: Place, context: Context) -> Value:
        if name in context.arguments:
            value = context.arguments[name]
            self._check_stage(name, value, place, context)
            return value
        if name in context.implied:
            return replace(context.implied[name], implicit=False)
        known = [*context.arguments, *context.implied]
        hint = suggest_word(name, known) or "; only the body of a block under 'blocks' has arguments"
        raise SpaceError(place, context.path, f"unknown argument '${name}'{hint}")

    def _check_stage(self, name: str, value: Value, place: Place, context: Context) -> None:
        """Raise SpaceError for what is decided in each layer of a stage and used in a stage inside, where it
        would have to say which of the two it means. A choice that has its place there may be shared."""
        stage = value.stage if isinstance(value, Choice | PerLayer | StageStride) else None
        is_shared = isinstance(value, Choice) and value.name in self._placed
        if stage is not None and context.stages and context.stages[-1] != stage and not is_shared:
            raise SpaceError(
                place,
                context.path,
                f"'${name}' is another in each layer of stage '{stage}', and this node is repeated by stage "
                f"'{context.stages[-1]}' in it; give a value that is the same in all layers, or use it "
                "outside of the inner stage",
            )


_ANYTHING = Kind("a value", lambda _: True)
_STRIDE = get_kind(Stride)
_CHANNELS = get_kind(Channels)
NO_STAGE = "'layers' needs a stage around it; give a plain value, or put the block in a stage"


def to_plain(item: Item, path: str) -> Any:
    """Return a scalar's value, or a list's as a tuple."""
    if isinstance(item, Scalar):
        return item.value
    if isinstance(item, Listing):
        return tuple(to_plain(i, path) for i in item.items)
    raise SpaceError(item.place, path, f"wanted a plain value, not {_describe_item(item)}")


def expect_text(item: Item, path: str, what: str) -> str:
    """Return a scalar that must be text."""
    if not isinstance(item, Scalar) or not isinstance(item.value, str):
        raise SpaceError(item.place, path, f"wanted {what}, not {_describe_item(item)}")
    return item.value


def expect_list(item: Item, path: str, example: str = "[3, 5, 7]") -> tuple[Item, ...]:
    """Return the items of what must be a list."""
    if not isinstance(item, Listing):
        raise SpaceError(item.place, path, f"wanted a list, such as {example}, not {_describe_item(item)}")
    return item.items


def expect_mapping(item: Item, path: str, what: str) -> Mapping:
    """Return what must be a mapping."""
    if not isinstance(item, Mapping):
        raise SpaceError(item.place, path, f"wanted {what}, not {_describe_item(item)}")
    return item


def _describe_item(item: Item) -> str:
    """Describe what stands in a place, for messages."""
    match item:
        case Scalar():
            return dump_value(item.value)
        case Listing():
            return "a list"
        case Mapping():
            return f"a mapping of {', '.join(item.entries) or 'nothing'}"


def _suggest_choice(value: Value, kind: Kind) -> str:
    """Return the form of a choice where a bare list has what could be its options."""
    if not isinstance(value, tuple) or len(set(value)) < max(2, len(value)):
        return ""
    try:
        for option in value:
            kind.read(option)
    except ValueError:
        return ""
    return f"; to leave it open, write {{choice: {dump_value(value)}}}"


def reject_unknown(item: Mapping, allowed: list[str], path: str) -> None:
    """Raise SpaceError for the first key that is not allowed."""
    for key in item.entries:
        if key not in allowed:
            raise SpaceError(item.key_places[key], path, f"unknown key '{key}'{suggest_word(key, allowed)}")


def is_per_layer(item: Mapping, path: str) -> bool:
    """Return whether `per: layer` stands beside a choice."""
    per = item.entries.get("per")
    if per is None:
        return False
    if to_plain(per, path) != "layer":
        raise SpaceError(
            per.place,
            path,
            f"{dump_value(to_plain(per, path))} is not a scope; 'per' is layer, or is left out",
        )
    return True


def _parse_range(bounds: list[Any], place: Place, path: str) -> list[int]:
    if not (2 <= len(bounds) <= 3 and all(isinstance(b, int) and not isinstance(b, bool) for b in bounds)):
        raise SpaceError(
            place,
            path,
            f"{dump_value(bounds)} is not a range; it is [low, high] or [low, high, step] in whole numbers",
        )
    low, high, step = bounds if len(bounds) == 3 else (*bounds, 1)
    if step < 1 or high < low or (high - low) % step:
        raise SpaceError(
            place,
            path,
            f"range {bounds} does not reach its end; both ends are in: low <= high, and the step divides "
            "high - low",
        )
    if (high - low) // step >= 10_000:
        raise SpaceError(place, path, f"range {bounds} has more than 10,000 options; use a larger step")
    return list(range(low, high + 1, step))
