"""nas: neural architecture search for CNNs.

A family of networks written as YAML, a data set and a budget go in; the best network of the family under the
budget comes out, as a plain PyTorch file.

    >>> import nas
    >>> space = nas.load_space("mbconv")
    >>> space.cost(space.smallest()).macs
    62410976

What is below is imported when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from nas.data.config import DataConfig
    from nas.errors import InputError, NasError
    from nas.execution.config import ExecutorConfig
    from nas.graph.module import build_module
    from nas.latency.summary import Latency, StageTime
    from nas.latency.table import LatencyTable
    from nas.measures import Budget, Measure
    from nas.report.page import write_report
    from nas.runs.coefficients import CoefficientsConfig
    from nas.runs.comparison import VersusConfig
    from nas.runs.config import SearchConfig
    from nas.runs.final_round import FinalsConfig
    from nas.runs.plan import Plan
    from nas.runs.state import RunState
    from nas.runs.training import TrainConfig
    from nas.serving.begin import init_run
    from nas.serving.open_run import OpenRun, open_run
    from nas.serving.refusals import Refused
    from nas.space import Space, load_space, parse_space
    from nas.space.coefficients import Coefficients
    from nas.steps import PipelineResult, pipeline
    from nas.training.base import EpochResult, Evaluator, Metric, Training, TrainingFailed
    from nas.training.custom import Network, evaluator
    from nas.training.recipe import Recipe
    from nas.workflows.calibration import CalibrationResult, calibrate
    from nas.workflows.coefficients import CoefficientsObserver, CoefficientsResult, search_coefficients
    from nas.workflows.export import export
    from nas.workflows.latency import time_parts
    from nas.workflows.observer import Observer, Round
    from nas.workflows.pipeline import PipelineObserver
    from nas.workflows.profile import Profile, profile
    from nas.workflows.quantize import Int8File, Quantized, quantize
    from nas.workflows.resume import resume
    from nas.workflows.scaling import scale
    from nas.workflows.search import SearchResult, StopReason, search
    from nas.workflows.stops import Stopped
    from nas.workflows.train import train
    from nas.workflows.train.values import TrainObserver, TrainResult
    from nas.workflows.versus import VersusObserver, VersusResult, versus
    from nas.workflows.versus.pairs import Difference
    from nas.workflows.versus.verdict import Verdict

_PLACES = {
    "nas.data.config": ("DataConfig",),
    "nas.errors": ("InputError", "NasError"),
    "nas.execution.config": ("ExecutorConfig",),
    "nas.graph.module": ("build_module",),
    "nas.latency.summary": ("Latency", "StageTime"),
    "nas.latency.table": ("LatencyTable",),
    "nas.measures": ("Budget", "Measure"),
    "nas.report.page": ("write_report",),
    "nas.runs.coefficients": ("CoefficientsConfig",),
    "nas.runs.comparison": ("VersusConfig",),
    "nas.runs.config": ("SearchConfig",),
    "nas.runs.final_round": ("FinalsConfig",),
    "nas.runs.plan": ("Plan",),
    "nas.runs.state": ("RunState",),
    "nas.runs.training": ("TrainConfig",),
    "nas.serving.begin": ("init_run",),
    "nas.serving.open_run": ("OpenRun", "open_run"),
    "nas.serving.refusals": ("Refused",),
    "nas.space": ("Space", "load_space", "parse_space"),
    "nas.space.coefficients": ("Coefficients",),
    "nas.steps": ("PipelineResult", "pipeline"),
    "nas.training.base": ("EpochResult", "Evaluator", "Metric", "Training", "TrainingFailed"),
    "nas.training.custom": ("Network", "evaluator"),
    "nas.training.recipe": ("Recipe",),
    "nas.workflows.calibration": ("CalibrationResult", "calibrate"),
    "nas.workflows.coefficients": ("CoefficientsObserver", "CoefficientsResult", "search_coefficients"),
    "nas.workflows.export": ("export",),
    "nas.workflows.latency": ("time_parts",),
    "nas.workflows.observer": ("Observer", "Round"),
    "nas.workflows.pipeline": ("PipelineObserver",),
    "nas.workflows.profile": ("Profile", "profile"),
    "nas.workflows.quantize": ("Int8File", "Quantized", "quantize"),
    "nas.workflows.resume": ("resume",),
    "nas.workflows.scaling": ("scale",),
    "nas.workflows.search": ("SearchResult", "StopReason", "search"),
    "nas.workflows.stops": ("Stopped",),
    "nas.workflows.train": ("train",),
    "nas.workflows.train.values": ("TrainObserver", "TrainResult"),
    "nas.workflows.versus": ("VersusObserver", "VersusResult", "versus"),
    "nas.workflows.versus.pairs": ("Difference",),
    "nas.workflows.versus.verdict": ("Verdict",),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "Budget",
    "CalibrationResult",
    "Coefficients",
    "CoefficientsConfig",
    "CoefficientsObserver",
    "CoefficientsResult",
    "DataConfig",
    "Difference",
    "EpochResult",
    "Evaluator",
    "ExecutorConfig",
    "FinalsConfig",
    "InputError",
    "Int8File",
    "Latency",
    "LatencyTable",
    "Measure",
    "Metric",
    "NasError",
    "Network",
    "Observer",
    "OpenRun",
    "PipelineObserver",
    "PipelineResult",
    "Plan",
    "Profile",
    "Quantized",
    "Recipe",
    "Refused",
    "Round",
    "RunState",
    "SearchConfig",
    "SearchResult",
    "Space",
    "StageTime",
    "StopReason",
    "Stopped",
    "TrainConfig",
    "TrainObserver",
    "TrainResult",
    "Training",
    "TrainingFailed",
    "Verdict",
    "VersusConfig",
    "VersusObserver",
    "VersusResult",
    "build_module",
    "calibrate",
    "evaluator",
    "export",
    "init_run",
    "load_space",
    "open_run",
    "parse_space",
    "pipeline",
    "profile",
    "quantize",
    "resume",
    "scale",
    "search",
    "search_coefficients",
    "time_parts",
    "train",
    "versus",
    "write_report",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'nas' has no attribute '{name}'")
    found = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return found


def __dir__() -> list[str]:
    kept = (
        name
        for name, value in globals().items()
        if name.startswith("__") or getattr(value, "__name__", "") == f"nas.{name}"
    )
    return sorted({*__all__, *kept})
