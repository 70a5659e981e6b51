"""The block of SqueezeNet."""

from __future__ import annotations

from nas.blocks.builder import Builder, Ref
from nas.blocks.registry import block
from nas.ops import Conv2d
from nas.ops.arguments import Activation, Channels, Kernel


@block
def fire(
    net: Builder, x: Ref, *, squeeze: Channels, expand: Channels, kernel: Kernel = 3, act: Activation = "relu"
) -> Ref:
    """Squeeze by 1x1, expand by 1x1 and 3x3, `expand` channels each (Iandola et al. 2016, figure 1)."""
    x = net.act(net.add(Conv2d(squeeze, bias=True), x, name="squeeze"), act)
    small = net.act(net.add(Conv2d(expand, bias=True), x, name="expand1"), act)
    large = net.act(net.add(Conv2d(expand, kernel, bias=True), x, name="expand3"), act)
    return net.concat(small, large)
