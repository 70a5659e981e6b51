"""Blocks that shuffle channels: ShuffleNet v1 and v2."""

from __future__ import annotations

from nas.blocks.builder import Builder, Ref
from nas.blocks.registry import block
from nas.ops import Add, AvgPool, ChannelShuffle, ChannelSlice, ShapeError
from nas.ops.arguments import Activation, Channels, Count, Flag, Kernel, Stride


@block
def shuffle_v1(
    net: Builder,
    x: Ref,
    *,
    out: Channels,
    kernel: Kernel = 3,
    stride: Stride = 1,
    groups: Count = 3,
    group_first: Flag = True,
    act: Activation = "relu",
) -> Ref:
    """Grouped 1x1, shuffle, depthwise, grouped 1x1 (Zhang et al. 2018, figure 2b and c).

    With a stride the input, pooled, is concatenated, so the branch makes what is missing to `out`. The
    middle has a quarter of `out`. `group_first` false leaves the first convolution whole, as in the first
    layer of stage 2.
    """
    made = out - x.channels if stride > 1 else out
    if made < 1:
        raise ShapeError(
            f"{out} channels are to be made, {x.channels} of them the input's; make more than these"
        )
    first = groups if group_first else 1
    y = net.conv_norm_act(x, max(1, out // 4), groups=first, act=act, name="reduce")
    y = net.add(ChannelShuffle(groups), y, name="shuffle")
    y = net.conv_norm_act(y, y.channels, kernel, stride, groups=y.channels, act="none", name="dw")
    y = net.conv_norm_act(y, made, groups=groups, act="none", name="expand")
    if stride > 1:
        y = net.concat(y, net.add(AvgPool(3, stride, 1), x, name="pool"))
    elif y.shape == x.shape:
        y = net.add(Add(), y, x, name="add")
    return net.act(y, act)


@block
def shuffle_v2(
    net: Builder,
    x: Ref,
    *,
    out: Channels,
    kernel: Kernel = 3,
    stride: Stride = 1,
    act: Activation = "relu",
) -> Ref:
    """Half of the channels pass, the other half are worked on; then a shuffle (Ma et al. 2018, figure 3c, d).

    With a stride, or other channels than the input's, both halves see the whole input.
    """
    half = max(1, out // 2)
    if stride == 1 and x.channels == out:
        side = net.add(ChannelSlice(0, x.channels - half), x, name="kept")
        y = net.add(ChannelSlice(x.channels - half, x.channels), x, name="used")
    else:
        with net.scope("side"):
            side = net.conv_norm_act(x, x.channels, kernel, stride, groups=x.channels, act="none", name="dw")
            side = net.conv_norm_act(side, max(1, out - half), act=act, name="pw")
        y = x
    y = net.conv_norm_act(y, half, act=act, name="reduce")
    y = net.conv_norm_act(y, half, kernel, stride, groups=half, act="none", name="dw")
    y = net.conv_norm_act(y, half, act=act, name="expand")
    return net.add(ChannelShuffle(2), net.concat(side, y), name="shuffle")
