"""The parts of a report: what a run says, as tables, figures and sentences."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from nas.report.parts.choices import write_choices, write_importance, write_parallel
from nas.report.parts.facts import Facts
from nas.report.parts.network import write_command, write_tiles, write_winner
from nas.report.parts.profiled import write_latency
from nas.report.parts.progress import write_costs, write_curves, write_progress
from nas.report.parts.rivals import write_versus
from nas.report.parts.spent import write_failures, write_time
from nas.report.parts.trust import write_ancestry, write_trust

__all__ = ["Facts", "write_parts", "write_tiles"]

_PARTS = (
    write_command, write_winner, write_progress, write_costs, write_importance, write_choices, write_parallel,
    write_curves, write_ancestry, write_trust, write_versus, write_latency, write_time, write_failures,
)  # fmt: skip


def write_parts(known: Facts) -> Iterator[ET.Element]:
    """Return the parts that a run has something to say in, in their order."""
    for write in _PARTS:
        if (part := write(known)) is not None:
            yield part
