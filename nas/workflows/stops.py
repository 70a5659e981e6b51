"""What ends a search before its trials do: Ctrl-C, a batch system, a full disk, a time limit."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from nas.deadline import deadline
from nas.errors import NasError
from nas.runs.config import SearchConfig
from nas.study.records import Candidate
from nas.workflows.observer import Observer, Observers
from nas.workflows.session import Session


class Stopped(NasError):
    """The user pressed Ctrl-C; nothing is lost."""

    exit_code = 130


@contextmanager
def stoppable(session: Session) -> Iterator[None]:
    """Raise Stopped on Ctrl-C or SIGTERM, and NasError where the run cannot be written; both say how to go
    on. Signal handlers are given back."""
    before = None
    with suppress(ValueError):  # raised outside the main thread, which gets no signals
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's stop
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(f"stopped; nothing finished is lost. Go on with: {session.resume_command}") from None
    except OSError as error:
        raise NasError(
            f"{session.folder.path}: cannot be written: {error.strerror or error}; make room. Nothing "
            f"finished is lost. Go on with: {session.resume_command}"
        ) from error
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def timed(config: SearchConfig, began: float, observer: Observer) -> Iterator[Observer]:
    """Raise TimeIsUp when the time limit is over; `began` by `time.monotonic`.

    What trains in the block tells the observer that this gives, which keeps the limit between epochs where
    signals cannot: outside the main thread.
    """
    left = None if config.time_limit is None else began + config.time_limit - time.monotonic()
    with deadline(left) as check:
        yield Observers(observer, _Timekeeper(check))


class _Timekeeper(Observer):
    """Checks the time before each trial, and after each epoch of it but the last, whose trial is complete."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def started(self, candidate: Candidate) -> None:
        self._check()

    def continued(self, candidate: Candidate) -> None:
        self._check()
