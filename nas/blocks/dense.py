"""Blocks of DenseNet."""

from __future__ import annotations

from nas.blocks.builder import Builder, Ref
from nas.blocks.registry import block
from nas.ops import AvgPool, Dropout
from nas.ops.arguments import Activation, Channels, Kernel, Probability, Ratio


@block
def dense(
    net: Builder,
    x: Ref,
    *,
    growth: Channels,
    kernel: Kernel = 3,
    bottleneck: Ratio = 4,
    dropout: Probability = 0.0,
    act: Activation = "relu",
) -> Ref:
    """The input and `growth` new channels made from it (Huang et al. 2017, equation 2, DenseNet-B).

    A 1x1 convolution to `growth * bottleneck` channels comes first, batch norm and activation before each.
    """
    y = net.norm_act_conv(x, round(growth * bottleneck), act=act, name="reduce")
    y = net.norm_act_conv(y, growth, kernel, act=act, name="conv")
    if dropout:
        y = net.add(Dropout(dropout), y, name="dropout")
    return net.concat(x, y)


@block
def transition(net: Builder, x: Ref, *, compression: Ratio = 0.5, act: Activation = "relu") -> Ref:
    """Fewer channels and half the size (Huang et al. 2017, section 3, DenseNet-C)."""
    x = net.norm_act_conv(x, max(1, int(x.channels * compression)), act=act, name="reduce")
    return net.add(AvgPool(2, 2), x, name="pool")
