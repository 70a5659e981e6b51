"""Where images come from: bundled and downloaded data sets, and folders, tables and arrays of one's own."""

from __future__ import annotations

import codecs
import csv
import io
import math
import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.arrays import ARRAY_NAMES, source_of_arrays, source_of_pixels
from nas.data.base import Labels, Source
from nas.data.cache import ImageFiles
from nas.data.functions import function_source, is_function
from nas.data.layout import PLAIN, Layout
from nas.data.npz import open_arrays
from nas.errors import InputError, NasError, did_you_mean


def find_source(spec: str, root: Path, layout: Layout = PLAIN, download: bool = True) -> Source:
    """The data set of a name or `KIND:PATH`; `root` is where downloaded ones lie. No image is decoded yet.

    `layout` says how tables and names are understood.

    Raises InputError for one that cannot be used, NasError for one that cannot be downloaded.
    """
    try:
        return _found(spec, root, layout, download)
    except (OSError, RuntimeError) as error:  # a path without permission, too long, or of no known user
        raise InputError(f"data set '{spec}' cannot be read: {error}") from error


def absolute(spec: str) -> str:
    """Return the name of a data set with its path, if it has one, in full."""
    if is_function(spec):
        file, _, function = spec.rpartition(":")
        return f"{Path(file).expanduser().resolve()}:{function}"
    kind, colon, path = spec.partition(":")
    return f"{kind}:{Path(path).expanduser().resolve()}" if colon else spec


def _found(spec: str, root: Path, layout: Layout, download: bool) -> Source:
    name, colon, path = spec.partition(":")
    _check_used(layout, name, spec)
    if name in _OWN:
        what, needs, read = _OWN[name]
        if not path:
            raise InputError(f"data set '{name}' needs a {what}: write {name}:{needs}")
        return read(Path(path).expanduser(), layout)
    if is_function(spec):
        return function_source(spec)
    if not colon and name == "digits":
        return _digits()
    if not colon and name in _TORCHVISION:
        return _torchvision(name, root, download)
    file = Path(spec).expanduser()
    if file.is_dir():
        raise InputError(f"data set '{spec}' is a folder: write imagefolder:{spec}")
    if file.is_file() and file.suffix in (".csv", ".npz"):
        raise InputError(f"data set '{spec}' is a file: write {file.suffix[1:]}:{spec}")
    if file.is_file() and file.suffix == ".py":
        raise InputError(f"data set '{spec}' is a Python file: write {spec}:FUNCTION, a function in it")
    raise InputError(f"unknown data set '{spec}'{did_you_mean(spec, list(NAMES))}")


def _check_used(layout: Layout, kind: str, spec: str) -> None:
    """Raise InputError for what has no effect on data of a kind."""
    if kind != "csv":
        for flag, value in (("--columns", layout.columns), ("--suffix", layout.suffix)):
            if value is not None:
                raise InputError(f"{flag}: data set '{spec}' is no table; leave it out, or write csv:FILE")
    if layout.group is not None and kind not in _OWN:
        raise InputError(
            f"--group: the images of data set '{spec}' have no names; leave it out, or use imagefolder:PATH, "
            "csv:FILE or npz:FILE"
        )


# Data sets by name


def _digits() -> Source:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[:, None]
    classes = tuple(str(name) for name in digits.target_names)
    return source_of_pixels(classes, digits.target, images, flip=False)


# name: torchvision's class, whether a mirrored image keeps its class, the files and their folder below root
_TORCHVISION = {
    "cifar10": ("CIFAR10", True, "", "cifar-10-python.tar.gz"),
    "cifar100": ("CIFAR100", True, "", "cifar-100-python.tar.gz"),
    "mnist": ("MNIST", False, "MNIST/raw", "the four *-ubyte.gz files of MNIST"),
    "fashion_mnist": ("FashionMNIST", True, "FashionMNIST/raw", "the four *-ubyte.gz files of Fashion-MNIST"),
}


def _torchvision(name: str, root: Path, download: bool) -> Source:
    from torchvision import datasets

    kind, flip, folder, files = _TORCHVISION[name]
    try:
        data: Any = getattr(datasets, kind)(root, train=True, download=download)
    except (OSError, RuntimeError, ValueError) as error:
        if not download:
            raise InputError(
                f"data set '{name}' is not in {root}, and nothing that a run folder names is downloaded by "
                f"itself; add --dataset {name}"
            ) from None
        cause = " ".join(str(error).split())
        where = root / folder
        if where.is_dir() and any(where.iterdir()):
            raise NasError(
                f"data set '{name}': the files in {where} are not complete, and could not be downloaded "
                f"({cause}); remove the folder, or put {files} into it"
            ) from error
        raise NasError(
            f"data set '{name}' is not in {root} and could not be downloaded ({cause}); put {files} "
            f"into {where}, or use 'digits', which needs no network, or imagefolder:PATH"
        ) from error
    pixels = np.asarray(data.data)
    images = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    return source_of_pixels(tuple(data.classes), np.asarray(data.targets), images, flip)


# Folders

_TRAIN = ("train", "training")
_VALIDATION = ("val", "valid", "validation")
_TEST = ("test", "testing")
_NAMED = 3
"""Links that a note names."""
_SPLITS = {*_TRAIN, *_VALIDATION, *_TEST}
_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif",
    ".tiff", ".webp",
)  # fmt: skip
"""Of image files: torchvision's, and others that Pillow reads by itself."""


def _imagefolder(path: Path, layout: Layout) -> Source:
    """Images in PATH/CLASS/, or in PATH/train/CLASS/ with PATH/val/CLASS/ where there is one.

    Beside a folder to train on, PATH/test/ and folders that are no splits are not read.
    """
    place = f"data set imagefolder:{path}"
    if path.is_file():
        raise InputError(f"{place}: is a file, and no archive is unpacked; unpack it, and name the folder")
    if not path.is_dir():
        raise InputError(f"{place}: there is no such folder; {_layout(path)}")
    folders = {
        entry.name.casefold(): entry for entry in path.iterdir() if entry.is_dir() and _is_seen(entry.name)
    }
    if not folders:
        raise InputError(f"{place}: the folder has no class folders; {_layout(path)}")
    splits = _SPLITS.intersection(folders)
    find_groups = _grouping(layout, place)
    train = next((folders[name] for name in _TRAIN if name in folders), None)
    if train is None and splits == set(folders):
        raise InputError(
            f"{place}: its folders {', '.join(sorted(splits))} are splits, not classes, and none is to "
            f"train on; put the images to train on into {path}/train/CLASS/"
        )
    if train is None or not (_has_classes(train) or splits == set(folders)):
        return _class_folders(path, place, find_groups)  # a folder of images named like a split is a class
    source = _class_folders(train, place, find_groups, f"{train.name}/")
    own = next((folders[name] for name in _VALIDATION if name in folders), None)
    if own is None:
        return source
    validation = _class_folders(own, place, find_groups, f"{own.name}/", source.classes)
    return replace(source, validation=validation)


def _has_classes(folder: Path) -> bool:
    """Whether there are folders in it, and no images beside them."""
    entries = [entry for entry in folder.iterdir() if _is_seen(entry.name)]
    return any(e.is_dir() for e in entries) and not any(e.suffix.casefold() in _SUFFIXES for e in entries)


def _is_seen(name: str) -> bool:
    """Whether a folder is one of the user's, and not of an editor or system."""
    return not name.startswith((".", "__")) and name.casefold() not in _SYSTEM_FOLDERS


_SYSTEM_FOLDERS = frozenset(
    ["@eadir", "#recycle", "$recycle.bin", "__macosx", "lost+found", "system volume information"]
)
_SYSTEM_FILES = frozenset(["desktop.ini", "ehthumbs.db", "thumbs.db"])


def _is_below_system(folder: str) -> bool:
    """Whether a folder below the data set's is in one that a system or an editor keeps, such as `@eaDir`."""
    names = folder.casefold().split("/")
    return any(name.startswith(".") or name in _SYSTEM_FOLDERS for name in names)


def _layout(path: Path) -> str:
    return f"put the images into {path}/CLASS/, one folder for each class"


def _class_folders(
    path: Path,
    place: str,
    find_groups: Grouping,
    prefix: str = "",
    classes: tuple[str, ...] | None = None,
) -> Source:
    """The images of a folder for each class; with `classes`, those that it may have. `prefix`: what the names
    of its images begin with."""
    others: Counter[str] = Counter()
    not_followed: list[str] = []
    beside: list[str] = []
    root, real = str(path), os.path.realpath(path)
    there = sorted(e.name for e in path.iterdir() if e.is_dir() and _is_seen(e.name))
    folders = {name: os.path.realpath(path / name) for name in there}
    found = tuple(name for name in there if not _contains(folders[name], real))
    not_followed += [name for name in there if name not in found]
    if not found:
        raise InputError(f"{place}: {path} has no class folders; {_layout(path)}")
    names: list[str] = []
    targets: list[int] = []
    for target, name in enumerate(found):
        own = [folders[other] for other in found]
        for parent, files in _walk(os.path.join(root, name), real, own, not_followed):  # noqa: PTH118
            inner = parent.removeprefix(root).lstrip("/")
            is_below_system = _is_below_system(inner)
            for file in files:
                suffix = os.path.splitext(file)[1].casefold()  # noqa: PTH122  # ten times as fast
                if suffix in _SUFFIXES:
                    is_own = not (is_below_system or file.startswith("._"))
                    (names if is_own else beside).append(f"{inner}/{file}")
                elif _is_seen(file) and file.casefold() not in _SYSTEM_FILES:
                    others[suffix or "none"] += 1
        targets += [target] * (len(names) - len(targets))
    kinds = ", ".join(sorted(others))
    notes = []
    if others:
        notes = [
            f"{others.total():,} files of {path} are not read, as their suffix ({kinds}) is of no image."
        ]
    if beside:
        notes.append(
            f"Files that a system keeps beside images are not read, {len(beside):,} of them: {beside[0]}."
        )
    if not_followed:
        links = ", ".join(link.removeprefix(f"{root}/") for link in not_followed[:_NAMED])
        notes.append(
            f"{len(not_followed):,} links of {path} to folders that are read anyway are not followed, "
            f"such as {links}."
        )
    if classes is None and len(found) < 2:
        raise InputError(
            f"{place}: there is one class, '{found[0]}', and at least 2 are needed; {_layout(path)}"
        )
    if not names:
        raise InputError(
            f"{place}: there are no images in its class folders; allowed: {', '.join(_SUFFIXES)}"
        )
    allowed = classes or found
    for name in found:
        if name not in allowed:
            raise InputError(
                f"{place}: {path.name} has a class '{name}' that the images to train on do not have"
                f"{did_you_mean(name, list(allowed))}"
            )
    known = {name: label for label, name in enumerate(allowed)}
    labels = np.asarray([known[found[target]] for target in targets], dtype=np.int64)
    return Source(
        allowed,
        labels,
        True,
        ImageFiles(path, names).read,
        notes=tuple(notes),
        name_of=lambda index: f"{prefix}{names[index]}",
        groups=find_groups(names),
    )


def _walk(
    folder: str, root: str, folders: Sequence[str], not_followed: list[str]
) -> list[tuple[str, list[str]]]:
    """Return the folders in a class folder, each once, with the names of their files, in their order.

    Not followed are links to what holds the data set, `root`, to what its class `folders` have, and to what
    was walked.
    """
    seen: set[str] = set()
    found = []
    for parent, inner, names in os.walk(folder, followlinks=True):
        found.append((parent, sorted(names)))
        for name in list(inner):
            link = os.path.join(parent, name)  # noqa: PTH118
            if not os.path.islink(link):  # noqa: PTH114
                continue
            real = os.path.realpath(link)
            if real in seen or _contains(real, root) or any(_contains(own, real) for own in folders):
                not_followed.append(link)
                inner.remove(name)
            seen.add(real)
    return sorted(found)


def _contains(folder: str, path: str) -> bool:
    """Whether a path is a folder or in it, both without links."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


Grouping = Callable[[Sequence[str]], "Labels | None"]
"""Gives the groups of images of these names; None where each stands for itself."""


def _grouping(layout: Layout, place: str) -> Grouping:
    """What finds groups by the pattern of a layout, numbered alike for all parts of a data set."""
    if layout.group is None:
        return lambda names: None
    number = _numbering()
    rule = "a pattern has one group for what belongs together, such as (patient[0-9]+)"
    try:
        pattern = re.compile(layout.group)
    except re.error as error:
        raise InputError(f"--group: '{layout.group}' is no pattern ({error}); {rule}") from None
    if pattern.groups != 1:
        raise InputError(f"--group: '{layout.group}' has {pattern.groups} groups; {rule}")

    def find(names: Sequence[str]) -> Labels:
        found = [pattern.search(name) for name in names]
        lost = [name for name, match in zip(names, found, strict=True) if match is None or match[1] is None]
        if lost:
            raise InputError(
                f"{place}: --group '{layout.group}' is not in {len(lost):,} of {len(names):,} names of "
                f"images, such as {lost[0]}; give a pattern that all names have"
            )
        return number([match[1] for match in found if match])

    return find


def _numbering() -> Callable[[Sequence[str]], Labels]:
    """What numbers names from 0 on, alike in all calls."""
    known: dict[str, int] = {}
    return lambda names: np.array([known.setdefault(name, len(known)) for name in names], dtype=np.int64)


# Tables and arrays


_PATHS = (
    "path", "file_path", "filepath", "image_path", "img_path", "filename", "file_name", "file", "image",
    "img", "image_name", "img_name", "image_id", "img_id", "image_file",
)  # fmt: skip
_LABELS = ("label", "labels", "class", "class_name", "classname", "class_id", "target", "category")
"""Usual names of the two columns; the first is ours, and wins over the others."""
_MOST_LABEL = 1_000
"""Characters of a label."""


@dataclass(frozen=True)
class _Row:
    """What a row of a table says; `group` is empty where there is no such column."""

    line: int
    path: str
    label: str
    split: str
    group: str


def _csv(path: Path, layout: Layout) -> Source:
    """A table with a column of paths, from the table's own folder, and one of labels; where it has a column
    `split`, its rows to train on, with those to validate on."""
    place = f"data set csv:{path}"
    rows, notes = _table(path, place, layout)
    seen: dict[str, int] = {}
    for row in rows:
        file = os.path.normpath(row.path)
        if file in seen:
            raise InputError(
                f"{place}: line {row.line} names {row.path} as line {seen[file]} does; remove one"
            )
        seen[file] = row.line
        if row.split.casefold() not in _SPLITS:
            raise InputError(
                f"{place}: line {row.line}: the split '{row.split}' is not one of "
                f"{', '.join(sorted(_SPLITS))}"
            )
    parts: dict[tuple[str, ...], list[_Row]] = {
        kind: [row for row in rows if row.split.casefold() in kind] for kind in (_TRAIN, _VALIDATION)
    }
    _check_labels(rows, place)
    classes = tuple(sorted({row.label for row in parts[_TRAIN]}, key=_natural))
    if len(classes) < 2:
        named = f"one class, '{classes[0]}'," if classes else "no image"
        raise InputError(f"{place}: there is {named} to train on, and at least 2 classes are needed")
    for row in parts[_VALIDATION]:
        if row.label not in classes:
            raise InputError(f"{place}: no image to train on has the label '{row.label}' of {row.path}")
    by_column = any(row.group for row in rows)
    number, find_groups = _numbering(), _grouping(replace(layout, group=None) if by_column else layout, place)

    def part_of(kind: tuple[str, ...]) -> Source:
        own = parts[kind]
        names = [row.path for row in own]
        groups = number([row.group for row in own]) if by_column else find_groups(names)
        labels = np.array([known[row.label] for row in own], dtype=np.int64)
        read = ImageFiles(path.parent, names).read
        return Source(classes, labels, True, read, name_of=names.__getitem__, groups=groups)

    known = {name: label for label, name in enumerate(classes)}
    train = replace(part_of(_TRAIN), notes=tuple(notes))
    return replace(train, validation=part_of(_VALIDATION)) if parts[_VALIDATION] else train


def _check_labels(rows: Sequence[_Row], place: str) -> None:
    """Raise InputError where labels are no classes."""
    for row in rows:
        if len(row.label) > _MOST_LABEL:
            raise InputError(
                f"{place}: line {row.line} has a label of {len(row.label):,} characters; a class has a "
                f"name of {_MOST_LABEL:,} at most"
            )
    numbers = [_read_number(row.label) for row in rows]
    if any(number is None for number in numbers):
        return
    for row, number in zip(rows, numbers, strict=True):
        if number is not None and not number.is_integer():
            raise InputError(
                f"{place}: line {row.line} has the label {row.label}: are the labels classes, or numbers to "
                "be predicted? Write classes as whole numbers or names; numbers are for an --evaluator of "
                "your own, such as examples/regression.py:train"
            )


def _read_number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _table(path: Path, place: str, layout: Layout) -> tuple[list[_Row], list[str]]:
    """The rows of a table, and what is to be said of its columns."""
    text = _read_table(path, place)
    first = text.partition("\n")[0]
    mark = "," if "," in first else next((mark for mark in ";\t|" if mark in first), ",")
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=mark)
        columns = [column.strip().casefold() for column in reader.fieldnames or []]
        reader.fieldnames = columns
        names = _find_columns(columns, place, layout)
        split = "split" if "split" in columns else None
        group = (layout.group or "").casefold()
        group = group if group in columns else ""
        wanted = [name for name in (*names, split, group) if name]
        rows = []
        for row in reader:
            cells = {name: (row[name] or "").strip() for name in wanted}
            for name, cell in cells.items():
                if not cell:
                    raise InputError(
                        f"{place}: line {reader.line_num} has no {name}; fill it in, or remove the row"
                    )
            rows.append(
                _Row(
                    reader.line_num,
                    cells[names[0]],
                    cells[names[1]],
                    cells[split] if split else "train",
                    cells[group] if group else "",
                )
            )
    except csv.Error as error:
        raise InputError(
            f"{place}: the table cannot be read ({error}); give a CSV file in UTF-8 or UTF-16"
        ) from error
    if not rows:
        raise InputError(f"{place}: the table has no rows; give one for each image, with path and label")
    notes = []
    if names != ("path", "label"):
        notes.append(f"Columns of {path.name}: {names[0]} names the files, {names[1]} the classes.")
    rows, added = _complete_paths(rows, path.parent, place, layout.suffix)
    return rows, [*notes, *added]


def _read_table(path: Path, place: str) -> str:
    """Return the text of a table in UTF-8 or UTF-16, with a mark of its order of bytes or without."""
    try:
        content = path.read_bytes()
        head = content[:1_000]
        encoding = "utf-8-sig"
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            encoding = "utf-16"
        elif b"\0" in head:  # of each character of ASCII one byte is zero
            encoding = "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"
        return content.decode(encoding)
    except FileNotFoundError:
        raise InputError(f"{place}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{place}: the table cannot be read ({error}); give a CSV file in UTF-8 or UTF-16"
        ) from error


def _find_columns(columns: Sequence[str], place: str, layout: Layout) -> tuple[str, str]:
    """Return the columns of path and label, those of a layout or by their usual names."""
    listed = ", ".join(columns) or "none"
    if layout.columns is not None:
        for column in layout.columns:
            if column.casefold() not in columns:
                hint = did_you_mean(column.casefold(), list(columns))
                raise InputError(f"{place}: there is no column '{column}' of --columns among {listed}{hint}")
        path, label = layout.columns
        return path.casefold(), label.casefold()
    found = []
    for usual in (_PATHS, _LABELS):
        own = usual[0]
        known = [own] if own in columns else [name for name in usual if name in columns]
        if len(known) > 1:
            raise InputError(
                f"{place}: {' and '.join(known)} may both be the column '{own}'; name the columns by "
                "--columns PATH,LABEL"
            )
        if not known:
            hint = did_you_mean(own, list(columns), "name the columns by --columns PATH,LABEL")
            raise InputError(f"{place}: there is no column '{own}' among {listed}{hint}")
        found.append(known[0])
    return found[0], found[1]


def _complete_paths(
    rows: list[_Row], folder: Path, place: str, suffix: str | None
) -> tuple[list[_Row], list[str]]:
    """Return rows whose paths are of files: with slashes, and with a suffix where they have none."""
    stems: dict[str, dict[str, list[str]]] = {}

    def complete(row: _Row) -> _Row:
        path = row.path
        if "\\" in path and not os.path.lexists(os.path.join(folder, path)):  # noqa: PTH118
            path = path.replace("\\", "/")
        if suffix is not None:
            ending = suffix if "." in suffix else f".{suffix}"
            return replace(row, path=path.removesuffix(ending) + ending)
        if os.path.splitext(path)[1].casefold() in _SUFFIXES:  # noqa: PTH122
            return replace(row, path=path)
        parent, name = os.path.split(path)
        if parent not in stems:
            stems[parent] = _list_images(folder / parent)
        others = stems[parent].get(name, [])
        if len(others) > 1:
            raise InputError(
                f"{place}: line {row.line}: '{row.path}' may be {' or '.join(sorted(others))}; say which by "
                "--suffix, such as --suffix .jpg"
            )
        return replace(row, path=os.path.join(parent, others[0]) if others else path)  # noqa: PTH118

    done = [complete(row) for row in rows]
    added = [new.path for new, old in zip(done, rows, strict=True) if len(new.path) > len(old.path)]
    notes = (
        [f"Paths of {len(added):,} rows have no suffix, and are of files such as {added[0]}."]
        if added
        else []
    )
    return done, notes


def _list_images(folder: Path) -> dict[str, list[str]]:
    """Return the image files in a folder by their names without suffix."""
    found: dict[str, list[str]] = {}
    try:
        for file in os.listdir(folder):  # noqa: PTH208
            stem, suffix = os.path.splitext(file)  # noqa: PTH122
            if suffix.casefold() in _SUFFIXES:
                found.setdefault(stem, []).append(file)
    except OSError:  # then there are no such files, which is said of each
        return {}
    return found


def _natural(name: str) -> tuple[bool, int, str]:
    """Labels that are numbers in their order, before others."""
    return (False, int(name), name) if name.isdecimal() else (True, 0, name)


_ARRAYS = (
    ARRAY_NAMES,
    ("train_images", "train_labels", "val_images", "val_labels"),  # as MedMNIST has them
    ("x_train", "y_train", "x_val", "y_val"),  # as Keras has them
)
"""Names of images and labels, to train on and to validate on."""


def _npz(path: Path, layout: Layout) -> Source:
    """Arrays of images and labels, those to validate on where they are given, and names of the `classes`;
    what the arrays are is said where they are checked (`source_of_arrays`)."""
    place = f"data set npz:{path}"
    if path.is_file() and not zipfile.is_zipfile(path):
        raise InputError(f"{place}: is no npz file; write it by numpy.savez(FILE, images=..., labels=...)")
    try:
        with open_arrays(path) as file:
            names = next((names for names in _ARRAYS if names[0] in file.files), ARRAY_NAMES)
            has_validation = all(name in file.files for name in names[2:])
            groups: tuple[str, ...] = ()
            if layout.group:
                groups = (layout.group, f"train_{layout.group}", f"val_{layout.group}")
            wanted = (*names[: 4 if has_validation else 2], "classes", *groups)
            arrays = {name: file[name] for name in wanted if name in file.files}
            listed = ", ".join(file.files) or "none"
    except FileNotFoundError:
        raise InputError(f"{place}: there is no such file") from None
    except Exception as error:  # numpy and zipfile have many for a damaged file
        raise InputError(
            f"{place}: the arrays cannot be read ({error}); write them by numpy.savez"
        ) from error
    for name in names[:2]:
        if name not in arrays:
            raise InputError(f"{place}: there is no array '{name}' among {listed}")
    names_given = arrays.get("classes")
    if names_given is not None and names_given.ndim != 1:
        raise InputError(f"{place}: classes have the shape {names_given.shape}; give one name for each class")
    classes = None if names_given is None else [str(name) for name in names_given]
    validation = (arrays[names[2]], arrays[names[3]]) if has_validation else None
    source = source_of_arrays(
        place, arrays[names[0]], arrays[names[1]], classes, validation=validation, names=names
    )
    number = _numbering()

    def grouped(part: Source, *keys: str) -> Source:
        values = next((arrays[key] for key in keys if key in arrays), None)
        if values is None or values.shape not in ((len(part.labels),), (len(part.labels), 1)):
            shape = "" if values is None else f" of {len(part.labels):,} values, one for each image,"
            raise InputError(f"{place}: --group: there is no array '{keys[0]}'{shape} among {listed}")
        return replace(part, groups=number([str(value) for value in values.ravel()]))

    if layout.group is None:
        return source
    own = source.validation and grouped(source.validation, groups[2])
    return replace(grouped(source, *groups[:2]), validation=own)


_OWN: dict[str, tuple[str, str, Callable[[Path, Layout], Source]]] = {
    "imagefolder": ("folder", "PATH, images in PATH/CLASS/", _imagefolder),
    "csv": ("table", "FILE, with the columns path and label", _csv),
    "npz": ("file", "FILE, with the arrays images and labels", _npz),
}

NAMES = ("digits", *_TORCHVISION, "imagefolder:PATH", "csv:FILE", "npz:FILE", "FILE.py:FUNCTION")
