"""The plot of a contest: mean best true score against trials, a line a sampler with its interval, as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from xml.etree import ElementTree as ET

from nas.bench.contest import BASELINE
from nas.bench.standings import Standing
from nas.plots.chart import (
    BOTTOM,
    COLOURS,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Point,
    fit_axis,
    format_path,
    make_page,
    mark_rows,
    render,
    write_grid,
    write_text,
)
from nas.plots.svg import replace_invalid

LINE = 18


@dataclass(frozen=True)
class _Axes:
    """Trials from `first` to `last` on a logarithmic scale, and the axis of scores."""

    first: int
    last: int
    y: Axis

    def place(self, trials: int) -> float:
        part = math.log(trials / self.first) / math.log(self.last / self.first)
        return LEFT + part * (WIDTH - LEFT - RIGHT)


def plot(title: str, subtitle: str, result: Sequence[Standing]) -> str:
    """Return the SVG of a contest's curves.

    The first trials, which are far below all others, are left out: curves begin at a twentieth of the last.
    An SVG is XML: the elements with class `curve` carry the sampler as `data-name`.
    """
    axes = _fit_axes(result)
    svg = make_page(title, subtitle)
    _write_axes(svg, axes)
    colours = cycle(COLOURS)
    painted = [(one, "#777777" if one.sampler == BASELINE else next(colours)) for one in result]
    for one, colour in painted:
        _write_band(svg, axes, one, colour)
    for one, colour in painted:
        points = _place_points(axes, one, lambda e: e.mean)
        ET.SubElement(
            svg,
            "path",
            {
                "class": "curve",
                "data-name": replace_invalid(one.sampler),
                "stroke": colour,
                "d": format_path(points),
            },
        )
    _write_legend(svg, sorted(painted, key=lambda pair: -pair[0].curve[-1].mean))
    return render(svg)


def _fit_axes(result: Sequence[Standing]) -> _Axes:
    last = len(result[0].curve)
    first = max(1, last // 20)
    shown = [e for one in result for e in one.curve[first - 1 :]]
    ends = [v for e in shown for v in (e.mean, e.low, e.high) if not math.isnan(v)]
    return _Axes(first, max(last, first + 1), fit_axis(ends, HEIGHT - BOTTOM, TOP))


def _write_axes(svg: ET.Element, axes: _Axes) -> None:
    mark_rows(svg, axes.y)
    for trials in _format_trials(axes):
        write_grid(svg, (axes.place(trials), TOP), (axes.place(trials), HEIGHT - BOTTOM))
        write_text(svg, f"{trials:,}", axes.place(trials), HEIGHT - BOTTOM + 14, "middle")
    write_text(svg, "trials", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, "middle")


def _format_trials(axes: _Axes) -> list[int]:
    round_ones = (factor * 10**power for power in range(7) for factor in (1, 2, 5))
    return [n for n in round_ones if axes.first <= n < 0.8 * axes.last] + [axes.last]


def _write_band(svg: ET.Element, axes: _Axes, one: Standing, colour: str) -> None:
    upper = _place_points(axes, one, lambda e: e.high)
    lower = _place_points(axes, one, lambda e: e.low)
    if not any(math.isnan(y) for _, y in upper):
        ET.SubElement(
            svg, "path", {"class": "band", "fill": colour, "d": format_path(upper + lower[::-1]) + "Z"}
        )


def _write_legend(svg: ET.Element, painted: Sequence[tuple[Standing, str]]) -> None:
    """Write the samplers, the best first, in the corner that rising curves leave free."""
    widest = max(len(one.sampler) for one, _ in painted)
    x, y = WIDTH - RIGHT - 7.0 * widest - 40, HEIGHT - BOTTOM - LINE * len(painted)
    for i, (one, colour) in enumerate(painted):
        middle = y + LINE * i
        ET.SubElement(
            svg,
            "path",
            {"stroke": colour, "stroke-width": "3", "d": format_path([(x, middle), (x + 22, middle)])},
        )
        write_text(svg, one.sampler, x + 30, middle, "plain")


def _place_points(axes: _Axes, one: Standing, value: Callable[..., float]) -> list[Point]:
    shown = list(enumerate(one.curve, 1))[axes.first - 1 :]
    return [(axes.place(n), axes.y(value(e))) for n, e in shown]
