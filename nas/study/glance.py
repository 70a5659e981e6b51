"""The trials of a journal as someone reads them who looks on: beside its writer, again and again, each time
only what is new, and without Optuna, which takes a second to import. Choices are left out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from nas.errors import InputError
from nas.study.journal import CREATE_TRIAL, REPORT, SET_ATTR, SET_STATE, Checker, DamagedJournal, JournalEntry
from nas.study.records import Trial, TrialState, make_trial

_STATES = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED, TrialState.RUNNING)
"""By Optuna's numbers; the last is of a trial that waits."""
_LONGEST = 2**26
_BETWEEN = re.compile(rb'\{"op_code": ?[5789],.*\}\n')
"""A line of a choice, an epoch or an attribute."""


class Glance:
    """What a journal says, as far as it was read; nothing where there is no such file. Without `epochs` lines
    between the first and the last one of a trial are passed over: curves, and why trials failed."""

    def __init__(self, journal: Path, *, epochs: bool = True) -> None:
        self._path = journal
        self._has_epochs = epochs
        self._forget()

    def _forget(self) -> None:
        self._file: tuple[int, int] | None = None
        self._checker = Checker(choices=False)
        self._offset = self._lines = 0
        self._trials: list[_Written] = []

    def read(self) -> None:
        """Read what was written since the last time. A last line that is damaged is passed over, as one is
        that is being written.

        Raises DamagedJournal for another one, InputError where the journal cannot be read.
        """
        try:
            with self._path.open("rb") as file:
                about = os.fstat(file.fileno())
                if (about.st_dev, about.st_ino) != self._file or about.st_size < self._offset:
                    self._forget()  # it was repaired
                    self._file = about.st_dev, about.st_ino
                file.seek(self._offset)
                wrong = None
                while file.tell() < about.st_size and (line := file.readline(_LONGEST)):
                    if wrong:
                        raise DamagedJournal(self._path, self._lines + 1, wrong)
                    if self._has_epochs or not _BETWEEN.match(line):
                        try:
                            entry = self._checker.read(line)
                        except ValueError as error:
                            wrong = str(error)
                            continue
                        self._take(entry)
                    self._offset, self._lines = file.tell(), self._lines + 1
        except FileNotFoundError:
            self._forget()
        except OSError as error:
            raise InputError(f"{self._path}: cannot be read: {error.strerror}") from None

    def read_trials(self, study: str) -> tuple[Trial, ...]:
        """Return the trials of a study by number, without their choices; none where there is no such study.

        Raises InputError for a trial that another tool has written.
        """
        return tuple(self._read(study))

    def _read(self, study: str) -> Iterator[Trial]:
        keys = [key for key, (name, _) in enumerate(self._checker.studies) if name == study]
        for written, key in zip(self._trials, self._checker.trials, strict=True):
            if key in keys:
                yield written.trial

    def _take(self, entry: JournalEntry) -> None:
        code = entry["op_code"]
        if code == CREATE_TRIAL:
            number = self._checker.numbers[entry["study_id"]] - 1
            self._trials.append(_Written(number, dict(entry.get("user_attrs", {}))))
            written = self._trials[-1]
            written.curve = {int(step): v for step, v in entry.get("intermediate_values", {}).items()}
        elif code in (SET_STATE, REPORT, SET_ATTR):
            written = self._trials[entry["trial_id"]]
            if written.has_ended:  # Optuna passes over it
                return
        else:
            return
        written.take(entry)


@dataclass
class _Written:
    """What the lines of a journal have made of a trial so far."""

    number: int
    attrs: dict[str, Any]
    state: TrialState = TrialState.RUNNING
    values: list[float] | None = None
    curve: dict[int, float] = field(default_factory=dict)
    began: datetime | None = None
    ended: datetime | None = None
    _made: Trial | None = None

    @property
    def has_ended(self) -> bool:
        return self.state is not TrialState.RUNNING

    def take(self, entry: JournalEntry) -> None:
        """Take a line of this trial."""
        self._made = None
        if entry["op_code"] == REPORT:
            self.curve[entry["step"]] = entry["intermediate_value"]
        elif entry["op_code"] == SET_ATTR:
            self.attrs |= entry["user_attr"]
        else:
            self.state = _STATES[entry.get("state", 0)]
            value = entry.get("value")
            self.values = entry.get("values") or (None if value is None else [value])
            self.began = _read_moment(entry, "datetime_start") or self.began
            self.ended = _read_moment(entry, "datetime_complete")

    @property
    def trial(self) -> Trial:
        """The trial as a value."""
        if self._made is None:
            times = self.began, self.ended
            self._made = make_trial(
                self.number, {}, self.attrs, self.state, self.values, dict(self.curve), times
            )
        return self._made


def _read_moment(entry: JournalEntry, name: str) -> datetime | None:
    return datetime.fromisoformat(entry[name]) if entry.get(name) else None
