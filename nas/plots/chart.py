"""What plots are made of: a page with a title, axes with round figures, points and lines; as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from nas.plots.svg import FONT, find_baseline, format_coordinate, replace_invalid

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 72, 56
"""Margins around the axes, in pixels."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8f6bb8", "#7a5c00")
"""Okabe and Ito's, which the colour-blind tell apart, and two more."""

_SIZES = {"title": 16, "small": 11}
"""Of the fonts of some classes, in pixels; others have `_SIZE`."""
_SIZE = 12
_TITLE_PX, _TEXT_PX = 9.2, 6.2
"""Pixels that a character of a title, and of other texts, takes on average at most."""

_STYLE = f"""
text {{ {FONT}; font-size: {_SIZE}px; fill: #222 }}
{"".join(f".{kind} {{ font-size: {size}px }} " for kind, size in _SIZES.items())}
.title {{ font-weight: bold }}
.end {{ text-anchor: end }}
.middle {{ text-anchor: middle }}
.light {{ fill: #fff }}
.page {{ fill: #fff }}
.grid {{ stroke: #ddd }}
.curve {{ fill: none; stroke-width: 2 }}
.band {{ stroke: none; opacity: 0.15 }}
"""

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high` on a line from one pixel to another."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def fit_axis(values: Sequence[float], start: float, end: float) -> Axis:
    """Return an axis that has all values, and a little room at its ends."""
    low, high = min(values), max(values)
    space = 0.04 * (high - low) or 0.01 * abs(high) or 0.01
    return Axis(low - space, high + space, start, end)


def make_page(title: str, subtitle: str, size: Point = (WIDTH, HEIGHT)) -> ET.Element:
    """Make an empty SVG with a title and a subtitle; `size`: width and height in pixels, wider where these
    do not fit."""
    texts = max(_TITLE_PX * len(title), _TEXT_PX * len(subtitle))
    width, height = map(format_coordinate, (max(size[0], LEFT + texts + RIGHT), size[1]))
    svg = ET.Element(
        "svg", {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width} {height}", "width": width}
    )
    ET.SubElement(svg, "style").text = _STYLE
    ET.SubElement(svg, "rect", {"class": "page", "width": "100%", "height": "100%"})
    write_text(svg, title, LEFT, 24, "title")
    write_text(svg, subtitle, LEFT, 46, "plain")
    return svg


def render(svg: ET.Element) -> str:
    """Return the text of an SVG file."""
    return ET.tostring(svg, encoding="unicode") + "\n"


def choose_ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Return round figures from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def mark_rows(svg: ET.Element, axis: Axis) -> None:
    """Draw round figures beside the page's height, each with a line."""
    for value, text in format_ticks(axis):
        write_grid(svg, (LEFT, axis(value)), (WIDTH - RIGHT, axis(value)))
        write_text(svg, text, LEFT - 8, axis(value), "end")


def mark_columns(svg: ET.Element, axis: Axis, *, whole: bool = False) -> None:
    """Draw round figures along the page's width, each with a line; `whole`: whole numbers alone."""
    for value, text in format_ticks(axis):
        if whole and not float(value).is_integer():
            continue
        write_grid(svg, (axis(value), TOP), (axis(value), HEIGHT - BOTTOM))
        write_text(svg, text, axis(value), HEIGHT - BOTTOM + 14, "middle")


def format_ticks(axis: Axis) -> list[tuple[float, str]]:
    """Return round figures on an axis, and how they are written."""
    marks = choose_ticks(axis.low, axis.high)
    digits = max(0, -math.floor(math.log10(marks[1] - marks[0]) + 1e-9)) if len(marks) > 1 else 2
    return [(value, f"{value:.{digits}f}") for value in marks]


def format_path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{format_coordinate(x)} {format_coordinate(y)}" for x, y in points)


def write_grid(svg: ET.Element, start: Point, end: Point) -> None:
    ET.SubElement(svg, "path", {"class": "grid", "d": format_path([start, end])})


def write_text(svg: ET.Element, text: str, x: float, y: float, kind: str) -> ET.Element:
    """Write a text of classes of the style, whose middle is at the height `y`, and return its element."""
    size = next((_SIZES[name] for name in kind.split() if name in _SIZES), _SIZE)
    place = {"class": kind, "x": format_coordinate(x), "y": format_coordinate(find_baseline(y, size))}
    element = ET.SubElement(svg, "text", place)
    element.text = replace_invalid(text)
    return element
