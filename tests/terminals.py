"""Commands on a real terminal, and what its screen has."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from command_line import command


class OnTerminal:
    """A command of nas on a terminal of 100 columns and 30 lines."""

    def __init__(self, *arguments: str) -> None:
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.before = self.settings
        self.process = subprocess.Popen(
            command(*arguments), stdin=self._slave, stdout=self._slave, stderr=self._slave,
            env={**os.environ, "TERM": "xterm-256color"},
        )  # fmt: skip
        self.said = b""

    @property
    def settings(self) -> list[Any]:
        """How the terminal is set."""
        return termios.tcgetattr(self._slave)

    def read_until(self, shows: str | Callable[[str], bool], timeout_s: float = 60) -> None:
        """Read until this text was shown, or what was shown is as wanted."""
        end = time.monotonic() + timeout_s
        while not (shows in self.shown() if isinstance(shows, str) else shows(self.shown())):
            left = end - time.monotonic()
            assert left > 0 and select.select([self._master], [], [], left)[0], self.shown()
            self.said += os.read(self._master, 65536)

    def shown(self) -> str:
        """What was shown so far, without colours and places."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.said.decode(errors="ignore")).replace("\r", "")

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self._master, key)

    def end(self, timeout_s: float = 10) -> int:
        """Wait until the command has ended, read what it has still shown, and return its exit code."""
        code = self.process.wait(timeout_s)
        while select.select([self._master], [], [], 0)[0]:
            self.said += os.read(self._master, 65536)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)
