"""Residual blocks: ResNet, its pre-activation and wide forms, ResNeXt, SENet, RegNet."""

from __future__ import annotations

from typing import Annotated

from nas.blocks.builder import Builder, Ref
from nas.blocks.registry import block
from nas.kinds import Kind
from nas.ops import Conv2d, Dropout
from nas.ops.arguments import Activation, Channels, Count, Flag, Fraction, Kernel, Probability, Ratio, Stride

Shortcut = Annotated[
    str,
    Kind("a shortcut; it is projection or pooled", lambda v: v in ("projection", "pooled")),
]


@block
def basic(
    net: Builder,
    x: Ref,
    *,
    out: Channels,
    kernel: Kernel = 3,
    stride: Stride = 1,
    groups: Count = 1,
    se: Fraction = 0.0,
    zero_gamma: Flag = False,
    act: Activation = "relu",
) -> Ref:
    """Two convolutions and a shortcut (He et al. 2016, figure 5 left).

    `se` squeezes to that fraction of `out` (Hu et al. 2018, figure 3). With `zero_gamma` the last scale
    starts at 0, and the block as its shortcut (Goyal et al. 2017, section 5.1).
    """
    y = net.conv_norm_act(x, out, kernel, stride, groups=groups, act=act, name="conv1")
    y = net.conv_norm_act(y, out, kernel, groups=groups, act="none", gamma=1 - zero_gamma, name="conv2")
    if se:
        y = net.squeeze_excite(y, max(1, int(out * se)), act=act)
    y = net.add_residual(y, net.shortcut(x, out, stride))
    return net.act(y, act)


@block
def bottleneck(
    net: Builder,
    x: Ref,
    *,
    out: Channels,
    kernel: Kernel = 3,
    stride: Stride = 1,
    groups: Count = 1,
    width: Ratio = 0.25,
    se: Fraction = 0.0,
    shortcut: Shortcut = "projection",
    zero_gamma: Flag = False,
    act: Activation = "relu",
) -> Ref:
    """1x1, 3x3 and 1x1 convolutions and a shortcut (He et al. 2016, figure 5 right).

    The middle has `out * width` channels; with groups it is ResNeXt's (Xie et al. 2017, figure 3c). The
    stride is on the 3x3 convolution, as in torchvision's ResNet. A `pooled` shortcut is ResNet-D's (He et al.
    2019, figure 2c). With `zero_gamma` the last scale starts at 0, and the block as its shortcut (Goyal et
    al. 2017, section 5.1).
    """
    middle = max(1, round(out * width))
    y = net.conv_norm_act(x, middle, act=act, name="reduce")
    y = net.conv_norm_act(y, middle, kernel, stride, groups=groups, act=act, name="conv")
    y = net.conv_norm_act(y, out, act="none", gamma=1 - zero_gamma, name="expand")
    if se:
        y = net.squeeze_excite(y, max(1, int(out * se)), act=act)
    to_sum = net.pooled_shortcut if shortcut == "pooled" else net.shortcut
    y = net.add_residual(y, to_sum(x, out, stride))
    return net.act(y, act)


@block
def preact(
    net: Builder,
    x: Ref,
    *,
    out: Channels,
    kernel: Kernel = 3,
    stride: Stride = 1,
    dropout: Probability = 0.0,
    act: Activation = "relu",
) -> Ref:
    """Two convolutions, batch norm and activation before each (He et al. 2016b, figure 4e).

    With many channels, and `dropout` before the second convolution, it is the block of wide residual
    networks (Zagoruyko & Komodakis 2016, figure 1d).
    """
    start = net.norm_act(x, act, name="start")
    y = net.add(Conv2d(out, kernel, stride), start, name="conv1")
    y = net.norm_act(y, act, name="middle")
    if dropout:
        y = net.add(Dropout(dropout), y, name="dropout")
    y = net.add(Conv2d(out, kernel), y, name="conv2")
    return net.add_residual(y, _add_shortcut(net, x, start, out, stride))


@block
def preact_bottleneck(
    net: Builder,
    x: Ref,
    *,
    out: Channels,
    kernel: Kernel = 3,
    stride: Stride = 1,
    width: Ratio = 0.25,
    act: Activation = "relu",
) -> Ref:
    """1x1, 3x3 and 1x1 convolutions, batch norm and activation before each (He et al. 2016b, section 4.1).

    The middle has `out * width` channels and the stride.
    """
    middle = max(1, round(out * width))
    start = net.norm_act(x, act, name="start")
    y = net.add(Conv2d(middle), start, name="reduce")
    y = net.norm_act_conv(y, middle, kernel, stride, act=act, name="conv")
    y = net.norm_act_conv(y, out, act=act, name="expand")
    return net.add_residual(y, _add_shortcut(net, x, start, out, stride))


def _add_shortcut(net: Builder, x: Ref, start: Ref, out: int, stride: int) -> Ref:
    """Return x where it has the shape wanted, else a bare 1x1 convolution of what the branch starts from."""
    if x.channels == out and stride == 1:
        return x
    return net.add(Conv2d(out, 1, stride), start, name="shortcut")


@block
def regnet(
    net: Builder,
    x: Ref,
    *,
    out: Channels,
    kernel: Kernel = 3,
    stride: Stride = 1,
    group_width: Count = 8,
    se: Fraction = 0.0,
    act: Activation = "relu",
) -> Ref:
    """X or Y block: a bottleneck that is no narrower inside (Radosavovic et al. 2020, figure 4).

    Groups have `group_width` channels. `se` squeezes to that fraction of the input's channels, before the
    last convolution.
    """
    groups = max(1, out // group_width)
    side = net.shortcut(x, out, stride)
    y = net.conv_norm_act(x, out, act=act, name="reduce")
    y = net.conv_norm_act(y, out, kernel, stride, groups=groups, act=act, name="conv")
    if se:
        y = net.squeeze_excite(y, max(1, round(x.channels * se)), act=act)
    y = net.conv_norm_act(y, out, act="none", name="expand")
    return net.act(net.add_residual(y, side), act)
