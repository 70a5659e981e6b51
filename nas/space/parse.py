"""Text of a space file to a Space: the keys at the top, then nodes and values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.blocks import block_names
from nas.ops.arguments import Channels, Count, Kind, Probability, Ratio
from nas.space.names import name_problem
from nas.space.nodes import NodeParser
from nas.space.source import Item, Listing, Mapping, Scalar, SpaceError, read_text, read_yaml
from nas.space.space import Space
from nas.space.values import Context, kind_of, listing, mapping, plain, reject_unknown, text

_KEYS = [
    "name", "about", "input", "classes", "width", "drop_path", "defaults", "blocks", "network", "meta"
]  # fmt: skip
_AXES = ("channels", "height", "width")
_PIXELS = Kind("an image size; a size is a whole number of pixels, 1 or more", kind_of(Count).accepts)


def load_space(path: Path | str) -> Space:
    """The space in a file. Raises InputError, with file and line, for anything that is wrong in it."""
    return parse_space(read_text(Path(path)), str(path))


def parse_space(source: str, file: str = "<text>") -> Space:
    """The space in a text; `file` is the name that messages use."""
    top = mapping(read_yaml(source, file), "", "the keys of a space: name, input, classes, network")
    reject_unknown(top, _KEYS, "")
    parser = NodeParser()
    parser.definitions = _definitions(top)
    for block, item in _section(top, "defaults"):
        parser.default_arguments(block, item, top.entries["defaults"].place)
    root = Context()
    if "network" not in top.entries:
        raise SpaceError(top.place, "", "a space needs 'network'; add network: [...]")
    body = top.entries["network"]
    nodes = body if isinstance(body, Listing) else Listing((body,), body.place)
    network = parser.sequence(nodes, root, None)
    space = Space(
        name=_text(top, "name", Path(file).stem),
        about=_text(top, "about", ""),
        input=_input(top, parser),
        classes=_plain(top, "classes", 1000, kind_of(Count)),
        width=_value(top, "width", 1, kind_of(Ratio), parser),
        drop_path=_plain(top, "drop_path", 0, kind_of(Probability)),
        network=network,
        defaults={block: {k: v for k, (v, _) in args.items()} for block, args in parser.defaults.items()},
        meta=_data(top.entries["meta"]) if "meta" in top.entries else {},
        file=file,
    )
    parser.link()
    return space


def _definitions(top: Mapping) -> dict[str, tuple[dict[str, Item], Item]]:
    definitions = {}
    for name, item in _section(top, "blocks"):
        place = item.place
        problem = name_problem(name)
        if problem:
            raise SpaceError(place, "blocks", problem)
        if name in block_names():
            raise SpaceError(place, "blocks", f"'{name}' is a built-in block; choose another name")
        inner = mapping(item, f"blocks.{name}", "'args' and 'body'")
        reject_unknown(inner, ["args", "body"], f"blocks.{name}")
        if "body" not in inner.entries:
            raise SpaceError(place, f"blocks.{name}", "a block needs 'body'; add body: [...]")
        args = inner.entries.get("args", Mapping({}, place, {}))
        declared = mapping(args, f"blocks.{name}.args", "arguments with their defaults, such as {out: null}")
        for key in declared.entries:
            if key == "name" or name_problem(key):
                problem = name_problem(key) or "'name' is every node's own argument; choose another name"
                raise SpaceError(declared.key_places[key], f"blocks.{name}.args", problem)
        definitions[name] = (declared.entries, inner.entries["body"])
    return definitions


def _section(top: Mapping, key: str) -> Mapping:
    if key not in top.entries:
        return Mapping({}, top.place, {})
    return mapping(top.entries[key], key, "a mapping from block names")


def _input(top: Mapping, parser: NodeParser) -> tuple[Any, ...]:
    if "input" not in top.entries:
        return (3, 224, 224)
    items = listing(top.entries["input"], "input")
    if len(items) != 3:
        raise SpaceError(
            top.entries["input"].place, "input", f"has {len(items)} values; it is [channels, height, width]"
        )
    kinds = (kind_of(Channels), _PIXELS, _PIXELS)
    return tuple(
        parser.value(item, Context(f"input.{axis}"), kind)
        for axis, item, kind in zip(_AXES, items, kinds, strict=True)
    )


def _value(top: Mapping, key: str, default: Any, kind: Kind, parser: NodeParser) -> Any:
    return parser.value(top.entries[key], Context(key), kind) if key in top.entries else default


def _plain(top: Mapping, key: str, default: Any, kind: Kind) -> Any:
    if key not in top.entries:
        return default
    item = top.entries[key]
    if not isinstance(item, Scalar):
        raise SpaceError(item.place, key, "wanted a plain number; this value cannot be a choice")
    try:
        return kind.convert(item.value)
    except ValueError as error:
        raise SpaceError(item.place, key, str(error)) from None


def _text(top: Mapping, key: str, default: str) -> str:
    return text(top.entries[key], key, "text") if key in top.entries else default


def _data(item: Item) -> Any:
    """Free data, as a file may carry it under `meta`."""
    if isinstance(item, Mapping):
        return {key: _data(inner) for key, inner in item}
    return [_data(i) for i in item.items] if not isinstance(item, Scalar) else plain(item)
