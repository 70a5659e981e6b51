"""Pieces of networks as files of ONNX. A call of the exporter takes seconds whatever it is given, so many
pieces are exported at once, and taken apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from nas.errors import NasError
from nas.exporters.quiet import quiet
from nas.exporters.writing import settle_norms
from nas.graph.module import build_piece
from nas.graph.piece import Piece

_MOST_NODES = 400
_MOST_PARAMS = 100_000_000
"""Of one export."""


class _Bundle(nn.Module):
    """Pieces side by side: all of their inputs to all of their outputs."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        super().__init__()
        self.pieces = nn.ModuleList(map(build_settled, pieces))
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


def write_pieces(pieces: Sequence[Piece], folder: Path, told: Callable[[int], None]) -> list[Any]:
    """Write pieces for images one at a time, and return of each the file and its inputs, names and shapes.

    `told` hears how many are written. Raises NasError where ONNX has no word for an operator.
    """
    import onnx
    from onnx.utils import Extractor

    found: list[Any] = []
    for number, bundle in enumerate(_make_bundles(pieces)):
        model = _export(bundle)
        file = folder / f"bundle{number}.onnx"
        model.save(file)
        whole = Extractor(onnx.load(file))
        file.unlink()
        for place, (piece, names) in enumerate(zip(bundle, _name_inputs(bundle), strict=True)):
            own = folder / f"piece{len(found)}.onnx"
            onnx.save(whole.extract_model(names, [f"output{place}"]), own)
            shapes = [list(shape) for shape in piece.inputs.values()]
            found.append({"file": str(own), "names": names, "shapes": shapes})
        told(len(found))
    return found


def _export(pieces: Sequence[Piece]) -> Any:
    images = tuple(torch.zeros(1, *shape) for piece in pieces for shape in piece.inputs.values())
    names = [name for own in _name_inputs(pieces) for name in own]
    outputs = [f"output{place}" for place in range(len(pieces))]
    try:
        with quiet():
            program = torch.export.export(_Bundle(pieces).eval(), images)
            return torch.onnx.export(
                program, dynamo=True, verbose=False, input_names=names, output_names=outputs
            )
    except Exception as error:  # converters have many
        if len(pieces) > 1:
            for piece in pieces:  # to find which
                _export([piece])
        kinds = ", ".join(dict.fromkeys(node.op.name for node in pieces[0].nodes))
        raise NasError(
            f"runtime 'onnx': has no word for a part of {kinds}: {type(error).__name__}; choose another "
            "--runtime, or leave the part out of the space"
        ) from None


def _name_inputs(pieces: Sequence[Piece]) -> list[list[str]]:
    return [[f"images{place}_{i}" for i in range(len(piece.inputs))] for place, piece in enumerate(pieces)]


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
