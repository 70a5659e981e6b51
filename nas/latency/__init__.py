"""How long networks take in runtimes on this machine: each in a process of its own, in interleaved rounds."""

from __future__ import annotations

from nas.latency.rounds import Workload, measure
from nas.latency.runtimes import RUNTIMES, Runtime, find_runtime
from nas.latency.summary import Latency, StageTime

__all__ = ["RUNTIMES", "Latency", "Runtime", "StageTime", "Workload", "find_runtime", "measure"]
