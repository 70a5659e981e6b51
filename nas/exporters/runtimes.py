"""Formats that a library writes of the built network: what each is, and the Python that applies its file."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from nas.errors import InputError, NasError
from nas.exporters.int8 import Calibration, Int8, Quantize
from nas.exporters.program import convert_to_openvino, export_named, export_program
from nas.exporters.quiet import silence_onnx_runtime, silence_openvino

if TYPE_CHECKING:
    import torch
    from torch import fx, nn

    from nas.exporters.preprocess import Preparation
    from nas.graph import Architecture

Convert = Callable[["fx.GraphModule", "torch.Tensor", Path], None]
"""Writes a network in evaluation mode, for images such as these two, to a file and those beside it."""


@dataclass(frozen=True)
class RuntimeExporter:
    """A format of a library. `needs`: what is imported to write and apply it, beside torch. `int8`: how it
    has integers, None where it has none."""

    suffixes: tuple[str, ...]
    usage: str
    convert: Convert
    needs: tuple[str, ...] = ()
    int8: Int8 | None = None
    checks_itself = False
    has_headless = False
    beside = ()

    def target(self, path: Path) -> Path:
        """Return the path with the suffix of the format. Raises InputError for a name that is only that."""
        suffix = self.suffixes[0]
        name = path.name.removesuffix(suffix)
        if name in ("", ".", ".."):
            raise InputError(f"{path}: is no name of a file; choose one such as -o my_network{suffix}")
        return path.with_name(name + suffix)

    def to_int8(self, calibration: Calibration) -> RuntimeExporter:
        """Return the exporter of the format in int8, which it has."""
        assert self.int8 is not None
        convert = partial(_convert_to_int8, self.int8.quantize, calibration)
        return replace(
            self, convert=convert, usage=self.int8.usage or self.usage, needs=self.int8.needs, int8=None
        )

    def write(
        self,
        folder: Path,
        stem: str,
        architecture: Architecture,
        state: Mapping[str, torch.Tensor] | None,
        *,
        title: str,
        facts: Mapping[str, str],
        preparation: Preparation | None = None,
    ) -> list[Path]:
        """Write the files; without weights, with random ones. `nas.exporters.parity` checks them.

        Raises NasError where the weights are of another network, or its batch norms have seen no image, where
        the format has no word for an operator, and where a file cannot be written.
        """
        from nas.exporters.writing import write_converted  # with torch, which takes its time

        return write_converted(folder, stem, architecture, state, self.suffixes, self.convert)


def _write_pt2(network: fx.GraphModule, images: torch.Tensor, file: Path) -> None:
    import torch

    torch.export.save(export_program(network, images), file)


def write_onnx(network: fx.GraphModule, images: torch.Tensor, file: Path) -> None:
    import torch

    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["scores"]}
    program = torch.onnx.export(export_named(network, images), dynamo=True, verbose=False, **names)
    assert program is not None
    program.save(file)


def _write_openvino(network: fx.GraphModule, images: torch.Tensor, file: Path) -> None:
    silence_openvino()
    import openvino

    model = convert_to_openvino(export_named(network, images))
    model.reshape([-1, *images.shape[1:]])
    openvino.save_model(model, file, compress_to_fp16=False)


def _write_ncnn(network: fx.GraphModule, images: torch.Tensor, file: Path) -> None:
    """Write for one image at a time, as ncnn has no batches."""
    run_pnnx(network, (images[:1],), file)
    stem = file.name.removesuffix(".ncnn.param")
    (file.parent / f"{stem}.ncnn.py").write_text(_NCNN_MODULE)


def run_pnnx(network: nn.Module, images: tuple[torch.Tensor, ...], file: Path) -> None:
    """Write FILE.ncnn.param and FILE.ncnn.bin of a network of some inputs. Raises RuntimeError."""
    import pnnx
    import torch

    stem = file.name.removesuffix(".ncnn.param")
    with TemporaryDirectory(prefix="nas-pnnx-") as folder:
        traced: Any = torch.jit.trace(network, images)  # type: ignore[no-untyped-call]
        traced.save(str(Path(folder, "network.pt")))
        shapes = ",".join(f"[{','.join(map(str, one.shape))}]" for one in images)
        done = subprocess.run(
            [pnnx.EXEC_PATH, "network.pt", f"inputshape={shapes}", "fp16=0"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        for suffix in (".ncnn.param", ".ncnn.bin"):
            made = Path(folder, f"network{suffix}")
            if not made.is_file():
                said = (done.stderr or done.stdout).strip().splitlines()
                raise RuntimeError(said[-1] if said else f"pnnx ended with {done.returncode}")
            (file.parent / f"{stem}{suffix}").write_bytes(made.read_bytes())
    # pnnx leaves an operator that ncnn lacks under its name in torch, such as F.pad
    kinds = [line.split()[0] for line in file.read_text().splitlines()[2:]]
    if lacking := [kind for kind in kinds if "." in kind or ":" in kind]:
        raise RuntimeError(f"ncnn has no layer {lacking[0]}")


_NCNN_MODULE = '''\
"""Applies the two files beside this by ncnn."""

from pathlib import Path

import ncnn
import numpy


def load():
    """What makes scores (N, classes) of images, an array (N, C, H, W) of float32, one after the other.

    In single precision, as the network was trained; without the line of `net.opt` in half, ncnn's default.
    """
    net, path = ncnn.Net(), Path(__file__).with_suffix("")
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    if net.load_param(f"{path}.param") or net.load_model(f"{path}.bin"):
        raise RuntimeError(f"{path}: ncnn cannot load it")

    def apply(images):
        outputs = []
        for image in images:
            extractor = net.create_extractor()
            extractor.input("in0", ncnn.Mat(image).clone())
            outputs.append(numpy.array(extractor.extract("out0")[1]))
        return numpy.stack(outputs)

    return apply
'''
"""The Python beside a network of ncnn, which has no loading in a line."""


def _write_executorch(network: fx.GraphModule, images: torch.Tensor, file: Path) -> None:
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(network, (images[:1],))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    file.write_bytes(lowered.to_executorch().buffer)


def _write_litert(network: fx.GraphModule, images: torch.Tensor, file: Path) -> None:
    import litert_torch

    litert_torch.convert(network, (images[:1],)).export(str(file))


def _convert_to_int8(
    quantize: Quantize, calibration: Calibration, network: fx.GraphModule, images: torch.Tensor, file: Path
) -> None:
    """Write a network as int8. Raises NasError, as what fails is no operator alone, but with its images."""
    from nas.exporters.writing import shorten_error

    try:
        quantize(network, images, file, calibration)
    except Exception as error:  # quantisers have many
        raise NasError(
            f"the network cannot be made int8 as {file.suffix}: {shorten_error(error)}; leave --quantize "
            "out, or choose another --format"
        ) from None


def _quantize_onnx(
    network: fx.GraphModule, images: torch.Tensor, file: Path, calibration: Calibration
) -> None:
    silence_onnx_runtime()
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class CalibrationReader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = calibration.give_batches()

        def get_next(self) -> dict[str, Any] | None:
            return next(({"images": batch} for batch in self._batches), None)

    target = calibration.target
    with TemporaryDirectory(prefix="nas-int8-") as name:
        float32, prepared = Path(name, "float32.onnx"), Path(name, "prepared.onnx")
        write_onnx(network, images, float32)
        _name_global_pools(float32)
        quant_pre_process(float32, prepared, skip_symbolic_shape=True)  # batch norms go into convolutions
        quantize_static(
            prepared,
            file,
            CalibrationReader(),
            per_channel=True,
            reduce_range=target.narrow_weights,
            activation_type=QuantType.QInt8 if target.signed_activations else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def _name_global_pools(file: Path) -> None:
    """Write the means of whole maps as GlobalAveragePool, which ONNX Runtime has in integers.

    torch.export makes a mean of such a pool, and its map would go through float32.
    """
    import onnx

    model = onnx.load(file)
    graph = model.graph
    values = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    dims = {one.name: len(one.type.tensor_type.shape.dim) for one in [*graph.input, *graph.value_info]}
    for node in graph.node:
        if node.op_type != "ReduceMean" or dims.get(node.input[0]) != 4:
            continue
        keeps = all(one.i for one in node.attribute if one.name == "keepdims")
        axes = [axis % 4 for name in node.input[1:] for axis in values.get(name, ())]
        if keeps and sorted(axes) == [2, 3]:
            pool = onnx.helper.make_node("GlobalAveragePool", node.input[:1], node.output, node.name)
            node.CopyFrom(pool)
    used = {name for node in graph.node for name in node.input}
    for name in values.keys() - used:  # of which ONNX Runtime would print a warning
        graph.initializer.remove(next(one for one in graph.initializer if one.name == name))
    onnx.save(model, file)


def _quantize_openvino(
    network: fx.GraphModule, images: torch.Tensor, file: Path, calibration: Calibration
) -> None:
    silence_openvino()
    import nncf
    import openvino
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    model = convert_to_openvino(export_named(network, images))
    model.reshape([-1, *images.shape[1:]])
    fix = nncf.OverflowFix.ENABLE if calibration.target.narrow_weights else nncf.OverflowFix.DISABLE
    quantized = nncf.quantize(
        model,
        nncf.Dataset([image[None] for image in calibration.images]),
        preset=nncf.QuantizationPreset.MIXED,  # as activations may be negative
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(calibration.images),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            overflow_fix=fix,
            # the mean of the images' largest values, its default, cuts off those of half the images
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
        ),
    )
    openvino.save_model(quantized, file, compress_to_fp16=False)


def _quantize_pt2(
    network: fx.GraphModule, images: torch.Tensor, file: Path, calibration: Calibration
) -> None:
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    config = x86.get_default_x86_inductor_quantization_config(reduce_range=calibration.target.narrow_weights)
    quantizer = x86.X86InductorQuantizer().set_global(config)
    prepared = prepare_pt2e(export_program(network, images).module(), quantizer)
    with torch.no_grad():
        for batch in calibration.give_batches():
            prepared(torch.from_numpy(batch))
    torch.export.save(export_program(convert_pt2e(prepared), images), file)


PT2 = RuntimeExporter(
    (".pt2",),
    """\
import torch
network = torch.export.load(file).module()
outputs = network(torch.from_numpy(images)).detach().numpy()
""",
    _write_pt2,
    int8=Int8(
        _quantize_pt2,
        ("torchao",),
        """\
import torch, torchao.quantization.pt2e.quantize_pt2e
network = torch.export.load(file).module()
outputs = network(torch.from_numpy(images)).detach().numpy()
""",
    ),
)
ONNX = RuntimeExporter(
    (".onnx",),
    """\
import onnxruntime
session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
outputs = session.run(None, {"images": images})[0]
""",
    write_onnx,
    ("onnx", "onnxscript", "onnxruntime"),
    Int8(_quantize_onnx, ("onnx", "onnxscript", "onnxruntime")),
)
OPENVINO = RuntimeExporter(
    (".xml", ".bin"),
    """\
import openvino
network = openvino.compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
outputs = network(images)[0]
""",
    _write_openvino,
    ("openvino",),
    Int8(_quantize_openvino, ("openvino", "nncf")),
)
NCNN = RuntimeExporter(
    (".ncnn.param", ".ncnn.bin", ".ncnn.py"),
    """\
import runpy
network = runpy.run_path(file.removesuffix(".param") + ".py")["load"]()
outputs = network(images)
""",
    _write_ncnn,
    ("pnnx", "ncnn"),
)
EXECUTORCH = RuntimeExporter(
    (".pte",),
    """\
import executorch.runtime, torch
network = executorch.runtime.Runtime.get().load_program(file).load_method("forward")
outputs = [network.execute([image[None]])[0][0].numpy().copy() for image in torch.from_numpy(images)]
""",
    _write_executorch,
    ("executorch.runtime",),
)
LITERT = RuntimeExporter(
    (".tflite",),
    """\
from ai_edge_litert.interpreter import Interpreter
network = Interpreter(file).get_signature_runner()
outputs = [[*network(args_0=image[None]).values()][0][0] for image in images]
""",
    _write_litert,
    ("litert_torch",),
)
