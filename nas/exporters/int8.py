"""Formats in int8: weights and activations are integers, on scales that follow from training images."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import InputError, NasError, suggest_word
from nas.exporters import EXPORTERS, INT8_FORMATS, check_installed
from nas.exporters.runtimes import RuntimeExporter, export_program, write_onnx
from nas.machine import list_vectors

if TYPE_CHECKING:
    import torch
    from torch import fx

_BATCH = 32
"""Images that a network is calibrated on at a time."""


@dataclass(frozen=True)
class Target:
    """A kind of CPU that int8 is for, known by any of its `vectors`.

    `narrow_weights`: its products of two bytes are added in 16 bits, where weights of 8 bits overflow; they
    get 7. `signed_activations`: it multiplies signed bytes by signed ones as fast as any.
    """

    name: str
    vectors: tuple[str, ...]
    narrow_weights: bool = False
    signed_activations: bool = False

    @property
    def is_here(self) -> bool:
        """Whether this machine has such a CPU."""
        return find_target() == self


TARGETS = {
    target.name: target
    for target in (
        Target("vnni", ("avx_vnni", "avx512_vnni")),
        Target("arm", ("asimd",), signed_activations=True),
        Target("avx2", (), narrow_weights=True),
    )
}


def find_target(name: str | None = None) -> Target:
    """Return the kind of CPU of a name, or this machine's. Raises InputError where there is none."""
    if name is not None:
        if name not in TARGETS:
            raise InputError(f"unknown kind of CPU '{name}'{suggest_word(name, list(TARGETS))}")
        return TARGETS[name]
    own = {*list_vectors(), *(["asimd"] if platform.machine() == "arm64" else [])}  # as macOS says it
    return next((target for target in TARGETS.values() if own & set(target.vectors)), TARGETS["avx2"])


@dataclass(frozen=True)
class Calibration:
    """What int8 is made with: images (N, C, H, W) of float32, as the network takes them, and the kind of CPU
    that it is for."""

    images: NDArray[np.float32]
    target: Target

    def give_batches(self) -> Iterator[NDArray[np.float32]]:
        """Give the images, some at a time."""
        for start in range(0, len(self.images), _BATCH):
            yield self.images[start : start + _BATCH]


def find_quantized(name: str, calibration: Calibration) -> RuntimeExporter:
    """Return the exporter of a format in int8. Raises InputError as `check_format`."""
    check_format(name)
    exporter, own = EXPORTERS[name], _INT8[name]
    assert isinstance(exporter, RuntimeExporter)
    convert = partial(_convert, own.quantize, calibration)
    return replace(exporter, convert=convert, usage=own.usage or exporter.usage, needs=own.needs)


def check_format(name: str, where: str = "--quantize int8") -> None:
    """Raise InputError where a format has no int8, or needs a library that is not installed."""
    if name not in INT8_FORMATS:
        raise InputError(
            f"--quantize int8: format '{name}' has none; it is for {', '.join(INT8_FORMATS)}: leave "
            "--quantize out, or the format"
        )
    check_installed(f"{where}, format '{name}'", _INT8[name].needs)


Quantize = Callable[["fx.GraphModule", "torch.Tensor", Path, Calibration], None]
"""Writes a network in evaluation mode as int8, as `Convert` does as float32."""


@dataclass(frozen=True)
class _Int8:
    """How a library makes a format int8. `needs`: what is imported, the library last. `usage`: where it is
    another than that of float32."""

    quantize: Quantize
    needs: tuple[str, ...]
    usage: str | None = None


def _convert(
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
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = calibration.give_batches()

        def get_next(self) -> dict[str, Any] | None:
            return next(({"images": batch} for batch in self._batches), None)

    target = calibration.target
    with TemporaryDirectory(prefix="nas-int8-") as name:
        float32, prepared = Path(name, "float32.onnx"), Path(name, "prepared.onnx")
        write_onnx(network, images, float32)
        quant_pre_process(float32, prepared, skip_symbolic_shape=True)  # batch norms go into convolutions
        quantize_static(
            prepared,
            file,
            Reader(),
            per_channel=True,
            reduce_range=target.narrow_weights,
            activation_type=QuantType.QInt8 if target.signed_activations else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def _quantize_openvino(
    network: fx.GraphModule, images: torch.Tensor, file: Path, calibration: Calibration
) -> None:
    import nncf
    import openvino

    model = openvino.convert_model(export_program(network, images))
    model.reshape([-1, *images.shape[1:]])
    fix = nncf.OverflowFix.ENABLE if calibration.target.narrow_weights else nncf.OverflowFix.DISABLE
    quantized = nncf.quantize(
        model,
        nncf.Dataset([image[None] for image in calibration.images]),
        preset=nncf.QuantizationPreset.MIXED,  # as activations may be negative
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(calibration.images),
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
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


_INT8 = {
    "onnx": _Int8(_quantize_onnx, ("onnx", "onnxscript", "onnxruntime")),
    "openvino": _Int8(_quantize_openvino, ("openvino", "nncf")),
    "pt2": _Int8(
        _quantize_pt2,
        ("torchao",),
        """\
import torch
import torchao.quantization.pt2e.quantize_pt2e
network = torch.export.load(file).module()
outputs = network(torch.from_numpy(images)).detach().numpy()
""",
    ),
}
assert tuple(_INT8) == INT8_FORMATS
