"""Operators that look at a window of pixels: convolution and pooling."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from nas.cost import Cost
from nas.ops.arguments import Channels, Count, Flag, Fraction, Init, Kernel, Padding, Positive, Stride, Window
from nas.ops.base import Layer, Shape, ShapeError, Unary, expect_image
from nas.ops.ranges import ZERO, Range, unite_ranges
from nas.ops.registry import operator

Pair = tuple[int, int]


def _to_pair(value: int | Pair) -> Pair:
    return value if isinstance(value, tuple) else (value, value)


def _collapse(value: Pair) -> int | Pair:
    return value[0] if value[0] == value[1] else value


@lru_cache(maxsize=4096)
def _slide(shape: Shape, window: Pair, stride: int, padding: Pair, ceil: bool = False) -> Pair:
    """Return height and width after sliding a window over an image (Dumoulin & Visin 2016, relationship 6).

    Raises ShapeError where the window does not fit, or a stride would shrink the image below 1 x 1.
    """
    _, *size = expect_image(shape)
    if stride > min(size):
        raise ShapeError(
            f"stride {stride} shrinks an image of {size[0]} x {size[1]} below 1 x 1; "
            "use fewer strides or a larger input"
        )
    result = []
    for n, k, p in zip(size, window, padding, strict=True):
        room = n + 2 * p - k
        steps = -(-room // stride) if ceil else room // stride
        if steps < 0:
            raise ShapeError(
                f"a window of {k} pixels does not fit into {n} pixels with padding {p}; "
                "use a smaller kernel, more padding or a larger input"
            )
        # torch starts no window in the padding that follows the image
        if ceil and steps * stride >= n + p:
            steps -= 1
        result.append(steps + 1)
    return result[0], result[1]


@operator
@dataclass(frozen=True)
class Conv2d(Unary):
    """Convolution. `padding` None keeps the size at stride 1; kernel and padding may be (height, width)."""

    name: ClassVar[str] = "conv2d"
    has_filters: ClassVar[bool] = True
    details: ClassVar[tuple[str, ...]] = ("init",)

    out: Channels
    kernel: Kernel = 1
    stride: Stride = 1
    padding: Padding = None
    groups: Count = 1
    dilation: Count = 1
    bias: Flag = False
    init: Init = "torch"

    @property
    def keeps_zero(self) -> bool:  # type: ignore[override]
        return not self.bias

    def __post_init__(self) -> None:
        kernel = _to_pair(self.kernel)
        same = (self.dilation * (kernel[0] - 1) // 2, self.dilation * (kernel[1] - 1) // 2)
        padding = same if self.padding is None else _to_pair(self.padding)
        object.__setattr__(self, "kernel", _collapse(kernel))
        object.__setattr__(self, "padding", _collapse(padding))

    def output_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        channels, _, _ = expect_image(shape)
        if channels % self.groups or self.out % self.groups:
            wrong = channels if channels % self.groups else self.out
            raise ShapeError(
                f"{wrong} channels are not divisible by {self.groups} groups; "
                f"input and output channels ({channels}, {self.out}) must both be multiples of the groups"
            )
        kernel, padding = _to_pair(self.kernel), _to_pair(self.padding or 0)
        window = (self.dilation * (kernel[0] - 1) + 1, self.dilation * (kernel[1] - 1) + 1)
        return (self.out, *_slide(shape, window, self.stride, padding))

    def cost(self, *inputs: Shape) -> Cost:
        (shape,) = inputs
        out, height, width = self.output_shape(shape)
        kernel = _to_pair(self.kernel)
        weights = out * (shape[0] // self.groups) * kernel[0] * kernel[1]
        return Cost(
            macs=weights * height * width,
            params=weights + (out if self.bias else 0),
            activations=out * height * width,
        )

    def layer(self, shape: Shape) -> Layer:
        options = {
            "stride": (self.stride, 1),
            "padding": (self.padding, 0),
            "dilation": (self.dilation, 1),
            "groups": (self.groups, 1),
            "bias": (self.bias, True),
        }
        given = tuple((k, value) for k, (value, default) in options.items() if value != default)
        return Layer("nn.Conv2d", (shape[0], self.out, self.kernel), given, self.init)


@operator
@dataclass(frozen=True)
class ScaledConv2d(Conv2d):
    """Convolution with standardised filters, for networks without norm (Brock et al. 2021a, equation 1).

    `gamma` is the gain of the activation before it; `gain` the first value of the learned gains.
    """

    name: ClassVar[str] = "scaled_conv2d"

    bias: Flag = True
    gamma: Positive = 1.0
    gain: Fraction = 1.0

    def cost(self, *inputs: Shape) -> Cost:
        return super().cost(*inputs) + Cost(params=self.out)

    def layer(self, shape: Shape) -> Layer:
        plain = super().layer(shape)
        gains = (("gamma", self.gamma), ("gain", float(self.gain)))
        return Layer("ScaledConv2d", plain.args, plain.kwargs + gains, self.init)


@operator
@dataclass(frozen=True)
class MaxPool(Unary):
    """Maximum over a window. `padding` None is half the window: at stride 1 an odd one keeps the size."""

    name: ClassVar[str] = "max_pool"
    is_channelwise: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True

    kernel: Window = 2
    stride: Stride = 2
    padding: Padding = None
    ceil: Flag = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "padding", _fill_padding(self.padding, self.kernel))

    def output_shape(self, *inputs: Shape) -> Shape:
        return _compute_pool_shape(inputs[0], self.kernel, self.stride, self.padding, self.ceil)

    def layer(self, shape: Shape) -> Layer:
        return Layer("nn.MaxPool2d", (self.kernel,), _list_pool_options(self.stride, self.padding, self.ceil))

    def output_range(self, *inputs: Range) -> Range:
        return inputs[0]

    def is_identity_on(self, shape: Shape, values: Range) -> bool:
        return self.kernel == 1 or shape[1:] == (1, 1)  # what is padded is never the maximum


@operator
@dataclass(frozen=True)
class AvgPool(Unary):
    """Mean over a window. `padding` None is half the window; `count_pad` counts padded zeros as pixels."""

    name: ClassVar[str] = "avg_pool"
    is_channelwise: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True

    kernel: Window = 2
    stride: Stride = 2
    padding: Padding = None
    ceil: Flag = False
    count_pad: Flag = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "padding", _fill_padding(self.padding, self.kernel))

    def output_shape(self, *inputs: Shape) -> Shape:
        return _compute_pool_shape(inputs[0], self.kernel, self.stride, self.padding, self.ceil)

    def layer(self, shape: Shape) -> Layer:
        options = _list_pool_options(self.stride, self.padding, self.ceil)
        if not self.count_pad:
            options += (("count_include_pad", False),)
        return Layer("nn.AvgPool2d", (self.kernel,), options)

    def output_range(self, *inputs: Range) -> Range:
        return unite_ranges(ZERO, inputs[0])

    def is_identity_on(self, shape: Shape, values: Range) -> bool:
        return self.kernel == 1 or (shape[1:] == (1, 1) and not self.count_pad)


def _fill_padding(padding: Padding, kernel: int) -> int | Pair:
    return (kernel - 1) // 2 if padding is None else _collapse(_to_pair(padding))


def _compute_pool_shape(shape: Shape, kernel: int, stride: int, padding: Padding, ceil: bool) -> Shape:
    pad = _to_pair(padding or 0)
    if 2 * max(pad) > kernel:
        raise ShapeError(
            f"padding {max(pad)} is more than half the pooling window {kernel}; use at most half"
        )
    return (shape[0], *_slide(shape, (kernel, kernel), stride, pad, ceil))


def _list_pool_options(stride: int, padding: Padding, ceil: bool) -> tuple[tuple[str, object], ...]:
    options: list[tuple[str, object]] = [("stride", stride)]
    if padding:
        options.append(("padding", padding))
    if ceil:
        options.append(("ceil_mode", True))
    return tuple(options)


@operator
@dataclass(frozen=True)
class GlobalPool(Unary):
    """Mean over all pixels, `(C, H, W)` to `(C, 1, 1)`; or over each field of a `size` x `size` grid."""

    name: ClassVar[str] = "global_pool"
    is_channelwise: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True

    size: Count = 1

    def output_shape(self, *inputs: Shape) -> Shape:
        return (expect_image(inputs[0])[0], self.size, self.size)

    def layer(self, shape: Shape) -> Layer:
        return Layer("nn.AdaptiveAvgPool2d", (self.size,))

    def output_range(self, *inputs: Range) -> Range:
        return inputs[0]

    def is_identity_on(self, shape: Shape, values: Range) -> bool:
        return True  # each field of the grid is a pixel
