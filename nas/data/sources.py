"""Where images come from: bundled and downloaded data sets, and folders, tables and arrays of one's own."""

from __future__ import annotations

import csv
import os
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.arrays import source_of_arrays, source_of_pixels
from nas.data.base import Source
from nas.data.cache import ImageFiles
from nas.data.functions import function_source, is_function
from nas.data.npz import open_arrays
from nas.errors import InputError, NasError, did_you_mean


def find_source(spec: str, root: Path) -> Source:
    """The data set of a name or `KIND:PATH`; `root` is where downloaded ones lie. No image is decoded yet.

    Raises InputError for one that cannot be used, NasError for one that cannot be downloaded.
    """
    try:
        return _found(spec, root)
    except (OSError, RuntimeError) as error:  # a path without permission, too long, or of no known user
        raise InputError(f"data set '{spec}' cannot be read: {error}") from error


def absolute(spec: str) -> str:
    """Return the name of a data set with its path, if it has one, in full."""
    if is_function(spec):
        file, _, function = spec.rpartition(":")
        return f"{Path(file).expanduser().resolve()}:{function}"
    kind, colon, path = spec.partition(":")
    return f"{kind}:{Path(path).expanduser().resolve()}" if colon else spec


def _found(spec: str, root: Path) -> Source:
    name, colon, path = spec.partition(":")
    if name in _OWN:
        what, needs, read = _OWN[name]
        if not path:
            raise InputError(f"data set '{name}' needs a {what}: write {name}:{needs}")
        return read(Path(path).expanduser())
    if is_function(spec):
        return function_source(spec)
    if not colon and name == "digits":
        return _digits()
    if not colon and name in _TORCHVISION:
        return _torchvision(name, root)
    file = Path(spec).expanduser()
    if file.is_dir():
        raise InputError(f"data set '{spec}' is a folder: write imagefolder:{spec}")
    if file.is_file() and file.suffix in (".csv", ".npz"):
        raise InputError(f"data set '{spec}' is a file: write {file.suffix[1:]}:{spec}")
    if file.is_file() and file.suffix == ".py":
        raise InputError(f"data set '{spec}' is a Python file: write {spec}:FUNCTION, a function in it")
    raise InputError(f"unknown data set '{spec}'{did_you_mean(spec, list(NAMES))}")


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


def _torchvision(name: str, root: Path) -> Source:
    from torchvision import datasets

    kind, flip, folder, files = _TORCHVISION[name]
    try:
        data: Any = getattr(datasets, kind)(root, train=True, download=True)
    except (OSError, RuntimeError, ValueError) as error:
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
_SPLITS = {*_TRAIN, *_VALIDATION, *_TEST}
_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif",
    ".tiff", ".webp",
)  # fmt: skip
"""Of image files: torchvision's, and others that Pillow reads by itself."""


def _imagefolder(path: Path) -> Source:
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
    train = next((folders[name] for name in _TRAIN if name in folders), None)
    if train is None and splits == set(folders):
        raise InputError(
            f"{place}: its folders {', '.join(sorted(splits))} are splits, not classes, and none is to "
            f"train on; put the images to train on into {path}/train/CLASS/"
        )
    if train is None or not (_has_classes(train) or splits == set(folders)):
        return _class_folders(path, place)  # a folder of images named like a split is a class
    source = _class_folders(train, place)
    own = next((folders[name] for name in _VALIDATION if name in folders), None)
    return source if own is None else replace(source, validation=_class_folders(own, place, source.classes))


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


@cache
def _is_kept_by_system(folder: str) -> bool:
    """Whether a folder, or one that it is in, is a system's or a program's own, such as `@eaDir`."""
    names = folder.casefold().split("/")
    return any(name.startswith(".") or name in _SYSTEM_FOLDERS for name in names)


def _layout(path: Path) -> str:
    return f"put the images into {path}/CLASS/, one folder for each class"


def _class_folders(path: Path, place: str, classes: tuple[str, ...] | None = None) -> Source:
    """The images of a folder for each class; with `classes`, those that it may have."""
    from torchvision.datasets import ImageFolder

    others: Counter[str] = Counter()
    beside: list[str] = []
    root = str(path)

    def is_image(file: str) -> bool:
        folder, _, name = file.rpartition("/")  # os.path takes three times as long
        stem, _, ending = name.rpartition(".")
        suffix = f".{ending.casefold()}" if stem.strip(".") else ""
        if suffix in _SUFFIXES:
            if not (name.startswith("._") or _is_kept_by_system(folder.removeprefix(root))):
                return True
            beside.append(file)
        elif _is_seen(name) and name.casefold() not in _SYSTEM_FILES:
            others[suffix or "none"] += 1
        return False

    class Seen(ImageFolder):  # type: ignore[misc]  # torchvision has no types
        def find_classes(self, directory: str | Path) -> tuple[list[str], dict[str, int]]:
            names = sorted(e.name for e in Path(directory).iterdir() if e.is_dir() and _is_seen(e.name))
            return names, {name: label for label, name in enumerate(names)}

    if not any(entry.is_dir() and _is_seen(entry.name) for entry in path.iterdir()):
        raise InputError(f"{place}: {path} has no class folders; {_layout(path)}")
    folder = Seen(path, allow_empty=True, is_valid_file=is_image)
    kinds = ", ".join(sorted(others))
    notes = []
    if others:
        notes = [
            f"{others.total():,} files of {path} are not read, as their suffix ({kinds}) is of no image."
        ]
    if beside:
        named = os.path.relpath(beside[0], path)
        notes.append(
            f"Files that a system keeps beside images are not read, {len(beside):,} of them: {named}."
        )
    if classes is None and len(folder.classes) < 2:
        raise InputError(
            f"{place}: there is one class, '{folder.classes[0]}', and at least 2 are needed; {_layout(path)}"
        )
    if not folder.samples:
        raise InputError(
            f"{place}: there are no images in its class folders; allowed: {', '.join(_SUFFIXES)}"
        )
    found = tuple(folder.classes)
    allowed = classes or found
    for name in found:
        if name not in allowed:
            raise InputError(
                f"{place}: {path.name} has a class '{name}' that the images to train on do not have"
                f"{did_you_mean(name, list(allowed))}"
            )
    known = {name: label for label, name in enumerate(allowed)}
    labels = np.asarray([known[found[target]] for target in folder.targets], dtype=np.int64)
    names = [file.removeprefix(str(path)).lstrip("/") for file, _ in folder.samples]
    read = ImageFiles(path, names).read
    return Source(allowed, labels, True, read, notes=tuple(notes))


# Tables and arrays


def _csv(path: Path) -> Source:
    """A table with the columns `path`, from the table's own folder, and `label`; where it has a column
    `split`, its rows to train on, with those to validate on."""
    place = f"data set csv:{path}"
    rows = _table(path, place)
    seen: dict[str, int] = {}
    for line, row in rows:
        for column in row:
            if not row[column]:
                raise InputError(f"{place}: line {line} has no {column}; fill it in, or remove the row")
        file = os.path.normpath(row["path"])
        if file in seen:
            raise InputError(
                f"{place}: line {line} names {row['path']} as line {seen[file]} does; remove one"
            )
        seen[file] = line
        split = row.get("split", "train").casefold()
        if split not in _SPLITS:
            raise InputError(
                f"{place}: line {line}: the split '{row['split']}' is not one of {', '.join(sorted(_SPLITS))}"
            )
    parts = {
        kind: [row for _, row in rows if row.get("split", "train").casefold() in kind]
        for kind in (_TRAIN, _VALIDATION)
    }
    classes = tuple(sorted({row["label"] for row in parts[_TRAIN]}, key=_natural))
    if len(classes) < 2:
        named = f"one class, '{classes[0]}'," if classes else "no image"
        raise InputError(f"{place}: there is {named} to train on, and at least 2 classes are needed")
    for row in parts[_VALIDATION]:
        if row["label"] not in classes:
            raise InputError(f"{place}: no image to train on has the label '{row['label']}' of {row['path']}")
    train, own = (_of_rows(path.parent, parts[kind], classes) for kind in (_TRAIN, _VALIDATION))
    return replace(train, validation=own) if parts[_VALIDATION] else train


def _of_rows(folder: Path, rows: list[dict[str, str]], classes: tuple[str, ...]) -> Source:
    known = {name: label for label, name in enumerate(classes)}
    labels = np.asarray([known[row["label"]] for row in rows], dtype=np.int64)
    return Source(classes, labels, True, ImageFiles(folder, [row["path"] for row in rows]).read)


def _table(path: Path, place: str) -> list[tuple[int, dict[str, str]]]:
    """The rows of a table with their lines: path, label and, where there is such a column, split."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [column.strip().casefold() for column in reader.fieldnames or []]
            reader.fieldnames = columns
            if len(columns) == 1 and (other := next((mark for mark in ";\t|" if mark in columns[0]), "")):
                raise InputError(f"{place}: its columns are separated by {other!r}; separate them by commas")
            for column in ("path", "label"):
                if column not in columns:
                    hint = did_you_mean(column, columns)
                    raise InputError(
                        f"{place}: there is no column '{column}' among {', '.join(columns) or 'none'}{hint}"
                    )
            wanted: list[str] = [column for column in ("path", "label", "split") if column in columns]
            rows = [(reader.line_num, {c: (row[c] or "").strip() for c in wanted}) for row in reader]
    except FileNotFoundError:
        raise InputError(f"{place}: there is no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{place}: the table cannot be read ({error}); give a CSV file in UTF-8") from error
    if not rows:
        raise InputError(f"{place}: the table has no rows; give one for each image, with path and label")
    return rows


def _natural(name: str) -> tuple[bool, int, str]:
    """Labels that are numbers in their order, before others."""
    return (False, int(name), name) if name.isdecimal() else (True, 0, name)


def _npz(path: Path) -> Source:
    """Arrays `images`, uint8 as (N, H, W, C), (N, C, H, W) or (N, H, W), and `labels` (N,) from 0 on; names
    of the `classes` where they are given."""
    place = f"data set npz:{path}"
    if path.is_file() and not zipfile.is_zipfile(path):
        raise InputError(f"{place}: is no npz file; write it by numpy.savez(FILE, images=..., labels=...)")
    try:
        with open_arrays(path) as file:
            arrays = {name: file[name] for name in ("images", "labels", "classes") if name in file.files}
            names = ", ".join(file.files)
    except FileNotFoundError:
        raise InputError(f"{place}: there is no such file") from None
    except Exception as error:  # numpy and zipfile have many for a damaged file
        raise InputError(
            f"{place}: the arrays cannot be read ({error}); write them by numpy.savez"
        ) from error
    for name in ("images", "labels"):
        if name not in arrays:
            raise InputError(f"{place}: there is no array '{name}' among {names or 'none'}")
    names_given = arrays.get("classes")
    if names_given is not None and names_given.ndim != 1:
        raise InputError(f"{place}: classes have the shape {names_given.shape}; give one name for each class")
    classes = None if names_given is None else [str(name) for name in names_given]
    return source_of_arrays(place, arrays["images"], arrays["labels"], classes)


_OWN: dict[str, tuple[str, str, Callable[[Path], Source]]] = {
    "imagefolder": ("folder", "PATH, images in PATH/CLASS/", _imagefolder),
    "csv": ("table", "FILE, with the columns path and label", _csv),
    "npz": ("file", "FILE, with the arrays images and labels", _npz),
}

NAMES = ("digits", *_TORCHVISION, "imagefolder:PATH", "csv:FILE", "npz:FILE", "FILE.py:FUNCTION")
