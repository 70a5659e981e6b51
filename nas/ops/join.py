"""Operators with several inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add, mul
from typing import Any, ClassVar

from nas.ops.base import Join, Shape, ShapeError, expect_image, format_shape
from nas.ops.ranges import Range, add_ranges, multiply_ranges, unite_ranges
from nas.ops.registry import operator


@operator
@dataclass(frozen=True)
class Add(Join):
    """Sum of equal shapes."""

    name: ClassVar[str] = "add"
    is_associative: ClassVar[bool] = True
    leaves_out_zeros: ClassVar[bool] = True

    def output_shape(self, *inputs: Shape) -> Shape:
        if len(set(inputs)) != 1:
            raise ShapeError(
                f"add needs equal shapes, got {' and '.join(map(format_shape, inputs))}; "
                "give the branches the same channels and stride, or join them by concat"
            )
        return inputs[0]

    def apply(self, inputs: Sequence[Any]) -> Any:
        return reduce(add, inputs)

    def expression(self, inputs: Sequence[str]) -> str:
        return " + ".join(inputs)

    def output_range(self, *inputs: Range) -> Range:
        return add_ranges(*inputs)

    def gives_zero(self, zeros: Sequence[bool]) -> bool:
        return all(zeros)


@operator
@dataclass(frozen=True)
class Multiply(Join):
    """Product of an image with gates of `(C, 1, 1)` or of its own shape (Hu et al. 2018, equation 4)."""

    name: ClassVar[str] = "multiply"
    is_associative: ClassVar[bool] = True

    def output_shape(self, *inputs: Shape) -> Shape:
        largest = max(map(expect_image, inputs))
        if any(s not in (largest, (largest[0], 1, 1)) for s in inputs):
            raise ShapeError(f"multiply needs equal channels, got {' and '.join(map(format_shape, inputs))}")
        return largest

    def apply(self, inputs: Sequence[Any]) -> Any:
        return reduce(mul, inputs)

    def expression(self, inputs: Sequence[str]) -> str:
        return " * ".join(inputs)

    def output_range(self, *inputs: Range) -> Range:
        return multiply_ranges(*inputs)

    def gives_zero(self, zeros: Sequence[bool]) -> bool:
        return any(zeros)


@operator
@dataclass(frozen=True)
class Concat(Join):
    """Concatenation along the channels."""

    name: ClassVar[str] = "concat"
    is_associative: ClassVar[bool] = True
    stacks_channels: ClassVar[bool] = True

    def output_shape(self, *inputs: Shape) -> Shape:
        images = [expect_image(s) for s in inputs]
        if len({s[1:] for s in images}) != 1:
            raise ShapeError(
                f"concat needs one height and width, got {' and '.join(map(format_shape, inputs))}; "
                "give the branches the same stride"
            )
        return (sum(s[0] for s in images), *images[0][1:])

    def apply(self, inputs: Sequence[Any]) -> Any:
        import torch

        return torch.cat(list(inputs), dim=1)

    def expression(self, inputs: Sequence[str]) -> str:
        return f"torch.cat([{', '.join(inputs)}], dim=1)"

    def output_range(self, *inputs: Range) -> Range:
        return unite_ranges(*inputs)

    def gives_zero(self, zeros: Sequence[bool]) -> bool:
        return all(zeros)
