"""A table of networks with their scores: read from CSV, found by what a network is, not how it is spelled."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import fmean, variance
from typing import Protocol

from nas.errors import InputError, suggest_word
from nas.files import MOST_TABLE_BYTES, read_given_text
from nas.measures import Budget
from nas.space import Choices, Space
from nas.space.language.tree import Option

TRUE_SCORE = "true_score"
SCORE = re.compile(r"score(_?[0-9]+)?")
LISTED = 10_000
"""Points of a space that are compared with a table one by one; of a larger space the rows are counted."""


@dataclass(frozen=True, slots=True)
class TableEntry:
    """A network of a table.

    `choices`: the first point that is it. `scores`: one for each seed. `true_score`: what is reported of it.
    """

    choices: Choices = field(compare=False)
    scores: tuple[float, ...]
    true_score: float

    def observe(self, identity: str, noise: int | None) -> float:
        """Return the score that a search sees: the mean, or the one that `noise` draws for this network."""
        if noise is None:
            return fmean(self.scores)
        digest = hashlib.blake2b(f"{noise} {identity}".encode(), digest_size=8).digest()
        return self.scores[int.from_bytes(digest, "big") % len(self.scores)]


@dataclass(frozen=True)
class Table:
    """Scores of networks of a space, by identity.

    `rows`: rows read. `conflicts`: rows of a network that an earlier row has with other scores. `missing`:
    points of the space whose network the table lacks, None where the space is too large to list.
    """

    file: str
    space: Space
    entries: Mapping[str, TableEntry]
    rows: int
    conflicts: int
    missing: int | None

    def count_inside(self, budget: Budget) -> int:
        """Return the number of the table's networks inside a budget."""
        return sum(budget.admits(self.space.amounts(e.choices)) for e in self.entries.values())

    def find_most(self, budget: Budget) -> float:
        """Return the best true score of the table's networks inside a budget."""
        inside = (e for e in self.entries.values() if budget.admits(self.space.amounts(e.choices)))
        return max(entry.true_score for entry in inside)

    @property
    def seed_deviation(self) -> float:
        """The standard deviation of one of the scores of a network, 0 where each has one."""
        several = [variance(entry.scores) for entry in self.entries.values() if len(entry.scores) > 1]
        return math.sqrt(fmean(several)) if several else 0.0

    def require(self, choices: Choices) -> None:
        """Raise InputError for a point whose network the table lacks."""
        if self.space.identity(choices) not in self.entries:
            raise InputError(f"{self.file}: has no row for {choices}")


class _CsvReader(Protocol):
    """Type of what `csv.reader` returns."""

    line_num: int

    def __next__(self) -> list[str]: ...

    def __iter__(self) -> Iterator[list[str]]: ...


@dataclass(frozen=True, slots=True)
class _TableRow:
    """A row as written: its line in the file, and its cells by column."""

    line: int
    cells: Mapping[str, str]


def read_table(path: Path, space: Space) -> Table:
    """Read a CSV file with a column for each decision of the space and one score or more.

    Scores are the columns `score`, `score_1`, `score_2` and so on, one for each seed; `true_score` is what is
    reported, else the mean of these. A decision that a point does not take is left empty. Rows of one network
    count once, with the mean of what they say.

    Raises InputError for columns that are not those of the space and for cells that cannot be read.
    """
    columns, rows = _read_rows(path)
    seeds = [column for column in columns if SCORE.fullmatch(column)]
    if not seeds:
        raise InputError(f"{path}: has no column of scores; add 'score', or 'score_1', 'score_2', one a seed")
    points = _find_points(path, space, [c for c in columns if c not in (*seeds, TRUE_SCORE)], rows)
    found: dict[str, list[TableEntry]] = {}
    for row, point in zip(rows, points, strict=True):
        scores = tuple(_parse_score(path, row, column) for column in seeds)
        true_score = _parse_score(path, row, TRUE_SCORE) if TRUE_SCORE in columns else fmean(scores)
        identity = _find_identity(path, row, space, point)
        found.setdefault(identity, []).append(TableEntry(point, scores, true_score))
    return Table(
        file=str(path),
        space=space,
        entries={identity: _merge_entries(entries) for identity, entries in found.items()},
        rows=len(rows),
        conflicts=sum(entry != entries[0] for entries in found.values() for entry in entries),
        missing=_count_missing(space, points, found),
    )


def enumerate_points(space: Space) -> Iterator[Choices]:
    """Yield all points of a space, also those that cannot be built, in the order of their options."""
    script: list[int] = []
    sizes: list[int] = []

    def choose(name: str, options: tuple[Option, ...]) -> Option:
        sizes.append(len(options))
        if len(sizes) > len(script):
            script.append(0)
        return options[script[len(sizes) - 1]]

    while True:
        sizes.clear()
        yield space.sample(choose)
        while script and script[-1] == sizes[len(script) - 1] - 1:
            script.pop()
        if not script:
            return
        script[-1] += 1


def _read_rows(path: Path) -> tuple[list[str], list[_TableRow]]:
    reader = csv.reader(io.StringIO(read_given_text(path, MOST_TABLE_BYTES).removeprefix("\ufeff")))
    try:
        return _parse_rows(path, reader)
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: {error}; write short cells, a row a line") from None


def _parse_rows(path: Path, reader: _CsvReader) -> tuple[list[str], list[_TableRow]]:
    columns = [column.strip() for column in next(reader, [])]
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated:
        raise InputError(f"{path}: has two columns '{repeated[0]}'; leave one out")
    rows = []
    for cells in reader:
        if not any(map(str.strip, cells)):
            continue
        if len(cells) != len(columns):
            raise InputError(
                f"{path}:{reader.line_num}: has {len(cells)} cells, and there are {len(columns)} columns; "
                "write one cell a column"
            )
        rows.append(_TableRow(reader.line_num, dict(zip(columns, map(str.strip, cells), strict=True))))
    if not rows:
        raise InputError(f"{path}: has no rows; write one a network, below a line of column names")
    return columns, rows


def _find_points(
    path: Path, space: Space, columns: Sequence[str], rows: Sequence[_TableRow]
) -> list[Choices]:
    """Return the point of each row."""
    asked: dict[str, None] = {}
    points = []

    for row in rows:

        def choose(name: str, options: tuple[Option, ...], row: _TableRow = row) -> Option:
            asked[name] = None
            return _parse_option(path, row, name, options) if name in row.cells else options[0]

        points.append(space.sample(choose))
    missing = [name for name in asked if name not in columns]
    unknown = [c for c in columns if c not in asked and any(row.cells[c] for row in rows)]
    if missing or unknown:
        raise _make_misfit_error(path, space, missing, unknown)
    for row, point in zip(rows, points, strict=True):
        extra = next((column for column in columns if row.cells[column] and column not in point), None)
        if extra:
            raise InputError(
                f"{path}:{row.line}: {extra}: '{row.cells[extra]}' is given, and this point does not decide "
                "it; leave the cell empty"
            )
    return points


def _make_misfit_error(path: Path, space: Space, missing: list[str], unknown: list[str]) -> InputError:
    said = [f"lacks {_name_some(missing)}"] if missing else []
    said += [f"has {_name_some(unknown)}, which the space does not"] if unknown else []
    hint = suggest_word(unknown[0], missing, "leave these out") if unknown else "; add these"
    return InputError(
        f"{path}: its columns are not the choices of '{space.name}': the table {' and '.join(said)}{hint}"
    )


def _name_some(names: list[str]) -> str:
    most = 5
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"'{name}'" for name in names[:most]) + more


def _parse_option(path: Path, row: _TableRow, name: str, options: tuple[Option, ...]) -> Option:
    text = row.cells[name]
    for option in options:
        if text.lower() in _list_spellings(option):
            return option
    raise InputError(f"{path}:{row.line}: {name}: '{text}' is not one of {list(options)}")


def _list_spellings(option: Option) -> tuple[str, ...]:
    return ("none", "null") if option is None else (str(option).lower(),)


def _parse_score(path: Path, row: _TableRow, column: str) -> float:
    text = row.cells[column]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            f"{path}:{row.line}: {column}: '{text}' is not a score; write a number, or leave the row out"
        )
    return value


def _find_identity(path: Path, row: _TableRow, space: Space, point: Choices) -> str:
    try:
        return space.identity(point)
    except InputError as error:
        raise InputError(f"{path}:{row.line}: {error}; leave the row out") from None


def _merge_entries(entries: list[TableEntry]) -> TableEntry:
    if len(entries) == 1:
        return entries[0]
    scores = tuple(fmean(column) for column in zip(*(e.scores for e in entries), strict=True))
    return TableEntry(entries[0].choices, scores, fmean(e.true_score for e in entries))


def _count_missing(space: Space, points: Sequence[Choices], found: Mapping[str, object]) -> int | None:
    if len({repr(point) for point in points}) == space.extent.count:
        return 0
    every = list(islice(enumerate_points(space), LISTED + 1))
    return None if len(every) > LISTED else sum(not _has_row(space, point, found) for point in every)


def _has_row(space: Space, point: Choices, found: Mapping[str, object]) -> bool:
    """Return whether a point's network is found; one that cannot be built is not missed."""
    try:
        return space.identity(point) in found
    except InputError:
        return True
