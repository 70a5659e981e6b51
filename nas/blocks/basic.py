"""Blocks of one path: plain convolution, skip, classifier."""

from __future__ import annotations

from nas.blocks.builder import Builder, Ref
from nas.blocks.registry import block
from nas.ops import BatchNorm, Conv2d, Dropout, Flatten, GlobalPool, Linear
from nas.ops.arguments import Activation, Channels, Count, Flag, Init, Kernel, Padding, Probability, Stride


@block
def conv(
    net: Builder,
    x: Ref,
    *,
    out: Channels,
    kernel: Kernel = 3,
    stride: Stride = 1,
    padding: Padding = None,
    groups: Count = 1,
    dilation: Count = 1,
    norm: Flag = True,
    bias: Flag = False,
    act: Activation = "relu",
) -> Ref:
    """Convolution, batch norm, activation (Ioffe & Szegedy 2015, section 3.2)."""
    x = net.add(Conv2d(out, kernel, stride, padding, groups, dilation, bias), x, name="conv")
    if norm:
        x = net.add(BatchNorm(), x, name="norm")
    return net.act(x, act)


@block
def skip(net: Builder, x: Ref, *, out: Channels, stride: Stride = 1) -> Ref:
    """Nothing where the shape may stay, else the least that changes it: a 1x1 convolution and batch norm."""
    return net.shortcut(x, out, stride)


@block
def classifier(net: Builder, x: Ref, *, dropout: Probability = 0.0) -> Ref:
    """Global average pool (Lin et al. 2014), dropout, linear layer to the classes."""
    x = net.add(GlobalPool(), x, name="pool")
    x = net.add(Flatten(), x, name="flatten")
    if dropout:
        x = net.add(Dropout(dropout), x, name="dropout")
    return net.add(Linear(net.classes), x, name="linear")


@block
def conv_classifier(
    net: Builder, x: Ref, *, dropout: Probability = 0.0, act: Activation = "relu", init: Init = "torch"
) -> Ref:
    """Dropout, 1x1 convolution to the classes, global average pool (Lin et al. 2014, section 3.2)."""
    if dropout:
        x = net.add(Dropout(dropout), x, name="dropout")
    add = net.add if init == "torch" else net.add_as_given
    x = add(Conv2d(net.classes, bias=True, init=init), x, name="conv")
    x = net.add(GlobalPool(), net.act(x, act), name="pool")
    return net.add(Flatten(), x, name="flatten")


@block
def logits(net: Builder, x: Ref, *, bias: Flag = True) -> Ref:
    """Linear layer to the classes, after other linear layers (Krizhevsky et al. 2012, figure 2)."""
    return net.add(Linear(net.classes, bias), x, name="linear")
