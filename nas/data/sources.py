"""Where images come from: bundled and downloaded data sets, and folders, tables and arrays of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.arrays import source_of_pixels
from nas.data.base import Source
from nas.data.coco import source_of_coco
from nas.data.folders import source_of_folder
from nas.data.functions import function_source, is_function
from nas.data.hugging_face import source_of_hugging_face
from nas.data.layout import PLAIN, Layout
from nas.data.npz import source_of_npz
from nas.data.recognise import recognise
from nas.data.shards import source_of_shards
from nas.data.tables import source_of_table
from nas.data.voc import source_of_voc
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
        raise InputError(f"data set '{spec}' is a folder: write {recognise(file) or 'imagefolder'}:{spec}")
    if kind := recognise(file):
        raise InputError(f"data set '{spec}' is a file: write {kind}:{spec}")
    if file.is_file() and file.suffix == ".py":
        raise InputError(f"data set '{spec}' is a Python file: write {spec}:FUNCTION, a function in it")
    raise InputError(f"unknown data set '{spec}'{did_you_mean(spec, list(NAMES))}")


def _check_used(layout: Layout, kind: str, spec: str) -> None:
    """Raise InputError for what has no effect on data of a kind."""
    for flag, value, kinds in (
        ("--columns", layout.columns, ("csv", "hf")),
        ("--suffix", layout.suffix, ("csv",)),
    ):
        if value is not None and kind not in kinds:
            raise InputError(f"{flag}: data set '{spec}' is no table; leave it out, or write csv:FILE")
    if layout.group is not None and kind not in _OWN:
        raise InputError(
            f"--group: the images of data set '{spec}' have no names; leave it out, or use imagefolder:PATH, "
            "csv:FILE or npz:FILE"
        )


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

    def read(train: bool) -> Source:
        data: Any = getattr(datasets, kind)(root, train=train, download=download and train)
        pixels = np.asarray(data.data)
        images = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
        return source_of_pixels(tuple(data.classes), np.asarray(data.targets), images, flip)

    try:
        return replace(read(True), test=lambda: read(False))  # of the same archives
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


_OWN: dict[str, tuple[str, str, Callable[[Path, Layout], Source]]] = {
    "imagefolder": ("folder", "PATH, images in PATH/CLASS/", source_of_folder),
    "csv": ("table", "FILE, with the columns path and label", source_of_table),
    "npz": ("file", "FILE, with the arrays images and labels", source_of_npz),
    "hf": ("folder or file", "PATH, of save_to_disk or of parquet", source_of_hugging_face),
    "webdataset": ("folder or file", "PATH, of tar files with images and classes", source_of_shards),
    "coco": ("folder or file", "PATH, with annotations", source_of_coco),
    "voc": ("folder", "PATH, with Annotations and JPEGImages", source_of_voc),
}

NAMES = (
    "digits", *_TORCHVISION, "imagefolder:PATH", "csv:FILE", "npz:FILE", "hf:PATH", "webdataset:PATH",
    "coco:PATH", "voc:PATH", "FILE.py:FUNCTION",
)  # fmt: skip
