"""Networks of a run that were measured whole, and those that are over its limit of latency."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from nas.cost import Interval
from nas.errors import InputError
from nas.files import MOST_TABLE_BYTES, read_text, write_atomically
from nas.kinds import is_whole
from nas.measures import LATENCY, Budget
from nas.runs.folder import RunFolder
from nas.study.records import Trial

_BEFORE = "before training"
"""A key beside those that are identities."""


@dataclass(frozen=True)
class MeasuredLatencies:
    """Nanoseconds of whole networks by their identity, each the most that its rounds came to.

    `before`: of those that were measured before they were to be trained, perhaps beside trainings.
    """

    latencies: Mapping[str, int]
    before: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: RunFolder) -> MeasuredLatencies:
        """Read those of a run; none where none was measured. Raises InputError for a damaged file."""
        file = folder.measured_file
        if not file.is_file():
            return cls({})
        try:
            found = json.loads(read_text(file, MOST_TABLE_BYTES))
            before = found.pop(_BEFORE, {}) if isinstance(found, dict) else None
            if not isinstance(before, dict) or not all(
                is_whole(value, 1) for value in (*found.values(), *before.values())
            ):
                raise ValueError("it is no list of latencies")
        except ValueError as error:
            raise InputError(f"{file}: is damaged ({error}); restore it, or remove it") from None
        return cls(found, before)

    def write(self, folder: RunFolder) -> None:
        """Write them to their file."""
        found = {**self.latencies, **({_BEFORE: dict(self.before)} if self.before else {})}
        write_atomically(folder.measured_file, json.dumps(found, indent=1) + "\n")

    def add(self, identity: str, latency: int, *, final: bool) -> MeasuredLatencies:
        """Return them with that of one more network before its training; `final`: it need not be measured
        again to be named."""
        latencies = {**self.latencies, **({identity: latency} if final else {})}
        return MeasuredLatencies(latencies, {**self.before, identity: latency})

    def count_too_slow(self, budget: Budget) -> int:
        """Return how many were left out before they were trained, taking longer than a budget allows."""
        limit = budget.get(LATENCY, Interval()).high
        return 0 if limit is None else sum(value > limit for value in self.before.values())

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
