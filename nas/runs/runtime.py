"""What a latency is of: the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from nas.kinds import optional, text, whole
from nas.settings import Config, Option

_PANEL = "Budget"


@dataclass(frozen=True)
class RuntimeConfig(Config):
    """A `runtime` by its name in `nas profile`, None where no latency is asked for, and its `threads`."""

    runtime: Annotated[
        str | None,
        optional(text("the name of a runtime; it is torch or onnx")),
        Option(
            "What a latency is of that is limited or judged by, on this machine: `torch` or `onnx`.",
            _PANEL,
        ),
    ] = None
    threads: Annotated[
        int,
        whole("a number of threads; it is a whole number, 1 or more", 1),
        Option("Threads of the runtime.", _PANEL),
    ] = 1
