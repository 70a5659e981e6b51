"""In a process of its own: writes a run to the store of one library.

Started by `nas.loggers.sender` as `python -m nas.loggers.logger_worker`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from nas.lines import serve
from nas.loggers import LOGGERS, Entry, Logger, Run

_LOWER = 10
"""By so much its share of a core is lower than that of what trains."""


def _begin(request: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Make a logger, in whose library's environment nothing is changed that the user has set."""
    os.nice(_LOWER)
    make, run = LOGGERS[request["logger"]], request["run"]
    run = Run(**{**run, "place": Path(run["place"])})
    for name, value in make.environment(run.place).items():
        os.environ.setdefault(name, value)
    return partial(_answer, make(run))


def _answer(logger: Logger, request: dict[str, Any]) -> dict[str, Any]:
    match request:
        case {"log": entry}:
            logger.log(Entry(**entry))
        case {"grow": curves, "figures": figures}:
            logger.grow(curves, figures)
        case {"keep": files, "figures": figures}:
            logger.keep([Path(file) for file in files], figures)
        case _:
            logger.close()
    return {}


if __name__ == "__main__":
    serve(_begin)
    os._exit(0)  # who asks is gone: what libraries do in their end may take long, and is not needed
