"""What a latency is of: the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from nas.kinds import BOOLEAN, CLASSES, THREADS, join_or, optional, quote_or, text
from nas.latency.runtimes import PIECE_RUNTIMES
from nas.runs.common import SPACE_INPUT, input_option
from nas.settings import Config, Option

_PANEL, _TABLE = "Budget", "Table"
_NAMES = quote_or(PIECE_RUNTIMES)
_RUNTIME = text(f"the name of a runtime; it is {join_or(PIECE_RUNTIMES)}")


@dataclass(frozen=True)
class RuntimeConfig(Config):
    """A `runtime` by its name in `nas profile`, None where no latency is asked for, and its `threads`."""

    runtime: Annotated[
        str | None,
        optional(_RUNTIME),
        Option(
            f"What a latency is of that is limited or judged by, on this machine: {_NAMES}.",
            _PANEL,
        ),
    ] = None
    threads: Annotated[int, THREADS, Option("Threads of the runtime.", _PANEL)] = 1


@dataclass(frozen=True)
class LatencyConfig(Config):
    """Everything that decides a table of latencies.

    `input`: side of the input that the space is fitted to, and `classes` that its networks are counted with,
    None for its own. `anew`: it is measured though there is one.

    Raises InputError for a value of the wrong type or out of range.
    """

    runtime: Annotated[str, _RUNTIME, Option(f"What applies the networks: {_NAMES}.", _TABLE)] = "onnx"
    threads: Annotated[int, THREADS, Option("Threads of the runtime.", _TABLE)] = 1
    input: Annotated[int | None, SPACE_INPUT, input_option("the space", _TABLE)] = None
    classes: Annotated[
        int | None,
        optional(CLASSES, "for the space's own"),
        Option("Count networks with so many classes, else with those of the space.", _TABLE),
    ] = None
    anew: Annotated[bool, BOOLEAN, Option("Measure again where there is a table already.", _TABLE)] = False
