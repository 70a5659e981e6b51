"""Data sets by name: bundled and downloaded ones, and kinds of one's own, which are named with a path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nas.data.base import Source
    from nas.data.layout import Layout


@dataclass(frozen=True)
class DataKind:
    """A kind of data set of one's own.

    `place`: what is at its path, and `argument` what the path is written as; `content`: what is in there.
    `open`: makes a source of it. `suffix`: of files of the kind, whatever is in them; `fills`: a folder of
    such files is of the kind too. `marks`: files by which a folder is of it.
    """

    place: str
    argument: str
    content: str
    open: Callable[[Path, Layout], Source]
    suffix: str = ""
    fills: bool = False
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Archive:
    """A data set that torchvision downloads, by the name of a class there. `flip`: whether a mirrored image
    keeps its class. `files`: what is downloaded, into a `folder` below the root."""

    name: str
    flip: bool
    files: str
    folder: str = ""


def _open_folder(path: Path, layout: Layout) -> Source:
    from nas.data.folders import open_folder

    return open_folder(path, layout)


def _open_table(path: Path, layout: Layout) -> Source:
    from nas.data.tables import open_table

    return open_table(path, layout)


def _open_npz(path: Path, layout: Layout) -> Source:
    from nas.data.npz import open_npz

    return open_npz(path, layout)


def _open_shards(path: Path, layout: Layout) -> Source:
    from nas.data.shards import open_shards

    return open_shards(path, layout)


def _open_hugging_face(path: Path, layout: Layout) -> Source:
    from nas.data.hugging_face import open_hugging_face

    return open_hugging_face(path, layout)


def _open_voc(path: Path, layout: Layout) -> Source:
    from nas.data.voc import open_voc

    return open_voc(path, layout)


def _open_coco(path: Path, layout: Layout) -> Source:
    from nas.data.coco import open_coco

    return open_coco(path, layout)


ARCHIVES = {
    "cifar10": Archive("CIFAR10", True, "cifar-10-python.tar.gz"),
    "cifar100": Archive("CIFAR100", True, "cifar-100-python.tar.gz"),
    "mnist": Archive("MNIST", False, "the four *-ubyte.gz files of MNIST", "MNIST/raw"),
    "fashion_mnist": Archive(
        "FashionMNIST", True, "the four *-ubyte.gz files of Fashion-MNIST", "FashionMNIST/raw"
    ),
}

KINDS = {
    "imagefolder": DataKind("folder", "PATH", "images in PATH/CLASS/", _open_folder),
    "csv": DataKind("table", "FILE", "with the columns path and label", _open_table, ".csv"),
    "npz": DataKind("file", "FILE", "with the arrays images and labels", _open_npz, ".npz"),
    "webdataset": DataKind(
        "folder or file", "PATH", "of tar files with images and classes", _open_shards, ".tar", fills=True
    ),
    "hf": DataKind(
        "folder or file", "PATH", "of save_to_disk or of parquet", _open_hugging_face, ".parquet", fills=True,
        marks=("dataset_dict.json", "state.json"),
    ),
    "voc": DataKind(
        "folder", "PATH", "with Annotations and JPEGImages", _open_voc,
        marks=("Annotations/*.xml", "*/Annotations/*.xml", "VOCdevkit/*/Annotations/*.xml"),
    ),
    "coco": DataKind(
        "folder or file", "PATH", "with annotations", _open_coco, ".json",
        marks=("annotations/*.json", "_annotations.coco.json", "*/_annotations.coco.json"),
    ),
}  # fmt: skip
"""A folder is of the first of those whose marks it has, else of the first of those that it is full of."""

BUILT_IN = ("digits", *ARCHIVES)
"""Data sets that have a name, whatever lies in a folder of that name."""
OWN = tuple(f"{name}:{kind.argument}" for name, kind in KINDS.items())
FUNCTION = "FILE.py:FUNCTION"
NAMES = (*BUILT_IN, *OWN, FUNCTION)
