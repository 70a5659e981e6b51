"""Text of a space file to a Space: the keys at the top, then nodes and values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from nas.blocks import list_blocks
from nas.blocks.builder import MOST_NODES
from nas.errors import InputError, suggest_word
from nas.files import read_given_text
from nas.kinds import Kind
from nas.ops.arguments import Channels, Count, Probability, Ratio
from nas.space.language.extends import read_description
from nas.space.language.names import find_name_problem
from nas.space.language.parse_nodes import FORMS, NodeParser
from nas.space.language.parse_values import (
    Context,
    expect_list,
    expect_mapping,
    expect_text,
    get_kind,
    reject_unknown,
)
from nas.space.language.source import Item, Listing, Mapping, Scalar, SpaceError, to_plain_data
from nas.space.language.stages import count_nodes
from nas.space.language.tree import Choice
from nas.space.library import find_space
from nas.space.scale import Scale, scale_unchecked
from nas.space.space import INPUT_AXES, Space

_IMAGE_CHANNELS = replace(get_kind(Channels))
"""Another kind than the channels that the width multiplies."""
_PIXELS = Kind("an image size; a size is a whole number of pixels, 1 or more", get_kind(Count).accepts)


def load_space(path_or_name: Path | str, input: int | None = None) -> Space:
    """Read the space in a file, or the bundled one of a name, such as `mbconv`. A file of that name wins.

    `input`: the side in pixels of images that it is fitted to, as `--input` does; None for its own.

        >>> f"{load_space('mbconv').count:.2e}"
        '7.76e+25'

    Raises InputError where there is neither, and with file and line for anything that is wrong in it.
    """
    path = find_space(str(path_or_name))
    space = parse_space(read_given_text(path), str(path))
    if input is None:
        return space
    from nas.space.fit import fit_input

    return fit_input(space, input).space


def parse_space(source: str, file: str = "<text>") -> Space:
    """Parse the text of a space; `file` is the name that messages use.

        >>> space = parse_space("network: [conv: {out: {choice: [16, 24, 32]}, stride: 2}, classifier]")
        >>> space.count, space.cost(space.smallest()).params
        (3, 17464)

    Raises InputError, with file and line, for anything that is wrong in it.
    """
    description = read_description(source, file)
    top = description.top
    parser = NodeParser()
    parser.replaced = dict(description.replaced)
    parser.definitions = _read_definitions(top)
    defaults = _read_section(top, "defaults", "blocks with their arguments, such as {conv: {act: silu}}")
    for block, item in defaults:
        parser.parse_defaults(block, item, defaults.key_places[block])
    root = Context()
    if "network" not in top.entries:
        raise SpaceError(top.place, "", "a space needs 'network'; add network: [...]")
    body = top.entries["network"]
    nodes = body if isinstance(body, Listing) else Listing((body,), body.place)
    if not nodes.items:
        raise SpaceError(body.place, "network", "an empty network; list at least one block")
    network = parser.parse_sequence(nodes, root, None)
    space = Space(
        name=_read_text(top, "name", Path(file).stem),
        about=_read_text(top, "about", ""),
        input=_read_input(top, parser),
        classes=_read_plain(top, "classes", 1000, get_kind(Count)),
        width=_read_value(top, "width", 1, get_kind(Ratio), parser),
        drop_path=_read_plain(top, "drop_path", 0, get_kind(Probability)),
        network=network,
        defaults={block: {k: v for k, (v, _) in args.items()} for block, args in parser.defaults.items()},
        meta={
            key: to_plain_data(item)
            for key, item in _read_section(top, "meta", "a mapping, such as {score: 0.93}")
        },
        file=file,
    )
    parser.link(space.declared)
    for path, item in parser.replaced.items():
        hint = suggest_word(path, sorted(parser.places_seen), "name the place of a value, such as s1.depth")
        raise SpaceError(item.place, "set", f"there is no value at '{path}'{hint}")
    return _check_nodes(_scale(space, top), top)


def _check_nodes(space: Space, top: Mapping) -> Space:
    most = count_nodes(space.network, space.declared)
    if most > MOST_NODES:
        raise SpaceError(
            top.key_places["network"],
            "network",
            f"has up to {most:,} nodes, layers counted one by one, and {MOST_NODES:,} are the most that is "
            "built; lower the depth of stages",
        )
    return space


def _scale(space: Space, top: Mapping) -> Space:
    if "scale" not in top.entries:
        return space
    item = expect_mapping(top.entries["scale"], "scale", "factors, such as {depth: 1.2, width: 1.1}")
    reject_unknown(item, ["depth", "width", "resolution"], "scale")
    factors = {key: _read_plain(item, key, 1, get_kind(Ratio), "scale") for key in item.entries}
    try:
        return scale_unchecked(space, Scale(**factors))
    except InputError as error:
        raise SpaceError(item.place, "scale", str(error)) from None


def _read_definitions(top: Mapping) -> dict[str, tuple[dict[str, Item], Item]]:
    definitions = {}
    section = _read_section(top, "blocks", "your blocks, such as {twice: {args: {out: null}, body: [...]}}")
    for name, item in section:
        place = section.key_places[name]
        problem = find_name_problem(name)
        if problem:
            raise SpaceError(place, "blocks", problem)
        if name in list_blocks() or name in FORMS:
            raise SpaceError(place, "blocks", f"'{name}' is a built-in block; choose another name")
        inner = expect_mapping(item, f"blocks.{name}", "'args' and 'body'")
        reject_unknown(inner, ["args", "body"], f"blocks.{name}")
        if "body" not in inner.entries:
            raise SpaceError(place, f"blocks.{name}", "a block needs 'body'; add body: [...]")
        args = inner.entries.get("args", Mapping({}, place, {}))
        declared = expect_mapping(
            args, f"blocks.{name}.args", "arguments with their defaults, such as {out: null}"
        )
        for key in declared.entries:
            if key == "name" or find_name_problem(key):
                problem = find_name_problem(key) or "'name' is every node's own argument; choose another name"
                raise SpaceError(declared.key_places[key], f"blocks.{name}.args", problem)
            if f"${key}" not in _collect_values(inner.entries["body"]):
                raise SpaceError(
                    declared.key_places[key],
                    f"blocks.{name}.args",
                    f"the body does not use '{key}'; write ${key} where it belongs, or remove it",
                )
        definitions[name] = (declared.entries, inner.entries["body"])
    return definitions


def _collect_values(item: Item) -> set[Any]:
    """Return all values below an item."""
    if isinstance(item, Scalar):
        return {item.value}
    inside = item.items if isinstance(item, Listing) else item.entries.values()
    return {value for one in inside for value in _collect_values(one)}


def _read_section(top: Mapping, key: str, what: str) -> Mapping:
    if key not in top.entries:
        return Mapping({}, top.place, {})
    return expect_mapping(top.entries[key], key, what)


_MOST_COLOURS = 16
"""Channels that an image of three columns may have; with more, colours were meant by these."""


def _read_input(top: Mapping, parser: NodeParser) -> tuple[Any, ...]:
    if "input" not in top.entries:
        return (3, 224, 224)
    items = expect_list(top.entries["input"], "input", "[3, 224, 224]")
    if len(items) != 3:
        raise SpaceError(
            top.entries["input"].place,
            "input",
            f"has {len(items)} values; it has three: [channels, height, width], such as [3, 224, 224]",
        )
    kinds = (_IMAGE_CHANNELS, _PIXELS, _PIXELS)
    sizes = tuple(
        parser.parse_value(item, Context(f"input.{axis}"), kind)
        for axis, item, kind in zip(INPUT_AXES, items, kinds, strict=True)
    )
    channels, height, width = ({*size.values} if isinstance(size, Choice) else {size} for size in sizes)
    sides = [side for side in channels & height if isinstance(side, int) and side > _MOST_COLOURS]
    if sides and 3 in width:
        (side, *_) = sides
        raise SpaceError(
            top.entries["input"].place,
            "input",
            f"[{side}, {side}, 3] is {side} channels of {side} x 3 pixels; channels come first: "
            f"[3, {side}, {side}]; where that many channels are meant, turn the images: [{side}, 3, {side}]",
        )
    return sizes


def _read_value(top: Mapping, key: str, default: Any, kind: Kind, parser: NodeParser) -> Any:
    return parser.parse_value(top.entries[key], Context(key), kind) if key in top.entries else default


def _read_plain(top: Mapping, key: str, default: Any, kind: Kind, section: str = "") -> Any:
    if key not in top.entries:
        return default
    item = top.entries[key]
    path = f"{section}.{key}" if section else key
    if not isinstance(item, Scalar):
        raise SpaceError(item.place, path, "wanted a plain number; this value cannot be a choice or a list")
    try:
        return kind.read(item.value)
    except ValueError as error:
        raise SpaceError(item.place, path, str(error)) from None


def _read_text(top: Mapping, key: str, default: str) -> str:
    return expect_text(top.entries[key], key, "text") if key in top.entries else default
