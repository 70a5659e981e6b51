"""WebDataset: tar files with an image and its class beside each other, read where they lie."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nas.data.base import Source
from nas.data.layout import SUFFIXES, Layout
from nas.data.listed import Item, find_split_of_file, list_files, wrap_items
from nas.data.packed import ImagePart
from nas.data.stores import ImageParts
from nas.errors import InputError

_MOST_LABEL = 1_000
"""Bytes of a class."""
_MOST_JSON = 2**20
_LABELS = ("label", "class", "cls", "class_name", "target", "category")
"""What a class may be called in a JSON file."""
_RULE = "a sample is an image and its class, such as 000.jpg and 000.cls, or a label in 000.json"
_UNPACK = "where folders name the classes, unpack it, and write imagefolder:FOLDER"


@dataclass
class _ShardSample:
    """The files of a shard with one key."""

    key: str
    image: tuple[str, int, int] | None = None
    label: str | None = None


def open_shards(path: Path, layout: Layout) -> Source:
    """Open a tar file, or those of a folder: by its name a shard is to train on, to validate on or to test
    on.

    Nothing is unpacked: an image is read from its place in the shard.
    """
    place = f"data set webdataset:{path}"
    items: list[Item] = []
    files: list[ImagePart] = []
    for shard in list_files(path, ".tar", place):
        split = find_split_of_file(shard, path)
        inner = os.path.relpath(shard, path.parent if path.is_file() else path)
        for sample in _read_samples(shard, place):
            if sample.image is None:
                continue
            name, offset, size = sample.image
            if sample.label is None:
                way_out = f"; {_UNPACK}" if "/" in name else ""
                raise InputError(f"{place}: {inner}: {name} has no class beside it; {_RULE}{way_out}")
            items.append(Item(f"{inner}/{name}", sample.label, split))
            files.append(ImagePart(shard, offset, size, f"{inner}/{name}"))
    if not items:
        raise InputError(f"{place}: there is no image in its shards; {_RULE}")
    return wrap_items(
        place, items, lambda places: ImageParts([files[index] for index in places]).read, layout
    )


def _read_samples(shard: Path, place: str) -> Iterator[_ShardSample]:
    """Yield the samples of a shard: files in a row whose names are equal up to the first point."""
    sample = _ShardSample("")
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                folder, _, file = member.name.rpartition("/")
                stem, _, kind = file.partition(".")
                if not stem or not kind or not member.isreg() or member.issparse():
                    continue  # folders, links, and what a system keeps beside files
                key = f"{folder}/{stem}"
                if key != sample.key:
                    yield sample
                    sample = _ShardSample(key)
                kind = kind.casefold()
                if f".{kind}" in SUFFIXES:
                    if sample.image:
                        raise InputError(
                            f"{place}: {shard.name}: {sample.image[0]} and {member.name} are two images of "
                            f"one sample; {_RULE}"
                        )
                    sample.image = (member.name, member.offset_data, member.size)
                elif kind in ("cls", "json"):
                    sample.label = _read_label(tar, member, kind, f"{place}: {shard.name}") or sample.label
            yield sample
    except (tarfile.TarError, OSError, EOFError, UnicodeError, OverflowError) as error:
        raise InputError(
            f"{place}: {shard.name} cannot be read ({error}); give a tar file that is whole, and not "
            "compressed"
        ) from None


def _read_label(tar: tarfile.TarFile, member: tarfile.TarInfo, kind: str, place: str) -> str | None:
    """Return the class in a file of a sample; None where a JSON file says none."""
    most = _MOST_LABEL if kind == "cls" else _MOST_JSON
    content = tar.extractfile(member)
    assert content is not None  # it is a file
    text = content.read(most + 1)
    if len(text) > most:
        raise InputError(f"{place}: {member.name} has more than {most:,} bytes, and is no class; {_RULE}")
    try:
        if kind == "cls":
            found = text.decode().strip()
        else:
            known = json.loads(text)
            value = (
                next((known[name] for name in _LABELS if name in known), None)
                if isinstance(known, dict)
                else None
            )
            if value is None:
                return None
            if isinstance(value, bool) or not isinstance(value, int | str):
                raise ValueError(f"its label is {value!r:.40}, and a class is a whole number or a name")
            found = str(value).strip()
        if not found:
            raise ValueError("it is empty")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: {member.name} says no class ({error}); {_RULE}") from None
    return found
