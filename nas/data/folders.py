"""Images in a folder for each class, beside what systems and editors keep there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from nas.data.base import Source
from nas.data.grouping import Grouping, find_grouping
from nas.data.layout import SPLITS, SUFFIXES, TEST, TRAIN, VALIDATION, Layout
from nas.data.stores import ImageFiles
from nas.errors import InputError, suggest_word

_NAMED = 3
"""Links that a note names."""


def open_folder(path: Path, layout: Layout) -> Source:
    """Open images in PATH/CLASS/, or in PATH/train/CLASS/ with PATH/val/CLASS/ where there is one.

    Beside a folder to train on, PATH/test/CLASS/ is what a training is tested on in its end, and folders that
    are no splits are not read.
    """
    place = f"data set imagefolder:{path}"
    if path.is_file():
        raise InputError(f"{place}: is a file, and no archive is unpacked; unpack it, and name the folder")
    if not path.is_dir():
        raise InputError(f"{place}: there is no such folder; {_describe_layout(path)}")
    folders = {
        entry.name.casefold(): entry for entry in path.iterdir() if entry.is_dir() and _is_seen(entry.name)
    }
    if not folders:
        raise InputError(f"{place}: the folder has no class folders; {_describe_layout(path)}")
    splits = SPLITS.intersection(folders)
    find_groups = find_grouping(layout, place)
    train = next((folders[name] for name in TRAIN if name in folders), None)
    if train is None and splits == set(folders):
        raise InputError(
            f"{place}: its folders {', '.join(sorted(splits))} are splits, not classes, and none is to "
            f"train on; put the images to train on into {path}/train/CLASS/"
        )
    if train is None or not (_has_classes(train) or splits == set(folders)):
        return _open_class_folders(path, place, find_groups)  # a folder named like a split is a class
    source = _open_class_folders(train, place, find_groups, f"{train.name}/")
    others = {
        kind: next((folders[name] for name in names if name in folders), None)
        for kind, names in {"validation": VALIDATION, "test": TEST}.items()
    }
    own, test = others["validation"], others["test"]
    if own is not None:
        validation = _open_class_folders(own, place, find_groups, f"{own.name}/", source.classes)
        source = replace(source, validation=validation)
    if test is not None:
        find_test = partial(_open_class_folders, test, place, find_groups, f"{test.name}/", source.classes)
        source = replace(source, test=find_test)
    return source


def _has_classes(folder: Path) -> bool:
    """Return whether there are folders in it, and no images beside them."""
    entries = [entry for entry in folder.iterdir() if _is_seen(entry.name)]
    return any(e.is_dir() for e in entries) and not any(e.suffix.casefold() in SUFFIXES for e in entries)


def _is_seen(name: str) -> bool:
    """Return whether a folder is one of the user's, and not of an editor or system."""
    return not name.startswith((".", "__")) and name.casefold() not in _SYSTEM_FOLDERS


_SYSTEM_FOLDERS = frozenset(
    ["@eadir", "#recycle", "$recycle.bin", "__macosx", "lost+found", "system volume information"]
)
_SYSTEM_FILES = frozenset(["desktop.ini", "ehthumbs.db", "thumbs.db"])


def _is_below_system(folder: str) -> bool:
    """Return whether a folder below the data set's is in one that a system or an editor keeps, such as
    `@eaDir`."""
    names = folder.casefold().split("/")
    return any(name.startswith(".") or name in _SYSTEM_FOLDERS for name in names)


def _describe_layout(path: Path) -> str:
    return f"put the images into {path}/CLASS/, one folder for each class"


def _open_class_folders(
    path: Path,
    place: str,
    find_groups: Grouping,
    prefix: str = "",
    classes: tuple[str, ...] | None = None,
) -> Source:
    """Open the images of a folder for each class; with `classes`, those that it may have. `prefix`: what the
    names of its images begin with."""
    others: Counter[str] = Counter()
    not_followed: list[str] = []
    beside: list[str] = []
    root, real = str(path), os.path.realpath(path)
    there = sorted(e.name for e in path.iterdir() if e.is_dir() and _is_seen(e.name))
    folders = {name: os.path.realpath(path / name) for name in there}
    found = tuple(name for name in there if not _contains(folders[name], real))
    not_followed += [name for name in there if name not in found]
    if not found:
        raise InputError(f"{place}: {path} has no class folders; {_describe_layout(path)}")
    names: list[str] = []
    targets: list[int] = []
    for target, name in enumerate(found):
        own = [folders[other] for other in found]
        for parent, files in _walk(os.path.join(root, name), real, own, not_followed):  # noqa: PTH118
            inner = parent.removeprefix(root).lstrip("/")
            is_below_system = _is_below_system(inner)
            for file in files:
                suffix = os.path.splitext(file)[1].casefold()  # noqa: PTH122  # ten times as fast
                if suffix in SUFFIXES:
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
            f"{place}: there is one class, '{found[0]}', and at least 2 are needed; {_describe_layout(path)}"
        )
    if not names:
        raise InputError(f"{place}: there are no images in its class folders; allowed: {', '.join(SUFFIXES)}")
    allowed = classes or found
    for name in found:
        if name not in allowed:
            raise InputError(
                f"{place}: {path.name} has a class '{name}' that the images to train on do not have"
                f"{suggest_word(name, list(allowed))}"
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
    """Return whether a path is a folder or in it, both without links."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
