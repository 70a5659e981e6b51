"""What is left of a damaged journal."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from nas.errors import InputError
from nas.files import write_atomically
from nas.study.journal import (
    COMPLETE,
    CREATE_STUDY,
    CREATE_TRIAL,
    FAILED,
    PRUNED,
    Checker,
    JournalEntry,
    find_free_name,
    read_number,
)
from nas.study.records import make_lost_attrs


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
            numbers = _join_names(map(str, self.damaged))
            lines = f"{len(self.damaged)} of {self.lines} lines left out ({numbers})"
        lost = f", lost: {_join_names(self.lost)}" if self.lost else ""
        again = f"; to be trained: {_join_names(self.open)}" if self.open else ""
        return (
            f"Repaired: {lines}, {self.kept} of {self.kept + len(self.lost)} trials kept{lost}{again}. The "
            f"journal as it was: {self.aside}"
        )


def repair_journal(path: Path, studies: Sequence[str], maximize: bool) -> Repair | None:
    """Keep what is whole of a damaged journal; None where nothing is damaged. Call it as its only writer.

    `studies`: the names of its studies, all of one direction; those that it lacks were made in this order.
    A trial whose first line is damaged stays as a failed one without choices, so that the others keep their
    numbers; one without its last line is to be trained again. The journal as it was is kept beside it.

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
    write_atomically(aside := find_free_name(path), old)
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


def _join_names(names: Iterable[str]) -> str:
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
        self._entries = [self._parse(line) for line in lines]
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

    def _parse(self, line: bytes) -> JournalEntry | None:
        try:
            return self._checker.parse(line)
        except ValueError:
            return None

    def _takes(self, entry: JournalEntry, line: bytes) -> bool:
        """Take a line, if what it refers to is there. Return whether it is."""
        try:
            self._checker.place(entry)
        except ValueError:
            return False
        self._out.append(line)
        if entry["op_code"] == CREATE_TRIAL:
            self.whole.add(len(self.names))
            self._name(entry["study_id"])
        if entry.get("state") in (COMPLETE, PRUNED, FAILED):
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
        kept = {name for name, _ in self._checker.studies}
        kept |= {entry["study_name"] for entry in following if entry["op_code"] == CREATE_STUDY}
        lost = [name for name in self._studies if name not in kept]
        for name in lost[: max(0, wanted + 1 - len(self._checker.studies))]:
            self._make(_make_study(name, self._directions))
        for study in range(len(self._checker.studies)):
            for _ in range(self._count_missing_numbers(study, following)):
                self._lose(study)
        created = [entry for entry in following if entry["op_code"] == CREATE_TRIAL]
        missing = self._count_missing_references(following)
        if created and all(read_number(entry) is None for entry in created):  # as before they had it
            codes = re.findall(rb'"op_code": ?([0-9]+)', damaged)
            if len(codes) == damaged.count(b"\n"):
                missing = codes.count(b"4")
            else:
                self._guesses += 1
        for _ in range(missing):
            self._lose(self._find_study(damaged, created))
        return len(self._out) > before

    def _make(self, entry: JournalEntry) -> None:
        self._checker.place(entry)
        self._out.append(json.dumps(entry, separators=(",", ":")).encode() + b"\n")

    def _lose(self, study: int) -> None:
        self._make(_make_lost_trial(study, self._checker.numbers[study]))
        self.ended.add(len(self.names))
        self._name(study)

    def _count_missing_numbers(self, study: int, following: Iterable[JournalEntry]) -> int:
        """Return how many trials a study lacks by the numbers of the next ones: the least that some of them
        say, as one may be wrong."""
        own = (e for e in following if e["op_code"] == CREATE_TRIAL and e["study_id"] == study)
        next_one = self._checker.numbers[study]
        found = (number - n for n, e in enumerate(own, next_one) if (number := read_number(e)) is not None)
        return max(0, min(islice(found, 3), default=0))

    def _count_missing_references(self, following: Iterable[JournalEntry]) -> int:
        """Return how many trials are referred to and not made: what three lines agree on, as some may be
        wrong."""
        made, beyond = len(self._checker.trials), [0, 0, 0]
        for entry in following:
            made += entry["op_code"] == CREATE_TRIAL
            beyond.append(entry.get("trial_id", -1) + 1 - made)
        return sorted(beyond)[-3]

    def _find_study(self, damaged: bytes, created: Sequence[JournalEntry]) -> int:
        """Return the study of a lost trial: the one that its line names, else that of those around it."""
        named = {int(key) for key in re.findall(rb'"study_id": ?([0-9]{1,3})\b', damaged)}
        named &= {*range(len(self._checker.studies))}
        if not named:
            named = {*self._checker.trials[-1:], *(entry["study_id"] for entry in created[:1])} or {0}
        if len(named) > 1:
            raise _Hopeless("it cannot be told of which study a trial is lost")
        return named.pop()


def _make_study(name: str, directions: list[int]) -> JournalEntry:
    return {"op_code": CREATE_STUDY, "worker_id": _WORKER, "study_name": name, "directions": directions}


def _make_lost_trial(study: int, number: int) -> JournalEntry:
    now = datetime.now(tz=UTC).isoformat(timespec="microseconds")
    return {
        "op_code": CREATE_TRIAL,
        "worker_id": _WORKER,
        "study_id": study,
        "datetime_start": now,
        "datetime_complete": now,
        "state": FAILED,
        "user_attrs": make_lost_attrs(number),
    }


_WORKER = "repair"
