"""A process that times pieces of networks in one runtime, each as often as it is told to.

Started by `nas.latency.pieces` as `python -m nas.latency.piece_worker`. All pieces are loaded, as a network
has all of its layers in memory; which of them ran before decides what is in the caches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nas.latency.turns import measure_wait, prepare_timing, stop_collecting
from nas.lines import serve

_FEWEST_RUNS = 3
_TURN_S = 0.01
"""A turn takes so many runs and seconds at least, after the first."""
_WARM_RUNS = 2


class _Pieces:
    """Pieces that are loaded. Raises whatever a runtime raises."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        from nas.latency.runtimes import PIECE_RUNTIMES, RUNTIMES
        from nas.space.plugins import load_plugins, read_plugins

        self._threads = request["threads"]
        prepare_timing(RUNTIMES[request["runtime"]].libraries, self._threads)
        load_plugins(read_plugins(map(Path, request["plugins"])))
        load = PIECE_RUNTIMES[request["runtime"]].load
        self._pieces = [load(piece, self._threads) for piece in request["pieces"]]
        for apply in self._pieces:
            for _ in range(_WARM_RUNS):
                apply()
        stop_collecting()

    def turn(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Time each piece of the order once, some runs on end."""
        seconds, waited = measure_wait(
            lambda: [_time(self._pieces[i], self._threads) for i in request["order"]], self._threads
        )
        return {"seconds": seconds, "waited": waited}


def _time(apply: Callable[[], object], threads: int) -> list[float]:
    """Return the seconds of runs, the first of which finds what others have left in the caches."""
    # of one thread its own time on a core: a run of milliseconds is always interrupted on a busy machine
    clock = time.process_time if threads == 1 else time.perf_counter
    found: list[float] = []
    begun = time.perf_counter()
    while len(found) <= _FEWEST_RUNS or time.perf_counter() - begun < _TURN_S:
        start = clock()
        apply()
        found.append(clock() - start)
    return found


if __name__ == "__main__":
    serve(lambda request: _Pieces(request).turn)
