"""Operators: one frozen class each, which alone knows its shape, cost, torch layer and source text."""

from __future__ import annotations

from nas.ops.base import Join, Layer, Operator, Shape, ShapeError, Unary
from nas.ops.channels import ChannelShuffle, ChannelSlice, ColumnMean, PadChannels, Times
from nas.ops.join import Add, Concat, Multiply
from nas.ops.pointwise import (
    Act,
    BatchNorm,
    Dropout,
    DropPath,
    Flatten,
    Identity,
    Linear,
    LocalResponseNorm,
    Shift,
    Zero,
)
from nas.ops.registry import OPERATORS, operator
from nas.ops.spatial import AvgPool, Conv2d, GlobalPool, MaxPool, ScaledConv2d

__all__ = [
    "OPERATORS", "Act", "Add", "AvgPool", "BatchNorm", "ChannelShuffle", "ChannelSlice", "ColumnMean",
    "Concat", "Conv2d", "DropPath", "Dropout", "Flatten", "GlobalPool", "Identity", "Join", "Layer", "Linear",
    "LocalResponseNorm", "MaxPool", "Multiply", "Operator", "PadChannels", "ScaledConv2d", "Shape",
    "ShapeError", "Shift", "Times", "Unary", "Zero", "operator",
]  # fmt: skip
