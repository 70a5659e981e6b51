"""What the cells of a stack are: kind, channels and sizes of each, what enters it and what it gives.

After NASNet (Zoph et al. 2018, figure 2), AmoebaNet (Real et al. 2019) and DARTS (Liu et al. 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from nas.blocks import Builder, Ref
from nas.blocks.cells import act_conv, factorized_reduce
from nas.ops import Shape, ShapeError
from nas.ops.base import expect_image, format_shape
from nas.space.language.tree import CellKind, Unscaled

NORMAL, REDUCTION = 0, 1

LOOSE, ALL = "loose", "all"
"""Outputs of a cell: the nodes that no operator reads, all nodes."""

ZEROS_OF = "prev1"
"""The input whose shape the zeros of a cell have, all of whose given nodes are absent."""


@dataclass(frozen=True, slots=True)
class CellPlace:
    """A cell in its stack.

    `out` is the number of channels that its operators are asked for, before `width`. Its inputs are brought
    to the shape `entering`; its nodes have the shape `leaving`.
    """

    kind: int
    out: int | Unscaled
    entering: Shape
    leaving: Shape

    def find_stride(self, from_cell: bool) -> int:
        """Return the stride of an operator on an input of the cell, or on one of its nodes."""
        return 2 if from_cell and self.kind == REDUCTION else 1

    def find_shape(self, from_cell: bool) -> Shape:
        """Return the shape that an operator reads."""
        return self.entering if from_cell else self.leaving


def list_cell_kinds(depth: int, reductions: int) -> Iterator[tuple[int, int]]:
    """Yield the kind of each cell of a stack, and the number of reductions up to it, its own included."""
    for group in range(reductions + 1):
        if group:
            yield REDUCTION, group
        yield from [(NORMAL, group)] * depth


def place_cells(
    shape: Shape,
    out: int | Unscaled,
    depth: int,
    reductions: int,
    scaled: Callable[[int | Unscaled], int],
) -> list[CellPlace]:
    """Return the cells of a stack behind an image of this shape; `scaled` applies the width.

    Raises ShapeError where a reduction would shrink the image below 1 x 1.
    """
    _, height, width = expect_image(shape)
    places = []
    for kind, group in list_cell_kinds(depth, reductions):
        asked = _double(out, group)
        channels = scaled(asked)
        entering = (channels, height, width)
        if kind == REDUCTION:
            if min(height, width) == 1:
                raise ShapeError(
                    f"reduction {group} shrinks an image of {height} x {width} below 1 x 1; "
                    "use fewer reductions or a larger input"
                )
            height, width = -(-height // 2), -(-width // 2)
        places.append(CellPlace(kind, asked, entering, (channels, height, width)))
    return places


def _double(out: int | Unscaled, times: int) -> int | Unscaled:
    return replace(out, channels=out.channels << times) if isinstance(out, Unscaled) else out << times


def prepare_input(net: Builder, x: Ref, entering: Shape) -> Ref:
    """Bring the output of an earlier cell to the channels and size that enter this one.

    A 1x1 convolution; where that cell came before a reduction, a factorised one (Zoph et al. 2018, appendix
    A.4; Liu et al. 2019, released code).
    """
    if expect_image(x.shape)[1:] == entering[1:]:
        return act_conv(net, x, out=entering[0])
    return factorized_reduce(net, x, out=entering[0])


def find_cell_ends(
    kind: CellKind, output: str | tuple[str, ...], read: Collection[str], absent: Collection[str]
) -> tuple[str, ...]:
    """Return the values that a cell concatenates, given the nodes that are read and those that are absent.

    An absent node, all of whose connections are, is no loose end; where it is given by name, it is zeros.
    """
    given = find_given(kind, output)
    if LOOSE not in output:
        return given
    names = tuple(node.name for node in kind.nodes)
    loose = [name for name in names if name not in {*read, *absent, *given}]
    return (*given, *loose) or names[-1:]


def find_given(kind: CellKind, output: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return the values that a cell concatenates whatever is read."""
    if output == ALL:
        return tuple(node.name for node in kind.nodes)
    return () if output == LOOSE else tuple(name for name in output if name != LOOSE)


def check_operator(got: Shape, place: CellPlace) -> None:
    """Raise ShapeError where an operator does not give what its cell adds up."""
    if got != place.leaving:
        raise ShapeError(
            f"an operator gives {format_shape(got)} in a cell of {format_shape(place.leaving)}; "
            "let it take the cell's channels, $out, and its stride, $stride"
        )


SOMETIMES_ZERO = "an operator gives zeros in some cells only; let it be the same in all"
