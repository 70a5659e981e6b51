"""Sends a run to a logger, which works in a process of its own: whatever becomes of that, and however long it
takes, costs the run nothing but what is logged."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from nas.errors import InputError, NasError
from nas.files import MOST_TABLE_BYTES, read_text, write_atomically
from nas.lines import start_worker
from nas.loggers import LOGGERS, Entry, Run

_NOTES = "logged.txt"
"""The key of the run, then the names of its entries that were written, a line each."""
_KEY = re.compile(r"[0-9a-f]{8}")


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

    def keep(self, files: Sequence[Path], figures: Mapping[str, float]) -> None:
        """Have the files of the best network written."""
        self._requests.put({"keep": [str(file.absolute()) for file in files], "figures": dict(figures)})

    def finish(self, until: float) -> None:
        """Wait until everything is written, or until a time of `time.monotonic`, and end the process. What is
        not written then is when the run goes on."""
        self._requests.put({})
        self._requests.put(None)
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            self.problem = "it takes too long; what is missing is written when the run goes on"
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
