"""Data sets of Hugging Face: folders of save_to_disk, and parquet files with images in them.

They are read by pyarrow alone: no code of a folder is run, nothing is fetched, nothing is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from nas.data.base import Source
from nas.data.layout import TRAIN, Layout
from nas.data.listed import Item, list_files, source_of_items, split_of, split_of_file
from nas.data.stores import ImageParts
from nas.data.tables import LABELS
from nas.errors import InputError, did_you_mean

_DICT, _STATE = "dataset_dict.json", "state.json"
"""Files of save_to_disk: of a folder of splits, and of one split."""
MARKS = (_DICT, _STATE)
_IMAGES = ("image", "img", "images", "jpg", "png", "image_bytes", "bytes", "picture", "photo")
"""Usual names of a column of bytes that are images."""
_NO_CLASS = (None, -1)
"""What a split says whose classes are not told."""
_RULE = "name the columns by --columns IMAGE,LABEL"


@dataclass(frozen=True)
class ImageCell:
    """The image file in a row of a column, of a row group where the file is parquet."""

    file: Path
    column: str
    group: int | None
    row: int
    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def place(self) -> str:
        return f"{self.column} {self.group} {self.row}"

    def read(self) -> bytes:
        stamp = self.file.stat().st_mtime_ns
        if self.group is None:
            column = _open_arrow(self.file, stamp).column(self.column)
        else:
            column = _read_group(self.file, stamp, self.group, self.column)
        found = column[self.row].as_py()
        content = found.get("bytes") if isinstance(found, Mapping) else found
        if not isinstance(content, bytes):
            path = found.get("path") if isinstance(found, Mapping) else None
            raise ValueError(f"the file has the path {path} in place of the image" if path else "it is empty")
        return content


@dataclass(frozen=True)
class _Columns:
    """Those of images, of classes, and of what belongs together; `names`: of classes that are numbers."""

    image: str
    label: str
    group: str | None
    names: tuple[str, ...] | None


def source_of_hugging_face(path: Path, layout: Layout) -> Source:
    """A folder that `datasets` wrote by save_to_disk, a parquet file, or a folder of some.

    Columns are found by their features, or by usual names; `layout.columns` names them. A split whose classes
    are not told is not read.
    """
    place = f"data set hf:{path}"
    _check_installed(place)
    items: list[Item] = []
    cells: list[ImageCell] = []
    notes: list[str] = []
    columns: _Columns | None = None
    for split, files in _find_files(path, place).items():
        own: list[ImageCell] = []
        labels: list[Any] = []
        groups: list[Any] = []
        for file in files:
            rows = _read_rows(file, split, len(own), place, layout)
            if columns is not None and columns.names != rows.columns.names:
                raise InputError(f"{place}: {file.name} has other classes than the files before it; mend it")
            columns = rows.columns
            own, labels, groups = own + rows.cells, labels + rows.labels, groups + rows.groups
        assert columns is not None  # there is a file of each split
        if split not in TRAIN and all(label in _NO_CLASS for label in labels):
            notes.append(f"The classes of the split '{split}' are not told, and it is not read.")
            continue
        cells += own
        items += [
            Item(cell.name, _name_class(label, columns, f"{place}: {cell}"), split, str(group))
            for cell, label, group in zip(own, labels, groups, strict=True)
        ]
    assert columns is not None
    notes.append(f"Columns of {path.name}: {columns.image} has the images, {columns.label} the classes.")
    return source_of_items(
        place,
        items,
        lambda places: ImageParts([cells[index] for index in places]).read,
        layout,
        notes=notes,
        classes=columns.names,
    )


@dataclass(frozen=True)
class _Rows:
    """What a file says: images, classes, and what belongs together, by row."""

    columns: _Columns
    cells: list[ImageCell]
    labels: list[Any]
    groups: list[Any]


def _read_rows(file: Path, split: str, first: int, place: str, layout: Layout) -> _Rows:
    """Read a file but for its images; `first`: rows of the split in the files before it."""
    try:
        columns = _find_columns(_read_schema(file), f"{place}: {file.name}", layout)
        labels = _read_column(file, columns.label)
        groups = _read_column(file, columns.group) if columns.group else [""] * len(labels)
        return _Rows(columns, list(_list_cells(file, columns.image, split, first)), labels, groups)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{place}: {file.name} cannot be read ({reason}); write it anew") from None


def _check_installed(place: str) -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise InputError(f"{place}: needs pyarrow; pip install pyarrow") from None


# Files


def _find_files(path: Path, place: str) -> dict[str, list[Path]]:
    """Return the files of each split."""
    if (path / _DICT).is_file():
        splits = _read_json(path / _DICT, "splits", place)
        known = {str(name): split_of(str(name)) for name in splits}
        found = {kind: _list_saved(_inside(path, name, place), place) for name, kind in known.items() if kind}
        if not set(TRAIN) & set(found):
            raise InputError(
                f"{place}: none of its splits {', '.join(known) or 'none'} is to train on; name a folder of "
                f"one, or call it {TRAIN[0]}"
            )
        return found
    if (path / _STATE).is_file():
        return {TRAIN[0]: _list_saved(path, place)}
    if path.is_file():
        return {TRAIN[0]: [path]}
    found = {}
    for file in list_files(path, ".parquet", place):
        found.setdefault(split_of_file(file, path), []).append(file)
    return found


def _list_saved(folder: Path, place: str) -> list[Path]:
    """Return the files of a split that save_to_disk wrote."""
    entries = _read_json(folder / _STATE, "_data_files", place)
    try:
        found = [_inside(folder, entry["filename"], place) for entry in entries]
    except (KeyError, TypeError) as error:
        raise InputError(f"{place}: {folder / _STATE} is damaged ({error}); write the folder anew") from None
    if not found:
        raise InputError(f"{place}: {folder / _STATE} names no file of images; write the folder anew")
    return found


def _inside(folder: Path, name: str, place: str) -> Path:
    """Return a file or folder by its bare name. Raises InputError for a path, which may lead elsewhere."""
    if Path(name).name != name:
        raise InputError(f"{place}: '{name}' is no name of what is in {folder}; write the folder anew")
    return folder / name


def _read_json(file: Path, key: str, place: str) -> list[Any]:
    try:
        found = json.loads(file.read_bytes())[key]
        if not isinstance(found, list):
            raise TypeError(f"{key} is no list")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{place}: {file} cannot be read ({reason}); write the folder anew") from None
    return found


@lru_cache(16)
def _open_arrow(file: Path, stamp: int) -> Any:
    """Return the table of a file, whose pages are read when they are looked at."""
    import pyarrow as pa

    return pa.ipc.open_stream(pa.memory_map(str(file))).read_all()


@lru_cache(4)
def _read_group(file: Path, stamp: int, group: int, column: str) -> Any:
    from pyarrow import parquet

    with parquet.ParquetFile(file) as opened:
        return opened.read_row_group(group, [column]).column(column)


def _is_parquet(file: Path) -> bool:
    return file.suffix != ".arrow"


def _read_schema(file: Path) -> Any:
    if _is_parquet(file):
        from pyarrow import parquet

        return parquet.read_schema(file)
    return _open_arrow(file, file.stat().st_mtime_ns).schema


def _read_column(file: Path, column: str) -> list[Any]:
    """Return the values of a column."""
    if _is_parquet(file):
        from pyarrow import parquet

        found: list[Any] = (
            parquet.read_table(file, columns=[column], partitioning=None).column(column).to_pylist()
        )
        return found
    values: list[Any] = _open_arrow(file, file.stat().st_mtime_ns).column(column).to_pylist()
    return values


def _list_cells(file: Path, column: str, split: str, first: int) -> Iterator[ImageCell]:
    """List the images of a file, which are called by their place in the split."""
    if _is_parquet(file):
        from pyarrow import parquet

        with parquet.ParquetFile(file) as opened:
            sizes = [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)]
        rows = [(group, row) for group, size in enumerate(sizes) for row in range(size)]
    else:
        rows = [(None, row) for row in range(len(_open_arrow(file, file.stat().st_mtime_ns)))]  # type: ignore[misc]
    for place, (group, row) in enumerate(rows):
        yield ImageCell(file, column, group, row, f"{split}[{first + place}]")


# Columns


def _find_columns(schema: Any, place: str, layout: Layout) -> _Columns:
    features = _read_features(schema)
    image, label = layout.columns or (None, None)
    for name in layout.columns or ():
        if name not in schema.names:
            listed = ", ".join(schema.names)
            hint = did_you_mean(name, list(schema.names))
            raise InputError(f"{place}: there is no column '{name}' of --columns among {listed}{hint}")
    if image is None:
        held = [name for name in schema.names if _is_image(schema.field(name), features.get(name))]
        usual = [name for name in held if name.casefold() in _IMAGES]
        image = _choose(usual or held, "image", schema.names, place)
    if label is None:
        named = [name for name in schema.names if _type_of(features.get(name)) == "ClassLabel"]
        usual = [name for name in schema.names if name.casefold() in LABELS]
        label = _choose(named or usual, "label", schema.names, place)
    names = features.get(label, {}).get("names") if _type_of(features.get(label)) == "ClassLabel" else None
    group = layout.group if layout.group in schema.names else None
    return _Columns(image, label, group, tuple(map(str, names)) if isinstance(names, list) else None)


def _choose(found: Sequence[str], what: str, names: Sequence[str], place: str) -> str:
    """Return the only column of those that were found."""
    if not found:
        raise InputError(f"{place}: there is no column '{what}' among {', '.join(names)}; {_RULE}")
    if len(found) > 1:
        raise InputError(f"{place}: {' and '.join(found[:2])} may both be the column '{what}'; {_RULE}")
    return found[0]


def _read_features(schema: Any) -> dict[str, Any]:
    """Return what `datasets` says of the columns; nothing in a file that others wrote."""
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _type_of(feature: Any) -> str:
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


def _is_image(field: Any, feature: Any) -> bool:
    """Whether a column has image files: by its feature, as a struct with `bytes`, or as bytes."""
    from pyarrow import types

    if feature is not None and _type_of(feature) == "Image":
        return True
    kind = field.type
    if types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _name_class(label: Any, columns: _Columns, place: str) -> str:
    """Return the name of a class that a row has."""
    names = columns.names
    if isinstance(label, str) and label.strip():
        return label.strip()
    if isinstance(label, int) and not isinstance(label, bool):
        if names is None and label >= 0:
            return str(label)
        if names is not None and 0 <= label < len(names):
            return names[label]
    most = f"0 to {len(names) - 1}" if names else "a whole number or a name"
    raise InputError(
        f"{place} has the class {label!r:.40} in the column '{columns.label}', and a class is {most}; mend "
        "it, or name another column by --columns IMAGE,LABEL"
    )
