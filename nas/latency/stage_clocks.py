"""Time by stage in runtimes that time their own nodes, whose names lead back to modules of the network."""

from __future__ import annotations

import json
import os
from ast import literal_eval
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.latency.sessions import InferenceJob, StageClock, open_onnx_session, open_openvino
from nas.latency.turns import repeat

if TYPE_CHECKING:
    from nas.graph import Architecture


def count_stage_macs(architecture: Architecture) -> dict[str, int]:
    """Return the MACs of each stage by name, in order: a stage is what shares the first part of its name."""
    macs: dict[str, int] = {}
    for node in architecture.nodes:
        name = node.name.partition(".")[0]
        macs[name] = macs.get(name, 0) + architecture.compute_node_cost(node).macs
    return macs


def make_onnx_clock(job: InferenceJob) -> StageClock:
    """Return the clock of ONNX Runtime's profiler, for each node of the graph as it was optimised.

    What was fused is of the stage of the last node in it. Whatever changes the layout of a map for the next
    node is of no stage; what changes it back is of the stage whose map it is.
    """
    import onnxruntime

    beside = Path(f"{job.file}.{os.getpid()}")  # several processes may have this file
    optimised = Path(f"{beside}.onnx")
    open_onnx_session(job.file, job.threads, optimized_model_filepath=str(optimised))
    stages = _trace_onnx(job.file, optimised, job.stages)
    settings = {
        "enable_profiling": True,
        "profile_file_prefix": str(beside),
        "graph_optimization_level": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,  # as it is done
    }

    def time_stages() -> list[list[float]]:
        session = open_onnx_session(str(optimised), job.threads, **settings)
        session.run(None, {"images": job.images})  # prepares, and is not counted
        repeat(lambda: session.run(None, {"images": job.images}))
        told = Path(session.end_profiling())
        runs: list[dict[str, float]] = []
        for event in sorted(json.loads(told.read_text()), key=_find_start):
            if event["name"] == "model_run":
                runs.append({})
            elif event["cat"] == "Node" and event["name"].endswith(_KERNEL):
                name = event["name"].removesuffix(_KERNEL)
                runs[-1][name] = runs[-1].get(name, 0.0) + event["dur"] / 1e6
        told.unlink()
        return [_add_up(run, stages, job.stages) for run in runs[1:]]

    return time_stages


def _find_start(event: Mapping[str, Any]) -> tuple[int, bool]:
    return event["ts"], event["name"] != "model_run"  # which begins with its first node


_KERNEL = "_kernel_time"
_SCOPES = "pkg.torch.onnx.name_scopes"
"""Where PyTorch's exporter says of a node, from the outside in, which modules it is of, and its own name."""


def _trace_onnx(file: str, optimised: Path, stages: Sequence[str]) -> dict[str, str]:
    """Return the stage of each node of an optimised file by its name, of those that can be led back."""
    import onnx

    known: dict[str, str] = {}
    for node in onnx.load(file, load_external_data=False).graph.node:
        scopes = {one.key: one.value for one in node.metadata_props}.get(_SCOPES, "[]")
        own = [scope.partition(".")[0] for scope in literal_eval(scopes)[1:-1]]
        stage = next((name for name in own if name in stages), None)
        if stage is not None:
            known |= dict.fromkeys([node.name, *node.output], stage)
    found = {}
    for node in onnx.load(optimised, load_external_data=False).graph.node:
        # what is fused keeps the last node's output, or is called by it, with more behind
        names = [name for name in node.output if name in known]
        names += sorted((name for name in known if node.name.startswith(name)), key=len, reverse=True)
        if names:
            found[node.name] = known[names[0]]
    return found


def make_openvino_clock(job: InferenceJob) -> StageClock:
    """Return the clock of OpenVINO's counters, which tell the average of the runs for each node that it has
    compiled; its own names of them are those that `nas.exporters` gives, which begin with the module's.

    What was fused is of the stage of the last node in it; what changes the layout of a map is of no stage.
    """

    def time_stages() -> list[list[float]]:
        compiled = open_openvino(job.file, job.images.shape, job.threads, PERF_COUNT=True)
        stages = _trace_openvino(compiled, job.stages)
        request = compiled.create_infer_request()

        def apply() -> None:
            request.infer([job.images], share_inputs=True, share_outputs=True)

        apply()
        first = _read_counters(request)  # its run prepares
        count = len(repeat(apply))
        totals = {name: (count + 1) * average for name, average in _read_counters(request).items()}
        averages = {name: max(0.0, (total - first[name]) / count) for name, total in totals.items()}
        return [_add_up(averages, stages, job.stages)]

    return time_stages


def _read_counters(request: Any) -> dict[str, float]:
    return {one.node_name: one.real_time.total_seconds() for one in request.profiling_info}


def _trace_openvino(compiled: Any, stages: Sequence[str]) -> dict[str, str]:
    """Return the stage of each node of a compiled network by its name, of those that can be led back."""
    found = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        origins = node.get_rt_info()["originalLayersNames"].astype(str).split(",")
        own = [origin.partition("/")[0].partition(".")[0] for origin in origins]
        if known := [name for name in own if name in stages]:
            found[node.get_friendly_name()] = known[-1]
    return found


def _add_up(seconds: Mapping[str, float], stages: Mapping[str, str], order: Iterable[str]) -> list[float]:
    """Return the seconds of each stage in order, and of nodes of none."""
    totals = dict.fromkeys([*order, None], 0.0)
    for name, own in seconds.items():
        totals[stages.get(name)] += own
    return [*totals.values()]
