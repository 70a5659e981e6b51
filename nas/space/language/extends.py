"""A file that is another one with some of its keys and single values replaced."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from nas.errors import InputError
from nas.files import read_text
from nas.space.language.parse_values import expect_mapping, expect_text, reject_unknown
from nas.space.language.source import Item, Mapping, Scalar, SpaceError, read_yaml
from nas.space.library import list_spaces

KEYS = [
    "extends", "name", "about", "input", "classes", "width", "scale", "drop_path", "defaults", "blocks",
    "network", "set", "meta",
]  # fmt: skip

_OWN = ("extends", "set", "name", "about", "meta")
"""What a file does not take from the one that it extends."""

_KEYS = "the keys of a space: name, input, classes, network"

_MOST_FILES = 20
"""That extend one another."""

_SET = "values by their places, such as {s3.depth: 23}"


@dataclass(frozen=True)
class Description:
    """The keys of a space, and the values to set in it by their places."""

    top: Mapping
    replaced: dict[str, Item] = field(default_factory=dict)


def read_description(source: str, file: str) -> Description:
    """Read a text together with the files that it extends.

    Raises SpaceError where a file is missing, is no space, extends itself or has an unknown key.
    """
    return _read_keys(read_yaml(source, file), file, ())


def _read_keys(item: Item, file: str, above: tuple[Path, ...]) -> Description:
    """Read the keys of a file; `above` are the files that extend it."""
    if isinstance(item, Scalar):
        raise SpaceError(item.place, "", f"wanted {_KEYS}, not a single value")
    top = expect_mapping(item, "", _KEYS)
    reject_unknown(top, KEYS, "")
    if "extends" not in top.entries:
        if "set" in top.entries:
            place = top.key_places["set"]
            raise SpaceError(place, "", "'set' changes another file; name it, extends: FILE")
        return Description(top)
    base = _read_base(top.entries["extends"], file, (*above, Path(file).resolve()))
    given = expect_mapping(top.entries.get("set", Mapping({}, top.place, {})), "set", _SET)
    entries = {key: item for key, item in base.top if key not in _OWN}
    places = {**base.top.key_places, **top.key_places}
    merged = Mapping({**entries, **top.entries}, top.place, places)
    replaced = {**base.replaced, **given.entries}
    return Description(_set_defaults(merged, replaced), replaced)


def _read_base(item: Item, file: str, chain: tuple[Path, ...]) -> Description:
    """Read the file that `file`, the last of a chain, extends."""
    name = expect_text(item, "extends", "a file, such as resnet50.yaml")
    path = Path(file).parent / name
    if not os.path.isfile(path):  # noqa: PTH113 - true and false alone, for any name
        path = list_spaces().get(name, path)
    try:
        source = read_text(path)
    except InputError as error:
        raise SpaceError(
            item.place, "extends", f"{error}; give a file beside this one, or a bundled space by name"
        ) from None
    if path.resolve() in chain:
        names = " -> ".join(p.name for p in (*chain[chain.index(path.resolve()) :], path))
        raise SpaceError(item.place, "extends", f"a file cannot extend itself: {names}")
    if len(chain) == _MOST_FILES:
        rule = f"more than {_MOST_FILES} files extend one another; write some of them as one"
        raise SpaceError(item.place, "extends", rule)
    run = _find_run(file)
    if run and not path.resolve().is_relative_to(run.resolve()) and path not in list_spaces().values():
        raise SpaceError(
            item.place,
            "extends",
            f"{name} is outside of the run {run}, and files of a run extend those inside it or bundled ones; "
            "copy this file out of the run",
        )
    return _read_keys(_read_space(source, path, item), str(path), chain)


def _read_space(source: str, path: Path, item: Item) -> Item:
    """Read what an item names. Nothing of the file is said where it may be none of the user's spaces."""
    try:
        top = read_yaml(source, str(path))
    except SpaceError as error:
        rule = f"{error.place} is not read as a space; 'nas show {path}' says why"
        raise SpaceError(item.place, "extends", rule) from None
    if not isinstance(top, Mapping) or not {"network", "extends"} & top.entries.keys():
        rule = f"{path} is no space, it has no 'network'; give a file that 'nas show' reads"
        raise SpaceError(item.place, "extends", rule)
    return top


def _find_run(file: str) -> Path | None:
    """Return the run folder that a file came with."""
    folders = Path(file).absolute().parents
    return next((folder for folder in folders if (folder / "run.yaml").is_file()), None)


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
