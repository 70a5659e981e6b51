"""Columns of parquet and Arrow files, read by pyarrow: whole, or a row group at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from nas.errors import InputError

_MOST_GROUP = 2**31
"""Bytes of a column in a row group, which is read as a whole."""
_MOST_KEPT = 2**28
"""Bytes of row groups that a process keeps, where they are several."""


def read_schema(file: Path) -> Any:
    """Return the schema of a file. This and the others raise OSError, or ValueError for a damaged file."""
    if _is_parquet(file):
        from pyarrow import parquet

        return parquet.read_schema(file)
    return _open_arrow(file, _read_stamp(file)).schema


def read_column(file: Path, column: str) -> list[Any]:
    """Return the values of a column."""
    if _is_parquet(file):
        from pyarrow import parquet

        found = parquet.read_table(file, columns=[column], partitioning=None).column(column)
    else:
        found = _open_arrow_column(file, _read_stamp(file), column)
    values: list[Any] = found.to_pylist()
    return values


def list_rows(file: Path, column: str, place: str) -> Iterator[tuple[int | None, int]]:
    """Yield the row group and the row in it of each row of a file, as `open_column` takes it.

    Raises InputError where a group is too large to be read.
    """
    if not _is_parquet(file):
        rows = len(_open_arrow_column(file, _read_stamp(file), column))
        yield from ((None, row) for row in range(rows))
        return
    from pyarrow import parquet

    with parquet.ParquetFile(file) as opened:
        groups = [opened.metadata.row_group(number) for number in range(opened.num_row_groups)]
    largest = max((_measure(group, column) for group in groups), default=0)
    if largest > _MOST_GROUP:
        raise InputError(
            f"{place}: {file.name} has a row group of {largest:,} bytes in the column '{column}', and "
            f"{_MOST_GROUP:,} at most are read at a time; write it with smaller row groups"
        )
    yield from ((number, row) for number, group in enumerate(groups) for row in range(group.num_rows))


def open_column(file: Path, column: str, group: int | None) -> Any:
    """Return a column of a row group, or of an Arrow file, which has none: its pages are read when they are
    looked at."""
    if group is None:
        return _open_arrow_column(file, _read_stamp(file), column)
    return _groups.read(file, _read_stamp(file), column, group)


def _is_parquet(file: Path) -> bool:
    return file.suffix != ".arrow"


def _read_stamp(file: Path) -> int:
    return file.stat().st_mtime_ns


@lru_cache(16)
def _open_arrow(file: Path, stamp: int) -> Any:
    import pyarrow as pa

    return pa.ipc.open_stream(pa.memory_map(str(file))).read_all()


@lru_cache(48)
def _open_arrow_column(file: Path, stamp: int, column: str) -> Any:
    """Return a column that was looked through before, as pyarrow does not by itself: offsets of a damaged
    file lead anywhere in memory. Raises ArrowInvalid, a ValueError."""
    found = _open_arrow(file, stamp).column(column)
    found.validate(full=True)
    return found


class _Groups:
    """Columns of row groups, read by one thread at a time. Those that were last asked for are kept, up to
    `_MOST_KEPT`, and one at least."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Path, int, str, int], Any] = {}
        self._turn = threading.Lock()

    def read(self, file: Path, stamp: int, column: str, group: int) -> Any:
        key = file, stamp, column, group
        with self._turn:
            if key not in self._kept:
                self._kept[key] = _read_group(file, column, group)
                while len(self._kept) > 1 and sum(one.nbytes for one in self._kept.values()) > _MOST_KEPT:
                    del self._kept[next(iter(self._kept))]
            self._kept[key] = found = self._kept.pop(key)
            return found


_groups = _Groups()


def _read_group(file: Path, column: str, group: int) -> Any:
    from pyarrow import parquet

    with parquet.ParquetFile(file) as opened:
        return opened.read_row_group(group, [column]).column(column)


def _measure(group: Any, column: str) -> int:
    """Return the bytes of a column in a row group, with what is nested in it, uncompressed: as it says."""
    parts = [group.column(number) for number in range(group.num_columns)]
    return sum(
        part.total_uncompressed_size for part in parts if f"{part.path_in_schema}.".startswith(f"{column}.")
    )
