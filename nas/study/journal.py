"""The lines of a journal: Optuna's own format, checked before Optuna replays it.

Optuna finds a trial by the number of lines that made one before, and passes over what refers to none: without
a line in the middle, all that follows would silently be of other trials.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from nas.errors import InputError
from nas.kinds import FINITE, Kind, is_whole, text, whole
from nas.study.records import check_attrs, check_candidate

JournalEntry = dict[str, Any]


class DamagedJournal(InputError):
    """A line of a journal is none. `place` says which, and why."""

    def __init__(self, path: Path, line: int, why: str) -> None:
        self.place = f"{path}: line {line} is damaged: {why}"
        super().__init__(f"{self.place}; restore the file")


def _is_moment(value: Any) -> bool:
    try:
        datetime.fromisoformat(value).astimezone()
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _is_steps(value: Any) -> bool:
    """Return whether it is a mapping of steps, which are text in JSON, to values."""
    return isinstance(value, dict) and all(k.isdecimal() and FINITE.accepts(v) for k, v in value.items())


_ID = whole("a whole number, 0 or more", 0)
_STATE = whole("a state, which is 0 to 4", 0, 4)
_TEXT = text("a text")
_MAPPING = Kind("a mapping", lambda value: isinstance(value, dict))
_ONE = Kind("a mapping of one key", lambda value: isinstance(value, dict) and len(value) == 1)
_MOMENT = Kind("a time", _is_moment)
_MAYBE_MOMENT = Kind("a time", lambda value: value is None or _is_moment(value))
_VALUES = Kind(
    "a list of finite numbers",
    lambda value: value is None or (isinstance(value, list) and all(map(FINITE.accepts, value))),
)
_DIRECTIONS = Kind(
    "a list of directions",
    lambda value: isinstance(value, list) and value != [] and all(is_whole(v, 0) and v < 3 for v in value),
)
_STEPS = Kind("a mapping of steps to finite numbers", _is_steps)
_MAYBE_FINITE = Kind(FINITE.rule, lambda value: value is None or FINITE.accepts(value))

CREATE_STUDY, DELETE_STUDY, CREATE_TRIAL, SET_STATE, REPORT, SET_ATTR, DISCARD = 0, 1, 4, 6, 7, 8, 10
"""What a line does, as its `op_code`."""
RUNNING, COMPLETE, PRUNED, FAILED = range(4)
"""States of a trial."""

_FIELDS: Mapping[int, Mapping[str, Kind]] = {
    CREATE_STUDY: {"study_name": _TEXT, "directions": _DIRECTIONS},
    DELETE_STUDY: {"study_id": _ID},
    2: {"study_id": _ID, "user_attr": _ONE},
    3: {"study_id": _ID, "system_attr": _ONE},
    CREATE_TRIAL: {"study_id": _ID, "datetime_start": _MAYBE_MOMENT},
    5: {"trial_id": _ID, "param_name": _TEXT, "param_value_internal": FINITE, "distribution": _TEXT},
    SET_STATE: {"trial_id": _ID, "state": _STATE, "values": _VALUES},
    REPORT: {"trial_id": _ID, "step": _ID, "intermediate_value": FINITE},
    SET_ATTR: {"trial_id": _ID, "user_attr": _ONE},
    9: {"trial_id": _ID, "system_attr": _ONE},
    DISCARD: {},
}
"""What a line has to have, by its `op_code`."""

_MORE: Mapping[str, Kind] = {
    "datetime_start": _MAYBE_MOMENT,
    "datetime_complete": _MOMENT,
    "state": _STATE,
    "value": _MAYBE_FINITE,
    "values": _VALUES,
    "distributions": _MAPPING,
    "params": _MAPPING,
    "user_attrs": _MAPPING,
    "system_attrs": _MAPPING,
    "intermediate_values": _STEPS,
}
"""What a line may have."""


class Checker:
    """Reads the lines of one journal in their order, and knows what those so far have made."""

    def __init__(self, *, choices: bool = True) -> None:
        """`choices`: whether what was chosen is checked too, by Optuna, which takes its time to import."""
        self._has_choices = choices
        self.studies: list[tuple[str, int]] = []
        """Name and number of objectives of each, by its key."""
        self.trials: list[int] = []
        """The key of each one's study, by its own key."""
        self.numbers: Counter[int] = Counter()
        """How many trials each study has, by its key."""
        self._names: set[str] = set()
        self._counts: dict[str, float] = {}

    def read(self, line: bytes) -> JournalEntry:
        """Return what a line says. Raises ValueError, with the reason, for one that is damaged."""
        entry = self.parse(line)
        self.place(entry)
        return entry

    def parse(self, line: bytes) -> JournalEntry:
        """Return what a line says by itself, as `read`."""
        if not line.endswith(b"\n"):
            raise ValueError("it has no end")
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            raise ValueError("it is no JSON") from None
        if not isinstance(entry, dict):
            raise ValueError("it is no mapping")
        code = _require(entry, "op_code", _ID)
        if code not in _FIELDS:
            raise ValueError(f"op_code: {code!r:.20} is not known")
        _require(entry, "worker_id", _TEXT)
        for name, kind in _FIELDS[code].items():
            _require(entry, name, kind)
        for name in _MORE.keys() & entry.keys():
            _require(entry, name, _MORE[name])
        if self._has_choices:
            self._check_choices(entry)
        self._check_end(entry)
        check_attrs({**entry.get("user_attr", {}), **entry.get("user_attrs", {})})
        check_candidate(entry.get("user_attrs", {}))
        return entry

    def place(self, entry: JournalEntry) -> None:
        """Take note of what a line makes. Raises ValueError where it is of a study or trial that is not."""
        code = entry["op_code"]
        for what, known in (("study", self.studies), ("trial", self.trials)):
            key = entry.get(f"{what}_id")
            if key is not None and key >= len(known):
                raise ValueError(f"{what}_id: there is no {what} {key!r:.20} before it")
        if code == CREATE_STUDY and entry["study_name"] not in self._names:  # else Optuna passes over it
            self._names.add(entry["study_name"])
            self.studies.append((entry["study_name"], len(entry["directions"])))
        if code == DELETE_STUDY:
            self._names.discard(self.studies[entry["study_id"]][0])
        if code in (CREATE_TRIAL, SET_STATE) and entry.get("values") is not None:
            study = entry["study_id"] if code == CREATE_TRIAL else self.trials[entry["trial_id"]]
            if len(entry["values"]) != self.studies[study][1]:
                raise ValueError(f"values: {entry['values']!r:.60} are not one for each objective")
        if code == CREATE_TRIAL:
            number, next_one = read_number(entry), self.numbers[entry["study_id"]]
            if number not in (None, next_one):
                raise ValueError(f"number: {number} is not the next one, {next_one}")
            self.trials.append(entry["study_id"])
            self.numbers[entry["study_id"]] += 1

    def _check_choices(self, entry: JournalEntry) -> None:
        """Raise ValueError where what was chosen is no option."""
        options, chosen = entry.get("distributions", {}), entry.get("params", {})
        if "distribution" in entry:
            name = entry["param_name"]
            options = {**options, name: entry["distribution"]}
            chosen = {**chosen, name: entry["param_value_internal"]}
        known = self._counts
        for name, plain in options.items():
            count = isinstance(plain, str) and (known.get(plain) or self._count(plain))
            if not count:
                raise ValueError(f"distributions: {name!r:.60} has none that Optuna reads")
            value = chosen.get(name, 0)
            if type(value) is int and 0 <= value < count:  # as nearly all are
                continue
            if not (FINITE.accepts(value) and (count == math.inf or 0 <= value < count)):
                raise ValueError(f"params: {name!r:.60} is none of its options")
        if extra := chosen.keys() - options.keys():
            raise ValueError(f"params: {min(extra)!r:.60} is none of its options")

    def _count(self, plain: str) -> float:
        """Return how many options the distribution has that Optuna reads in a text, infinity for a range; 0
        where it reads none."""
        if plain not in self._counts:
            from optuna.distributions import json_to_distribution

            try:
                self._counts[plain] = len(getattr(json_to_distribution(plain), "choices", ())) or math.inf
            except Exception:  # it raises whatever its classes do
                self._counts[plain] = 0
        return self._counts[plain]

    @staticmethod
    def _check_end(entry: JournalEntry) -> None:
        """Raise ValueError where a trial that ends has no time of it, or where one with a score has none."""
        state = entry.get("state", RUNNING)
        if entry["op_code"] == SET_STATE and state in (COMPLETE, PRUNED, FAILED):
            _require(entry, "datetime_complete", _MOMENT)
        if entry["op_code"] == SET_STATE and state == RUNNING:
            _require(entry, "datetime_start", _MOMENT)
        given = [name for name in ("value", "values") if entry.get(name) is not None]
        if len(given) == 2 or (state == COMPLETE and not given):
            raise ValueError(f"values: of trials in state {state} they are given once")


def _require(entry: JournalEntry, name: str, kind: Kind) -> Any:
    if name not in entry:
        raise ValueError(f"it has no {name}")
    if not kind.accepts(entry[name]):
        raise ValueError(f"{name}: {entry[name]!r:.60} is not {kind.rule}")
    return entry[name]


def read_number(entry: JournalEntry) -> int | None:
    """Return the number of a trial in its study, which it has since it is written there."""
    number = entry.get("user_attrs", {}).get("number")
    return number if is_whole(number, 0) else None


def find_free_name(journal: Path) -> Path:
    """Return a name beside a journal for what is damaged of it."""
    names = (journal.with_name(f"{journal.name}.bad-{n}") for n in count(1))
    return next(name for name in names if not os.path.lexists(name))
