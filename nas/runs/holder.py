"""Who works in a run folder: the process that holds its lock, as a reader can tell who disturbs nothing."""

from __future__ import annotations

import os
import socket
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nas.files import is_locked, lock


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock.

    `pid` is None, and `host` nothing, where it has not said who it is. `since`: when it took the lock.
    """

    pid: int | None
    host: str
    since: datetime

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine, as far as is known: locks of earlier builds have no
        host."""
        return self.pid is not None and self.host in ("", socket.gethostname())

    def __str__(self) -> str:
        if self.pid is None:
            return "another process"
        return f"process {self.pid}" + ("" if self.is_here else f" on {self.host}")


def make_mark() -> str:
    """Return what this process writes into the file of a lock that it holds: `PID HOST`."""
    return f"{os.getpid()} {socket.gethostname()}"


def read_mark(text: str, since: float = 0.0) -> Holder:
    """Return the holder that a file of a lock names, which holds it `since` so many seconds of the epoch."""
    pid, host, *_ = [*text.split(), "", ""]
    moment = datetime.fromtimestamp(since, UTC)
    return Holder(int(pid), host, moment) if pid.isdecimal() and len(pid) < 20 else Holder(None, "", moment)


def name_standing_file(file: Path) -> Path:
    """Return the file that stands for the lock of another, where the file system has no locks."""
    return file.with_name(f"{file.name}.held")


def find_holder(file: Path) -> Holder | None:
    """Return the process that holds the lock of a file; None where none does, or there is no such file."""
    with suppress(OSError):
        descriptor = os.open(file, os.O_RDONLY | _CAREFUL)
        try:
            if is_locked(descriptor):
                return read_mark(_read(descriptor), os.fstat(descriptor).st_mtime)
        finally:
            os.close(descriptor)
    with suppress(OSError):
        descriptor = os.open(name_standing_file(file), os.O_RDONLY | _CAREFUL)
        try:
            holder = read_mark(_read(descriptor), os.fstat(descriptor).st_mtime)
        finally:
            os.close(descriptor)
        return None if holder.is_here and not _is_alive(holder.pid) else holder
    return None


def holds_lock(pid: int, file: Path) -> bool:
    """Return whether a process has a file open and locked, by what Linux tells of the user's own processes.

    False where that cannot be known, as on other systems, and where the file is one elsewhere too.
    """
    with suppress(OSError):
        own = file.stat()
        for entry in Path(f"/proc/{pid}/fd").iterdir() if own.st_nlink == 1 else ():
            with suppress(OSError):
                about = Path(f"/proc/{pid}/fdinfo/{entry.name}")
                if os.path.samestat(entry.stat(), own) and _LOCKED in about.read_text().split():
                    return True
    return False


def hold_lock(file: Path, descriptor: int, wait_s: float, held: ExitStack) -> None:
    """Lock an open file until the end of `held`, trying for so long. Where there are no locks, another file
    stands for it.

    Raises BlockingIOError where another process holds it, TimeoutError where a process that lives, or one of
    another machine, has made that file.
    """
    if not _lock_within(descriptor, wait_s):
        from filelock import SoftFileLock

        held.enter_context(SoftFileLock(name_standing_file(file), timeout=wait_s))


def _lock_within(descriptor: int, wait_s: float) -> bool:
    """Lock an open file as `lock` does, trying for so long; for a moment at least, in which a reader may have
    a share of the lock."""
    until = time.monotonic() + max(wait_s, _MOMENT_S)
    while True:
        try:
            return lock(descriptor)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise
        time.sleep(0.01)


_MOMENT_S = 0.05
_LOCKED = "FLOCK"
_CAREFUL = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def _read(descriptor: int) -> str:
    return os.read(descriptor, 400).decode(errors="replace")


def _is_alive(pid: int | None) -> bool:
    """Return whether a process of this machine lives, whoever's it is."""
    try:
        os.kill(pid or 0, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
