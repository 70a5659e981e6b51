"""Blocks with depthwise convolutions: Xception, MobileNet, MnasNet, EfficientNet, GhostNet."""

from __future__ import annotations

from typing import Annotated

from nas.blocks.builder import Builder, Ref, round_channels
from nas.blocks.registry import block
from nas.kinds import Kind
from nas.ops import BatchNorm, ChannelSlice, Conv2d
from nas.ops.arguments import ACTIVATIONS, Activation, Channels, Flag, Fraction, Kernel, Ratio, Stride

SqueezeOf = Annotated[
    str, Kind("what is squeezed; it is input or hidden", lambda v: v in ("input", "hidden"))
]
SqueezeAct = Annotated[
    str,
    Kind(
        f"an activation; it is same, none, {', '.join(ACTIVATIONS)}",
        lambda v: v in ("same", "none", *ACTIVATIONS),
    ),
]


@block
def depthwise(
    net: Builder,
    x: Ref,
    *,
    out: Channels,
    kernel: Kernel = 3,
    stride: Stride = 1,
    se: Fraction = 0.0,
    residual: Flag = False,
    act: Activation = "relu",
) -> Ref:
    """Depthwise, then pointwise convolution (Howard et al. 2017, figure 3).

    `se` squeezes to that fraction of the input's channels; `residual` adds the input where shapes agree.
    """
    y = net.conv_norm_act(x, x.channels, kernel, stride, groups=x.channels, act=act, name="dw")
    if se:
        y = net.squeeze_excite(y, max(1, int(x.channels * se)), act=act)
    y = net.conv_norm_act(y, out, act=act, name="pw")
    return net.add_residual(y, x) if residual and y.shape == x.shape else y


@block
def separable(
    net: Builder, x: Ref, *, out: Channels, kernel: Kernel = 3, stride: Stride = 1, act: Activation = "relu"
) -> Ref:
    """Activation, depthwise and pointwise convolution, one batch norm (Chollet 2017, figure 5)."""
    x = net.act(x, act)
    x = net.add(Conv2d(x.channels, kernel, stride, groups=x.channels), x, name="dw")
    x = net.add(Conv2d(out), x, name="pw")
    return net.add(BatchNorm(), x, name="norm")


@block
def mbconv(
    net: Builder,
    x: Ref,
    *,
    out: Channels,
    kernel: Kernel = 3,
    stride: Stride = 1,
    expand: Ratio = 6,
    se: Fraction = 0.0,
    se_of: SqueezeOf = "input",
    se_act: SqueezeAct = "same",
    gate: Activation = "sigmoid",
    act: Activation = "relu6",
) -> Ref:
    """Inverted residual: expand, depthwise, squeeze-and-excite, linear projection.

    Sandler et al. 2018, table 1. `se` squeezes to that fraction of the input's channels (Tan & Le 2019,
    section 4), or with `se_of: hidden` of the expanded ones, as a multiple of 8 (Howard et al. 2019, section
    5.3, whose `se_act` is relu and whose gate is hardsigmoid).
    """
    hidden = max(1, round(x.channels * expand))
    y = x
    if hidden != x.channels:
        y = net.conv_norm_act(y, hidden, act=act, name="expand")
    y = net.conv_norm_act(y, hidden, kernel, stride, groups=hidden, act=act, name="dw")
    if se:
        squeezed = round_channels(hidden * se) if se_of == "hidden" else max(1, int(x.channels * se))
        y = net.squeeze_excite(y, squeezed, act=act if se_act == "same" else se_act, gate=gate)
    y = net.conv_norm_act(y, out, act="none", name="project")
    return net.add_residual(y, x) if y.shape == x.shape else y


@block
def fused_mbconv(
    net: Builder,
    x: Ref,
    *,
    out: Channels,
    kernel: Kernel = 3,
    stride: Stride = 1,
    expand: Ratio = 4,
    act: Activation = "silu",
) -> Ref:
    """MBConv whose expansion and depthwise convolutions are one (Tan & Le 2021, figure 2)."""
    hidden = max(1, round(x.channels * expand))
    if hidden == x.channels:
        y = net.conv_norm_act(x, out, kernel, stride, act=act, name="conv")
    else:
        y = net.conv_norm_act(x, hidden, kernel, stride, act=act, name="expand")
        y = net.conv_norm_act(y, out, act="none", name="project")
    return net.add_residual(y, x) if y.shape == x.shape else y


@block
def ghost(
    net: Builder,
    x: Ref,
    *,
    out: Channels,
    kernel: Kernel = 3,
    stride: Stride = 1,
    expand: Ratio = 3,
    se: Fraction = 0.0,
    act: Activation = "relu",
) -> Ref:
    """Ghost bottleneck: two ghost modules around a strided depthwise convolution (Han et al. 2020, figure 3).

    `se` squeezes to that fraction of the expanded channels, as a multiple of 4.
    """
    hidden = max(1, round(x.channels * expand))
    y = _add_ghost(net, x, hidden, act, "ghost1")
    if stride > 1:
        y = net.conv_norm_act(y, hidden, kernel, stride, groups=hidden, act="none", name="dw")
    if se:
        y = net.squeeze_excite(y, round_channels(hidden * se, 4), act="relu", gate="hardsigmoid")
    y = _add_ghost(net, y, out, "none", "ghost2")
    if y.shape == x.shape:
        return net.add_residual(y, x)
    with net.scope("shortcut"):
        side = net.conv_norm_act(x, x.channels, kernel, stride, groups=x.channels, act="none", name="dw")
        side = net.conv_norm_act(side, out, act="none", name="pw")
    return net.add_residual(y, side)


def _add_ghost(net: Builder, x: Ref, out: int, act: Activation, name: str) -> Ref:
    """Make half of the channels by a 1x1 convolution, and half from these by a depthwise one (figure 2b)."""
    half = -(-out // 2)
    with net.scope(name):
        y = net.conv_norm_act(x, half, act=act, name="primary")
        z = net.conv_norm_act(y, half, 3, groups=half, act=act, name="cheap")
        y = net.concat(y, z)
        return y if y.channels == out else net.add(ChannelSlice(0, out), y, name="slice")
