"""A file that is another one with some of its keys and single values replaced."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from nas.errors import InputError
from nas.space.language.parse_values import expect_mapping, expect_text, reject_unknown
from nas.space.language.source import Item, Mapping, Scalar, SpaceError, read_text, read_yaml
from nas.space.library import list_spaces

KEYS = [
    "extends", "name", "about", "input", "classes", "width", "scale", "drop_path", "defaults", "blocks",
    "network", "set", "meta",
]  # fmt: skip

_OWN = ("extends", "set", "name", "about", "meta")
"""What a file does not take from the one that it extends."""

_SET = "values by their places, such as {s3.depth: 23}"


@dataclass(frozen=True)
class Description:
    """The keys of a space, and the values to set in it by their places."""

    top: Mapping
    replaced: dict[str, Item] = field(default_factory=dict)


def read_description(source: str, file: str, above: tuple[Path, ...] = ()) -> Description:
    """Read a text together with the files that it extends; `above` are the files that extend it.

    Raises SpaceError where a file is missing, extends itself or has an unknown key.
    """
    top = expect_mapping(read_yaml(source, file), "", "the keys of a space: name, input, classes, network")
    reject_unknown(top, KEYS, "")
    if "extends" not in top.entries:
        if "set" in top.entries:
            place = top.key_places["set"]
            raise SpaceError(place, "", "'set' changes another file; name it, extends: FILE")
        return Description(top)
    base = _read_base(top.entries["extends"], file, above)
    given = expect_mapping(top.entries.get("set", Mapping({}, top.place, {})), "set", _SET)
    entries = {key: item for key, item in base.top if key not in _OWN}
    places = {**base.top.key_places, **top.key_places}
    merged = Mapping({**entries, **top.entries}, top.place, places)
    replaced = {**base.replaced, **given.entries}
    return Description(_set_defaults(merged, replaced), replaced)


def _read_base(item: Item, file: str, above: tuple[Path, ...]) -> Description:
    name = expect_text(item, "extends", "a file, such as resnet50.yaml")
    path = Path(file).parent / name
    if not path.is_file():
        path = list_spaces().get(name, path)
    chain = (*above, Path(file).resolve())
    if path.resolve() in chain:
        names = " -> ".join(p.name for p in (*chain[chain.index(path.resolve()) :], path))
        raise SpaceError(item.place, "extends", f"a file cannot extend itself: {names}")
    try:
        source = read_text(path)
    except InputError as error:
        raise SpaceError(
            item.place, "extends", f"{error}; give a file beside this one, or a bundled space by name"
        ) from None
    return read_description(source, str(path), chain)


def _set_defaults(top: Mapping, replaced: dict[str, Item]) -> Mapping:
    """Move what is set under `defaults` from `replaced` to the keys."""
    for path in [path for path in replaced if path.startswith("defaults.") and path.count(".") == 2]:
        item = replaced.pop(path)
        _, block, argument = path.split(".")
        top = _set_key(top, ("defaults", block, argument), item)
    return top


def _set_key(outer: Mapping, keys: tuple[str, ...], item: Item) -> Mapping:
    first, *rest = keys
    if rest:
        inner = outer.entries.get(first, Mapping({}, item.place, {}))
        if isinstance(inner, Scalar) and inner.value is None:
            inner = Mapping({}, inner.place, {})
        item = _set_key(expect_mapping(inner, first, "a mapping"), tuple(rest), item)
    places = outer.key_places if first in outer.entries else {**outer.key_places, first: item.place}
    return replace(outer, entries={**outer.entries, first: item}, key_places=places)
