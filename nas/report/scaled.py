"""Networks that were scaled, on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from nas.measures import ACTIVATIONS, MACS, PARAMS
from nas.report.console import open_terminal, say, show
from nas.report.tables import make_table
from nas.workflows.scaling import ScaledFile


def print_scaled(files: Sequence[ScaledFile], console: Console | None = None) -> None:
    """Print what files were scaled by, where that is not EfficientNet's, and what they have."""
    if files[0].about:
        say(console or open_terminal(), files[0].about)
    show(render_scaled(files), console)


def render_scaled(files: Sequence[ScaledFile]) -> Table:
    """Return a row for each file: the factors, and what a network costs; a space with choices has its
    extremes."""
    measures = (MACS, PARAMS, ACTIVATIONS)
    heads = [f">{measure.label}" for measure in measures]
    rows = make_table("file", ">depth", ">width", ">resolution", ">input", *heads)
    for one in files:
        factors = [f"{f:.3f}" for f in (one.scale.depth, one.scale.width, one.scale.resolution)]
        pairs = ((least.value, most.value) for least, most in map(one.space.ends, measures))
        figures = [f"{low:,}" if low == high else f"{low:,} to {high:,}" for low, high in pairs]
        sizes = one.space.input_sizes
        size = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        rows.add_row(str(one.path), *factors, size, *figures)
    return rows
