"""A network in torch, and one that says when each of its stages begins."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

import torch
from safetensors.torch import load_file
from torch import fx

from nas.graph.module import build_module
from nas.latency.sessions import InferenceJob, StageClock
from nas.latency.turns import repeat


def build(job: InferenceJob) -> fx.GraphModule:
    """Return the network with its weights, in evaluation mode on its device."""
    assert job.architecture is not None
    network = build_module(job.architecture)
    network.load_state_dict(load_file(job.weights))
    return network.eval().to(job.device)


def make_stage_clock(job: InferenceJob) -> StageClock:
    """Return what applies the network some times, and tells the seconds of each of its stages in order.

    The clock is read between stages: on CUDA by events of the stream, so that nothing waits.
    """
    network, images = build(job), torch.from_numpy(job.images).to(job.device)
    marks: list[float | torch.cuda.Event] = []

    def mark() -> None:
        if job.device == "cpu":
            marks.append(time.perf_counter())
        else:
            event = make_event()
            event.record()
            marks.append(event)

    begun: list[str] = []
    for node in list(network.graph.nodes):
        place = str(node.target) if node.op == "call_module" else node.meta.get("place", "")
        stage = place.partition(".")[0]
        if stage and stage not in begun:
            begun.append(stage)
            with network.graph.inserting_before(node):
                network.graph.call_function(mark)
        if node.op == "output":
            with network.graph.inserting_before(node):
                network.graph.call_function(mark)
    network.recompile()

    def apply() -> list[float]:
        marks.clear()
        with torch.inference_mode():
            network(images)
        if job.device != "cpu":
            torch.cuda.synchronize()
        seconds = dict(zip(begun, measure_spans(marks), strict=True))
        return [seconds.get(name, 0.0) for name in job.stages]

    def time_stages() -> list[list[float]]:
        apply()
        return repeat(apply)

    return time_stages


def make_event() -> torch.cuda.Event:
    """Return an event of CUDA that has a time."""
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def measure_spans(marks: Sequence[float | torch.cuda.Event]) -> list[float]:
    """Return the seconds between marks that follow each other."""
    found = []
    for first, second in pairwise(marks):
        if isinstance(first, float):
            assert isinstance(second, float)
            found.append(second - first)
        else:
            assert not isinstance(second, float)
            found.append(first.elapsed_time(second) / 1e3)
    return found
