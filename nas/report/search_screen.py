"""A search on a terminal: how it starts, a line for each trial that ends, and what runs, live, below them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Self

from rich.console import Console
from rich.text import Text

from nas.errors import make_printable
from nas.execution.base import TrialQueue
from nas.execution.ray_address import describe_login
from nas.report.console import format_duration, format_share, say
from nas.report.decoding import LowerLines
from nas.report.heartbeat import Heartbeat
from nas.report.search_lines import format_usage, say_beginning, say_round, say_stopped
from nas.runs.state import RunState
from nas.study.records import Candidate, Counts, Trial, TrialState
from nas.training.base import EpochResult
from nas.workflows.observer import Observer, Round
from nas.workflows.session import Session
from nas.workflows.usage import Meter

_SHOWN = 8
"""Trainings that a line of a log names."""


class TrialScreen(Observer):
    """Shows trials while they run. Use it as a context."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._queue: TrialQueue | None = None
        self._trials = self._epochs = 0
        self._counts = Counts()
        self._best: Trial | None = None
        self._dashboard = ""
        self._running: dict[int, EpochResult | None] = {}
        self._began: float | None = None
        self._ended_before = 0
        self._last = 0.0
        self._left_at_last = 0.0
        self._heartbeat = Heartbeat(console, self._describe)
        self._doing: str | None = "Starting"
        self._since = time.monotonic()
        self._meter = Meter()
        self._lines = LowerLines(console, self._make_view)

    def __enter__(self) -> Self:
        self._heartbeat.start()
        self._lines.show()
        return self

    def __exit__(self, *_: object) -> None:
        self._heartbeat.stop()
        with suppress(OSError):  # of a terminal that was closed
            self._lines.close()

    def doing(self, what: str) -> None:
        self._lines.show()
        self._begin(what)

    def _begin(self, what: str | None) -> None:
        """Take what goes on now; None for trials."""
        self._doing, self._since = what, time.monotonic()
        self._heartbeat.begin()

    def decoding(self, done: int, total: int) -> None:
        self._doing = f"Decoding images: {done:,} of {total:,}"
        self._lines.show_decoding(done, total)

    def noted(self, text: str) -> None:
        say(self._console, text)
        self._heartbeat.hear()

    def round(self, queue: TrialQueue, which: Round, trials: int, epochs: int) -> None:
        self._begin("Starting")
        self._heartbeat.hear()
        self._meter.round(queue, which, trials, epochs)
        self._queue, self._trials, self._epochs = queue, trials, epochs
        self._began, self._last = None, 0.0
        self._running.clear()
        self._read()
        # Trials that have ended already do not count for the time left.
        self._ended_before = self._counts.ended

    def dashboard(self, url: str) -> None:
        if url != self._dashboard:  # the finalists train on the same Ray
            say(self._console, f"Ray dashboard: {url}")
            if login := describe_login():
                say(self._console, login)
        self._dashboard = url
        self._heartbeat.hear()

    def started(self, candidate: Candidate) -> None:
        if self._began is None:
            self._began = time.monotonic()
        if self._doing is not None:
            self._begin(None)
        self._running[candidate.number] = None
        self._meter.started(candidate)

    def epoch(self, candidate: Candidate, result: EpochResult) -> None:
        self._running[candidate.number] = result
        self._meter.epoch(candidate, result)

    def finished(self, trial: Trial) -> None:
        self._meter.finished(trial)
        if self._began is None:  # its worker died before it began
            self._began = time.monotonic()
        self._running.pop(trial.number, None)
        self._read()
        self._left_at_last = self._estimate_seconds()
        self._last = time.monotonic()
        self._console.print(Text(make_printable(self._format_line(trial))), soft_wrap=True)
        self._heartbeat.hear()
        self._heartbeat.begin(is_known=True)

    def _read(self) -> None:
        """Read the queue once for all that is shown: the display's own thread must not touch it."""
        assert self._queue is not None
        self._counts = self._queue.counts
        self._best = next(iter(self._queue.best(1)), None)

    def _format_line(self, trial: Trial) -> str:
        match trial.state:
            case TrialState.COMPLETE:
                result = f"score {trial.score:.4f}"
            case TrialState.PRUNED:
                result = f"stopped after epoch {trial.result.epochs}"
            case _:
                result = f"failed: {trial.failure}"
        took = f", {trial.result.seconds:.1f} s" if trial.result.epochs else ""
        left = self._format_left()
        name = trial.job or f"trial {trial.number}"
        failed = f", {self._counts.failed} failed" if self._counts.failed else ""
        return (
            f"[{self._counts.ended}/{self._trials}{failed}] {name}: {result}, "
            f"{trial.candidate.cost}{took}{f', {left} left' if left else ''}"
        )

    def _estimate_seconds(self) -> float:
        """Return seconds for the epochs that are left, each as long as those that are trained, of trials that
        run too."""
        assert self._began is not None
        begun = sum(result.epoch for result in self._running.values() if result) / self._epochs
        done = self._counts.ended - self._ended_before + begun
        left = max(0.0, self._trials - self._counts.ended - begun)
        return (time.monotonic() - self._began) / max(1.0, done) * left

    def _format_left(self) -> str:
        """Return the time left, counted down from the last trial that ended."""
        if self._counts.ended >= self._trials or not self._last:
            return ""
        return format_duration(max(0.0, self._left_at_last - (time.monotonic() - self._last)))

    def _describe(self) -> str | None:
        """Return what a log is told where nothing else is."""
        if self._doing is not None:
            return self._doing
        trainings = list(self._list_trainings())
        more = f", and {len(trainings) - _SHOWN} more" if len(trainings) > _SHOWN else ""
        return f"Training: {', '.join(trainings[:_SHOWN])}{more}" if trainings else None

    def _list_trainings(self) -> Iterator[str]:
        for number, result in sorted(dict(self._running).items()):  # a copy: it is read in other threads
            epoch, score = (result.epoch, f", score {result.score:.4f}") if result else (0, "")
            yield f"trial {number}: epoch {epoch}/{self._epochs}{score}"

    def _make_view(self) -> Text:
        if self._doing is not None:
            return Text(
                f"{make_printable(self._doing)} ... {time.monotonic() - self._since:.0f} s", no_wrap=True
            )
        ended, left = self._counts.ended, self._format_left()
        lines = [
            f"{ended}/{self._trials} finished, {len(self._running)} running, "
            f"{self._counts.failed} failed{f', {left} left' if left else ''}"
        ]
        if self._best:
            candidate = self._best.candidate
            lines.append(f"best score {self._best.score:.4f}, {candidate.cost}, trial {candidate.number}")
        usage = self._meter.usage
        if usage.started_s:
            trained, started, waited = format_usage(usage)
            line = f"trained {trained}, started {started}, waited {waited}"
            if usage.images_s is not None:
                line += f"; {usage.images_s:,.0f} images/s a trial"
            if usage.share is not None:
                line += f", {format_share(usage.share)} of the device's limit"
            lines.append(line)
        lines += [f"  {training}" for training in self._list_trainings()]
        return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")


class SearchScreen(TrialScreen):
    """Shows a search, or a calibration, while it runs."""

    _session: Session | None = None

    def began(self, session: Session) -> None:
        self._lines.show()
        self._session = session
        say_beginning(session, self._console)
        self._heartbeat.hear()

    def round(self, queue: TrialQueue, which: Round, trials: int, epochs: int) -> None:
        assert self._session is not None
        say_round(self._session, which, queue, trials, self._console)
        super().round(queue, which, trials, epochs)

    def stopped(self, state: RunState) -> None:
        say_stopped(state, self._console)
