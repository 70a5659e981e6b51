"""A table of latencies, for a person and as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from nas.cost import format_latency
from nas.errors import make_printable
from nas.report.tables import make_table

if TYPE_CHECKING:
    from nas.latency.correction import Errors
    from nas.latency.table import LatencyTable


def render_table(found: LatencyTable) -> RenderableType:
    """Return the device, the span of latencies, and how well networks are told that the table does not
    know."""
    wholes = sorted(one.low_s for one in (*found.fitted, *found.held_out))
    low, high = (format_latency(round(seconds * 1e6) * 1000) for seconds in (wholes[0], wholes[-1]))
    rows = make_table(
        f"of {len(found.held_out)} networks", ">within 5 %", ">within 10 %", ">90 % within", ">tau"
    )
    for name, errors in found.errors.items():
        rows.add_row(name, *_format_cells(errors))
    lines = [
        f"{found.fingerprint.device}",
        f"{len(found.parts):,} parts; whole networks that were measured take {low} to {high}. Those "
        "that are held out, drawn evenly from the space, as they are told by",
    ]
    view: list[RenderableType] = [*(Text(make_printable(line)) for line in lines), rows]
    if found.contention:
        view.append(
            Text(f"The machine was not quiet: {found.contention}. Measure again with --anew when it is.")
        )
    return Group(*view)


def document_table(found: LatencyTable) -> dict[str, Any]:
    """Return the table and its errors as plain values."""
    errors = {name.replace(" ", "_").lower(): one.to_data() for name, one in found.errors.items()}
    return {"kind": "latency", **found.to_data(), "errors": errors}


def _format_cells(errors: Errors) -> list[str]:
    shares = (errors.within_5, errors.within_10)
    return [
        *(f"{100 * share:.0f} %" for share in shares),
        f"{100 * errors.most_90:.1f} %",
        f"{errors.tau:.2f}",
    ]
