"""The block of FractalNet."""

from __future__ import annotations

from typing import Annotated

from nas.blocks.builder import Builder, Ref
from nas.blocks.registry import block
from nas.kinds import whole
from nas.ops import ColumnMean, Concat, Dropout
from nas.ops.arguments import Activation, Channels, Kernel, Probability

_COLUMNS = whole(
    "a number of columns; it is a whole number from 1 to 13, as each has twice the layers of the one before",
    1,
    13,
)


@block
def fractal(
    net: Builder,
    x: Ref,
    *,
    out: Channels,
    columns: Annotated[int, _COLUMNS] = 3,
    kernel: Kernel = 3,
    dropout: Probability = 0.0,
    drop_path: Probability = 0.15,
    act: Activation = "relu",
) -> Ref:
    """Columns of 1, 2, 4, ... convolutions whose means meet at every second one (Larsson et al. 2017, eq. 1).

    `columns` is C there: a fractal of C columns is one of C - 1, twice, beside a single convolution. Each
    convolution has batch norm, activation and `dropout`; `drop_path` is the rate at which a mean leaves one
    of its columns out.
    """

    def convolved(x: Ref) -> Ref:
        x = net.conv_norm_act(x, out, kernel, act=act, name="conv")
        return net.add(Dropout(dropout), x, name="dropout") if dropout else x

    def joined(ends: list[Ref]) -> Ref:
        if len(ends) == 1:
            return ends[0]
        together = net.add(Concat(), *ends, name="join")
        return net.add(ColumnMean(len(ends), drop_path), together, name="mean")

    def grown(x: Ref, columns: int) -> list[Ref]:
        """Return the ends of the columns, the longest first: all that end here are joined at once."""
        if columns == 1:
            return [convolved(x)]
        middle = joined(grown(x, columns - 1))
        return [*grown(middle, columns - 1), convolved(x)]

    return joined(grown(x, columns))
