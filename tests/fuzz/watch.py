"""Calls that are watched: what they raise, how long they take, and what they touch outside a folder."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

CPU_S = 2.0
"""Seconds of a core after which a call hangs. The slowest call here takes a third of that."""
_WALL_S = 60.0  # for what waits; other processes have the cores too

_REACHES = (
    "socket.connect", "socket.getaddrinfo", "socket.bind", "subprocess.Popen", "os.system", "os.exec",
    "os.posix_spawn", "os.fork", "os.kill",
)  # fmt: skip
_WRITES = {
    "os.remove": 1, "os.rename": 2, "os.mkdir": 1, "os.rmdir": 1, "os.symlink": 2, "os.link": 2,
    "os.truncate": 1, "os.chmod": 1, "os.chown": 1, "shutil.rmtree": 1, "shutil.move": 2,
}  # fmt: skip
"""Audit events (PEP 578) that change files, and how many of their arguments are paths."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class TooLong(BaseException):
    """A call took longer than it may."""


class Watch:
    """Watches calls of this process from now on. One for each process: a hook cannot be taken back.

    `refused`: calls that raised what was expected.
    """

    def __init__(self, allowed: Path) -> None:
        self._allowed = allowed.resolve()
        self.refused = 0
        self._found: list[str] = []
        self._on = False
        sys.addaudithook(self._see)
        for alarm in (signal.SIGPROF, signal.SIGALRM):
            signal.signal(alarm, self._ring)

    def call(self, function: Callable[[], None], expected: type[Exception]) -> str | None:
        """Return what was wrong with a call: an exception that was not `expected`, a hang, a file or a host
        that it touched. None where all was well."""
        self._found, self._on = [], True
        signal.setitimer(signal.ITIMER_PROF, CPU_S)
        signal.setitimer(signal.ITIMER_REAL, _WALL_S)
        try:
            function()
        except expected:
            self.refused += 1
        except BaseException:
            self._found.append(_where())
        finally:
            self._on = False
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
        return "; ".join(self._found) or None

    def _ring(self, signum: int, frame: FrameType | None) -> None:
        if self._on:
            raise TooLong

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event in _REACHES:
            self._found.append(f"{event}{arguments!r:.200}")
        elif event == "open":
            path, _mode, flags = arguments
            if flags & _WRITING and path != "/dev/null":
                self._look(event, path)
        elif event in _WRITES:
            for path in arguments[: _WRITES[event]]:
                self._look(event, path)

    def _look(self, event: str, path: Any) -> None:
        if isinstance(path, str | bytes | os.PathLike):
            real = Path(os.fsdecode(path)).resolve()
            if not real.is_relative_to(self._allowed):
                self._found.append(f"{event} {real}")


def _where() -> str:
    kind, error, trace = sys.exc_info()
    assert kind is not None
    steps = [f"{Path(step.filename).name}:{step.lineno}" for step in traceback.extract_tb(trace)]
    return f"{kind.__name__}: {error!s:.200} at {' '.join(steps[-6:])}"
