"""Scores of several, a row each: every seed, the mean, and how far that may be off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from nas.plots.chart import (
    BOTTOM,
    COLOURS,
    RIGHT,
    TOP,
    WIDTH,
    fit_axis,
    format_path,
    format_ticks,
    make_page,
    render,
    write_grid,
    write_text,
)
from nas.plots.svg import format_coordinate

_LEFT, _ROW = 300, 26
"""Pixels for the names, and for a row."""


@dataclass(frozen=True)
class Row:
    """Scores of one, their mean, and how far that may be off on either side."""

    name: str
    scores: Sequence[float]
    mean: float
    margin: float


def draw_rows(
    title: str, subtitle: str, rows: Sequence[Row], unit: str, mark: tuple[str, float] | None = None
) -> str:
    """Return the SVG of rows from the top down; `mark`: a name and where its line of dashes runs through
    all."""
    bottom = TOP + _ROW * len(rows)
    svg = make_page(title, subtitle, (WIDTH, bottom + BOTTOM))
    ends = [row.mean + side * row.margin for row in rows for side in (-1, 1)]
    marked = [mark[1]] if mark else []
    x = fit_axis([*ends, *(score for row in rows for score in row.scores), *marked], _LEFT, WIDTH - RIGHT)
    for value, text in format_ticks(x):
        write_grid(svg, (x(value), TOP), (x(value), bottom))
        write_text(svg, text, x(value), bottom + 14, "middle")
    write_text(svg, unit, (_LEFT + WIDTH - RIGHT) / 2, bottom + 38, "middle")
    if mark:
        line = {"class": "curve", "stroke": "#777", "stroke-dasharray": "4 4"}
        ET.SubElement(svg, "path", {**line, "d": format_path([(x(mark[1]), TOP), (x(mark[1]), bottom)])})
        write_text(svg, mark[0], _LEFT - 12, bottom + 38, "end").set("fill", "#777")
    for number, row in enumerate(rows):
        y = TOP + _ROW * (number + 0.5)
        write_text(svg, row.name, _LEFT - 12, y, "end")
        whisker = [(x(row.mean - row.margin), y), (x(row.mean + row.margin), y)]
        ET.SubElement(svg, "path", {"class": "curve", "stroke": COLOURS[0], "d": format_path(whisker)})
        for score in row.scores:
            place = {"cx": format_coordinate(x(score)), "cy": format_coordinate(y), "r": "3.5"}
            dot = ET.SubElement(svg, "circle", {**place, "fill": "none", "stroke": COLOURS[0]})
            ET.SubElement(dot, "title").text = f"{row.name}: {score:.4f}"
        a, colour = x(row.mean), COLOURS[1] if number == 0 else COLOURS[0]
        diamond = [(a, y - 6), (a + 6, y), (a, y + 6), (a - 6, y), (a, y - 6)]
        ET.SubElement(svg, "path", {"fill": colour, "d": format_path(diamond)})
    return render(svg)
