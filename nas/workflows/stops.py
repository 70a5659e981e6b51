"""What ends a search before its trials do: Ctrl-C, a batch system, a terminal that is closed, a full disk, a
folder that goes, a time limit."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import ENOENT
from pathlib import Path
from types import FrameType
from typing import Protocol

from nas.deadline import TimeIsUp, deadline
from nas.errors import InputError, NasError, OwnCodeError
from nas.files import find_way_out
from nas.passwords import hide_passwords
from nas.runs.folder import RunFolder
from nas.study.storage import DATABASE_ERRORS, describe_database_error
from nas.training.base import EvaluatorError

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_HANG_UP = getattr(signal, "SIGHUP", None)


class Stopped(NasError):
    """The user pressed Ctrl-C, or a batch system ended the search; nothing is lost."""

    exit_code = 130


class HungUp(Stopped):
    """The terminal was closed."""

    exit_code = 129


class Stoppable(Protocol):
    """What works in a run folder, and can be gone on with."""

    @property
    def folder(self) -> RunFolder:
        """Where."""
        ...

    @property
    def resume_command(self) -> str:
        """The command that goes on with it."""
        ...

    @property
    def way_out(self) -> str:
        """What a message says where something that it needs has gone."""
        ...

    @property
    def storage(self) -> str | None:
        """The database that it writes."""
        ...

    def make_command(self, path: Path) -> str:
        """Return the command that goes on with it where its folder is another."""
        ...


class StopCheck:
    """Whether a search is to end: it was asked to stop, its time is over, its folder is not where it was."""

    def __init__(self, session: Stoppable) -> None:
        self._session = session
        self._path = session.folder.path
        self.asked: int | None = None
        self.is_ending = False
        """Whether what is to be said of the end is on its way, which no other signal is to replace."""
        self._is_over: Callable[[], bool] = lambda: False
        self._reason: BaseException | None = None
        self._folder = os.open(self._path, os.O_RDONLY)

    def close(self) -> None:
        os.close(self._folder)

    def ask(self, signum: int, frame: FrameType | None = None) -> None:
        """Take a signal: raise KeyboardInterrupt. What ends terminals and jobs asks more than once, which is
        not to break off what the first one began."""
        again = self.is_ending or (self.asked is not None and signum != signal.SIGINT)
        self.asked = self.asked or signum
        if not again:
            raise KeyboardInterrupt

    @contextmanager
    def timed(self, limit_s: float | None, began: float) -> Iterator[None]:
        """Raise TimeIsUp when a limit of seconds is over, `began` by `time.monotonic`; `find_end` has it too,
        for where signals are not heard, as outside the main thread."""
        left = None if limit_s is None else began + limit_s - time.monotonic()
        with deadline(left) as self._is_over:
            try:
                yield
            finally:
                self._is_over = lambda: False

    def find_end(self) -> BaseException | None:
        """Return what ends the search before its trials do, if anything does, and the same from then on.

        That is a signal of which Python has dropped what it raised, as in a callback of its collector; a
        folder that was moved or deleted; a limit of time.
        """
        if self._reason is None:
            if self.asked is not None:
                self._reason = KeyboardInterrupt()
            elif gone := self.explain_absence():
                self._reason = NasError(gone)
            elif self._is_over():
                self._reason = TimeIsUp()
        return self._reason

    def check(self) -> None:
        """Raise what `find_end` returns."""
        if end := self.find_end():
            raise end

    def check_place(self) -> None:
        """Raise NasError where the run folder was moved or deleted: what is written would go elsewhere."""
        if gone := self.explain_absence():
            raise NasError(gone)

    def explain_absence(self) -> str | None:
        """Return what became of the run folder, and how to go on, where it is not at its place any more."""
        own = os.fstat(self._folder)
        with suppress(OSError):
            if os.path.samestat(self._path.stat(), own):
                return None
        done = self._session.folder.DONE
        if not own.st_nlink:
            return f"{self._path}: was deleted while it was {done} in; start a new run"
        try:
            now = Path(f"/proc/self/fd/{self._folder}").readlink()
            if not os.path.samestat(now.stat(), own):
                raise FileNotFoundError
        except OSError:  # no Linux, or out of reach
            return f"{self._path}: was moved while it was {done} in; go on with: nas resume, and its new name"
        if not self._path.is_absolute():
            now = Path(os.path.relpath(now))
        command = self._session.make_command(now)
        return (
            f"{self._path}: was moved while it was {done} in, to {now}. Nothing finished is lost. Go on "
            f"with: {command}"
        )

    @property
    def ended(self) -> Stopped:
        """What is raised for the signal that was taken, or for Ctrl-C."""
        kind = HungUp if self.asked is not None and self.asked == _HANG_UP else Stopped
        return kind(f"stopped; nothing finished is lost. Go on with: {self._session.resume_command}")


@contextmanager
def stoppable(session: Stoppable) -> Iterator[StopCheck]:
    """Raise Stopped on Ctrl-C, SIGTERM or SIGHUP, and NasError where the run cannot be written or is not at
    its place any more; all say how to go on. Signal handlers are given back."""
    try:
        stop = StopCheck(session)
    except OSError as error:
        raise _explain_error(session, error) from error
    before = {}
    try:
        with suppress(ValueError):  # raised outside the main thread, which gets no signals
            for number in _SIGNALS:
                handler = signal.getsignal(number)
                if number == signal.SIGTERM or handler in (signal.SIG_DFL, signal.default_int_handler):
                    before[number] = signal.signal(number, stop.ask)  # nohup has SIGHUP ignored
        yield stop
    except KeyboardInterrupt:
        stop.is_ending = True  # before Python looks for another signal
        raise stop.ended from None
    except BrokenPipeError:  # who reads what is printed has gone
        raise
    except (OSError, NasError) as error:
        stop.is_ending = True
        if gone := stop.explain_absence():
            raise NasError(gone) from error
        if isinstance(error, NasError):
            if (told := _add_way_out(session, error)) is error:
                raise
            raise told from error
        if stop.asked is not None:  # a terminal that is closed cannot be written
            raise stop.ended from error
        raise _explain_error(session, error) from error
    except DATABASE_ERRORS as error:
        stop.is_ending = True
        reason = describe_database_error(error)
        what = f"storage '{session.storage}': stopped by an error of the database: {reason}; see that it can "
        raise _tell(session, NasError, f"{what}be reached and written. {session.way_out}") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.close()


def _tell(session: Stoppable, kind: type[NasError], message: str) -> NasError:
    """Return an error whose message names the command that goes on."""
    told = kind(message)
    told.command = hide_passwords(session.resume_command)
    return told


def _add_way_out(session: Stoppable, error: NasError) -> NasError:
    """Return an error of a run that is under way, with the way out where the run can be gone on with."""
    if (command := hide_passwords(session.resume_command)) in str(error):
        error.command = command
        return error
    if isinstance(error, EvaluatorError):
        way = f"Then begin anew, or, where it is right as it is, go on with: {command}"
        return _tell(session, type(error), f"{error}. {way}")
    if isinstance(error, OwnCodeError) or not isinstance(error, InputError):
        kind = InputError if isinstance(error, InputError) else NasError
        return _tell(session, kind, f"{error}. {session.way_out}")
    return error


def _explain_error(session: Stoppable, error: OSError) -> NasError:
    """Return what is told of an error of the system: of which file, what it is, and the way out."""
    run, file = session.folder.path, error.filename
    if error.errno is None:
        what = f"{run}: stopped by {type(error).__name__}: {error}"
    elif file is None or Path(os.fsdecode(file)).is_relative_to(run):
        what = f"{file or run}: cannot be written: {error.strerror}; {find_way_out(error)}"
    else:
        way = "mend that" if error.errno == ENOENT else find_way_out(error, "mend that")
        what = f"{file}: {error.strerror}; {way}"
    return _tell(session, NasError, f"{what}. {session.way_out}")
