"""Lines for where nothing else is said: a log that is read while it grows shows that the search lives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console

from nas.errors import make_printable
from nas.report.console import open_terminal, say

QUIET_S = 1.5
"""Seconds without a line, after which one is said: the next comes within two."""
LONG_S, SELDOM_S = 30.0, 10.0
"""What takes so long is said no more often than that."""
KNOWN_S = 60.0
"""Nor is what is known to take its time."""
_LOOK_S = 0.25


class Heartbeat:
    """Says on a console that is no terminal what goes on, while it goes on and nothing else is said.

    `describe`: what goes on, without its duration; None where nothing is to be said of it.
    """

    def __init__(self, console: Console, describe: Callable[[], str | None]) -> None:
        self._console = console
        self._describe = describe
        self._done = threading.Event()
        self._heard = self._began = time.monotonic()
        self._is_known = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, in a thread of its own."""
        if not self._console.is_terminal:
            self.begin()
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop: nothing is said any more."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def hear(self) -> None:
        """Take that something else was said."""
        self._heard = time.monotonic()

    def begin(self, is_known: bool = False) -> None:
        """Take that something else goes on. `is_known`: how long it takes."""
        self._began = time.monotonic()
        self._is_known = is_known

    def _run(self) -> None:
        while not self._done.wait(_LOOK_S):
            self.beat()

    def beat(self) -> None:
        """Say what goes on where it is time."""
        now = time.monotonic()
        quiet_s = QUIET_S if now - self._began < LONG_S else max(QUIET_S, SELDOM_S)
        if self._is_known:
            quiet_s = KNOWN_S
        if now - self._heard < quiet_s or (what := self._describe()) is None:
            return
        with suppress(OSError, ValueError):  # of a pipe that was closed, which the search itself finds
            say(self._console, f"{what} ... {now - self._began:.0f} s")
        self.hear()


@contextmanager
def waiting(what: str = "") -> Iterator[Callable[[str], None]]:
    """Show on the standard error what is done meanwhile, as it is told; in a log, what takes its time.

    `what`: what is done until then.
    """
    console = open_terminal(stderr=True)
    status = console.status("")
    doing: str | None = None

    def tell(text: str) -> None:
        nonlocal doing
        doing = text[:1].upper() + text[1:]
        status.update(make_printable(doing).replace("[", "\\["))
        heartbeat.begin()
        if console.is_terminal:
            status.start()

    heartbeat = Heartbeat(console, lambda: doing)
    if what:
        tell(what)
    heartbeat.start()
    try:
        yield tell
    finally:
        heartbeat.stop()
        status.stop()
