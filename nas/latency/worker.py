"""In a process of its own: loads a network in a runtime and times it when it is its turn.

Started as `python -m nas.latency.worker`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nas.latency.turns import measure_wait, prepare_timing, repeat, stop_collecting
from nas.lines import serve

_WARM_RUNS = 3


def main() -> None:
    """Answer requests."""
    serve(lambda request: _LoadedNetwork(request).turn)


class _LoadedNetwork:
    """A network that is loaded. Raises whatever a runtime raises."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        import numpy as np

        from nas.latency.runtimes import RUNTIMES
        from nas.latency.sessions import InferenceJob

        runtime, threads, device = RUNTIMES[request["runtime"]], request["threads"], request["device"]
        prepare_timing(runtime.libraries, threads)
        self._threads, self._device = threads, device
        images = np.random.default_rng(0).standard_normal(request["shape"], np.float32)
        architecture = _read_architecture(request)
        self._before = _read_memory("VmRSS")
        job = InferenceJob(
            request["file"],
            request["weights"],
            architecture,
            images,
            threads,
            device,
            tuple(request["stages"]),
        )
        self._apply = runtime.load(job)
        for _ in range(_WARM_RUNS):
            self._apply()
        self._peak = self._run_peak()
        self._time_stages = runtime.make_clock(job) if runtime.make_clock and job.stages else list
        stop_collecting()

    def turn(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Time some runs, after one that finds what others have left in the caches."""
        self._apply()
        seconds, waited = measure_wait(lambda: repeat(self._time_once), self._threads)
        waited = waited if self._device == "cpu" else None
        stages = self._time_stages()
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


def _read_memory(name: str) -> int | None:
    """Return a figure of this process's memory, in bytes, as Linux has it."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None


if __name__ == "__main__":
    main()
