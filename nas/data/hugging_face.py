"""Data sets of Hugging Face: folders of save_to_disk, and parquet files with images in them.

They are read by pyarrow alone: no code of a folder is run, nothing is fetched, nothing is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.data.arrow import list_rows, open_column, read_column, read_schema
from nas.data.base import Source
from nas.data.layout import TRAIN, Layout
from nas.data.listed import Item, find_split, find_split_of_file, list_files, wrap_items
from nas.data.stores import ImageParts
from nas.data.tables import LABELS
from nas.errors import InputError, suggest_word
from nas.files import check_regular

_DICT, _STATE = "dataset_dict.json", "state.json"
"""Files of save_to_disk: of a folder of splits, and of one split."""
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
        found = open_column(self.file, self.column, self.group)[self.row].as_py()
        content = found.get("bytes") if isinstance(found, Mapping) else found
        if not isinstance(content, bytes):
            path = found.get("path") if isinstance(found, Mapping) else None
            raise ValueError(f"the file has the path {path} in place of the image" if path else "it is empty")
        return content


@dataclass(frozen=True)
class _DatasetColumns:
    """Those of images, of classes, and of what belongs together; `names`: of classes that are numbers."""

    image: str
    label: str
    group: str | None
    names: tuple[str, ...] | None


def open_hugging_face(path: Path, layout: Layout) -> Source:
    """Open a folder that `datasets` wrote by save_to_disk, a parquet file, or a folder of some.

    Columns are found by their features, or by usual names; `layout.columns` names them. A split whose classes
    are not told is not read.
    """
    place = f"data set hf:{path}"
    _check_installed(place)
    items: list[Item] = []
    cells: list[ImageCell] = []
    notes: list[str] = []
    columns: _DatasetColumns | None = None
    for split, files in _find_files(path, place, notes).items():
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
            Item(
                cell.name,
                _name_class(label, columns, f"{place}: {cell}"),
                split,
                _name_group(group, columns, f"{place}: {cell}"),
            )
            for cell, label, group in zip(own, labels, groups, strict=True)
        ]
    assert columns is not None
    notes.append(f"Columns of {path.name}: {columns.image} has the images, {columns.label} the classes.")
    return wrap_items(
        place,
        items,
        lambda places: ImageParts([cells[index] for index in places]).read,
        layout,
        notes=notes,
        classes=columns.names,
    )


@dataclass(frozen=True)
class _DatasetRows:
    """What a file says: images, classes, and what belongs together, by row."""

    columns: _DatasetColumns
    cells: list[ImageCell]
    labels: list[Any]
    groups: list[Any]


def _read_rows(file: Path, split: str, first: int, place: str, layout: Layout) -> _DatasetRows:
    """Read a file but for its images; `first`: rows of the split in the files before it."""
    try:
        columns = _find_columns(read_schema(file), f"{place}: {file.name}", layout)
        labels = read_column(file, columns.label)
        groups = read_column(file, columns.group) if columns.group else [""] * len(labels)
        cells = list(_list_cells(file, columns.image, split, first, place))
        return _DatasetRows(columns, cells, labels, groups)
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


def _find_files(path: Path, place: str, notes: list[str]) -> dict[str, list[Path]]:
    """Return the files of each split. Adds to `notes`."""
    if (path / _DICT).is_file():
        known = _find_splits(path, place, notes)
        return {split: _list_saved(_find_inside(path, name, place), place) for split, name in known.items()}
    if (path / _STATE).is_file():
        return {TRAIN[0]: _list_saved(path, place)}
    if path.is_file():
        return {TRAIN[0]: [path]}
    found: dict[str, list[Path]] = {}
    for file in list_files(path, ".parquet", place):
        found.setdefault(find_split_of_file(file, path), []).append(file)
    return found


def _find_splits(path: Path, place: str, notes: list[str]) -> dict[str, str]:
    """Return the folder of each split that save_to_disk wrote. Adds to `notes`."""
    names = list(dict.fromkeys(map(str, _read_json(path / _DICT, "splits", place))))
    found: dict[str, str] = {}
    for name in names:
        split = find_split(name)
        if split in found:
            raise InputError(
                f"{place}: '{name}' is of the same split as '{found[split]}'; name the folder to use, as "
                f"hf:{path / name}"
            )
        if split:
            found[split] = name
    if not set(TRAIN) & set(found):
        raise InputError(
            f"{place}: none of its splits {', '.join(names) or 'none'} is to train on; name a folder of "
            f"one, or call it {TRAIN[0]}"
        )
    others = [name for name in names if not find_split(name)]
    if others:
        notes.append(f"Named after no split, and not read: {', '.join(others)}.")
    return found


def _list_saved(folder: Path, place: str) -> list[Path]:
    """Return the files of a split that save_to_disk wrote."""
    entries = _read_json(folder / _STATE, "_data_files", place)
    try:
        found = [_find_inside(folder, entry["filename"], place) for entry in entries]
    except (KeyError, TypeError) as error:
        raise InputError(f"{place}: {folder / _STATE} is damaged ({error}); write the folder anew") from None
    if not found:
        raise InputError(f"{place}: {folder / _STATE} names no file of images; write the folder anew")
    return found


def _find_inside(folder: Path, name: str, place: str) -> Path:
    """Return a file or folder by its bare name. Raises InputError for a path, which may lead elsewhere, and
    for a pipe."""
    if Path(name).name != name:
        raise InputError(f"{place}: '{name}' is no name of what is in {folder}; write the folder anew")
    check_regular(folder / name)
    return folder / name


def _read_json(file: Path, key: str, place: str) -> list[Any]:
    check_regular(file)
    try:
        found = json.loads(file.read_bytes())[key]
        if not isinstance(found, list):
            raise TypeError(f"{key} is no list")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{place}: {file} cannot be read ({reason}); write the folder anew") from None
    return found


def _list_cells(file: Path, column: str, split: str, first: int, place: str) -> Iterator[ImageCell]:
    """List the images of a file, which are called by their number in the split."""
    for number, (group, row) in enumerate(list_rows(file, column, place), first):
        yield ImageCell(file, column, group, row, f"{split}[{number}]")


# Columns


def _find_columns(schema: Any, place: str, layout: Layout) -> _DatasetColumns:
    features = _read_features(schema)
    if layout.columns is not None and len(layout.columns) != 2:
        raise InputError(f"{place}: --columns names {len(layout.columns)} columns; give IMAGE,LABEL")
    image, label = layout.columns or (None, None)
    for name in layout.columns or ():
        if name not in schema.names:
            listed = ", ".join(schema.names)
            hint = suggest_word(name, list(schema.names))
            raise InputError(f"{place}: there is no column '{name}' of --columns among {listed}{hint}")
    if image is None:
        held = [name for name in schema.names if _is_image(schema.field(name), features.get(name))]
        usual = [name for name in held if name.casefold() in _IMAGES]
        image = _choose(usual or held, "image", schema.names, place)
    if label is None:
        named = [name for name in schema.names if _read_type(features.get(name)) == "ClassLabel"]
        usual = [name for name in schema.names if name.casefold() in LABELS]
        label = _choose(named or usual, "label", schema.names, place)
    names = features.get(label, {}).get("names") if _read_type(features.get(label)) == "ClassLabel" else None
    group = layout.group if layout.group in schema.names else None
    return _DatasetColumns(image, label, group, tuple(map(str, names)) if isinstance(names, list) else None)


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


def _read_type(feature: Any) -> str:
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


def _is_image(field: Any, feature: Any) -> bool:
    """Return whether a column has image files: by its feature, as a struct with `bytes`, or as bytes."""
    from pyarrow import types

    if feature is not None and _read_type(feature) == "Image":
        return True
    kind = field.type
    if types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _name_class(label: Any, columns: _DatasetColumns, place: str) -> str:
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


def _name_group(group: Any, columns: _DatasetColumns, place: str) -> str:
    """Return what a row belongs together with; nothing where there is no column that says it."""
    name = "" if group is None else str(group).strip()
    if columns.group and not name:
        raise InputError(f"{place} has no {columns.group}; fill it in, or remove the row")
    return name
