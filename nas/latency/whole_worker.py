"""A process that measures whole networks, some at a time, while a search goes on.

Started as `python -m nas.latency.whole_worker`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.graph.piece import Piece
from nas.latency.pieces import time_pieces
from nas.lines import serve
from nas.space.plugins import load_plugins, read_plugins


class _Networks:
    """What times networks in one runtime, in rounds. Raises NasError."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._given = {name: request[name] for name in ("runtime", "threads", "rounds")}
        self._plugins = [Path(file) for file in request["plugins"]]
        load_plugins(read_plugins(self._plugins))
        tempfile.tempdir = request["folder"]  # of who may end this process at any time

    def turn(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Time the networks of a request, in turn in each round."""
        pieces = [Piece.from_data(data) for data in request["networks"]]
        timing = time_pieces(pieces, seed=1, plugins=self._plugins, progress=lambda text: None, **self._given)
        return {"seconds": [[one.low_s, one.odd_s, one.even_s] for one in timing.times]}


if __name__ == "__main__":
    serve(lambda request: _Networks(request).turn)
