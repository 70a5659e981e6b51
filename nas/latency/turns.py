"""What a process does that times something: it prepares, has turns of runs, and tells what it waited."""

from __future__ import annotations

import gc
import importlib
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from nas.exporters.quiet import silence_onnx_runtime
from nas.malloc import keep_memory

T = TypeVar("T")

_FEWEST_RUNS = 5
_TURN_S = 0.05
"""A turn takes so many runs and seconds at least, but no new run is begun after `_LONGEST_S`."""
_LONGEST_S = 0.5


def prepare_timing(libraries: Sequence[str], threads: int) -> None:
    """Import what a runtime needs, let torch have so many threads, and keep memory from run to run: by itself
    glibc clears pages anew in each, for some networks, and not for others that are much alike."""
    keep_memory()
    silence_onnx_runtime()
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # so that OpenVINO tells nobody
    for library in libraries:
        importlib.import_module(library)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)


def stop_collecting() -> None:
    """Keep Python from looking for cycles while something is timed."""
    gc.collect()
    gc.freeze()
    gc.disable()


def measure_wait(run: Callable[[], T], threads: int) -> tuple[T, float | None]:
    """Return what a call gives, and the share of its time that so many threads waited for a core; None where
    the system does not say."""
    wall, ready, busy = time.perf_counter(), _read_waiting_s(), time.process_time()
    found = run()
    wall, busy = time.perf_counter() - wall, time.process_time() - busy
    waits = [] if ready is None else [((_read_waiting_s() or ready) - ready) / threads]
    if threads == 1:
        waits.append(wall - busy)
    return found, max(0.0, *waits) / wall if waits else None


def repeat(run: Callable[[], T]) -> list[T]:
    """Return what the runs of a turn give."""
    found: list[T] = []
    start = time.perf_counter()
    while (passed := time.perf_counter() - start) < _TURN_S or len(found) < _FEWEST_RUNS:
        if found and passed > _LONGEST_S:
            break
        found.append(run())
    return found


def _read_waiting_s() -> float | None:
    """Return the seconds that the threads of this process were ready, and had no core; only Linux says so."""
    try:
        tasks = list(Path("/proc/self/task").iterdir())
    except OSError:
        return None
    found = 0
    for task in tasks:
        with suppress(OSError, IndexError, ValueError):  # a thread that has ended
            found += int((task / "schedstat").read_text().split()[1])
    return found / 1e9
