"""The block of MobileNetV4."""

from __future__ import annotations

from typing import Annotated

from nas.blocks.builder import Builder, Ref, round_channels
from nas.blocks.registry import block
from nas.kinds import Kind
from nas.ops import ShapeError
from nas.ops.arguments import Activation, Channels, Ratio, Stride

OddOrNone = Annotated[
    int,
    Kind(
        "a depthwise kernel; it is 3, 5, 7, ..., or 0 for none",
        lambda v: type(v) is int and (v == 0 or (v >= 3 and v % 2 == 1)),
    ),
]


@block
def uib(
    net: Builder,
    x: Ref,
    *,
    out: Channels,
    start: OddOrNone = 0,
    middle: OddOrNone = 3,
    stride: Stride = 1,
    expand: Ratio = 4,
    act: Activation = "relu",
) -> Ref:
    """Universal inverted bottleneck (Qin et al. 2024, figure 4).

    A depthwise convolution with kernel `start` before the expansion and one with kernel `middle` after it, or
    one of them, or none. The last of them carries the stride.
    """
    if stride > 1 and not (start or middle):
        raise ShapeError(f"stride {stride} has no depthwise convolution to carry it; give start or middle")
    y = x
    if start:
        first = 1 if middle else stride
        y = net.conv_norm_act(y, x.channels, start, first, groups=x.channels, act="none", name="start")
    hidden = round_channels(x.channels * expand)
    y = net.conv_norm_act(y, hidden, act=act, name="expand")
    if middle:
        y = net.conv_norm_act(y, hidden, middle, stride, groups=hidden, act=act, name="middle")
    y = net.conv_norm_act(y, out, act="none", name="project")
    return net.add_residual(y, x) if y.shape == x.shape else y
