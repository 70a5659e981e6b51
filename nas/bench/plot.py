"""The plot of a contest: mean best true score against trials, a line a sampler with its interval, as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from xml.etree import ElementTree as ET

from nas.bench.contest import BASELINE
from nas.bench.figures import Standing
from nas.report.svg import number, plain

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 72, 56
"""Margins around the axes, in pixels."""
LINE = 18

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8f6bb8", "#7a5c00")
"""Okabe and Ito's, which the colour-blind tell apart, and two more; the baseline is grey."""

_STYLE = """
text { font: 12px system-ui, "Helvetica Neue", Arial, sans-serif; fill: #222; dominant-baseline: central }
.title { font-weight: 600; font-size: 16px }
.end { text-anchor: end }
.middle { text-anchor: middle }
.page { fill: #fff }
.grid { stroke: #ddd }
.curve { fill: none; stroke-width: 2 }
.band { stroke: none; opacity: 0.15 }
"""

Point = tuple[float, float]


@dataclass(frozen=True)
class _Axes:
    """Trials from `first` to `last` on a logarithmic scale, scores from `low` to `high`."""

    first: int
    last: int
    low: float
    high: float

    def x(self, trials: int) -> float:
        part = math.log(trials / self.first) / math.log(self.last / self.first)
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def y(self, score: float) -> float:
        part = (score - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)


def plot(title: str, subtitle: str, result: Sequence[Standing]) -> str:
    """The SVG of a contest's curves.

    The first trials, which are far below all others, are left out: curves begin at a twentieth of the last.
    An SVG is XML: the elements with class `curve` carry the sampler as `data-name`.
    """
    axes = _axes(result)
    svg = ET.Element(
        "svg",
        {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {WIDTH} {HEIGHT}", "width": str(WIDTH)},
    )
    ET.SubElement(svg, "style").text = _STYLE
    ET.SubElement(svg, "rect", {"class": "page", "width": "100%", "height": "100%"})
    _text(svg, title, LEFT, 24, "title")
    _text(svg, subtitle, LEFT, 46, "plain")
    _write_axes(svg, axes)
    colours = cycle(_COLOURS)
    painted = [(one, "#777777" if one.sampler == BASELINE else next(colours)) for one in result]
    for one, colour in painted:
        _write_band(svg, axes, one, colour)
    for one, colour in painted:
        points = _points(axes, one, lambda e: e.mean)
        ET.SubElement(
            svg,
            "path",
            {"class": "curve", "data-name": plain(one.sampler), "stroke": colour, "d": _path(points)},
        )
    _write_legend(svg, sorted(painted, key=lambda pair: -pair[0].curve[-1].mean))
    return ET.tostring(svg, encoding="unicode") + "\n"


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round figures from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def _axes(result: Sequence[Standing]) -> _Axes:
    last = len(result[0].curve)
    first = max(1, last // 20)
    shown = [e for one in result for e in one.curve[first - 1 :]]
    ends = [v for e in shown for v in (e.mean, e.low, e.high) if not math.isnan(v)]
    low, high = min(ends), max(ends)
    space = 0.04 * (high - low) or 0.01 * abs(high) or 0.01
    return _Axes(first, max(last, first + 1), low - space, high + space)


def _write_axes(svg: ET.Element, axes: _Axes) -> None:
    marks = ticks(axes.low, axes.high)
    digits = max(0, -math.floor(math.log10(marks[1] - marks[0]) + 1e-9)) if len(marks) > 1 else 2
    for score in marks:
        _grid(svg, (LEFT, axes.y(score)), (WIDTH - RIGHT, axes.y(score)))
        _text(svg, f"{score:.{digits}f}", LEFT - 8, axes.y(score), "end")
    for trials in _trial_marks(axes):
        _grid(svg, (axes.x(trials), TOP), (axes.x(trials), HEIGHT - BOTTOM))
        _text(svg, f"{trials:,}", axes.x(trials), HEIGHT - BOTTOM + 14, "middle")
    _text(svg, "trials", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, "middle")


def _trial_marks(axes: _Axes) -> list[int]:
    round_ones = (factor * 10**power for power in range(7) for factor in (1, 2, 5))
    return [n for n in round_ones if axes.first <= n < 0.8 * axes.last] + [axes.last]


def _write_band(svg: ET.Element, axes: _Axes, one: Standing, colour: str) -> None:
    upper = _points(axes, one, lambda e: e.high)
    lower = _points(axes, one, lambda e: e.low)
    if not any(math.isnan(y) for _, y in upper):
        ET.SubElement(svg, "path", {"class": "band", "fill": colour, "d": _path(upper + lower[::-1]) + "Z"})


def _write_legend(svg: ET.Element, painted: Sequence[tuple[Standing, str]]) -> None:
    """The samplers, the best first, in the corner that rising curves leave free."""
    widest = max(len(one.sampler) for one, _ in painted)
    x, y = WIDTH - RIGHT - 7.0 * widest - 40, HEIGHT - BOTTOM - LINE * len(painted)
    for i, (one, colour) in enumerate(painted):
        middle = y + LINE * i
        ET.SubElement(
            svg, "path", {"stroke": colour, "stroke-width": "3", "d": _path([(x, middle), (x + 22, middle)])}
        )
        _text(svg, one.sampler, x + 30, middle, "plain")


def _points(axes: _Axes, one: Standing, value: Callable[..., float]) -> list[Point]:
    shown = list(enumerate(one.curve, 1))[axes.first - 1 :]
    return [(axes.x(n), axes.y(value(e))) for n, e in shown]


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


def _grid(svg: ET.Element, start: Point, end: Point) -> None:
    ET.SubElement(svg, "path", {"class": "grid", "d": _path([start, end])})


def _text(svg: ET.Element, text: str, x: float, y: float, kind: str) -> None:
    ET.SubElement(svg, "text", {"class": kind, "x": number(x), "y": number(y)}).text = plain(text)
