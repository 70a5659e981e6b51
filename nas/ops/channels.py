"""Operators that move, scale or average channels and learn nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nas.ops.arguments import Channels, Count, Index, Positive, Probability
from nas.ops.base import Layer, Shape, ShapeError, Unary, expect_image
from nas.ops.ranges import ZERO, Range, multiply_ranges, unite_ranges
from nas.ops.registry import operator


@operator
@dataclass(frozen=True)
class ChannelShuffle(Unary):
    """Channels of all groups in turn, so that a grouped layer sees each (Zhang et al. 2018, figure 1)."""

    name: ClassVar[str] = "channel_shuffle"
    keeps_zero: ClassVar[bool] = True

    groups: Count = 2

    @property
    def is_identity(self) -> bool:  # type: ignore[override]
        return self.groups == 1

    def output_shape(self, *inputs: Shape) -> Shape:
        channels, height, width = expect_image(inputs[0])
        if channels % self.groups:
            raise ShapeError(
                f"{channels} channels cannot be shuffled in {self.groups} groups; "
                "the channels must be a multiple of the groups"
            )
        return (channels, height, width)

    def layer(self, shape: Shape) -> Layer:
        return Layer("ChannelShuffle", (self.groups,))

    def output_range(self, *inputs: Range) -> Range:
        return inputs[0]

    def is_identity_on(self, shape: Shape, values: Range) -> bool:
        return self.groups in (1, shape[0])


@operator
@dataclass(frozen=True)
class ChannelSlice(Unary):
    """Channels `start` to `stop`, counted from 0, the last not included (Ma et al. 2018, figure 3c)."""

    name: ClassVar[str] = "channel_slice"
    keeps_zero: ClassVar[bool] = True
    is_view: ClassVar[bool] = True

    start: Index
    stop: Count

    def output_shape(self, *inputs: Shape) -> Shape:
        channels, height, width = expect_image(inputs[0])
        if not self.start < self.stop <= channels:
            raise ShapeError(
                f"channels {self.start} to {self.stop} are not a slice of {channels}; "
                "a slice has start < stop <= channels"
            )
        return (self.stop - self.start, height, width)

    def layer(self, shape: Shape) -> Layer:
        return Layer("ChannelSlice", (self.start, self.stop))

    def output_range(self, *inputs: Range) -> Range:
        return inputs[0]

    def is_identity_on(self, shape: Shape, values: Range) -> bool:
        return True  # all channels


@operator
@dataclass(frozen=True)
class PadChannels(Unary):
    """Zero channels added behind the input's, up to `out` (He et al. 2016, option A)."""

    name: ClassVar[str] = "pad_channels"
    keeps_zero: ClassVar[bool] = True

    out: Channels

    def output_shape(self, *inputs: Shape) -> Shape:
        channels, height, width = expect_image(inputs[0])
        if self.out < channels:
            raise ShapeError(f"cannot pad {channels} channels to {self.out}; pad to at least as many")
        return (self.out, height, width)

    def layer(self, shape: Shape) -> Layer:
        return Layer("PadChannels", (self.out - shape[0],))

    def output_range(self, *inputs: Range) -> Range:
        return unite_ranges(ZERO, inputs[0])

    def is_identity_on(self, shape: Shape, values: Range) -> bool:
        return True  # no channel is added


@operator
@dataclass(frozen=True)
class Times(Unary):
    """Every value times a constant: scaled residuals (Szegedy et al. 2017, figure 20; Brock et al. 2021)."""

    name: ClassVar[str] = "times"
    is_channelwise: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True

    by: Positive

    @property
    def is_identity(self) -> bool:  # type: ignore[override]
        return self.by == 1

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def layer(self, shape: Shape) -> Layer:
        return Layer("Times", (self.by,))

    def output_range(self, *inputs: Range) -> Range:
        return multiply_ranges(inputs[0], (self.by, self.by))


@operator
@dataclass(frozen=True)
class ColumnMean(Unary):
    """Mean of `columns` images that stand one behind the other in the channels (Larsson et al. 2017).

    While training, each of them is left out for an image with probability `p`, one at least stays: the
    local drop-path of section 3 there.
    """

    name: ClassVar[str] = "column_mean"
    keeps_zero: ClassVar[bool] = True

    columns: Count = 2
    p: Probability = 0.0

    @property
    def is_identity(self) -> bool:  # type: ignore[override]
        return self.columns == 1

    def output_shape(self, *inputs: Shape) -> Shape:
        channels, height, width = expect_image(inputs[0])
        if channels % self.columns:
            raise ShapeError(
                f"{channels} channels are not {self.columns} columns of one width; "
                "the channels must be a multiple of the columns"
            )
        return (channels // self.columns, height, width)

    def layer(self, shape: Shape) -> Layer:
        return Layer("ColumnMean", (self.columns, self.p))

    def output_range(self, *inputs: Range) -> Range:
        return inputs[0]
