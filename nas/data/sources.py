"""Where images come from: bundled and downloaded data sets, and folders, tables and arrays of one's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.arrays import wrap_pixels
from nas.data.base import Source
from nas.data.catalogue import ARCHIVES, BUILT_IN, KINDS, NAMES, OWN
from nas.data.functions import is_function, open_function
from nas.data.layout import PLAIN, Layout
from nas.data.recognise import recognise
from nas.errors import InputError, NasError, suggest_word

_PACKED = (".zip", ".gz", ".tgz", ".bz2", ".xz", ".txz", ".zst", ".7z", ".rar")


def find_source(spec: str, root: Path, layout: Layout = PLAIN, download: bool = True) -> Source:
    """Return the data set of a name or `KIND:PATH`; `root` is where downloaded ones lie. No image is decoded
    yet.

    `layout` says how tables and names are understood.

    Raises InputError for one that cannot be used, NasError for one that cannot be downloaded.
    """
    try:
        return _open(spec, root, layout, download)
    except (OSError, RuntimeError) as error:  # a path without permission, too long, or of no known user
        raise InputError(f"data set '{spec}' cannot be read: {error}") from error


def check_known(spec: str) -> None:
    """Raise InputError for what is neither the name of a data set nor the path of anything."""
    name, colon, _ = spec.partition(":")
    if name in KINDS or spec in BUILT_IN or is_function(spec):
        return
    try:
        path = Path(spec).expanduser()
        if not colon and path.exists():
            return
    except (OSError, RuntimeError) as error:  # a path without permission, too long, or of no known user
        raise InputError(f"data set '{spec}' cannot be read: {error}") from error
    is_path = not colon and path.name != spec
    what = f"data set '{spec}': no such file or folder" if is_path else f"unknown data set '{spec}'"
    beside = [] if colon else [str(one) for one in path.parent.glob("*") if one.is_dir() or one.suffix]
    allowed = f"allowed: a path, {', '.join(sorted(NAMES))}"
    raise InputError(f"{what}{suggest_word(spec, [*NAMES, *beside], allowed)}")


def resolve_spec(spec: str) -> str:
    """Return the name of a data set with its path, if it has one, in full."""
    if is_function(spec):
        file, _, function = spec.rpartition(":")
        return f"{Path(file).expanduser().resolve()}:{function}"
    kind, colon, path = spec.partition(":")
    return f"{kind}:{Path(path).expanduser().resolve()}" if colon else spec


def _open(spec: str, root: Path, layout: Layout, download: bool) -> Source:
    name, colon, path = spec.partition(":")
    _check_used(layout, name, spec)
    if name in KINDS:
        kind = KINDS[name]
        if not path:
            raise InputError(
                f"data set '{name}' needs a {kind.place}: write {name}:{kind.argument}, {kind.content}"
            )
        return kind.open(Path(path).expanduser(), layout)
    if is_function(spec):
        return open_function(spec)
    if not colon and name == "digits":
        return _load_digits()
    if not colon and name in ARCHIVES:
        return _open_torchvision(name, root, download)
    file = Path(spec).expanduser()
    if found := recognise(file):  # of a path with a colon, which nothing has looked at
        raise InputError(f"data set '{spec}' is a path with a colon; write {found}:{spec}")
    if file.is_dir():
        raise InputError(
            f"data set '{spec}' is a folder without folders of classes and without a data set; put the "
            f"images into {spec}/CLASS/, one folder for each class, or name their table by csv:FILE"
        )
    if file.is_file() and file.suffix == ".py":
        raise InputError(f"data set '{spec}' is a Python file: write {spec}:FUNCTION, a function in it")
    check_known(spec)
    if file.suffix.casefold() in _PACKED:
        raise InputError(
            f"data set '{spec}' is an archive, and none is unpacked; unpack it, and name what it has"
        )
    raise InputError(f"data set '{spec}' is a file of no kind that is known{suggest_word('', list(OWN))}")


def _check_used(layout: Layout, kind: str, spec: str) -> None:
    """Raise InputError for what has no effect on data of a kind."""
    for flag, value, kinds in (
        ("--columns", layout.columns, ("csv", "hf")),
        ("--suffix", layout.suffix, ("csv",)),
    ):
        if value is not None and kind not in kinds:
            raise InputError(f"{flag}: data set '{spec}' is no table; leave it out, or write csv:FILE")
    if layout.group is not None and kind not in KINDS:
        raise InputError(
            f"--group: the images of data set '{spec}' have no names; leave it out, or use imagefolder:PATH, "
            "csv:FILE or npz:FILE"
        )


def _load_digits() -> Source:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[:, None]
    classes = tuple(str(name) for name in digits.target_names)
    return wrap_pixels(classes, digits.target, images, flip=False)


def _open_torchvision(name: str, root: Path, download: bool) -> Source:
    from torchvision import datasets

    archive = ARCHIVES[name]

    def read(train: bool) -> Source:
        data: Any = getattr(datasets, archive.name)(root, train=train, download=download and train)
        pixels = np.asarray(data.data)
        images = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
        return wrap_pixels(tuple(data.classes), np.asarray(data.targets), images, archive.flip)

    try:
        return replace(read(True), test=lambda: read(False))  # of the same archives
    except (OSError, RuntimeError, ValueError) as error:
        if not download:
            raise InputError(
                f"data set '{name}' is not in {root}, and nothing that a run folder names is downloaded by "
                f"itself; add --dataset {name}"
            ) from None
        cause = " ".join(str(error).split())
        where = root / archive.folder
        if where.is_dir() and any(where.iterdir()):
            raise NasError(
                f"data set '{name}': the files in {where} are not complete, and could not be downloaded "
                f"({cause}); remove the folder, or put {archive.files} into it"
            ) from error
        raise NasError(
            f"data set '{name}' is not in {root} and could not be downloaded ({cause}); put {archive.files} "
            f"into {where}, or use 'digits', which needs no network, or imagefolder:PATH"
        ) from error
