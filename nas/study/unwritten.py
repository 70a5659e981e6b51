"""Deaths of trials that a study could not be told, kept in the run folder until it can: of a database that
goes a search ends, and no network is to blame."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.errors import InputError
from nas.files import read_text, write_atomically
from nas.kinds import is_whole

_NAME = "deaths.json"


class UnwrittenDeaths:
    """The deaths of trials of a study, by number, which hold in place of what the study says.

    `folder`: of the run, whose file is of all its studies; None where they are known to this process alone.
    Raises InputError for a file that is damaged.
    """

    def __init__(self, folder: Path | None, study: str) -> None:
        self._file = folder / _NAME if folder else None
        self._study = study
        self._deaths = dict(self._read().get(study, {}))

    def find(self, number: int) -> Counter[str] | None:
        """Return the deaths of a trial; None where the study knows them."""
        found = self._deaths.get(str(number))
        return None if found is None else Counter(found)

    def keep(self, number: int, deaths: Mapping[str, int]) -> None:
        """Keep the deaths of a trial. Raises NasError where the folder cannot be written."""
        self._deaths[str(number)] = dict(deaths)
        self._write()

    def forget(self, number: int) -> None:
        """Forget the deaths of a trial, as the study has them. Raises as `keep`."""
        if self._deaths.pop(str(number), None) is not None:
            self._write()

    def _write(self) -> None:
        if self._file is None:
            return
        found = self._read() | {self._study: self._deaths}
        if any(found.values()):
            write_atomically(self._file, json.dumps(found))
        else:
            self._file.unlink(missing_ok=True)

    def _read(self) -> dict[str, dict[str, dict[str, int]]]:
        if self._file is None or not self._file.exists():
            return {}
        try:
            found = json.loads(read_text(self._file))
            if not _has_counts(found, 3):
                raise ValueError("it has no deaths of trials of studies")
        except (ValueError, RecursionError) as error:
            raise InputError(f"{self._file}: is damaged ({error}); remove it") from None
        return dict(found)


def _has_counts(found: Any, depth: int) -> bool:
    """Return whether something is counts in so many mappings, one in the other."""
    if depth == 0:
        return is_whole(found, 0)
    return isinstance(found, dict) and all(_has_counts(value, depth - 1) for value in found.values())
