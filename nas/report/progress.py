"""Progress of a search: a line for each trial that ends, and on a terminal what runs, live, below them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from nas.execution.local import Events, Progress
from nas.study.records import Counts

if TYPE_CHECKING:
    from nas.study.ledger import Trials
    from nas.study.records import Candidate, Record


class SearchProgress(Events):
    """Listens to a search and tells how it goes. Use it as a context, after `follow(study)`."""

    def __init__(self, console: Console, trials: int, epochs: int) -> None:
        self._console = console
        self._trials = trials
        self._epochs = epochs
        self._study: Trials | None = None
        self._counts = Counts()
        self._best: Record | None = None
        self._running: dict[int, Progress] = {}
        self._began: float | None = None
        self._ended_before = 0
        self._last = 0.0
        self._left_at_last = 0.0
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._view, transient=True)

    def __enter__(self) -> SearchProgress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def follow(self, study: Trials) -> None:
        """The study whose trials are counted; those it has already do not count for the time left."""
        self._study = study
        self._read()
        self._ended_before = self._ended

    def dashboard(self, url: str) -> None:
        self._console.print(Text(f"Ray dashboard: {url}"))

    def started(self, candidate: Candidate) -> None:
        if self._began is None:
            self._began = time.monotonic()
        self._running[candidate.number] = Progress()

    def epoch(self, candidate: Candidate, progress: Progress) -> None:
        self._running[candidate.number] = progress

    def finished(self, candidate: Candidate) -> None:
        self._running.pop(candidate.number, None)
        record = self._read()[candidate.number]
        self._left_at_last = self._seconds_left()
        self._last = time.monotonic()
        self._console.print(Text(self._line(record)), soft_wrap=True)

    def _read(self) -> list[Record]:
        """Read the study once for all that is shown: the display's own thread must not touch it."""
        assert self._study is not None
        self._counts = self._study.counts
        self._best = next(iter(self._study.best(1)), None)
        return self._study.records()

    @property
    def _ended(self) -> int:
        return self._counts.complete + self._counts.pruned + self._counts.failed

    def _line(self, record: Record) -> str:
        result = {
            "complete": f"score {record.score:.4f}" if record.score is not None else "",
            "pruned": f"stopped after epoch {max(record.scores, default=0)}",
            "failed": f"failed: {record.facts.get('reason')}: {record.facts.get('message')}",
        }[record.state]
        seconds = record.facts.get("seconds")
        took = f", {seconds:.1f} s" if isinstance(seconds, float) else ""
        left = self._left()
        name = record.facts.get("job", f"trial {record.candidate.number}")
        return (
            f"[{self._ended}/{self._trials}] {name}: {result}, "
            f"{record.candidate.cost}{took}{f', {left} left' if left else ''}"
        )

    def _seconds_left(self) -> float:
        """For the trials that have not ended, each as long as those that have."""
        assert self._began is not None
        done = self._ended - self._ended_before
        return (time.monotonic() - self._began) / done * (self._trials - self._ended)

    def _left(self) -> str:
        """The time left, counted down from the last trial that ended."""
        if self._ended >= self._trials or not self._last:
            return ""
        return duration(max(0.0, self._left_at_last - (time.monotonic() - self._last)))

    def _view(self) -> Text:
        if self._began is None:
            return Text(f"{self._ended}/{self._trials} finished, starting ...")
        left = self._left()
        lines = [
            f"{self._ended}/{self._trials} finished, {len(self._running)} running, "
            f"{self._counts.failed} failed{f', {left} left' if left else ''}"
        ]
        if self._best:
            candidate = self._best.candidate
            lines.append(f"best score {self._best.score:.4f}, {candidate.cost}, trial {candidate.number}")
        # A copy: the display has a thread of its own.
        for number, progress in sorted(dict(self._running).items()):
            score = f", score {progress.score:.4f}" if progress.epoch else ""
            lines.append(f"  trial {number}: epoch {progress.epoch}/{self._epochs}{score}")
        return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
