"""A picture of two scores of each thing: a dot for each of the first, beside the second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from nas.plots.chart import (
    BOTTOM,
    COLOURS,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    fit_axis,
    make_page,
    mark_columns,
    mark_rows,
    render,
    write_text,
)
from nas.plots.svg import format_coordinate


@dataclass(frozen=True)
class Dots:
    """What is shown of one thing: a dot at each of `across`, all as high as `up`."""

    name: str
    across: Sequence[float]
    up: float


def draw_scatter(title: str, subtitle: str, across: str, up: str, dots: Sequence[Dots]) -> str:
    """Return the SVG of dots, in which `across` and `up` name the scores."""
    svg = make_page(title, subtitle)
    x = fit_axis([value for one in dots for value in one.across], LEFT, WIDTH - RIGHT)
    y = fit_axis([one.up for one in dots], HEIGHT - BOTTOM, TOP)
    mark_rows(svg, y)
    mark_columns(svg, x)
    write_text(svg, up, 8, TOP - 10, "plain")
    write_text(svg, across, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, "middle")
    for one in dots:
        for value in one.across:
            place = {"cx": format_coordinate(x(value)), "cy": format_coordinate(y(one.up)), "r": "4"}
            looks = {"class": "dot", "data-name": one.name, "fill": COLOURS[0], "opacity": "0.7"}
            ET.SubElement(svg, "circle", looks | place)
    return render(svg)
