"""Images in a list, each with the name of its class: what tables, shards and annotations come to."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from nas.data.base import Reader, Source
from nas.data.grouping import find_grouping, make_numbering
from nas.data.label_sets import SEVERAL, encode_sets
from nas.data.layout import SPLITS, TEST, TRAIN, VALIDATION, Layout
from nas.errors import InputError
from nas.files import check_regular

_NAMED = 3
"""Classes that a note names."""


@dataclass(frozen=True)
class Item:
    """An image of a list: what it is called, its class, or in a tuple all its labels, one of `SPLITS`, and
    what it belongs together with, which is empty where the list does not say."""

    name: str
    label: str | tuple[str, ...]
    split: str = TRAIN[0]
    group: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """Its class, or all its labels."""
        return (self.label,) if isinstance(self.label, str) else self.label


def wrap_items(
    place: str,
    items: Sequence[Item],
    read: Callable[[list[int]], Reader],
    layout: Layout,
    *,
    notes: Sequence[str] = (),
    classes: Sequence[str] | None = None,
) -> Source:
    """Return the source of a list, with its splits to validate on and to test on where it has some.

    `read` gives the reader of the images of these places in the list. `classes`: the names of all of them in
    their order, by default numbers in theirs before words; those that no image to train on has are left out.
    All items have one class, or all have labels.
    Raises InputError, which begins with `place`, where there are fewer than two.
    """
    parts: dict[tuple[str, ...], list[int]] = {
        kind: [place for place, item in enumerate(items) if item.split.casefold() in kind]
        for kind in (TRAIN, VALIDATION, TEST)
    }
    is_multi_label = any(isinstance(item.label, tuple) for item in items)
    there = {label for index in parts[TRAIN] for label in items[index].labels}
    known = [name for name in classes if name in there] if classes else sorted(there, key=_make_natural_key)
    if len(known) < 2:
        named = (
            f"one class, '{known[0]}'," if known else "no image with a label" if parts[TRAIN] else "no image"
        )
        raise InputError(f"{place}: there is {named} to train on, and at least 2 classes are needed")
    missing = [name for name in classes or () if name not in there]
    if missing:
        more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
        notes = (
            *notes,
            f"Classes without an image to train on are left out: {', '.join(missing[:_NAMED])}{more}.",
        )
    numbers = {name: label for label, name in enumerate(known)}
    by_list = any(item.group for item in items)
    if is_multi_label:
        notes = (SEVERAL, *notes)
    number = make_numbering()
    find_groups = find_grouping(replace(layout, group=None) if by_list else layout, place)

    def check(own: Sequence[Item]) -> None:
        for item in own:
            for label in item.labels:
                if label not in numbers:
                    raise InputError(
                        f"{place}: no image to train on has the label '{label}' of {item.name}; add one that "
                        "has, or take the label out"
                    )

    def part_of(kind: tuple[str, ...]) -> Source:
        own = [items[index] for index in parts[kind]]
        check(own)
        names = [item.name for item in own]
        groups = number([item.group for item in own]) if by_list else find_groups(names)
        found = [[numbers[label] for label in item.labels] for item in own]
        labels = encode_sets(found, len(known)) if is_multi_label else np.array(found, np.int64).reshape(-1)
        return Source(tuple(known), labels, True, read(parts[kind]), name_of=names.__getitem__, groups=groups)

    test = partial(part_of, TEST) if parts[TEST] else None
    train = replace(part_of(TRAIN), notes=tuple(notes), test=test)
    return replace(train, validation=part_of(VALIDATION)) if parts[VALIDATION] else train


def find_split(name: str) -> str:
    """Return which of `SPLITS` a file or folder is named after, by the first of its words that is one:
    `train-00000-of-00002.parquet`, `instances_val2017.json`; nothing where none is."""
    words = "".join(c if c.isalpha() else " " for c in name.casefold()).split()
    return next((word for word in words if word in SPLITS), "")


def list_files(path: Path, suffix: str, place: str) -> list[Path]:
    """Return a file, or those of a folder and the folders in it that end so, in their order.

    Raises InputError where there is none, and where one is a pipe or a device.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{place}: there is no such file or folder")
    found = sorted(file for pattern in (f"*{suffix}", f"*/*{suffix}") for file in path.glob(pattern))
    if not found:
        raise InputError(f"{place}: there are no files *{suffix} in it, or in the folders in it")
    for file in found:
        check_regular(file)
    return found


def check_name(name: str, place: str) -> None:
    """Raise InputError where the name of a file below a folder leads out of it, or no file can have it."""
    path = Path(name)
    if path.anchor or os.pardir in path.parts:
        raise InputError(f"{place}: '{name}' leads out of its folder; give names of files in it")
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        raise InputError(f"{place}: no file can have the name '{name}'; mend it") from None


def _make_natural_key(name: str) -> tuple[bool, int, str]:
    """Return what puts labels that are numbers in their order, before others."""
    return (False, int(name), name) if name.isdecimal() else (True, 0, name)


def find_split_of_file(file: Path, root: Path) -> str:
    """Return the split that a file is of, by its name or that of the folder that it is in below `root`: to
    train on where neither says."""
    if file == root:
        return TRAIN[0]
    inner = "" if file.parent == root else file.parent.name
    return find_split(file.stem) or find_split(inner) or TRAIN[0]
