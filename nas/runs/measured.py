"""Networks of a run that were measured whole, and those that are over its limit of latency."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from nas.cost import Interval
from nas.errors import InputError
from nas.files import MOST_TABLE_BYTES, read_text, write_atomically
from nas.kinds import is_whole
from nas.measures import LATENCY, Budget
from nas.runs.folder import RunFolder
from nas.study.records import Trial


@dataclass(frozen=True)
class MeasuredLatencies:
    """Nanoseconds of whole networks by their identity, each the most that its rounds came to."""

    latencies: Mapping[str, int]

    @classmethod
    def read(cls, folder: RunFolder) -> MeasuredLatencies:
        """Read those of a run; none where none was measured. Raises InputError for a damaged file."""
        file = folder.measured_file
        if not file.is_file():
            return cls({})
        try:
            found = json.loads(read_text(file, MOST_TABLE_BYTES))
            if not isinstance(found, dict) or not all(is_whole(value, 1) for value in found.values()):
                raise ValueError("it is no list of latencies")
        except ValueError as error:
            raise InputError(f"{file}: is damaged ({error}); restore it, or remove it") from None
        return cls(found)

    def write(self, folder: RunFolder) -> None:
        """Write them to their file."""
        write_atomically(folder.measured_file, json.dumps(dict(self.latencies), indent=1) + "\n")

    def has(self, trial: Trial) -> bool:
        """Return whether the network of a trial was measured."""
        return trial.candidate.identity in self.latencies

    def mark(self, trials: Iterable[Trial], budget: Budget) -> tuple[Trial, ...]:
        """Return the trials, those too slow marked whose networks took longer than the budget allows."""
        limit = budget.get(LATENCY, Interval()).high
        if limit is None or not self.latencies:
            return tuple(trials)
        return tuple(
            replace(trial, too_slow=True)
            if self.latencies.get(trial.candidate.identity, 0) > limit
            else trial
            for trial in trials
        )
