"""Which kind of data set lies at a path: nothing but the names of files is looked at."""

from __future__ import annotations

from pathlib import Path

from nas.data.catalogue import BUILT_IN, KINDS
from nas.data.layout import SPLITS


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
        suffix = path.suffix.casefold()
        return next((name for name, kind in KINDS.items() if suffix and kind.suffix == suffix), None)
    if not path.is_dir():
        return None
    for name, kind in KINDS.items():
        if any(_has_file(path, mark) for mark in kind.marks):
            return name
    folders = [e.name for e in path.iterdir() if e.is_dir() and not e.name.startswith((".", "__"))]
    if {name.casefold() for name in folders} <= {
        *SPLITS,
        "data",
    }:  # else archives lie beside folders of classes
        for name, kind in KINDS.items():
            if kind.fills and (_has_file(path, f"*{kind.suffix}") or _has_file(path, f"*/*{kind.suffix}")):
                return name
    return "imagefolder" if folders else None


def _has_file(path: Path, pattern: str) -> bool:
    return next(path.glob(pattern), None) is not None
