"""Whether what a driver hangs on is still there: where Ray's own processes go, it ends the driver.

It does so with a line of its log, 14 s after the raylet of the driver's machine went and 60 s after the
cluster's GCS did.
"""

from __future__ import annotations

import _thread
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress

from nas.errors import NasError


class Watch:
    """Looks after addresses `host:port`, and ends the block with NasError where nothing is there any more.

    Where a call of Ray does not return, which no signal ends either, it ends the process as Ray would, but
    with a message. Every result is written by then.

    `resume_command`: goes on with the search. `started`: the numbers of Ray's processes that were started
    here, whose workers may outlive them; they are ended.
    """

    def __init__(self, gcs: str, raylet: str, resume_command: str, started: Collection[int] = ()) -> None:
        head, own = ("the head of the Ray cluster", _GCS_S), ("Ray on this machine", _RAYLET_S)
        self._places = {gcs: head, raylet: own}
        self._resume_command = resume_command
        self._started = started
        self._gone: str | None = None
        self._done = threading.Event()
        self._is_main = threading.current_thread() is threading.main_thread()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._done.set()
        self._thread.join()
        if self._gone:
            _end_all(self._started, workers_only=True)  # Ray ends the others itself
        if kind is not None:
            self.check()

    def check(self) -> None:
        """Raise NasError where one has gone."""
        if self._gone:
            raise NasError(self._message) from None

    @property
    def _message(self) -> str:
        return (
            f"{self._gone} has gone: it was stopped or killed, as a system does where memory is full. "
            f"Nothing finished is lost. Go on with: {self._resume_command}"
        )

    def _look(self) -> None:
        since: dict[str, float] = {}
        while not self._done.wait(_EVERY_S):
            for address, (what, patience_s) in self._places.items():
                if _answers(address):
                    since.pop(address, None)
                    continue
                if time.monotonic() - since.setdefault(address, time.monotonic()) >= patience_s:
                    self._gone = f"{what} ({address})"
                    if self._is_main:
                        _thread.interrupt_main(_interrupting_signal())
                    if not self._done.wait(_REACT_S):
                        print(f"error: {self._message}", file=sys.stderr, flush=True)
                        _end_all(self._started, workers_only=False)
                        os._exit(NasError.exit_code)
                    return


_EVERY_S = 1.0
_RAYLET_S = 3.0
_REACT_S = 10.0
_GCS_S = 20.0
"""A head that keeps its state elsewhere may come back."""


def _answers(address: str) -> bool:
    """Whether something listens; what is too busy to answer does."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except TimeoutError:
        return True
    except OSError:
        return False
    return True


def _end_all(started: Collection[int], workers_only: bool) -> None:
    """Kill what is left of processes of Ray's by their numbers, and the workers of those among them."""
    import psutil  # type: ignore[import-untyped]  # Ray's own copy, which `import ray` makes known

    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has ended, or is another user's
            its = process.environ().get("RAY_RAYLET_PID", "")
            if its in map(str, started) or (process.pid in started and not workers_only):
                process.kill()


def _interrupting_signal() -> signal.Signals:
    handler: object = signal.getsignal(signal.SIGINT)
    return signal.SIGINT if isinstance(handler, Callable) else signal.SIGTERM  # type: ignore[arg-type]
