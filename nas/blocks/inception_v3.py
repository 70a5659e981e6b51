"""Blocks of Inception v3 (Szegedy et al. 2016), named A to E as in torchvision."""

from __future__ import annotations

from nas.blocks.builder import Builder, Ref
from nas.blocks.registry import block
from nas.ops import AvgPool, MaxPool
from nas.ops.arguments import Activation, Channels


@block
def inception_a(
    net: Builder,
    x: Ref,
    *,
    out1: Channels = 64,
    reduce5: Channels = 48,
    out5: Channels = 64,
    reduce3: Channels = 64,
    out3: Channels = 96,
    pool: Channels = 64,
    act: Activation = "relu",
) -> Ref:
    """1x1; 1x1 and 5x5; 1x1 and two 3x3; average pool and 1x1 (Szegedy et al. 2016, figure 5)."""
    b1 = net.conv_norm_act(x, out1, act=act, name="b1")
    with net.scope("b5"):
        b5 = net.conv_norm_act(x, reduce5, act=act, name="reduce")
        b5 = net.conv_norm_act(b5, out5, 5, act=act, name="conv")
    with net.scope("b3"):
        b3 = net.conv_norm_act(x, reduce3, act=act, name="reduce")
        b3 = net.conv_norm_act(b3, out3, 3, act=act, name="conv")
        b3 = net.conv_norm_act(b3, out3, 3, act=act, name="conv")
    return net.concat(b1, b5, b3, add_pool_branch(net, x, pool, act))


@block
def inception_b(
    net: Builder,
    x: Ref,
    *,
    out: Channels = 384,
    reduce: Channels = 64,
    out3: Channels = 96,
    act: Activation = "relu",
) -> Ref:
    """Halves the size: 3x3; 1x1 and two 3x3; max pool (Szegedy et al. 2016, figure 10)."""
    whole = net.conv_norm_act(x, out, 3, 2, padding=0, act=act, name="conv")
    with net.scope("b3"):
        b3 = net.conv_norm_act(x, reduce, act=act, name="reduce")
        b3 = net.conv_norm_act(b3, out3, 3, act=act, name="conv")
        b3 = net.conv_norm_act(b3, out3, 3, 2, padding=0, act=act, name="conv")
    return net.concat(whole, b3, net.add(MaxPool(3, 2, 0), x, name="pool"))


@block
def inception_c(
    net: Builder, x: Ref, *, middle: Channels, out: Channels = 192, act: Activation = "relu"
) -> Ref:
    """1x1; a factorised 7x7; two of them; average pool and 1x1 (Szegedy et al. 2016, figure 6)."""
    b1 = net.conv_norm_act(x, out, act=act, name="b1")
    with net.scope("b7"):
        b7 = net.conv_norm_act(x, middle, act=act, name="reduce")
        b7 = net.conv_norm_act(b7, middle, (1, 7), act=act, name="conv")
        b7 = net.conv_norm_act(b7, out, (7, 1), act=act, name="conv")
    with net.scope("b77"):
        b77 = net.conv_norm_act(x, middle, act=act, name="reduce")
        for kernel in ((7, 1), (1, 7), (7, 1)):
            b77 = net.conv_norm_act(b77, middle, kernel, act=act, name="conv")
        b77 = net.conv_norm_act(b77, out, (1, 7), act=act, name="conv")
    return net.concat(b1, b7, b77, add_pool_branch(net, x, out, act))


@block
def inception_d(
    net: Builder,
    x: Ref,
    *,
    reduce: Channels = 192,
    out3: Channels = 320,
    out7: Channels = 192,
    act: Activation = "relu",
) -> Ref:
    """Halves the size: 1x1 and 3x3; a factorised 7x7 and 3x3; max pool (torchvision's InceptionD)."""
    with net.scope("b3"):
        b3 = net.conv_norm_act(x, reduce, act=act, name="reduce")
        b3 = net.conv_norm_act(b3, out3, 3, 2, padding=0, act=act, name="conv")
    with net.scope("b7"):
        b7 = net.conv_norm_act(x, reduce, act=act, name="reduce")
        b7 = net.conv_norm_act(b7, out7, (1, 7), act=act, name="conv")
        b7 = net.conv_norm_act(b7, out7, (7, 1), act=act, name="conv")
        b7 = net.conv_norm_act(b7, out7, 3, 2, padding=0, act=act, name="conv")
    return net.concat(b3, b7, net.add(MaxPool(3, 2, 0), x, name="pool"))


@block
def inception_e(
    net: Builder,
    x: Ref,
    *,
    out1: Channels = 320,
    out3: Channels = 384,
    reduce: Channels = 448,
    pool: Channels = 192,
    act: Activation = "relu",
) -> Ref:
    """Expanded filter banks: 1x3 beside 3x1, twice (Szegedy et al. 2016, figure 7)."""
    b1 = net.conv_norm_act(x, out1, act=act, name="b1")
    with net.scope("b3"):
        b3 = net.conv_norm_act(x, out3, act=act, name="reduce")
        wide3 = net.conv_norm_act(b3, out3, (1, 3), act=act, name="wide")
        tall3 = net.conv_norm_act(b3, out3, (3, 1), act=act, name="tall")
    with net.scope("b33"):
        b33 = net.conv_norm_act(x, reduce, act=act, name="reduce")
        b33 = net.conv_norm_act(b33, out3, 3, act=act, name="conv")
        wide33 = net.conv_norm_act(b33, out3, (1, 3), act=act, name="wide")
        tall33 = net.conv_norm_act(b33, out3, (3, 1), act=act, name="tall")
    return net.concat(b1, wide3, tall3, wide33, tall33, add_pool_branch(net, x, pool, act))


def add_pool_branch(net: Builder, x: Ref, out: int, act: Activation) -> Ref:
    """Add the branch of an average pool, which counts padding, and a 1x1 convolution."""
    with net.scope("bp"):
        x = net.add(AvgPool(3, 1, 1), x, name="pool")
        return net.conv_norm_act(x, out, act=act, name="project")
