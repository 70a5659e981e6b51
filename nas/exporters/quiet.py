"""What converters print, log and tell their makers, kept away."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from threading import get_ident
from typing import IO, Any


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what converters say of themselves, their steps and what they do next time, from a user who can do
    nothing about it, and from what a command prints. Other threads print as before: one may show a user that
    something goes on."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(_OfOtherThreads(sys.stdout)):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


class _OfOtherThreads:
    """A stream without what the thread writes that made this."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._thread = get_ident()

    def write(self, text: str) -> int:
        return len(text) if get_ident() == self._thread else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def silence_onnx_runtime() -> None:
    """Have ONNX Runtime tell Microsoft nothing of what it does, before it is imported in this process.

    Builds of the package index, as 1.32, send events from Linux and macOS too, and keep a number of
    the machine in the cache folder. Where a user's environment says otherwise, that holds.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def silence_openvino() -> None:
    """Have OpenVINO and NNCF take the stand-ins that they have for a missing `openvino_telemetry`.

    With it, each import and conversion is told to Google Analytics, unasked, by a process that a thread
    forks, which may hang where another thread logs.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # as Python says that there is none
    from openvino.tools.ovc import telemetry_stub

    for name, module in [*sys.modules.items()]:  # where OpenVINO was imported before
        if name.startswith("openvino.tools.") and hasattr(module, "tm"):
            module.tm = telemetry_stub  # type: ignore[attr-defined]
