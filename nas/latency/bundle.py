"""Pieces of networks as files of a runtime. A call of an exporter takes seconds whatever it is given, so many
pieces are exported at once, and taken apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, count, islice
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from nas.errors import NasError
from nas.exporters.pools import replace_pools
from nas.exporters.program import convert_to_openvino
from nas.exporters.quiet import quiet, silence_openvino
from nas.exporters.runtimes import run_pnnx
from nas.exporters.writing import settle_norms
from nas.graph.module import build_piece
from nas.graph.piece import Piece

_MOST_NODES = 400
_MOST_PARAMS = 100_000_000
"""Of one export."""
Images = tuple[torch.Tensor, ...]


class _Bundle(nn.Module):
    """Pieces side by side, as they are exported: all of their inputs to all of their outputs."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        super().__init__()
        self.pieces = nn.ModuleList(map(_build_exported, pieces))
        self._ends = list(accumulate(len(piece.inputs) for piece in pieces))

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        starts = [0, *self._ends]
        return tuple(
            piece(*inputs[start:end])
            for piece, start, end in zip(self.pieces, starts, self._ends, strict=False)
        )


def build_settled(piece: Piece) -> fx.GraphModule:
    """Return the module of a piece, with random weights and batch statistics of random images."""
    draw = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_piece(piece)
    settle_norms(network, *(torch.randn(2, *shape, generator=draw) for shape in piece.inputs.values()))
    return network


def _build_exported(piece: Piece) -> fx.GraphModule:
    network = build_settled(piece)
    replace_pools(network, piece)
    return network


def write_pieces(
    pieces: Sequence[Piece], runtime: str, folder: Path, told: Callable[[int], None]
) -> list[Any]:
    """Write pieces for images one at a time, and return of each its file, the shapes of its inputs, and the
    names of these and of its output in the file.

    `told` hears how many are written. Raises NasError where the runtime has no word for an operator.
    """
    found: list[Any] = []
    for number, bundle in enumerate(_make_bundles(pieces)):
        files = _write_bundle(bundle, folder / f"bundle{number}", runtime)
        for place, (piece, file, names) in enumerate(zip(bundle, files, _name_inputs(bundle), strict=True)):
            shapes = [list(shape) for shape in piece.inputs.values()]
            found.append({"file": str(file), "shapes": shapes, "inputs": names, "output": f"out{place}"})
        told(len(found))
    return found


def _write_bundle(bundle: Sequence[Piece], stem: Path, runtime: str) -> list[Path]:
    images = tuple(torch.zeros(1, *shape) for piece in bundle for shape in piece.inputs.values())
    try:
        with quiet():
            return _WRITERS[runtime](_Bundle(bundle).eval(), images, bundle, stem)
    except Exception as error:  # converters have many
        if len(bundle) > 1:
            for piece in bundle:  # to find which
                _write_bundle([piece], stem, runtime)
        kinds = ", ".join(dict.fromkeys(node.op.name for node in bundle[0].nodes))
        raise NasError(
            f"runtime '{runtime}': has no word for a part of {kinds}: {type(error).__name__}; choose another "
            "--runtime, or leave the part out of the space"
        ) from None


def _write_onnx(network: nn.Module, images: Images, bundle: Sequence[Piece], stem: Path) -> list[Path]:
    import onnx
    from onnx.utils import Extractor

    names, whole = _name_inputs(bundle), stem.with_suffix(".onnx")
    outputs = [f"out{place}" for place in range(len(bundle))]
    model: Any = torch.onnx.export(
        torch.export.export(network, images), dynamo=True, verbose=False,
        input_names=[name for own in names for name in own], output_names=outputs,
    )  # fmt: skip
    model.save(whole)
    extractor = Extractor(onnx.load(whole))
    whole.unlink()
    files = [Path(f"{stem}.{output}.onnx") for output in outputs]
    for file, own, output in zip(files, names, outputs, strict=True):
        onnx.save(extractor.extract_model(own, [output]), file)
    return files


def _write_openvino(network: nn.Module, images: Images, bundle: Sequence[Piece], stem: Path) -> list[Path]:
    silence_openvino()
    import openvino

    model = convert_to_openvino(torch.export.export(network, images))
    inputs = iter(model.get_parameters())
    files = [Path(f"{stem}.out{place}.xml") for place in range(len(bundle))]
    for piece, file, output in zip(bundle, files, model.get_results(), strict=True):
        own = openvino.Model([output], list(islice(inputs, len(piece.inputs))))
        own = own if piece.is_whole else _leave_map_as_it_lies(own)
        openvino.save_model(own, file, compress_to_fp16=False)
    return files


def _leave_map_as_it_lies(model: Any) -> Any:
    """Return a piece that gives its map to the next one as it lies, channels last.

    As the output of a network it is brought into NCHW, which may take longer than all that made it
    (`findings/openvino-hands-out-maps.sh`), and which no part in the middle of a network does.
    """
    from openvino import Layout
    from openvino.preprocess import PrePostProcessor

    if len(model.output().partial_shape) != len("NCHW"):
        return model
    steps = PrePostProcessor(model)
    steps.output().model().set_layout(Layout("NCHW"))
    steps.output().tensor().set_layout(Layout("NHWC"))
    return steps.build()


def _write_ncnn(network: nn.Module, images: Images, bundle: Sequence[Piece], stem: Path) -> list[Path]:
    """Write one file of all: ncnn works out no more than what the output needs that it is asked for."""
    file = Path(f"{stem}.ncnn.param")
    run_pnnx(network, images, file)
    return [file for _ in bundle]


_WRITERS: dict[str, Callable[[nn.Module, Images, Sequence[Piece], Path], list[Path]]] = {
    "onnx": _write_onnx,
    "openvino": _write_openvino,
    "ncnn": _write_ncnn,
}


def _name_inputs(pieces: Sequence[Piece]) -> list[list[str]]:
    numbers = count()
    return [[f"in{next(numbers)}" for _ in piece.inputs] for piece in pieces]


def _make_bundles(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Return the pieces in order, as many together as are exported well at once."""
    found: list[list[Piece]] = []
    nodes = params = 0
    for piece in pieces:
        nodes, params = nodes + len(piece.nodes), params + piece.cost.params
        if not found or nodes > _MOST_NODES or params > _MOST_PARAMS:
            found.append([])
            nodes, params = len(piece.nodes), piece.cost.params
        found[-1].append(piece)
    return found
