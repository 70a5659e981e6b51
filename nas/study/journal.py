"""The lines of a journal: Optuna's own format, checked before Optuna replays it, and what is left of damaged
ones.

Optuna finds a trial by the number of lines that made one before, and passes over what refers to none: without
a line in the middle, all that follows would silently be of other trials.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, islice
from pathlib import Path
from typing import Any

from nas.errors import InputError
from nas.files import write_atomically
from nas.kinds import Kind, is_whole, text, whole
from nas.study.records import FINITE, check_attrs, check_candidate, lost_attrs

Entry = dict[str, Any]


class DamagedJournal(InputError):
    """A line of a journal is none. `place` says which, and why."""

    def __init__(self, path: Path, line: int, why: str) -> None:
        self.place = f"{path}: line {line} is damaged: {why}"
        super().__init__(f"{self.place}; restore the file")


# One line


def _is_moment(value: Any) -> bool:
    try:
        datetime.fromisoformat(value).astimezone()
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _is_steps(value: Any) -> bool:
    """Whether it is a mapping of steps, which are text in JSON, to values."""
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

_CREATE_STUDY, _DELETE_STUDY, _CREATE_TRIAL, _SET_STATE, _DISCARD = 0, 1, 4, 6, 10
_RUNNING, _COMPLETE, _PRUNED, _FAILED = range(4)

_FIELDS: Mapping[int, Mapping[str, Kind]] = {
    _CREATE_STUDY: {"study_name": _TEXT, "directions": _DIRECTIONS},
    _DELETE_STUDY: {"study_id": _ID},
    2: {"study_id": _ID, "user_attr": _ONE},
    3: {"study_id": _ID, "system_attr": _ONE},
    _CREATE_TRIAL: {"study_id": _ID, "datetime_start": _MAYBE_MOMENT},
    5: {"trial_id": _ID, "param_name": _TEXT, "param_value_internal": FINITE, "distribution": _TEXT},
    _SET_STATE: {"trial_id": _ID, "state": _STATE, "values": _VALUES},
    7: {"trial_id": _ID, "step": _ID, "intermediate_value": FINITE},
    8: {"trial_id": _ID, "user_attr": _ONE},
    9: {"trial_id": _ID, "system_attr": _ONE},
    _DISCARD: {},
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

    def read(self, line: bytes) -> Entry:
        """Return what a line says. Raises ValueError, with the reason, for one that is damaged."""
        entry = self.parse(line)
        self.place(entry)
        return entry

    def parse(self, line: bytes) -> Entry:
        """Return what a line says by itself, as `read`."""
        if not line.endswith(b"\n"):
            raise ValueError("it has no end")
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            raise ValueError("it is no JSON") from None
        if not isinstance(entry, dict):
            raise ValueError("it is no mapping")
        code = _wanted(entry, "op_code", _ID)
        if code not in _FIELDS:
            raise ValueError(f"op_code: {code!r:.20} is not known")
        _wanted(entry, "worker_id", _TEXT)
        for name, kind in _FIELDS[code].items():
            _wanted(entry, name, kind)
        for name in _MORE.keys() & entry.keys():
            _wanted(entry, name, _MORE[name])
        if self._has_choices:
            self._check_choices(entry)
        self._check_end(entry)
        check_attrs({**entry.get("user_attr", {}), **entry.get("user_attrs", {})})
        check_candidate(entry.get("user_attrs", {}))
        return entry

    def place(self, entry: Entry) -> None:
        """Take note of what a line makes. Raises ValueError where it is of a study or trial that is not."""
        code = entry["op_code"]
        for what, known in (("study", self.studies), ("trial", self.trials)):
            key = entry.get(f"{what}_id")
            if key is not None and key >= len(known):
                raise ValueError(f"{what}_id: there is no {what} {key!r:.20} before it")
        if code == _CREATE_STUDY and entry["study_name"] not in self._names:  # else Optuna passes over it
            self._names.add(entry["study_name"])
            self.studies.append((entry["study_name"], len(entry["directions"])))
        if code == _DELETE_STUDY:
            self._names.discard(self.studies[entry["study_id"]][0])
        if code in (_CREATE_TRIAL, _SET_STATE) and entry.get("values") is not None:
            study = entry["study_id"] if code == _CREATE_TRIAL else self.trials[entry["trial_id"]]
            if len(entry["values"]) != self.studies[study][1]:
                raise ValueError(f"values: {entry['values']!r:.60} are not one for each objective")
        if code == _CREATE_TRIAL:
            number, next_one = _number(entry), self.numbers[entry["study_id"]]
            if number not in (None, next_one):
                raise ValueError(f"number: {number} is not the next one, {next_one}")
            self.trials.append(entry["study_id"])
            self.numbers[entry["study_id"]] += 1

    def _check_choices(self, entry: Entry) -> None:
        """Raise ValueError where what was chosen is no option."""
        options, chosen = dict(entry.get("distributions", {})), dict(entry.get("params", {}))
        if "distribution" in entry:
            name = entry["param_name"]
            options[name], chosen[name] = entry["distribution"], entry["param_value_internal"]
        counts: dict[str, float] = {}
        for name, plain in options.items():
            count = isinstance(plain, str) and (self._counts.get(plain) or self._count(plain))
            if not count:
                raise ValueError(f"distributions: {name!r:.60} has none that Optuna reads")
            counts[name] = count
        for name, value in chosen.items():
            count = counts.get(name, 0)
            if type(value) is int and 0 <= value < count:  # as nearly all are
                continue
            if not (count and FINITE.accepts(value) and (count == math.inf or 0 <= value < count)):
                raise ValueError(f"params: {name!r:.60} is none of its options")

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
    def _check_end(entry: Entry) -> None:
        """Raise ValueError where a trial that ends has no time of it, or where one with a score has none."""
        state = entry.get("state", _RUNNING)
        if entry["op_code"] == _SET_STATE and state in (_COMPLETE, _PRUNED, _FAILED):
            _wanted(entry, "datetime_complete", _MOMENT)
        if entry["op_code"] == _SET_STATE and state == _RUNNING:
            _wanted(entry, "datetime_start", _MOMENT)
        given = [name for name in ("value", "values") if entry.get(name) is not None]
        if len(given) == 2 or (state == _COMPLETE and not given):
            raise ValueError(f"values: of trials in state {state} they are given once")


def _wanted(entry: Entry, name: str, kind: Kind) -> Any:
    if name not in entry:
        raise ValueError(f"it has no {name}")
    if not kind.accepts(entry[name]):
        raise ValueError(f"{name}: {entry[name]!r:.60} is not {kind.rule}")
    return entry[name]


# What is left of a damaged one


@dataclass(frozen=True)
class Repair:
    """What was kept of a damaged journal.

    `lines`: how many it had; `damaged`: the numbers of those that are left out. `kept`: how many trials are
    whole; `lost`: the others. `open`: those kept that have no end. `aside`: the journal as it was.
    """

    lines: int
    damaged: tuple[int, ...]
    kept: int
    lost: tuple[str, ...]
    open: tuple[str, ...]
    aside: Path

    def __str__(self) -> str:
        lines = "lines are missing"
        if self.damaged:
            numbers = _listed(map(str, self.damaged))
            lines = f"{len(self.damaged)} of {self.lines} lines left out ({numbers})"
        lost = f", lost: {_listed(self.lost)}" if self.lost else ""
        again = f"; to be trained: {_listed(self.open)}" if self.open else ""
        return (
            f"Repaired: {lines}, {self.kept} of {self.kept + len(self.lost)} trials kept{lost}{again}. The "
            f"journal as it was: {self.aside}"
        )


def repair_journal(path: Path, studies: Sequence[str], maximize: bool) -> Repair | None:
    """Keep what is whole of a damaged journal; None where nothing is damaged. Call it as its only writer.

    `studies`: the names of its studies in the order in which they were made, all of one direction. A trial
    whose first line is damaged stays as a failed one without choices, so that the others keep their numbers;
    one without its last line is to be trained again. The journal as it was is kept beside it.

    Raises InputError where it cannot be told what is whole, NasError where a file cannot be written.
    """
    old = path.read_bytes()
    lines = list(io.BytesIO(old))
    try:
        salvage = _Salvage(lines, studies, maximize)
    except _Hopeless as error:
        raise InputError(f"{path}: {error}; restore the file, or start a new run") from None
    if salvage.text == old:
        return None
    write_atomically(aside := free_name(path), old)
    write_atomically(path, salvage.text)
    names = salvage.names
    return Repair(
        lines=len(lines),
        damaged=tuple(sorted(salvage.damaged)),
        kept=len(salvage.whole),
        lost=tuple(names[trial] for trial in range(len(names)) if trial not in salvage.whole),
        open=tuple(names[trial] for trial in sorted(salvage.whole - salvage.ended)),
        aside=aside,
    )


def free_name(journal: Path) -> Path:
    """Return a name beside a journal for what is damaged of it."""
    names = (journal.with_name(f"{journal.name}.bad-{n}") for n in count(1))
    return next(name for name in names if not os.path.lexists(name))


def _listed(names: Iterable[str]) -> str:
    """Return names as a message has them, of many the first."""
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


_SHOWN = 20


class _Hopeless(Exception):
    pass


class _Salvage:
    """The whole lines of a journal, with what stands for the studies and trials that others have made.

    These are known by the numbers that later trials have, and by the lines that refer to them. `damaged`:
    numbers of lines. `names`: of all trials by their keys; `whole` and `ended`: the keys of those whose first
    line is whole, and their last one too.
    """

    def __init__(self, lines: Sequence[bytes], studies: Sequence[str], maximize: bool) -> None:
        self._checker, self._studies = Checker(), studies
        self._directions = [2 if maximize else 1]
        self._entries = [self._parsed(line) for line in lines]
        self._out: list[bytes] = []
        self._guesses = 0
        self.damaged: list[int] = []
        self.names: list[str] = []
        self.whole: set[int] = set()
        self.ended: set[int] = set()
        at = 0
        while at < len(lines):
            entry = self._entries[at]
            line, end = lines[at], at + 1
            if entry and (self._takes(entry, line) or (self._fills(at) and self._takes(entry, line))):
                at = end
                continue
            while end < len(lines) and self._entries[end] is None:
                end += 1
            self.damaged += range(at + 1, end + 1)
            self._fills(end, b"".join(lines[at:end]))
            at = end
        if self._guesses > 1 or (self._guesses and len(self.ended) < len(self.names)):
            raise _Hopeless("it cannot be told what its damaged lines have made")
        if self.damaged and not self.whole:
            raise _Hopeless("no trial in it is whole")
        self.text = b"".join(self._out)

    def _parsed(self, line: bytes) -> Entry | None:
        try:
            return self._checker.parse(line)
        except ValueError:
            return None

    def _takes(self, entry: Entry, line: bytes) -> bool:
        """Take a line, if what it refers to is there. Return whether it is."""
        try:
            self._checker.place(entry)
        except ValueError:
            return False
        self._out.append(line)
        if entry["op_code"] == _CREATE_TRIAL:
            self.whole.add(len(self.names))
            self._name(entry["study_id"])
        if entry.get("state") in (_COMPLETE, _PRUNED, _FAILED):
            self.ended.add(entry.get("trial_id", len(self.names) - 1))
        return True

    def _name(self, study: int) -> None:
        of = f" of {self._checker.studies[study][0]}" if study else ""
        self.names.append(f"trial {self._checker.numbers[study] - 1}{of}")

    def _fills(self, at: int, damaged: bytes = b"") -> bool:
        """Make the studies and trials that must have been made before a line, in `damaged` ones or in none
        that is left. Return whether there are any."""
        before = len(self._out)
        following = [entry for entry in self._entries[at:] if entry]
        wanted = next((entry["study_id"] for entry in following if "study_id" in entry), 0)
        for name in self._studies[len(self._checker.studies) : wanted + 1]:
            self._make(_study(name, self._directions))
        for study in range(len(self._checker.studies)):
            for _ in range(self._missing_by_number(study, following)):
                self._lose(study)
        created = [entry for entry in following if entry["op_code"] == _CREATE_TRIAL]
        missing = self._missing_by_reference(following)
        if created and all(_number(entry) is None for entry in created):  # as before trials had their number
            codes = re.findall(rb'"op_code": ?([0-9]+)', damaged)
            if len(codes) == damaged.count(b"\n"):
                missing = codes.count(b"4")
            else:
                self._guesses += 1
        for _ in range(missing):
            self._lose(self._study_of(damaged, created))
        return len(self._out) > before

    def _make(self, entry: Entry) -> None:
        self._checker.place(entry)
        self._out.append(json.dumps(entry, separators=(",", ":")).encode() + b"\n")

    def _lose(self, study: int) -> None:
        self._make(_lost_trial(study, self._checker.numbers[study]))
        self.ended.add(len(self.names))
        self._name(study)

    def _missing_by_number(self, study: int, following: Iterable[Entry]) -> int:
        """How many trials a study lacks by the numbers of the next ones: the least that some of them say, as
        one may be wrong."""
        own = (e for e in following if e["op_code"] == _CREATE_TRIAL and e["study_id"] == study)
        next_one = self._checker.numbers[study]
        found = (number - n for n, e in enumerate(own, next_one) if (number := _number(e)) is not None)
        return max(0, min(islice(found, 3), default=0))

    def _missing_by_reference(self, following: Iterable[Entry]) -> int:
        """How many trials are referred to and not made: what three lines agree on, as some may be wrong."""
        made, beyond = len(self._checker.trials), [0, 0, 0]
        for entry in following:
            made += entry["op_code"] == _CREATE_TRIAL
            beyond.append(entry.get("trial_id", -1) + 1 - made)
        return sorted(beyond)[-3]

    def _study_of(self, damaged: bytes, created: Sequence[Entry]) -> int:
        """Return the study of a lost trial: the one that its line names, else that of those around it."""
        named = {int(key) for key in re.findall(rb'"study_id": ?([0-9]{1,3})\b', damaged)}
        named &= {*range(len(self._checker.studies))}
        if not named:
            named = {*self._checker.trials[-1:], *(entry["study_id"] for entry in created[:1])} or {0}
        if len(named) > 1:
            raise _Hopeless("it cannot be told of which study a trial is lost")
        return named.pop()


def _number(entry: Entry) -> int | None:
    """The number of a trial in its study, which it has since it is written there."""
    number = entry.get("user_attrs", {}).get("number")
    return number if is_whole(number, 0) else None


def _study(name: str, directions: list[int]) -> Entry:
    return {"op_code": _CREATE_STUDY, "worker_id": _WORKER, "study_name": name, "directions": directions}


def _lost_trial(study: int, number: int) -> Entry:
    now = datetime.now(tz=UTC).isoformat(timespec="microseconds")
    return {
        "op_code": _CREATE_TRIAL,
        "worker_id": _WORKER,
        "study_id": study,
        "datetime_start": now,
        "datetime_complete": now,
        "state": _FAILED,
        "user_attrs": lost_attrs(number),
    }


_WORKER = "repair"
