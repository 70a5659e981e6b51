"""How long the best network takes, where that was measured."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from nas.errors import InputError
from nas.report.embedding import write_figure
from nas.report.figures import draw_latencies
from nas.report.html import element, make_table
from nas.report.latency import HEADS, describe_profile, format_latency_cells, list_profile_doubts
from nas.report.parts.facts import Facts, write_note, write_section
from nas.runs.provenance import damage_told

_TITLE = "Latency"


def write_latency(known: Facts) -> ET.Element | None:
    found = known.found.profile
    if found is None:
        return None
    if isinstance(found, InputError):
        return write_section("latency", _TITLE, write_note(str(found)))
    try:
        with damage_told(known.state.folder.profile_file, "measure again"):  # of figures that are none
            rows = [format_latency_cells(one) for one in found.latencies]
            doubts = [f"Known to be slow: {text}." for text in found.warnings] + list_profile_doubts(found)
            return write_section(
                "latency",
                _TITLE,
                write_note(
                    "Milliseconds by nas profile; 10 % of the runs were below the first. "
                    f"{describe_profile(found)}."
                ),
                make_table(HEADS, rows),
                write_figure(
                    draw_latencies(found.latencies),
                    "How long each network takes in each runtime",
                    "The diamond is the median; the line runs from the 10 % to the 95 % figure.",
                ),
                *(element("p", text) for text in doubts),
            )
    except InputError as error:
        return write_section("latency", _TITLE, write_note(str(error)))
