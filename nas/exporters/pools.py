"""Average pools in the words that all runtimes understand alike."""

from __future__ import annotations

from torch import fx, nn

from nas.graph import Architecture
from nas.graph.piece import Piece
from nas.ops import AvgPool
from nas.ops.base import Shape


def replace_pools(network: fx.GraphModule, graph: Architecture | Piece) -> None:
    """Replace average pools that count padding and round up by padding and a pool that has none to count, in
    the module of a network, or of a piece of one.

    Where the last window hangs over the padded image, torch divides by the pixels and padded zeros under it;
    OpenVINO and ncnn divide by other numbers (`findings/avg-pool-ceil-divisor.sh`). Without padding of its
    own, what a window hangs over by is counted by none of them.
    """
    for node in graph.nodes:
        if isinstance(node.op, AvgPool) and node.op.ceil and node.op.count_pad:
            shapes = graph.shapes
            network.add_submodule(node.name, build_apart(node.op, shapes[node.inputs[0]], shapes[node.name]))


def build_apart(op: AvgPool, shape: Shape, wanted: Shape) -> nn.Module:
    """Return padding and a pool without any, of images of a shape to maps of the `wanted` one."""
    rows, columns = op.padding if isinstance(op.padding, tuple) else (op.padding or 0,) * 2
    top, bottom = _find_pads(op, shape[1], wanted[1], rows)
    left, right = _find_pads(op, shape[2], wanted[2], columns)
    pool = nn.AvgPool2d(op.kernel, op.stride, ceil_mode=True, count_include_pad=False)
    if not rows and not columns:
        return pool
    return nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), pool)


def _find_pads(op: AvgPool, size: int, wanted: int, padding: int) -> tuple[int, int]:
    """Return zeros before and behind, no more than the last window reaches: another would begin in them."""
    reach = (wanted - 1) * op.stride + op.kernel - padding - size
    return padding, min(padding, max(0, reach))
