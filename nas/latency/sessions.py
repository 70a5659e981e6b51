"""What a process is to apply, and what it opens for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nas.graph import Architecture

Apply = Callable[[], object]
"""Applies the network to its images once, and waits for the scores."""
StageClock = Callable[[], list[list[float]]]
"""Applies a network some times; gives the seconds of each stage in order and, last, of what is of no stage:
of each run or, where a runtime tells no more, of their average."""


@dataclass(frozen=True)
class InferenceJob:
    """What a process is to apply. `file`: of the runtime's format; `weights`: of torch's own runtimes, which
    build the `architecture`, None for others. `images`: a batch (N, C, H, W). `device`: as torch names it.
    `stages`: whose times are asked for too, by name in order."""

    file: str
    weights: str
    architecture: Architecture | None
    images: NDArray[np.float32]
    threads: int
    device: str
    stages: tuple[str, ...] = ()


def open_onnx_session(file: str, threads: int, **settings: Any) -> Any:
    """Return a session on the CPU, with these `settings` of `SessionOptions`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    for name, value in settings.items():
        setattr(options, name, value)
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def open_openvino(file: str, shape: Sequence[int] | None, threads: int, **settings: Any) -> Any:
    """Return a compiled network on the CPU, for images of a shape (N, C, H, W), with these `settings`."""
    import openvino

    core = openvino.Core()
    model = core.read_model(file)
    if shape is not None:
        model.reshape(list(shape))
    settings |= {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    return core.compile_model(model, "CPU", settings)


@cache
def open_ncnn(file: str, threads: int) -> Any:
    """Return a network of ncnn on the CPU in single precision, as its export applies it, one for all that is
    asked of a file. Raises RuntimeError."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads, net.opt.use_vulkan_compute = threads, False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    if net.load_param(file) or net.load_model(file.removesuffix(".param") + ".bin"):
        raise RuntimeError("ncnn cannot load it")
    return net
