"""How far a search is, as its folder says beside whoever works in it: read quickly, and without Optuna."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from nas.errors import InputError
from nas.runs.finals import (
    Finalist,
    find_winner,
    rank_finalists,
    select_finalists,
    select_finals,
)
from nas.runs.folder import RunFolder
from nas.runs.holder import Holder
from nas.runs.manifest import Manifest
from nas.runs.measured import MeasuredLatencies
from nas.runs.posterior import mark_believed
from nas.runs.score_noise import RepeatKey, choose_repeats
from nas.runs.state import check_not_lost, describe_damage, list_studies, read_study
from nas.study.glance import Glance
from nas.study.journal import DamagedJournal
from nas.study.objective import Objective
from nas.study.records import Counts, Trial, TrialState, find_best

if TYPE_CHECKING:
    from nas.runs.config import SearchConfig


class Phase(Enum):
    """Where a run is in its life."""

    RUNNING = "running"
    """A process works in it."""
    STOPPED = "stopped"
    """Something is still to be done, and nobody does it."""
    ENDED = "ended"
    """All is done."""
    FAILED = "failed"
    """Nobody works in it, and every trial that ended has failed."""
    SUBMITTED = "submitted"
    """It is on a cluster, and its results are still to be fetched."""
    DAMAGED = "damaged"
    """Its folder cannot be read."""


@dataclass(frozen=True)
class Pace:
    """How fast a search goes: trials an hour since its process began, and the seconds left at that."""

    per_hour: float
    left_s: float


@dataclass(frozen=True)
class SearchStatus:
    """How far a search, or a calibration, was at the time `now`. `holder`: who works in it. `has_result`: its
    best network is exported, or its figures are written. Trials that were read from a journal have no choices
    here."""

    folder: RunFolder
    manifest: Manifest
    trials: Sequence[Trial]
    finals: Sequence[Trial] = ()
    holder: Holder | None = None
    has_result: bool = False
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    is_calibration: bool = False
    repeats: Sequence[Trial] = ()

    @property
    def config(self) -> SearchConfig:
        return self.manifest.config

    @property
    def kind(self) -> str:
        return "calibration" if self.is_calibration else "search"

    @property
    def objective(self) -> Objective:
        """What the trials are ranked by."""
        return self.manifest.objective

    @property
    def wanted(self) -> int | None:
        """How many trials there are to be; a calibration's folder does not say."""
        return None if self.is_calibration else self.config.trials

    @cached_property
    def counts(self) -> Counts:
        """The trials by state."""
        states = [trial.state for trial in self.trials]
        return Counts(**{state.value: states.count(state) for state in TrialState})

    @property
    def finals_wanted(self) -> int:
        """How many long trainings there are to be of the best networks of now."""
        finals = self.config.finals
        return finals.seeds * len(select_finalists(self.trials, finals, self.objective))

    @property
    def finals_ended(self) -> int:
        """How many of these have ended."""
        return sum(not final.is_running for final in self._own_finals)

    @cached_property
    def _own_finals(self) -> list[Trial]:
        return select_finals(self.trials, self.finals, self.config.finals, self.objective)

    @property
    def repeats_wanted(self) -> int:
        """How many networks there are to be trained once more, of those that have a score by now."""
        return len(self._chosen_repeats)

    @property
    def repeats_ended(self) -> int:
        """How many of these have ended."""
        ended = {RepeatKey.parse(repeat.job) for repeat in self.repeats if not repeat.is_running}
        return sum(key in ended for key in self._chosen_repeats)

    @cached_property
    def _chosen_repeats(self) -> list[RepeatKey]:
        count, seed = self.config.repeats, self.config.seed
        return choose_repeats(self.trials, self.repeats, count, seed) if count else []

    @property
    def running(self) -> list[Trial]:
        """What trains now: trials, repeats or long trainings."""
        every = (*self.trials, *self.repeats, *self._own_finals) if self.holder else ()
        return [trial for trial in every if trial.is_running]

    @property
    def failures(self) -> list[Trial]:
        """What failed, the last at last."""
        return [trial for trial in (*self.trials, *self.repeats, *self.finals) if trial.failure]

    @property
    def finalists(self) -> list[Finalist]:
        """The best networks that were trained longer, the best first."""
        return rank_finalists(self.trials, self.finals, self.config.finals, self.objective)

    @property
    def best(self) -> Trial | None:
        """The trial of the best network, as far as is known. A calibration has none."""
        if self.is_calibration:
            return None
        winner = find_winner(self.trials, self.finals, self.config.finals, self.objective)
        return winner.trial if winner else next(iter(find_best(self.trials, 1, self.objective)), None)

    @property
    def phase(self) -> Phase:
        """Where it is in its life."""
        if self.holder:
            return Phase.RUNNING
        if self.is_calibration:
            return Phase.ENDED if self.has_result else Phase.STOPPED
        if self.counts.failed and not (self.counts.complete or self.counts.pruned):
            return Phase.FAILED
        # another driver, or program, may have the weights
        elsewhere = self.config.storage is not None or self.manifest.elsewhere
        left = self._trials_left + self._repeats_left + self._finals_left
        done = left == 0 and (self.has_result or elsewhere)
        return Phase.ENDED if done else Phase.STOPPED

    @property
    def pace(self) -> Pace | None:
        """How fast its trials, its repeats or its long trainings go; None where none has ended since it
        began."""
        every, left = self.finals, self._finals_left
        if self._trials_left:
            every, left = self.trials, self._trials_left
        elif self._repeats_left:
            every, left = self.repeats, self._repeats_left
        if self.holder is None or self.is_calibration:
            return None
        since = max(self.holder.since, min((t.began for t in every if t.began), default=self.holder.since))
        ended = sum(trial.ended is not None and trial.ended > since for trial in every)
        seconds = (self.now - since).total_seconds()
        return Pace(3600 * ended / seconds, left * seconds / ended) if ended and seconds > 0 else None

    @property
    def _trials_left(self) -> int:
        return self.counts.running if self.is_exhausted else max(0, self.config.trials - self.counts.ended)

    @property
    def _repeats_left(self) -> int:
        return self.repeats_wanted - self.repeats_ended

    @property
    def _finals_left(self) -> int:
        return max(0, self.finals_wanted - self.finals_ended)

    @property
    def resume_command(self) -> str:
        """The command that goes on with it."""
        return self.manifest.resume_command(self.folder)

    @property
    def is_exhausted(self) -> bool:
        """Whether it is over before its last trial, as no untried network was found."""
        return self.manifest.is_exhausted_by(self.trials)


class StatusReader:
    """Reads how far a search is, as often as wanted; of its journal each time what is new.

    Without `epochs` nothing is known of curves, nor why trials failed, and less is read.
    """

    def __init__(self, folder: RunFolder, manifest: Manifest, *, epochs: bool = True) -> None:
        self._folder = folder
        self._manifest = manifest
        self._written = _read_last_write(folder)
        self._glance = Glance(folder.journal, epochs=epochs)

    @classmethod
    def open(cls, path: Path, storage: str | None = None) -> Self:
        """Return the reader of a run folder. `storage`: the database that its trials are in, where they are
        in one. Raises InputError for what is no run of a search, or a damaged one."""
        folder = RunFolder.open(path)
        return cls(folder, Manifest.read(folder).with_storage(folder, storage))

    def read(self) -> SearchStatus:
        """Return how far it is now. Raises InputError where its folder is damaged, or has gone."""
        if (written := _read_last_write(self._folder)) != self._written:  # by a resume with other settings
            named = self._manifest.config.storage
            self._manifest = Manifest.read(self._folder).with_storage(self._folder, named)
            self._written = written
        holder = self._folder.holder  # first, as who ends after this has written all
        trials, finals, repeats = self._read_trials()
        marked = MeasuredLatencies.read(self._folder).mark(trials, self._manifest.config.budget)
        marked = mark_believed(self._folder, marked)
        return SearchStatus(
            self._folder, self._manifest, marked, finals, holder, has_result(self._folder),
            is_calibration=self._folder.is_calibration, repeats=repeats,
        )  # fmt: skip

    def _read_trials(self) -> tuple[Sequence[Trial], ...]:
        name = self._manifest.study
        if self._manifest.config.storage is not None:
            return read_study(self._folder, self._manifest)
        try:
            self._glance.read()
        except DamagedJournal as error:
            raise describe_damage(error, self._folder, self._manifest) from None
        trials = self._glance.read_trials(name)
        check_not_lost(self._folder, self._manifest, trials)
        return trials, *map(self._glance.read_trials, list_studies(name)[1:])


def has_result(folder: RunFolder) -> bool:
    """Return whether a search has exported its best network, or a calibration written its figures."""
    result = folder.figures_file if folder.is_calibration else folder.best_file.with_suffix(".py")
    return result.is_file()


def _read_last_write(folder: RunFolder) -> int:
    try:
        return folder.manifest_file.stat().st_mtime_ns
    except OSError:
        raise InputError(f"{folder.path}: the run is there no more; it was moved or deleted") from None
