"""Which kind of data set lies at a path: nothing but the names of files is looked at."""

from __future__ import annotations

from pathlib import Path

from nas.data.layout import SPLITS

BUILT_IN = ("digits", "cifar10", "cifar100", "mnist", "fashion_mnist")
"""Data sets that have a name, whatever lies in a folder of that name."""
_SUFFIXES = {".csv": "csv", ".npz": "npz", ".parquet": "hf", ".tar": "webdataset", ".json": "coco"}
_MARKS = {
    "hf": ("dataset_dict.json", "state.json"),
    "voc": ("Annotations/*.xml", "*/Annotations/*.xml", "VOCdevkit/*/Annotations/*.xml"),
    "coco": ("annotations/*.json", "_annotations.coco.json", "*/_annotations.coco.json"),
}
"""Files by which a folder is of a kind."""
_FILLINGS = {"webdataset": ".tar", "hf": ".parquet"}
"""Files that a folder, or those of its splits, is full of."""


def name_kind(spec: str) -> str:
    """Return the name of a data set with its kind, where it is the path of something that has one.

    >>> name_kind("digits"), name_kind("csv:photos.csv"), name_kind("nowhere")
    ('digits', 'csv:photos.csv', 'nowhere')
    """
    if ":" in spec or spec in BUILT_IN:
        return spec
    try:
        kind = recognise(Path(spec).expanduser())
    except (
        OSError,
        RuntimeError,
    ):  # it cannot be entered, or is of no known user: which is said where it is read
        return spec
    return f"{kind}:{spec}" if kind else spec


def recognise(path: Path) -> str | None:
    """Return the kind of what lies at a path, None where there is nothing or no data set."""
    if path.is_file():
        return _SUFFIXES.get(path.suffix.casefold())
    if not path.is_dir():
        return None
    for kind, patterns in _MARKS.items():
        if any(_has_file(path, pattern) for pattern in patterns):
            return kind
    folders = [e.name for e in path.iterdir() if e.is_dir() and not e.name.startswith((".", "__"))]
    if {name.casefold() for name in folders} <= {
        *SPLITS,
        "data",
    }:  # else archives lie beside folders of classes
        for kind, suffix in _FILLINGS.items():
            if _has_file(path, f"*{suffix}") or _has_file(path, f"*/*{suffix}"):
                return kind
    return "imagefolder" if folders else None


def _has_file(path: Path, pattern: str) -> bool:
    return next(path.glob(pattern), None) is not None
