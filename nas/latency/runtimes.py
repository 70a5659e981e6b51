"""What applies a network: how its file is loaded for a batch of one size, with so many threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import InputError, suggest_word
from nas.exporters import check_installed
from nas.latency.sessions import Apply, InferenceJob, StageClock, open_ncnn, open_onnx_session, open_openvino
from nas.latency.stage_clocks import make_onnx_clock, make_openvino_clock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nas.graph.piece import Piece


@dataclass(frozen=True)
class Runtime:
    """A runtime. `load`: is called in a process of its own, once `libraries` are imported there.

    `format`: of `nas.exporters`, in which the network is written; none where it is built by torch. `needs`:
    the libraries that are not torch, to write and load it. `on_cuda`: whether it can run there. `make_clock`:
    of what times stages, in the same process; None where the runtime tells no time of a part.
    """

    load: Callable[[InferenceJob], Apply]
    libraries: tuple[str, ...]
    format: str | None = None
    needs: tuple[str, ...] = ()
    on_cuda: bool = False
    make_clock: Callable[[InferenceJob], StageClock] | None = None


def _load_torch(job: InferenceJob) -> Apply:
    import torch

    from nas.latency.torch_network import build

    network, images = build(job), torch.from_numpy(job.images).to(job.device)

    def apply() -> object:
        with torch.inference_mode():
            return network(images)

    return apply


def _load_compiled(job: InferenceJob) -> Apply:
    import torch

    from nas.latency.torch_network import build

    network, images = torch.compile(build(job)), torch.from_numpy(job.images).to(job.device)

    def apply() -> object:
        with torch.inference_mode():
            return network(images)

    return apply


def _load_pt2(job: InferenceJob) -> Apply:
    import torch

    with suppress(ImportError):  # it has operators of a network in int8
        import torchao.quantization.pt2e.quantize_pt2e  # noqa: F401
    network, images = torch.export.load(job.file).module(), torch.from_numpy(job.images)

    def apply() -> object:
        with torch.inference_mode():
            return network(images)

    return apply


def _load_onnx(job: InferenceJob) -> Apply:
    session = open_onnx_session(job.file, job.threads)
    return lambda: session.run(None, {"images": job.images})


def _make_torch_clock(job: InferenceJob) -> StageClock:
    from nas.latency.torch_network import make_stage_clock

    return make_stage_clock(job)


def _load_openvino(job: InferenceJob) -> Apply:
    request = open_openvino(job.file, job.images.shape, job.threads).create_infer_request()
    return lambda: request.infer([job.images], share_inputs=True, share_outputs=True)


def _load_ncnn(job: InferenceJob) -> Apply:
    import ncnn

    net = open_ncnn(job.file, job.threads)
    images = [ncnn.Mat(image).clone() for image in job.images]

    def apply() -> object:
        for image in images:
            extractor = net.create_extractor()
            extractor.input("in0", image)
            status, scores = extractor.extract("out0")
            if status:
                raise RuntimeError(f"ncnn gives no output: {status}")
        return scores

    return apply


def _load_executorch(job: InferenceJob) -> Apply:
    import torch
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    from executorch.runtime import Runtime as ExecuTorch

    _unsafe_reset_threadpool(job.threads)
    program = ExecuTorch.get().load_program(job.file)
    method, images = (
        program.load_method("forward"),
        torch.chunk(torch.from_numpy(job.images), len(job.images)),
    )

    def apply() -> object:
        for image in images:
            scores = method.execute([image])
        return scores

    return apply


def _load_litert(job: InferenceJob) -> Apply:
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(model_path=job.file, num_threads=job.threads)
    network.allocate_tensors()
    (place,) = (tensor["index"] for tensor in network.get_input_details())

    def apply() -> object:
        for image in job.images:
            network.set_tensor(place, image[None])
            network.invoke()
        return network

    return apply


RUNTIMES: dict[str, Runtime] = {
    "torch": Runtime(_load_torch, ("torch",), on_cuda=True, make_clock=_make_torch_clock),
    "compile": Runtime(
        _load_compiled, ("torch", "torch._dynamo", "torch._inductor.compile_fx"), on_cuda=True
    ),
    "pt2": Runtime(_load_pt2, ("torch",), "pt2"),
    "onnx": Runtime(
        _load_onnx,
        ("onnxruntime",),
        "onnx",
        ("onnx", "onnxscript", "onnxruntime"),
        make_clock=make_onnx_clock,
    ),
    "openvino": Runtime(
        _load_openvino, ("openvino",), "openvino", ("openvino",), make_clock=make_openvino_clock
    ),
    "ncnn": Runtime(_load_ncnn, ("ncnn",), "ncnn", ("pnnx", "ncnn")),
    "litert": Runtime(_load_litert, ("ai_edge_litert.interpreter",), "litert", ("litert_torch",)),
    "executorch": Runtime(_load_executorch, ("executorch.runtime",), "executorch", ("executorch.runtime",)),
}
"""By name, as `--runtime` takes them."""


def read_version(name: str) -> str | None:
    """Return the version of what a runtime's library is installed as, which may have another name, such as
    onnxruntime-gpu; None where that is not known."""
    from importlib.metadata import PackageNotFoundError, packages_distributions, version

    library = RUNTIMES[name].libraries[0].partition(".")[0]
    try:
        return version(library)
    except PackageNotFoundError:
        names = packages_distributions().get(library)
        return version(names[0]) if names else None


def find_runtime(name: str) -> Runtime:
    """Return a runtime. Raises InputError where there is none of that name, or it lacks its library."""
    if name not in RUNTIMES:
        raise InputError(f"unknown runtime '{name}'{suggest_word(name, list(RUNTIMES))}")
    runtime = RUNTIMES[name]
    check_installed(f"runtime '{name}'", runtime.needs)
    return runtime


@dataclass(frozen=True)
class PieceRuntime:
    """A runtime that pieces of networks are timed in. `load`: of what `write` gave for a piece, in a process
    of its own. `write`: writes pieces to a folder, telling how many are written, and returns JSON of each."""

    load: Callable[[Any, int], Apply]
    write: Callable[[Sequence[Piece], Path, Callable[[int], None]], list[Any]]


def _describe_pieces(pieces: Sequence[Piece], folder: Path, told: Callable[[int], None]) -> list[Any]:
    return [piece.to_data() for piece in pieces]


def _load_torch_piece(data: Any, threads: int) -> Apply:
    import torch

    from nas.graph.piece import Piece
    from nas.latency.bundle import build_settled

    piece = Piece.from_data(data)
    network = build_settled(piece).eval()
    images = [torch.from_numpy(array) for array in _sample_inputs(piece.inputs.values())]

    def apply() -> object:
        with torch.inference_mode():
            return network(*images)

    return apply


def _write_in(runtime: str) -> Callable[[Sequence[Piece], Path, Callable[[int], None]], list[Any]]:
    def write(pieces: Sequence[Piece], folder: Path, told: Callable[[int], None]) -> list[Any]:
        from nas.latency.bundle import write_pieces

        return write_pieces(pieces, runtime, folder, told)

    return write


def _load_onnx_piece(data: Any, threads: int) -> Apply:
    session = open_onnx_session(data["file"], threads)
    images = dict(zip(data["inputs"], _sample_inputs(data["shapes"]), strict=True))
    return lambda: session.run(None, images)


def _load_openvino_piece(data: Any, threads: int) -> Apply:
    request = open_openvino(data["file"], None, threads).create_infer_request()
    images = _sample_inputs(data["shapes"])
    return lambda: request.infer(images, share_inputs=True, share_outputs=True)


def _load_ncnn_piece(data: Any, threads: int) -> Apply:
    import ncnn

    net = open_ncnn(data["file"], threads)
    images = [ncnn.Mat(array[0]).clone() for array in _sample_inputs(data["shapes"])]

    def apply() -> object:
        extractor = net.create_extractor()
        for name, image in zip(data["inputs"], images, strict=True):
            extractor.input(name, image)
        status, scores = extractor.extract(data["output"])
        if status:
            raise RuntimeError(f"ncnn gives no output: {status}")
        return scores

    return apply


def _sample_inputs(shapes: Iterable[Sequence[int]]) -> list[NDArray[np.float32]]:
    import numpy as np

    draw = np.random.default_rng(0)
    return [draw.standard_normal((1, *shape), np.float32) for shape in shapes]


PIECE_RUNTIMES: dict[str, PieceRuntime] = {
    "torch": PieceRuntime(_load_torch_piece, _describe_pieces),
    "onnx": PieceRuntime(_load_onnx_piece, _write_in("onnx")),
    "openvino": PieceRuntime(_load_openvino_piece, _write_in("openvino")),
    "ncnn": PieceRuntime(_load_ncnn_piece, _write_in("ncnn")),
}
"""By name, of those that latency is predicted for."""
