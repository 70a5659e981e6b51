"""Operators that treat every element or feature alone: norm, activation, linear, dropout, identity, zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nas.cost import Cost
from nas.ops.arguments import (
    ACTIVATIONS,
    Activation,
    Count,
    Flag,
    Fraction,
    Init,
    Positive,
    Probability,
    Stride,
)
from nas.ops.base import Layer, Operator, Shape, ShapeError, Unary, expect_image, format_shape
from nas.ops.ranges import ANY, ZERO, Range, multiply_ranges, unite_ranges
from nas.ops.registry import operator


@operator
@dataclass(frozen=True)
class BatchNorm(Unary):
    """Batch normalisation with scale and shift (Ioffe & Szegedy 2015). The scale starts at `gamma`."""

    name: ClassVar[str] = "batch_norm"
    is_channelwise: ClassVar[bool] = True
    details: ClassVar[tuple[str, ...]] = ("eps", "momentum")

    eps: Positive = 1e-5
    momentum: Positive = 0.1
    gamma: Fraction = 1.0

    def output_shape(self, *inputs: Shape) -> Shape:
        return expect_image(inputs[0])

    def cost(self, *inputs: Shape) -> Cost:
        return Cost(params=2 * inputs[0][0])

    def layer(self, shape: Shape) -> Layer:
        options = {"eps": (self.eps, 1e-5), "momentum": (self.momentum, 0.1)}
        given = tuple((k, value) for k, (value, default) in options.items() if value != default)
        return Layer("nn.BatchNorm2d", (shape[0],), given, "torch" if self.gamma == 1 else self.gamma)


@operator
@dataclass(frozen=True)
class LocalResponseNorm(Unary):
    """Each value divided by the power of its neighbouring channels (Krizhevsky et al. 2012, section 3.3)."""

    name: ClassVar[str] = "local_response_norm"
    keeps_zero: ClassVar[bool] = True

    size: Count = 5
    alpha: Positive = 1e-4
    beta: Positive = 0.75
    k: Positive = 2.0

    def output_shape(self, *inputs: Shape) -> Shape:
        return expect_image(inputs[0])

    def layer(self, shape: Shape) -> Layer:
        return Layer("nn.LocalResponseNorm", (self.size, self.alpha, self.beta, self.k))

    def output_range(self, *inputs: Range) -> Range:
        most = self.k**-self.beta
        return multiply_ranges(inputs[0], (0, most))


@operator
@dataclass(frozen=True)
class Act(Unary):
    """An activation function, by name; `none` is the identity."""

    name: ClassVar[str] = "activation"
    is_channelwise: ClassVar[bool] = True

    kind: Activation = "relu"

    @property
    def is_identity(self) -> bool:  # type: ignore[override]
        return self.kind == "none"

    @property
    def keeps_zero(self) -> bool:  # type: ignore[override]
        return self.kind not in ("sigmoid", "hardsigmoid")

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def layer(self, shape: Shape) -> Layer:
        return Layer("nn.Identity" if self.is_identity else ACTIVATIONS[self.kind])

    def output_range(self, *inputs: Range) -> Range:
        low, high = _BOUNDS.get(self.kind, ANY)
        if not self.keeps_zero:
            return low, high
        ((least, most),) = inputs  # none of the others leads away from zero or to its other side
        return max(low, min(least, 0)), min(high, max(most, 0))

    def is_identity_on(self, shape: Shape, values: Range) -> bool:
        low, high = _KEPT.get(self.kind, ANY)
        return self.is_identity or (self.kind in _KEPT and low <= values[0] and values[1] <= high)

    @property
    def is_idempotent(self) -> bool:  # type: ignore[override]
        return self.kind in ("relu", "relu6")

    def absorbs(self, before: Operator) -> bool:
        kept = _KEPT.get(before.kind) if self.is_idempotent and isinstance(before, Act) else None
        return super().absorbs(before) or kept == _KEPT["relu"]


_BOUNDS: dict[str, Range] = {
    "relu": (0, math.inf),
    "relu6": (0, 6),
    "tanh": (-1, 1),
    "sigmoid": (0, 1),
    "hardsigmoid": (0, 1),
}
"""Values that an activation gives, of those that are bounded where it matters."""
_KEPT: dict[str, Range] = {
    "relu": (0, math.inf),
    "relu6": (0, 6),
    "leaky_relu": (0, math.inf),
    "elu": (0, math.inf),
}
"""Values that an activation gives back as they are; those below stay below, and those above above."""


@operator
@dataclass(frozen=True)
class Linear(Unary):
    """Fully connected layer: `(F,)` to `(out,)`."""

    name: ClassVar[str] = "linear"
    has_filters: ClassVar[bool] = True
    details: ClassVar[tuple[str, ...]] = ("init",)

    out: Count
    bias: Flag = True
    init: Init = "torch"

    @property
    def keeps_zero(self) -> bool:  # type: ignore[override]
        return not self.bias

    def output_shape(self, *inputs: Shape) -> Shape:
        if len(inputs[0]) != 1:
            raise ShapeError(
                f"linear needs a vector, got an image of {format_shape(inputs[0])}; put flatten before it"
            )
        return (self.out,)

    def cost(self, *inputs: Shape) -> Cost:
        weights = inputs[0][0] * self.out
        return Cost(weights, weights + (self.out if self.bias else 0), self.out)

    def layer(self, shape: Shape) -> Layer:
        given = () if self.bias else (("bias", False),)
        return Layer("nn.Linear", (shape[0], self.out), given, self.init)


@operator
@dataclass(frozen=True)
class Flatten(Unary):
    """`(C, H, W)` to `(C * H * W,)`."""

    name: ClassVar[str] = "flatten"
    keeps_zero: ClassVar[bool] = True
    is_view: ClassVar[bool] = True

    def output_shape(self, *inputs: Shape) -> Shape:
        return (math.prod(inputs[0]),)

    def layer(self, shape: Shape) -> Layer:
        return Layer("nn.Flatten")

    def output_range(self, *inputs: Range) -> Range:
        return inputs[0]

    def is_identity_on(self, shape: Shape, values: Range) -> bool:
        return True  # a vector


@operator
@dataclass(frozen=True)
class Dropout(Unary):
    """Zeroes elements while training (Srivastava et al. 2014)."""

    name: ClassVar[str] = "dropout"
    is_channelwise: ClassVar[bool] = True
    is_training_only: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True
    is_view: ClassVar[bool] = True

    p: Probability = 0.5

    @property
    def is_identity(self) -> bool:  # type: ignore[override]
        return self.p == 0

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def layer(self, shape: Shape) -> Layer:
        return Layer("nn.Dropout", (self.p,))

    def output_range(self, *inputs: Range) -> Range:
        return multiply_ranges(inputs[0], (0, 1 / (1 - self.p)))


@operator
@dataclass(frozen=True)
class DropPath(Unary):
    """Stochastic depth: drops the whole branch of an image while training (Huang et al. 2016)."""

    name: ClassVar[str] = "stochastic_depth"
    is_channelwise: ClassVar[bool] = True
    is_training_only: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True
    is_view: ClassVar[bool] = True

    p: Probability = 0.2

    @property
    def is_identity(self) -> bool:  # type: ignore[override]
        return self.p == 0

    def output_shape(self, *inputs: Shape) -> Shape:
        return expect_image(inputs[0])

    def layer(self, shape: Shape) -> Layer:
        return Layer("StochasticDepth", (self.p,))

    def output_range(self, *inputs: Range) -> Range:
        return multiply_ranges(inputs[0], (0, 1 / (1 - self.p)))


@operator
@dataclass(frozen=True)
class Identity(Unary):
    """Output is input."""

    name: ClassVar[str] = "identity"
    is_channelwise: ClassVar[bool] = True
    is_identity: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def layer(self, shape: Shape) -> Layer:
        return Layer("nn.Identity")

    def output_range(self, *inputs: Range) -> Range:
        return inputs[0]


@operator
@dataclass(frozen=True)
class Zero(Unary):
    """Zeros of the input's channels at a stride: an absent connection (Liu et al. 2019, `none`)."""

    name: ClassVar[str] = "zero"
    is_channelwise: ClassVar[bool] = True

    stride: Stride = 1

    def output_shape(self, *inputs: Shape) -> Shape:
        channels, height, width = expect_image(inputs[0])
        return (channels, -(-height // self.stride), -(-width // self.stride))

    def layer(self, shape: Shape) -> Layer:
        return Layer("Zero", (self.stride,))

    def gives_zero(self, zeros: Sequence[bool]) -> bool:
        return True

    def output_range(self, *inputs: Range) -> Range:
        return ZERO


@operator
@dataclass(frozen=True)
class Shift(Unary):
    """The image moved up and left by one pixel, zeros behind (Zoph et al. 2018, released code).

    A stride of 2 then takes the odd pixels in place of the even ones.
    """

    name: ClassVar[str] = "shift"
    is_channelwise: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True

    def output_shape(self, *inputs: Shape) -> Shape:
        return expect_image(inputs[0])

    def layer(self, shape: Shape) -> Layer:
        return Layer("Shift")

    def output_range(self, *inputs: Range) -> Range:
        return unite_ranges(ZERO, inputs[0])
