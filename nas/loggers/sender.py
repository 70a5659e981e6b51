"""Sends a run to a logger, which works in a process of its own: whatever becomes of that, and however long it
takes, costs the run nothing but what is logged."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Self

from nas.errors import InputError, NasError
from nas.files import MOST_TABLE_BYTES, read_text, write_atomically
from nas.lines import start_worker
from nas.loggers import LOGGERS, Curves, Entry, Run

_NOTES = "logged.txt"
"""The key of the run, then the names of its entries that were written, a line each."""
_KEY = re.compile(r"[0-9a-f]{8}")
_PATIENCE_S = 60.0
"""That a run waits in its end."""
_HURRY_S = 2.0
"""That one waits that is stopped."""


class Senders:
    """Sends a run to several loggers, and goes on without those that cannot. Use it as a context.

    `place`: gives the folder of what is logged by a logger. `tell`: is told of one that is left out.
    """

    def __init__(
        self,
        names: Iterable[str],
        place: Callable[[str], Path],
        title: str,
        settings: Mapping[str, Any],
        tell: Callable[[str], None],
    ) -> None:
        self._tell = tell
        self._senders: list[Sender] = []
        for name in names:
            try:
                self._senders.append(Sender(name, place(name), title, settings))
            except (OSError, NasError) as error:
                self._drop(name, str(error))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wait(_HURRY_S, "")

    @property
    def commands(self) -> dict[str, str]:
        """The lines that open what is logged, by the names of loggers."""
        return {sender.name: sender.command for sender in self._senders}

    def log(self, entry: Entry) -> None:
        """Have an entry written that was not yet."""
        for sender in self._senders:
            sender.log(entry)

    def grow(self, curves: Curves, figures: Mapping[str, float]) -> None:
        """Have more of a run written that grows."""
        for sender in self._senders:
            sender.grow(curves, figures)

    def keep(self, files: Sequence[Path], figures: Mapping[str, float]) -> None:
        """Have the files of the best network written."""
        for sender in self._senders:
            sender.keep(files, figures)

    def check(self) -> None:
        """Leave out what cannot go on."""
        for sender in self._senders.copy():
            if sender.problem:
                self._senders.remove(sender)
                self._drop(sender.name, sender.problem)

    def finish(self, rest: str) -> Mapping[str, str]:
        """Wait until all is written. Return the lines that open it, of the loggers that have all.

        `rest`: what becomes of what is missing where one takes too long, as a message says it."""
        self._wait(_PATIENCE_S, rest)
        self.check()
        commands = self.commands
        self._senders.clear()
        return commands

    def _wait(self, patience_s: float, rest: str) -> None:
        until = time.monotonic() + patience_s
        for sender in self._senders:
            sender.finish(until, rest)

    def _drop(self, name: str, why: str) -> None:
        self._tell(f"Nothing more is logged to {name}: {why}")


class Sender:
    """Sends what is logged of a run to the logger `name`, each entry once, also where the run goes on later.

    An entry whose process ends before it is noted is written anew, in its own place. `place`: the folder of
    what is logged. `problem`: what has ended it, in one line, once something has. Raises OSError and
    NasError where it cannot be written.
    """

    def __init__(self, name: str, place: Path, title: str, settings: Mapping[str, Any]) -> None:
        self.name = name
        self.problem: str | None = None
        self._place, self._title = place, title
        place.mkdir(parents=True, exist_ok=True)
        self._notes = place / _NOTES
        key, self._sent = self._read_notes()
        self._run = Run(place.absolute(), title, key, settings)
        self._requests: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._process = ExitStack()
        self._ask = self._process.enter_context(start_worker(f"{__package__}.logger_worker", 1, NasError))
        self._thread = Thread(target=self._send_all, daemon=True)
        self._thread.start()

    @property
    def command(self) -> str:
        """The line that opens what is logged."""
        logger = LOGGERS[self.name]
        return logger.command(self._place, self._title, {**logger.environment(self._place), **os.environ})

    def log(self, entry: Entry) -> None:
        """Have an entry written that was not yet."""
        if entry.name not in self._sent:
            self._sent.add(entry.name)
            self._requests.put({"log": asdict(entry)})

    def grow(self, curves: Curves, figures: Mapping[str, float]) -> None:
        """Have more of a run written that grows. Nothing of it is noted: the logger knows what is there."""
        self._requests.put({"grow": curves, "figures": figures})

    def keep(self, files: Sequence[Path], figures: Mapping[str, float]) -> None:
        """Have the files of the best network written."""
        self._requests.put({"keep": [str(file.absolute()) for file in files], "figures": dict(figures)})

    def finish(self, until: float, rest: str) -> None:
        """Wait until everything is written, or until a time of `time.monotonic`, and end the process. `rest`:
        what becomes of what is not written then."""
        self._requests.put({})
        self._requests.put(None)
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            self.problem = f"it takes too long; {rest}"
        self._process.close()

    def _send_all(self) -> None:
        """Send requests one after the other, in a thread of its own."""
        try:
            self._ask({"logger": self.name, "run": asdict(self._run) | {"place": str(self._run.place)}})
            with self._notes.open("a", encoding="utf-8") as notes:
                for request in iter(self._requests.get, None):
                    self._ask(request)
                    if "log" in request:
                        notes.write(f"{request['log']['name']}\n")
                        notes.flush()
        except Exception as error:  # whatever it is, the run goes on
            self.problem = self.problem or str(error)

    def _read_notes(self) -> tuple[str, set[str]]:
        """Return the key of the run, made where there is none, and the names of what is written."""
        try:
            key, *names = read_text(self._notes, MOST_TABLE_BYTES).splitlines()
        except (InputError, ValueError):  # there are none
            key, names = "", []
        if not _KEY.fullmatch(key):
            key, names = secrets.token_hex(4), []
            write_atomically(self._notes, f"{key}\n")
        return key, set(names)
