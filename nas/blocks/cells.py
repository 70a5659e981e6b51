"""Operators of cells: NASNet, AmoebaNet, DARTS. Each starts with its activation and ends with batch norm."""

from __future__ import annotations

from nas.blocks.builder import Builder, Ref
from nas.blocks.registry import block
from nas.ops import BatchNorm, Conv2d, ShapeError, Shift
from nas.ops.arguments import Activation, Channels, Count, Kernel, OddSize, Ratio, Stride


@block
def act_conv(
    net: Builder, x: Ref, *, out: Channels, kernel: Kernel = 1, stride: Stride = 1, act: Activation = "relu"
) -> Ref:
    """Activation, convolution, batch norm: 1x1 and 3x3 of NASNet (Zoph et al. 2018, appendix A.4)."""
    x = net.act(x, act)
    x = net.add(Conv2d(out, kernel, stride), x, name="conv")
    return net.add(BatchNorm(), x, name="norm")


@block
def factored_conv(
    net: Builder,
    x: Ref,
    *,
    out: Channels,
    kernel: OddSize = 7,
    stride: Stride = 1,
    width: Ratio = 1,
    act: Activation = "relu",
) -> Ref:
    """1xk, then kx1 convolution, each between activation and batch norm (Zoph et al. 2018, section 3).

    They have `out * width` channels; where that is not `out`, 1x1 convolutions stand around them, as in the
    released code of AmoebaNet (Real et al. 2019), whose stride is on both and here on kx1 alone.
    """
    middle = max(1, round(out * width))
    layers: list[tuple[str, Kernel, int, int]] = [("row", (1, kernel), 1, middle)]
    layers.append(("column", (kernel, 1), stride, middle))
    if middle != out:
        layers = [("reduce", 1, 1, middle), *layers, ("expand", 1, 1, out)]
    for name, size, step, channels in layers:
        with net.scope(name):
            x = act_conv(net, x, out=channels, kernel=size, stride=step, act=act)
    return x


@block
def sep_conv(
    net: Builder, x: Ref, *, out: Channels, kernel: Kernel = 3, stride: Stride = 1, act: Activation = "relu"
) -> Ref:
    """Twice: activation, depthwise and pointwise convolution, batch norm (Zoph et al. 2018, appendix A.4).

    The stride is on the first depthwise convolution.
    """
    x = _add_separable(net, x, out, kernel, stride, 1, act, "first")
    return _add_separable(net, x, out, kernel, 1, 1, act, "second")


@block
def dil_conv(
    net: Builder,
    x: Ref,
    *,
    out: Channels,
    kernel: Kernel = 3,
    stride: Stride = 1,
    dilation: Count = 2,
    act: Activation = "relu",
) -> Ref:
    """Activation, dilated depthwise and pointwise convolution, batch norm (Liu et al. 2019, section 3.1)."""
    return _add_separable(net, x, out, kernel, stride, dilation, act, "conv")


@block
def factorized_reduce(net: Builder, x: Ref, *, out: Channels, act: Activation = "relu") -> Ref:
    """Half the size by two 1x1 convolutions with stride 2, side by side, of the even and of the odd pixels.

    Activation before, batch norm behind (Zoph et al. 2018, released code; Liu et al. 2019).
    """
    if out < 2:
        raise ShapeError("a factorised reduction makes half of its channels twice; give it 2 or more")
    x = net.act(x, act)
    even = net.add(Conv2d(out // 2, 1, 2), x, name="even")
    odd = net.add(Shift(), x, name="shift")
    odd = net.add(Conv2d(out - out // 2, 1, 2), odd, name="odd")
    return net.add(BatchNorm(), net.concat(even, odd), name="norm")


@block
def skip_connect(net: Builder, x: Ref, *, out: Channels, stride: Stride = 1, act: Activation = "relu") -> Ref:
    """Nothing where the shape may stay, a factorised reduction at stride 2 (Liu et al. 2019, section 3.1).

    Elsewhere activation, 1x1 convolution, batch norm.
    """
    if stride == 2:
        return factorized_reduce(net, x, out=out, act=act)
    if x.channels == out and stride == 1:
        return x
    return act_conv(net, x, out=out, stride=stride, act=act)


def _add_separable(
    net: Builder,
    x: Ref,
    out: int,
    kernel: Kernel,
    stride: int,
    dilation: int,
    act: Activation,
    name: str,
) -> Ref:
    with net.scope(name):
        x = net.act(x, act)
        x = net.add(Conv2d(x.channels, kernel, stride, None, x.channels, dilation), x, name="dw")
        x = net.add(Conv2d(out), x, name="pw")
        return net.add(BatchNorm(), x, name="norm")
