"""The block of StarNet."""

from __future__ import annotations

from nas.blocks.builder import Builder, Ref
from nas.blocks.registry import block
from nas.ops import BatchNorm, Conv2d, Multiply
from nas.ops.arguments import Activation, Kernel, Ratio


@block
def star(net: Builder, x: Ref, *, kernel: Kernel = 7, expand: Ratio = 4, act: Activation = "relu6") -> Ref:
    """Two expansions multiplied, between depthwise convolutions (Ma et al. 2024, figure 3)."""
    hidden = max(1, round(x.channels * expand))
    y = net.add(Conv2d(x.channels, kernel, groups=x.channels, bias=True), x, name="dw1")
    y = net.add(BatchNorm(), y, name="norm1")
    left = net.act(net.add(Conv2d(hidden, bias=True), y, name="left"), act)
    right = net.add(Conv2d(hidden, bias=True), y, name="right")
    y = net.add(Multiply(), left, right, name="star")
    y = net.add(Conv2d(x.channels, bias=True), y, name="project")
    y = net.add(BatchNorm(), y, name="norm2")
    y = net.add(Conv2d(x.channels, kernel, groups=x.channels, bias=True), y, name="dw2")
    return net.add_residual(y, x)
