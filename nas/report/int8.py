"""What became of a network in int8, for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from nas.report.latency import format_ms, make_line
from nas.report.tables import FirstFit, make_table

if TYPE_CHECKING:
    from nas.workflows.quantize import Quantized

_WIDE = (
    "format", ">accuracy float32", ">int8", ">equal classes", ">ms float32", ">int8", ">times as fast",
)  # fmt: skip
_NARROW = ("format", ">float32", ">int8", ">equal", ">ms float32", ">int8", ">faster")


def render_quantized(found: Quantized) -> RenderableType:
    """Return accuracy and latency of each file beside float32, and what one should know of them."""
    head = (
        f"int8 for CPUs with {found.target}, scales of {found.calibrated}. Accuracy on {found.compared}; "
        f"time of one image in one thread on {found.machine}, which 10 % of the runs were below."
    )
    rows = FirstFit(*(_tabulate(found, columns) for columns in (_WIDE, _NARROW)))
    return Group(make_line(head), rows, *(make_line(f"Note: {text}.") for text in found.warnings))


def _tabulate(found: Quantized, columns: tuple[str, ...]) -> RenderableType:
    rows = make_table(*columns)
    for one in found.formats:
        before, after = one.accuracy
        rows.add_row(
            one.format, f"{before:.4f}", f"{after:.4f}", f"{100 * one.parity.agreement:.1f} %",
            format_ms(one.float32.low_s), format_ms(one.int8.low_s), f"{one.speedup:.2f}",
        )  # fmt: skip
    return rows
