"""Labels in a table: several names in a cell, or a column of 0 and 1 for each class."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nas.errors import InputError

Line = tuple[int, Mapping[str, str | None]]
"""A row of a table: the line that it ends at, and its cells by column."""
Label = str | tuple[str, ...]
"""A class, or all labels of an image."""

_SEPARATORS = ";|"
_OTHERS = re.compile(r"[,/+&\s]+")
"""What might be meant to separate names, and does not."""
_VALUES = {"0": False, "1": True, "0.0": False, "1.0": True}
_NAMED = 8
"""Columns that a note names."""


@dataclass(frozen=True)
class ClassColumns:
    """Columns of 0 and 1, and the classes that they are of."""

    columns: tuple[str, ...]
    classes: tuple[str, ...]

    def __str__(self) -> str:
        more = len(self.classes) - _NAMED
        return ", ".join(self.classes[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")

    def read(self, lines: Sequence[Line], place: str) -> list[Label]:
        """Return the class of each row, or all its labels, where some row has several or none.

        Raises InputError for a cell that is neither 0 nor 1.
        """
        found = [
            tuple(
                name
                for column, name in zip(self.columns, self.classes, strict=True)
                if self._read_cell(row[column], line, name, place)
            )
            for line, row in lines
        ]
        return [own[0] for own in found] if all(len(own) == 1 for own in found) else list(found)

    def _read_cell(self, cell: str | None, line: int, name: str, place: str) -> bool:
        text = (cell or "").strip()
        if text not in _VALUES:
            has = f"'{text}'" if text else "nothing"
            raise InputError(
                f"{place}: line {line} has {has} in the column '{name}', and a column of a class has 0 or 1; "
                "mend it, or name the columns by --columns PATH,LABEL or PATH,CLASS,CLASS"
            )
        return _VALUES[text]


def find_class_columns(columns: Mapping[str, str], lines: Sequence[Line]) -> ClassColumns | None:
    """Return columns, with what each is called, as those of classes; None where there are fewer than two, or
    none has 0 and 1 alone."""
    if len(columns) < 2 or not lines:
        return None
    if not any(all((row[name] or "").strip() in _VALUES for _, row in lines) for name in columns):
        return None
    return ClassColumns(tuple(columns), tuple(columns.values()))


def is_of_lists(column: str) -> bool:
    """Return whether a column is called as one with several labels in a cell: `labels`, `Finding Labels`."""
    return column.casefold().endswith(("labels", "tags"))


def read_label_lists(column: str, lines: Sequence[Line], place: str) -> list[Label] | None:
    """Return all labels of each row; None where each cell of the column is one class.

    Names in a cell are separated by `;`, or all of them by `|`, in a column that `is_of_lists`; an empty cell
    is of an image without labels. Raises InputError for both in one table, and for cells that another mark
    separates.
    """
    if not is_of_lists(column):
        return None
    cells = [(line, (row[column] or "").strip()) for line, row in lines]
    used = {mark: line for line, cell in reversed(cells) for mark in _SEPARATORS if mark in cell}
    if len(used) > 1:
        (one, first), (other, second) = sorted(used.items(), key=lambda item: item[1])
        raise InputError(
            f"{place}: line {first} separates labels by '{one}', and line {second} by '{other}'; separate "
            "all by one of them"
        )
    mark = next(iter(used), _SEPARATORS[0])
    found = [
        tuple(dict.fromkeys(name.strip() for name in cell.split(mark) if name.strip())) for _, cell in cells
    ]
    known = {name for own in found for name in own}
    for (line, _), own in zip(cells, found, strict=True):
        for name in own:
            parts = [part for part in _OTHERS.split(name) if part]
            if len(parts) > 1 and known.issuperset(parts):
                raise InputError(
                    f"{place}: line {line}: '{name}' of the column '{column}' may be {len(parts)} labels, as "
                    f"{' and '.join(parts)} are labels of other rows; separate labels by ; or |, or call a "
                    "column of one class a row 'label'"
                )
    return list(found) if used else None
