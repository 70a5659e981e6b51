"""The block of NFNet."""

from __future__ import annotations

from typing import Annotated

from nas.blocks.builder import Builder, Ref, round_channels
from nas.blocks.registry import block
from nas.kinds import Kind
from nas.ops import Add, AvgPool, DropPath, ScaledConv2d, Times
from nas.ops.arguments import Channels, Count, Fraction, Kernel, Ratio, Stride

GAINS = {
    "none": 1.0,
    "relu": 1.7139588594436646,
    "relu6": 1.7131484746932983,
    "leaky_relu": 1.70590341091156,
    "elu": 1.2716004848480225,
    "gelu": 1.7015043497085571,
    "silu": 1.7881293296813965,
    "tanh": 1.5939117670059204,
    "sigmoid": 4.803835391998291,
}
"""What keeps the variance of a standard normal input (Brock et al. 2021a, section 4.2; released code)."""

GainedActivation = Annotated[
    str, Kind(f"an activation of known gain; it is {', '.join(GAINS)}", lambda v: v in tuple(GAINS))
]


@block
def nfnet(
    net: Builder,
    x: Ref,
    *,
    out: Channels,
    kernel: Kernel = 3,
    stride: Stride = 1,
    width: Ratio = 0.5,
    group_width: Count = 128,
    variance: Ratio = 1.0,
    alpha: Ratio = 0.2,
    se: Fraction = 0.5,
    act: GainedActivation = "gelu",
) -> Ref:
    """Pre-activation bottleneck without norm (Brock et al. 2021b, figure 2 and appendix A).

    `variance` is that expected of the input, `alpha` scales the branch. `se` squeezes to that fraction of
    `out`, as a multiple of 8.
    """
    gamma = GAINS[act]

    def conv(y: Ref, channels: int, kernel: Kernel, name: str, **more: int | float) -> Ref:
        return net.add(ScaledConv2d(channels, kernel, gamma=gamma, **more), y, name=name)  # type: ignore[arg-type]

    middle = round_channels(out * width)
    groups = max(1, middle // group_width)
    y = net.act(x, act, name="act1")
    if variance != 1:
        y = net.add(Times(variance**-0.5), y, name="beta")
    side = x
    if x.channels != out or stride > 1:
        if stride > 1:
            side = net.add(AvgPool(2, stride, 0, ceil=True, count_pad=False), y, name="shortcut_pool")
        else:
            side = y
        side = conv(side, out, 1, "shortcut")
    y = net.act(conv(y, middle, 1, "reduce"), act, name="act2")
    y = net.act(conv(y, middle, kernel, "conv", stride=stride, groups=groups), act, name="act3")
    y = net.act(conv(y, middle, kernel, "again", groups=groups), act, name="act4")
    y = conv(y, out, 1, "expand", gain=0.0)
    if se:
        y = net.squeeze_excite(y, round_channels(out * se), act="relu")
        y = net.add(Times(2.0), y, name="se_gain")
    if net.drop_path:
        y = net.add(DropPath(net.drop_path), y, name="drop_path")
    return net.add(Add(), net.add(Times(alpha), y, name="alpha"), side, name="add")
