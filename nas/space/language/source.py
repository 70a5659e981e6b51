"""YAML text to data that knows its lines. Safe: no tags, no duplicate keys, no unbounded aliases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from nas.errors import InputError

_MAX_ITEMS = 20_000
"""A file that expands to more than this is not written by hand: aliases multiply in it."""

_MAX_DIGITS = 4_300
"""Of a number: Python writes no longer ones, and reads them in the square of the time."""

_LONG = 200_000
"""Characters from which a text is not read again by the slow parser."""

_MAX_DEPTH = 100
"""Levels of lists and mappings; every reader of a space calls itself that deep."""

_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map")}


_NUMBERS = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float")}

_OTHER_BASE = re.compile(r"[-+]?0[0-7_]+|.*:.*", re.DOTALL)
"""Numbers that YAML 1.1 reads as nobody means them: 010 is 8, and 1:30 is 90."""


_COLUMNS = "keys that belong together, and dashes, begin in one column"
_WAYS_OUT = (
    ("'\\t'", "indent by spaces, not by tabs"),
    ("expected <block end>, but found '<block", _COLUMNS),
    ("expected <block end>, but found '-'", _COLUMNS),
    (
        "mapping values are not allowed",
        "begin a key in a line of its own, or put text with a colon in quotes",
    ),
    ("could not find expected ':'", "a key has a colon and a space behind it"),
    ("expected ',' or ']'", "put a comma between items, and close each [ by ]"),
    ("expected ',' or '}'", "put a comma between entries, and close each { by }"),
)
"""Part of what the parser says, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class SpaceError(InputError):
    """Something wrong in a space file; the message starts with file, line and path."""

    def __init__(self, place: Place, path: str, message: str) -> None:
        super().__init__(f"{place}: {path}: {message}" if path else f"{place}: {message}")
        self._parts = place, path, message

    @property
    def place(self) -> Place:
        return self._parts[0]

    def __reduce__(self) -> tuple[type[SpaceError], tuple[Place, str, str]]:
        """Pickle by the parts: a space keeps its obstacles, and travels to other processes."""
        return type(self), self._parts


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value: text, number, true, false or null."""

    value: str | int | float | bool | None
    place: Place


@dataclass(frozen=True, slots=True)
class Listing:
    """A YAML sequence."""

    items: tuple[Item, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Mapping:
    """A YAML mapping; keys are text and unique."""

    entries: dict[str, Item]
    place: Place
    key_places: dict[str, Place] = field(compare=False)

    def __iter__(self) -> Iterator[tuple[str, Item]]:
        return iter(self.entries.items())


Item = Scalar | Listing | Mapping


def read_yaml(text: str, file: str, most: int = _MAX_ITEMS) -> Item:
    """Parse one YAML document of up to `most` values; an empty one is an empty mapping.

    Raises SpaceError with the line for anything that is not plain data.
    """
    try:
        loader, node = _compose(text, file, most)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = error.problem or error.context or ""
        way_out = next((f"; {way}" for part, way in _WAYS_OUT if part in problem), "")
        raise SpaceError(Place(file, line), "", f"not valid YAML: {problem}{way_out}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SpaceError(Place(file, line), "", f"not valid YAML: {error.reason}") from None
    except RecursionError:
        raise SpaceError(Place(file, 1), "", _TOO_DEEP) from None
    if node is None:
        return Mapping({}, Place(file, 1), {})
    return _Converter(loader, file, most).convert(node)


def _compose(text: str, file: str, most: int) -> tuple[yaml.SafeLoader, yaml.Node | None]:
    """Return the nodes of a document, and a loader that reads their values.

    The parser in C, where there is one, is ten times as fast. What it refuses is left to the one in Python,
    so that messages are the same everywhere, unless that would take seconds.
    """
    if yaml.__with_libyaml__:
        try:
            return _compose_with(yaml.CSafeLoader, text, file, most)
        except (yaml.YAMLError, UnicodeError):
            if len(text) > _LONG:
                raise
    return _compose_with(yaml.SafeLoader, text, file, most)


def _compose_with(kind: Any, text: str, file: str, most: int) -> tuple[Any, yaml.Node | None]:
    event: Any
    count = depth = 0
    for event in yaml.parse(text, kind):  # before anything is made of more than is read
        count += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if count > most or depth > _MAX_DEPTH:
            place = Place(file, event.start_mark.line + 1)
            raise SpaceError(place, "", _TOO_DEEP if depth > _MAX_DEPTH else _say_too_many(most))
    loader = kind(text)
    return loader, loader.get_single_node()


def _say_too_many(most: int) -> str:
    return f"more than {most:,} values, those of aliases included; list fewer, and smaller aliases"


_TOO_DEEP = f"nested more than {_MAX_DEPTH} levels deep; use fewer levels, or blocks of your own"


def to_plain_data(item: Item) -> Any:
    """Return an item without its lines, as dicts, lists and scalars."""
    if isinstance(item, Mapping):
        return {key: to_plain_data(inner) for key, inner in item}
    if isinstance(item, Listing):
        return [to_plain_data(inner) for inner in item.items]
    return item.value


class _Converter:
    def __init__(self, loader: yaml.SafeLoader, file: str, most: int) -> None:
        self._loader = loader
        self._file = file
        self._most = most
        self._open: list[yaml.Node] = []
        self._count = 0

    def convert(self, node: yaml.Node) -> Item:
        place = Place(self._file, node.start_mark.line + 1)
        self._count += 1
        if self._count > self._most:
            raise SpaceError(place, "", _say_too_many(self._most))
        if node.tag == "tag:yaml.org,2002:merge":
            raise SpaceError(
                place, "", "'<<' does not merge here; write shared arguments once under 'defaults'"
            )
        if node.tag not in _TAGS:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            raise SpaceError(place, "", f"a space is plain text and numbers, not {tag}; put text in quotes")
        if isinstance(node, yaml.ScalarNode):
            return self._convert_scalar(node, place)
        if any(node is outer for outer in self._open):
            raise SpaceError(place, "", "an alias contains itself; write the value out")
        if len(self._open) == _MAX_DEPTH:
            raise SpaceError(place, "", _TOO_DEEP)
        self._open.append(node)
        item: Item
        if isinstance(node, yaml.SequenceNode):
            item = Listing(tuple(self.convert(child) for child in node.value), place)
        else:
            assert isinstance(node, yaml.MappingNode)
            item = self._convert_mapping(node, place)
        self._open.pop()
        return item

    def _convert_scalar(self, node: yaml.ScalarNode, place: Place) -> Scalar:
        try:
            if node.tag in _NUMBERS and len(node.value) > _MAX_DIGITS:
                raise ValueError
            value = self._loader.construct_object(node)
            if node.tag in _NUMBERS:
                str(value)  # raises for a hexadecimal number of too many digits
        except (ValueError, LookupError, OverflowError):
            kind = node.tag.rpartition(":")[2]
            raise SpaceError(
                place, "", f"'{node.value[:40]}' cannot be read as {kind}; put text in quotes"
            ) from None
        if node.tag in _NUMBERS and _OTHER_BASE.fullmatch(node.value):
            base = "base 60" if ":" in node.value else "base 8"
            raise SpaceError(
                place,
                "",
                f"'{node.value[:40]}' is {value!r:.40} in YAML, which reads it in {base}; write the decimal "
                "number, or put text in quotes",
            )
        return Scalar(value, place)

    def _convert_mapping(self, node: yaml.MappingNode, place: Place) -> Mapping:
        entries: dict[str, Item] = {}
        places: dict[str, Place] = {}
        for key_node, value_node in node.value:
            key_place = Place(self._file, key_node.start_mark.line + 1)
            key = self.convert(key_node)
            if not isinstance(key, Scalar) or not isinstance(key.value, str):
                shown = f"'{key_node.value}'" if isinstance(key, Scalar) else "that is a collection"
                raise SpaceError(key_place, "", f"key {shown} is not text; put it in quotes")
            if key.value in entries:
                first = places[key.value].line
                raise SpaceError(
                    key_place, "", f"key '{key.value}' stands twice, first in line {first}; keep one"
                )
            entries[key.value] = self.convert(value_node)
            places[key.value] = key_place
        return Mapping(entries, place, places)
