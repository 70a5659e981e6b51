"""Tables of paths and labels, as people have them."""

from __future__ import annotations

import codecs
import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nas.data.base import Source
from nas.data.label_columns import ClassColumns, Line, find_class_columns, read_label_lists
from nas.data.layout import SPLITS, SUFFIXES, Layout
from nas.data.listed import Item, wrap_items
from nas.data.stores import ImageFiles
from nas.errors import InputError, suggest_word

_PATHS = (
    "path", "file_path", "filepath", "image_path", "img_path", "filename", "file_name", "file", "image",
    "img", "image_name", "img_name", "image_id", "img_id", "image_file",
)  # fmt: skip
LABELS = ("label", "labels", "class", "class_name", "classname", "class_id", "target", "category")
"""Usual names of the two columns; the first is ours, and wins over the others."""
_REST = "\0"
"""Holds the cells of a row beyond the columns: no column is called so."""
_MOST_LABEL = 1_000
"""Characters of a label."""


@dataclass(frozen=True)
class _ImageRow:
    """What a row of a table says: its class, or in a tuple all its labels; `group` is empty where there is no
    such column."""

    line: int
    path: str
    label: str | tuple[str, ...]
    split: str
    group: str


def open_table(path: Path, layout: Layout) -> Source:
    """Open a table with a column of paths, from the table's own folder, and one of labels, or one of 0 and 1
    for each class; where it has a column `split`, its rows to train on, with those to validate on and to test
    on."""
    place = f"data set csv:{path}"
    rows, classes, notes = _parse_table(path, place, layout)
    seen: dict[str, int] = {}
    for row in rows:
        file = os.path.normpath(row.path)
        if file in seen:
            raise InputError(
                f"{place}: line {row.line} names {row.path} as line {seen[file]} does; remove one"
            )
        seen[file] = row.line
        if row.split.casefold() not in SPLITS:
            raise InputError(
                f"{place}: line {row.line}: the split '{row.split}' is not one of {', '.join(sorted(SPLITS))}"
            )
    _check_labels(rows, place)
    items = [Item(row.path, row.label, row.split, row.group) for row in rows]
    return wrap_items(
        place,
        items,
        lambda places: ImageFiles(path.parent, [items[index].name for index in places]).read,
        layout,
        notes=notes,
        classes=classes,
    )


def _check_labels(rows: Sequence[_ImageRow], place: str) -> None:
    """Raise InputError where labels are no classes."""
    for row in rows:
        longest = max(map(len, (row.label,) if isinstance(row.label, str) else row.label), default=0)
        if longest > _MOST_LABEL:
            raise InputError(
                f"{place}: line {row.line} has a label of {longest:,} characters; a class has a "
                f"name of {_MOST_LABEL:,} at most"
            )
    numbers = [_read_number(row.label) if isinstance(row.label, str) else None for row in rows]
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


def _parse_table(
    path: Path, place: str, layout: Layout
) -> tuple[list[_ImageRow], tuple[str, ...] | None, list[str]]:
    """Return the rows of a table, the classes where columns name them, and what is to be said of its
    columns."""
    text = _read_table(path, place)
    first = text.partition("\n")[0]
    mark = "," if "," in first else next((mark for mark in ";\t|" if mark in first), ",")
    try:
        reader = csv.DictReader(
            io.StringIO(text, newline=""), restkey=_REST, delimiter=mark, skipinitialspace=True
        )
        titles = {title.strip().casefold(): title.strip() for title in reader.fieldnames or []}
        names = reader.fieldnames = [title.strip().casefold() for title in reader.fieldnames or []]
        split = "split" if "split" in titles else None
        group = (layout.group or "").casefold()
        group = group if group in titles else ""
        lines = [(reader.line_num, row) for row in reader]
        _check_rest(lines, mark, place)
        path_name, label = _find_columns(titles, lines, (split, group), place, layout)
        used = (path_name, *([label] if isinstance(label, str) else label.columns), split, group)
        twice = next((name for name in used if name and names.count(name) > 1), None)
        if twice is not None:
            raise InputError(
                f"{place}: two columns are called '{titles[twice]}'; rename one, or leave it out"
            )
        lists = read_label_lists(label, lines, place) if isinstance(label, str) else label.read(lines, place)
        wanted = [name for name in (path_name, label, split, group) if name and isinstance(name, str)]
        rows = []
        for number, (line, row) in enumerate(lines):
            cells = {name: (row[name] or "").strip() for name in wanted}
            for name, cell in cells.items():
                if not cell and not (lists and name == label):
                    raise InputError(f"{place}: line {line} has no {name}; fill it in, or remove the row")
            rows.append(
                _ImageRow(
                    line,
                    cells[path_name],
                    lists[number] if lists else cells[str(label)],
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
    notes, classes = [], None
    if isinstance(label, ClassColumns):
        classes = label.classes
        notes.append(f"Columns of {path.name}: {path_name} names the files, {label} are classes.")
    elif (path_name, label) != ("path", "label"):
        notes.append(f"Columns of {path.name}: {path_name} names the files, {label} the classes.")
    rows, added = _complete_paths(rows, path.parent, place, layout.suffix)
    return rows, classes, [*notes, *added]


def _check_rest(lines: Sequence[Line], mark: str, place: str) -> None:
    """Raise InputError for a row that says more than there are columns."""
    for line, row in lines:
        if any(map(str.strip, row.get(_REST) or ())):
            raise InputError(
                f"{place}: line {line} has more cells than there are columns; put quotation marks around one "
                f"that has a '{mark}' in it"
            )


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
    except IsADirectoryError:
        raise InputError(
            f"{place}: is a folder; name the table in it, or write imagefolder:{path} for folders of classes"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{place}: the table cannot be read ({error}); give a CSV file in UTF-8 or UTF-16"
        ) from error


def _find_columns(
    columns: Mapping[str, str],
    lines: Sequence[Line],
    others: Sequence[str | None],
    place: str,
    layout: Layout,
) -> tuple[str, str | ClassColumns]:
    """Return the columns of path and label, those of a layout or by their usual names; where there is none of
    labels, those of the classes, which are not among `others`. `columns`: with their titles."""
    listed = ", ".join(columns) or "none"
    if layout.columns is not None:
        for column in layout.columns:
            if column.casefold() not in columns:
                hint = suggest_word(column.casefold(), list(columns))
                raise InputError(f"{place}: there is no column '{column}' of --columns among {listed}{hint}")
        path, *label = [name.casefold() for name in layout.columns]
        return path, label[0] if len(label) == 1 else ClassColumns(
            tuple(label), tuple(columns[name] for name in label)
        )
    found: list[str] = []
    for usual in (_PATHS, LABELS):
        own = usual[0]
        known = [own] if own in columns else [name for name in usual if name in columns]
        if len(known) > 1:
            raise InputError(
                f"{place}: {' and '.join(known)} may both be the column '{own}'; name the columns by "
                "--columns PATH,LABEL"
            )
        if not known and usual is LABELS:
            rest = {name: title for name, title in columns.items() if name not in (*found, *others)}
            if classes := find_class_columns(rest, lines):
                return found[0], classes
        if not known:
            hint = suggest_word(own, list(columns), "name the columns by --columns PATH,LABEL")
            raise InputError(f"{place}: there is no column '{own}' among {listed}{hint}")
        found.append(known[0])
    return found[0], found[1]


def _complete_paths(
    rows: list[_ImageRow], folder: Path, place: str, suffix: str | None
) -> tuple[list[_ImageRow], list[str]]:
    """Return rows whose paths are of files: with slashes, and with a suffix where they have none."""
    stems: dict[str, dict[str, list[str]]] = {}

    def complete(row: _ImageRow) -> _ImageRow:
        path = row.path
        if "\\" in path and not os.path.lexists(os.path.join(folder, path)):  # noqa: PTH118
            path = path.replace("\\", "/")
        if suffix is not None:
            ending = suffix if "." in suffix else f".{suffix}"
            return replace(row, path=path.removesuffix(ending) + ending)
        if os.path.splitext(path)[1].casefold() in SUFFIXES:  # noqa: PTH122
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
            if suffix.casefold() in SUFFIXES:
                found.setdefault(stem, []).append(file)
    except OSError:  # then there are no such files, which is said of each
        return {}
    return found
