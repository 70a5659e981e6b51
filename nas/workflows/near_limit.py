"""Networks that are predicted to be near a limit of latency: measured whole before they are trained."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Protocol

from nas.errors import NasError
from nas.graph.piece import Piece
from nas.latency.table import REFERENCES, LatencyTable, find_references
from nas.lines import Ask, start_worker
from nas.measures import LATENCY
from nas.runs.folder import RunFolder
from nas.runs.measured import MeasuredLatencies
from nas.space import Choices, Space
from nas.study.records import Candidate
from nas.workflows.latency import ROUNDS
from nas.workflows.observer import Observer


class Closed(Exception):
    """Nothing more is measured."""


class Timer(Protocol):
    """Measures whole networks. `is_quiet`: nothing is trained meanwhile."""

    is_quiet: bool

    def time(self, choices: Choices) -> int:
        """Return the nanoseconds of a network. Raises NasError for one that cannot be measured, Closed where
        this was closed meanwhile."""
        ...

    def close(self) -> None:
        """Measure nothing more."""
        ...


class NearLimit:
    """Measures the candidates of a run that are predicted to take longer than what is `sure` to be inside its
    `limit` of latency, one at a time while others train, and leaves out those that take longer. What is
    measured is kept in the run's folder, and is not measured again. Without a `timer` only what was measured
    before counts. The `observer` hears of what cannot be measured, and what all else waits for."""

    def __init__(
        self, limit: int, sure: int, timer: Timer | None, folder: RunFolder, observer: Observer
    ) -> None:
        self._limit, self._sure, self._timer = limit, sure, timer
        self._folder, self._observer = folder, observer
        self._unmeasurable: set[str] = set()
        self._thread = ThreadPoolExecutor(1)

    def measure(self, candidate: Candidate) -> Future[Candidate | None] | None:
        """Return what will have a network near the limit with the latency that it is measured to have; None
        in place of one that takes longer, or cannot be measured."""
        if candidate.amount(LATENCY) <= self._sure:
            return None
        known = MeasuredLatencies.read(self._folder).before.get(candidate.identity)
        if known is not None or candidate.identity in self._unmeasurable:
            found: Future[Candidate | None] = Future()
            found.set_result(self._judge(candidate, known))
            return found
        if self._timer is None:
            return None
        if self._timer.is_quiet:
            self._observer.doing("Measuring the latency of a network near the limit, before it is trained")
        return self._thread.submit(self._take, candidate, self._timer)

    def _take(self, candidate: Candidate, timer: Timer) -> Candidate | None:
        try:
            latency = _time_twice(timer, candidate.choices)
        except NasError as error:
            self._unmeasurable.add(candidate.identity)
            self._observer.noted(
                f"A network near the limit of latency cannot be measured, and is left out: {error}"
            )
            return None
        kept = MeasuredLatencies.read(self._folder)
        kept.add(candidate.identity, latency, final=timer.is_quiet).write(self._folder)
        return self._judge(candidate, latency)

    def _judge(self, candidate: Candidate, latency: int | None) -> Candidate | None:
        if latency is None or latency > self._limit:
            return None
        return replace(candidate, cost=replace(candidate.cost, latency=latency))

    def close(self) -> None:
        """End what is measured now, which then comes to nothing."""
        if self._timer is not None:
            self._timer.close()
        self._thread.shutdown()


def _time_twice(timer: Timer, choices: Choices) -> int:
    """Return what a timer does at its second try, where the first fails: its process may have been ended for
    the memory of others."""
    with suppress(NasError):
        return timer.time(choices)
    return timer.time(choices)


class ProcessTimer:
    """Measures networks in a process of its own: what writes their files would silence this one.

    The machine may be busier than when the table was made, by trainings and by others. So some networks of
    the table are measured in turn with each, which took about as long as `near_s`, and by how much longer
    they take now is taken off. `plugins`: files of their operators. Where the process ends, the next
    measurement begins another.
    """

    def __init__(
        self, space: Space, table: LatencyTable, plugins: Sequence[Path], near_s: float, *, is_quiet: bool
    ) -> None:
        self._space, self._table, self._plugins, self._near_s = space, table, plugins, near_s
        self.is_quiet = is_quiet
        self._opening, self._closed = Lock(), False
        self._opened = ExitStack()
        self._worker: Ask | None = None

    @cached_property
    def _references(self) -> Sequence[tuple[Choices, float]]:
        return find_references(self._space, self._table, self._near_s)[:REFERENCES]

    def time(self, choices: Choices) -> int:
        """Return the nanoseconds of a network, as `compute_latency` makes them of its rounds."""
        points = [choices, *(point for point, _ in self._references)]
        networks = [Piece.of(self._space.architecture(point)).to_data() for point in points]
        try:
            self._worker = self._worker or self._start()
            own, *others = self._worker({"networks": networks})["seconds"]
        except Exception:  # what closes it may close its pipes as they are read
            with self._opening:
                if self._closed:
                    raise Closed from None
                self._worker = None
                self._opened.close()
            raise
        return compute_latency(own, [low for low, *_ in others], [then for _, then in self._references])

    def _start(self) -> Ask:
        own = self._table.fingerprint
        with self._opening:
            if self._closed:
                raise Closed
            scratch = TemporaryDirectory(prefix="nas-latency-", ignore_cleanup_errors=True)
            folder = self._opened.enter_context(scratch)  # it goes after the process that writes into it
            ask = self._opened.enter_context(start_worker("nas.latency.whole_worker", own.threads, NasError))
        plugins = [str(file.absolute()) for file in self._plugins]
        given = {"runtime": own.runtime, "threads": own.threads, "rounds": ROUNDS}
        ask({**given, "plugins": plugins, "folder": folder})
        return ask

    def close(self) -> None:
        """End the process; what is measured then is not."""
        with self._opening:
            self._closed = True
            self._opened.close()


def compute_latency(own: Sequence[float], now: Sequence[float], then: Sequence[float]) -> int:
    """Return the nanoseconds of a network: the most of what all its rounds, the odd ones and the even ones
    came to, without what others beside it take longer `now` than they did `then`."""
    slower = median([a / b for a, b in zip(now, then, strict=True)] or [1.0])
    return round(1e9 * max(own) / max(1.0, slower))
