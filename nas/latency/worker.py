"""In a process of its own: loads a network in a runtime and times it when it is its turn.

Started as `python -m nas.latency.worker`.
"""

from __future__ import annotations

import gc
import importlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from nas.exporters.quiet import silence_onnx_runtime
from nas.lines import serve
from nas.malloc import keep_memory

T = TypeVar("T")

_FEWEST_RUNS = 5
_TURN_S = 0.05
"""A turn takes so many runs and seconds at least, but no new run is begun after `_LONGEST_S`."""
_LONGEST_S = 0.5
_WARM_RUNS = 3


def main() -> None:
    """Answer requests."""
    serve(lambda request: _LoadedNetwork(request).turn)


class _LoadedNetwork:
    """A network that is loaded. Raises whatever a runtime raises."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        import numpy as np

        from nas.latency.runtimes import RUNTIMES, InferenceJob

        runtime, threads, device = RUNTIMES[request["runtime"]], request["threads"], request["device"]
        prepare_timing(runtime.libraries, threads)
        self._threads, self._device = threads, device
        images = np.random.default_rng(0).standard_normal(request["shape"], np.float32)
        architecture = _read_architecture(request)
        self._before = _read_memory("VmRSS")
        job = InferenceJob(request["file"], request["weights"], architecture, images, threads, device)
        self._apply = runtime.load(job)
        self._clock: Callable[[], list[float]] | None = None
        for _ in range(_WARM_RUNS):
            self._apply()
        self._peak = self._run_peak()
        if request["stages"]:
            from nas.latency.torch_network import make_stage_clock

            self._clock = make_stage_clock(job)
            self._clock()
        stop_collecting()

    def turn(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Time some runs, after one that finds what others have left in the caches."""
        self._apply()
        seconds, waited = measure_wait(lambda: repeat(self._time_once), self._threads)
        waited = waited if self._device == "cpu" else None
        stages: list[list[float]] = []
        if self._clock is not None:
            self._clock()
            stages = repeat(self._clock)
        return {"seconds": seconds, "waited": waited, "stages": stages, "peak_bytes": self._peak}

    def _time_once(self) -> float:
        if self._device == "cpu":
            start = time.perf_counter()
            self._apply()
            return time.perf_counter() - start
        from nas.latency.torch_network import make_event, measure_spans

        events = [make_event(), make_event()]
        events[0].record()
        self._apply()
        events[1].record()
        events[1].synchronize()
        return measure_spans(events)[0]

    def _run_peak(self) -> int | None:
        """Return the bytes that a run takes at most, beyond what the library does; loading may take more."""
        if self._device != "cpu":
            import torch

            torch.cuda.reset_peak_memory_stats()
            self._apply()
            return torch.cuda.max_memory_allocated()
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # begins the high-water mark anew
        self._apply()
        peak = _read_memory("VmHWM")
        return None if peak is None or self._before is None else max(0, peak - self._before)


def _read_architecture(request: Mapping[str, Any]) -> Any:
    """Return the network of one that torch builds, None of one in a file."""
    if request["architecture"] is None:
        return None
    from nas.graph import Architecture
    from nas.space.plugins import load_plugins, read_plugins

    load_plugins(read_plugins(map(Path, request["plugins"])))
    return Architecture.from_json(request["architecture"])


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


def _read_memory(name: str) -> int | None:
    """Return a figure of this process's memory, in bytes, as Linux has it."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None


if __name__ == "__main__":
    main()
