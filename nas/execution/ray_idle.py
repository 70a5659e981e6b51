"""What a Ray that is started here leaves out, or does less often, while workers train: what it takes of the
cores is taken from them. `benchmarks/overhead.py --asleep` measures it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

INTERVALS = {
    "METRICS_RECORD_INTERVAL_S": "60",  # memory of the dashboard's processes, which is slow to read: 5
    "REPORTER_UPDATE_INTERVAL_MS": "10000",  # load and memory of a node, as often as its metrics: 5000
    "RAY_gcs_pull_resource_loads_period_milliseconds": "10000",  # what waits, for an autoscaler: 1000
    "RAY_kill_idle_workers_interval_ms": "1000",  # whether a worker is needed no more: 200
    "RAY_object_manager_timer_freq_ms": "1000",  # whether an object of another node is to be asked again: 100
    "RAY_raylet_check_gc_period_milliseconds": "1000",  # whether workers are to collect garbage: 100
}
"""How often Ray's processes look, by the environment variables that they read; of themselves so often as the
comment ends with. A user's own variables count instead. None of these notices what dies."""

_RAY = "2.60."
"""Of another Ray, whose dashboard may have other processes, none is left out."""
_SHOWN = (
    "EventHead", "JobHead", "MetricsHead", "NodeHead", "PlatformEventsHead", "ReportHead", "StateHead",
    "TaskEventsHead", "UsageStatsHead",
)  # fmt: skip
"""Processes of its dashboard, all but those for Ray Data, Serve and Train, which show nothing of a search."""


def choose_dashboard_modules(ray_version: str) -> list[str]:
    """Return the option of Ray's dashboard that has it start only what shows something of a search."""
    if not ray_version.startswith(_RAY) or "RAY_TRAIN_ENABLE_STATE_TRACKING" in os.environ:
        return []
    return [f"--modules-to-load={','.join(_SHOWN)}"]


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Have these environment variables in here, and after it those of before: Ray sets some of its own."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            os.environ.pop(name, None)
        os.environ.update(before)
