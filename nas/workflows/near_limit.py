"""Networks that are predicted to be near a limit of latency: measured whole before they are trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Protocol

from nas.errors import NasError
from nas.graph.piece import Piece
from nas.latency.table import LatencyTable, find_references
from nas.lines import Ask, start_worker
from nas.measures import LATENCY
from nas.runs.folder import RunFolder
from nas.runs.measured import MeasuredLatencies
from nas.space import Choices, Space
from nas.study.records import Candidate
from nas.workflows.latency import ROUNDS
from nas.workflows.observer import ignore


class Timer(Protocol):
    """Measures whole networks. `is_quiet`: nothing is trained meanwhile."""

    is_quiet: bool

    def time(self, choices: Choices) -> int:
        """Return the nanoseconds of a network."""
        ...

    def close(self) -> None:
        """Measure nothing more."""
        ...


class NearLimit:
    """Measures the candidates of a run that are predicted to take longer than what is `sure` to be inside its
    limit of latency, one at a time while others train. What is measured is kept in the run's folder, and is
    not measured again. Where all else waits for it, `progress` is told."""

    def __init__(
        self, sure: int, timer: Timer, folder: RunFolder, progress: Callable[[str], None] = ignore
    ) -> None:
        self._sure, self._timer, self._folder, self._progress = sure, timer, folder, progress
        self._thread = ThreadPoolExecutor(1)

    def measure(self, candidate: Candidate) -> Future[Candidate] | None:
        """Return what will have a network near the limit with the latency that it is measured to have."""
        if candidate.amount(LATENCY) <= self._sure:
            return None
        known = MeasuredLatencies.read(self._folder).before.get(candidate.identity)
        if known is not None:
            found: Future[Candidate] = Future()
            found.set_result(_correct_latency(candidate, known))
            return found
        if self._timer.is_quiet:
            self._progress("Measuring the latency of a network near the limit, before it is trained")
        return self._thread.submit(self._take, candidate)

    def _take(self, candidate: Candidate) -> Candidate:
        latency = self._timer.time(candidate.choices)
        kept = MeasuredLatencies.read(self._folder)
        kept.add(candidate.identity, latency, final=self._timer.is_quiet).write(self._folder)
        return _correct_latency(candidate, latency)

    def close(self) -> None:
        """End what is measured now, which then comes to nothing."""
        self._timer.close()
        self._thread.shutdown()


def _correct_latency(candidate: Candidate, latency: int) -> Candidate:
    return replace(candidate, cost=replace(candidate.cost, latency=latency))


class ProcessTimer:
    """Measures networks in a process of its own: what writes their files would silence this one.

    The machine may be busier than when the table was made, by trainings and by others. So some networks of
    the table are measured in turn with each, which took about as long as `near_s`, and by how much longer
    they take now is taken off. `plugins`: files of their operators.
    """

    def __init__(
        self, space: Space, table: LatencyTable, plugins: Sequence[Path], near_s: float, *, is_quiet: bool
    ) -> None:
        self._space, self._table, self._plugins, self._near_s = space, table, plugins, near_s
        self.is_quiet = is_quiet
        self._opened = ExitStack()
        self._worker: Ask | None = None
        self._references: Sequence[tuple[Choices, float]] = ()

    def time(self, choices: Choices) -> int:
        """Return the nanoseconds of a network, as `compute_latency` makes them of its rounds."""
        ask = self._worker = self._worker or self._start()
        points = [choices, *(point for point, _ in self._references)]
        networks = [Piece.of(self._space.architecture(point)).to_data() for point in points]
        own, *others = ask({"networks": networks})["seconds"]
        return compute_latency(own, [low for low, *_ in others], [then for _, then in self._references])

    def _start(self) -> Ask:
        self._references = find_references(self._space, self._table, self._near_s)
        own = self._table.fingerprint
        ask = self._opened.enter_context(start_worker("nas.latency.whole_worker", own.threads, NasError))
        folder = self._opened.enter_context(TemporaryDirectory(prefix="nas-latency-"))
        plugins = [str(file.absolute()) for file in self._plugins]
        given = {"runtime": own.runtime, "threads": own.threads, "rounds": ROUNDS}
        ask({**given, "plugins": plugins, "folder": folder})
        return ask

    def close(self) -> None:
        """End the process."""
        self._opened.close()


def compute_latency(own: Sequence[float], now: Sequence[float], then: Sequence[float]) -> int:
    """Return the nanoseconds of a network: the most of what all its rounds, the odd ones and the even ones
    came to, without what others beside it take longer `now` than they did `then`."""
    slower = median([a / b for a, b in zip(now, then, strict=True)] or [1.0])
    return round(1e9 * max(own) / max(1.0, slower))
