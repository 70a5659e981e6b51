"""Blocks with depthwise convolutions: MobileNet v1 and v2, MnasNet, EfficientNet."""

from __future__ import annotations

from nas.blocks.builder import Builder, Ref
from nas.blocks.registry import block
from nas.ops.arguments import Activation, Channels, Flag, Fraction, Kernel, Ratio, Stride


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
def mbconv(
    net: Builder,
    x: Ref,
    *,
    out: Channels,
    kernel: Kernel = 3,
    stride: Stride = 1,
    expand: Ratio = 6,
    se: Fraction = 0.0,
    act: Activation = "relu6",
) -> Ref:
    """Inverted residual: expand, depthwise, squeeze-and-excite, linear projection.

    Sandler et al. 2018, table 1; with `se`, a fraction of the input's channels, Tan & Le 2019, section 4.
    """
    hidden = max(1, round(x.channels * expand))
    y = x
    if hidden != x.channels:
        y = net.conv_norm_act(y, hidden, act=act, name="expand")
    y = net.conv_norm_act(y, hidden, kernel, stride, groups=hidden, act=act, name="dw")
    if se:
        y = net.squeeze_excite(y, max(1, int(x.channels * se)), act=act)
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
