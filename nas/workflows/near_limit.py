"""Networks that are predicted to be near a limit of latency: measured whole before they are trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from nas.errors import NasError
from nas.graph.piece import Piece
from nas.latency.table import Fingerprint
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
    """Measures networks in a runtime as finalists are, in a process of its own: what writes their files would
    silence this one. `plugins`: files of their operators."""

    def __init__(
        self, space: Space, fingerprint: Fingerprint, plugins: Sequence[Path], *, is_quiet: bool
    ) -> None:
        self._space, self._of, self._plugins = space, fingerprint, plugins
        self.is_quiet = is_quiet
        self._opened = ExitStack()
        self._worker: Ask | None = None

    def time(self, choices: Choices) -> int:
        """Return the nanoseconds of a network: the most of what its odd rounds, its even ones, and all of
        them came to."""
        ask = self._worker = self._worker or self._start()
        network = Piece.of(self._space.architecture(choices)).to_data()
        return round(1e9 * max(ask({"network": network})["seconds"]))

    def _start(self) -> Ask:
        own = self._of
        ask = self._opened.enter_context(start_worker("nas.latency.whole_worker", own.threads, NasError))
        folder = self._opened.enter_context(TemporaryDirectory(prefix="nas-latency-"))
        plugins = [str(file.absolute()) for file in self._plugins]
        given = {"runtime": own.runtime, "threads": own.threads, "rounds": ROUNDS}
        ask({**given, "plugins": plugins, "folder": folder})
        return ask

    def close(self) -> None:
        """End the process."""
        self._opened.close()
