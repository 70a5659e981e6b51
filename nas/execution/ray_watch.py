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
from collections.abc import Callable

from nas.errors import NasError


class Watch:
    """Looks after addresses `host:port`, and ends the block with NasError where nothing is there any more.

    Where a call of Ray does not return, which no signal ends either, it ends the process as Ray would, but
    with a message, and after a call of `clean`. Every result is written by then. `way_out`: how to go on, as
    the message says it.
    """

    def __init__(self, gcs: str, raylet: str, way_out: str, clean: Callable[[], None]) -> None:
        self._way_out = way_out
        self._clean = clean
        head, own = ("the head of the Ray cluster", _GCS_S), ("Ray on this machine", _RAYLET_S)
        self._places = {gcs: head, raylet: own}
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
            f"{self._way_out}"
        )

    def _look(self) -> None:
        since: dict[str, float] = {}
        while not self._done.wait(_EVERY_S):
            for address, (what, patience_s) in self._places.items():
                if _is_listening(address):
                    since.pop(address, None)
                elif time.monotonic() - since.setdefault(address, time.monotonic()) >= patience_s:
                    self._gone = f"{what} ({address})"
                    if self._is_main:
                        _thread.interrupt_main(_find_interrupt())
                    if not self._done.wait(_REACT_S):
                        print(f"error: {self._message}", file=sys.stderr, flush=True)
                        self._clean()
                        os._exit(NasError.exit_code)
                    return


_EVERY_S = 1.0
_RAYLET_S = 3.0
_REACT_S = 10.0
_GCS_S = 20.0
"""A head that keeps its state elsewhere may come back."""


def _is_listening(address: str) -> bool:
    """Return whether something listens; what is too busy to answer does."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except TimeoutError:
        return True
    except OSError:
        return False
    return True


def _find_interrupt() -> signal.Signals:
    handler: object = signal.getsignal(signal.SIGINT)
    return signal.SIGINT if isinstance(handler, Callable) else signal.SIGTERM  # type: ignore[arg-type]
