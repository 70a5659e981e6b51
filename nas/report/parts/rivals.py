"""The best network against baselines, where 'nas versus' compared them."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from nas.errors import InputError
from nas.plots.chart import Scale, fit_scale, format_path, format_ticks
from nas.plots.svg import format_coordinate
from nas.report.claims import describe_equal_cost, name_standing, verdict_cells, verdict_heads
from nas.report.figures import CHARACTER, WIDTH, cut, make_svg
from nas.report.html import element, make_table
from nas.report.parts.facts import Facts, write_note, write_section
from nas.runs.comparison import VersusFolder
from nas.workflows.versus.verdict import Standing, Verdict

_ROW, _TOP, _BOTTOM = 40, 8, 34
"""Pixels of a row, above the first, and for the axis below the last."""


def write_versus(known: Facts) -> ET.Element | None:
    folder = VersusFolder(known.state.folder.path / "versus")
    try:
        verdict = Verdict.read(folder)
    except InputError as error:
        return write_section("versus", "Against baselines", write_note(str(error)))
    if verdict is None:
        return None
    dots = draw_scores(verdict)
    figures = [("Each seed as a dot, the mean as a diamond.", dots)]
    if any(one.difference for one in verdict.others):
        said = "How far the network is ahead under each seed, the mean, and its 95 % interval."
        figures.append((said, draw_differences(verdict)))
    drawn = [element("figure", svg, element("figcaption", said)) for said, svg in figures]
    notes = list(verdict.notes)
    if verdict.equal_cost:
        notes.append(describe_equal_cost(verdict.equal_cost))
    return write_section(
        "versus",
        "Against baselines",
        element("p", verdict.claim),
        make_table(verdict_heads(verdict), verdict_cells(verdict)),
        element("div", *drawn, class_="figures"),
        write_note(
            f"Within {verdict.budget}, by one recipe. Differences are of the network less each; "
            f"{verdict.test}."
        ),
        *(write_note(note) for note in notes),
    )


def draw_scores(verdict: Verdict) -> ET.Element:
    """Draw the scores of each network, a row each: a dot for each seed, and the mean."""
    rows = [(name_standing(verdict, one), one.known) for one in verdict.standings]
    about = f"{verdict.metric.capitalize()} of each network under each seed"
    chart = _Rows(about, rows, verdict.metric)
    for number, (name, scores) in enumerate(rows):
        for score in scores:
            chart.dot(number, score, f"{name}: {score:.4f}")
    for number, one in enumerate(verdict.standings):
        if one.mean is not None:
            chart.diamond(number, one.mean, f"{rows[number][0]}: mean {one.mean:.4f}")
    return chart.svg


def draw_differences(verdict: Verdict) -> ET.Element:
    """Draw the differences of the network to each baseline, a row each: a dot for each seed, the mean, and
    its interval as a line. A line of dashes is where nothing is ahead."""
    ahead = [one for one in verdict.others if one.difference]
    rows = [(name_standing(verdict, one), [*_pairs(verdict.own, one), 0.0]) for one in ahead]
    about = "Differences to each baseline under each seed"
    chart = _Rows(about, rows, f"{verdict.metric} ahead", mark=0.0)
    for number, one in enumerate(ahead):
        found, name = one.difference, rows[number][0]
        assert found is not None
        for ahead_by in _pairs(verdict.own, one):
            chart.dot(number, ahead_by, f"ahead of {name} by {ahead_by:+.4f}")
        chart.interval(number, found.low, found.high)
        chart.diamond(number, found.mean, f"ahead of {name} by {found.mean:+.4f} on average")
    return chart.svg


def _pairs(own: Standing, other: Standing) -> list[float]:
    both = zip(own.scores, other.scores, strict=True)
    return [a - b for a, b in both if a is not None and b is not None]


class _Rows:
    """A figure with a named row for each of some lists of values. `mark`: where a line of dashes runs through
    all of them."""

    def __init__(
        self,
        about: str,
        rows: Sequence[tuple[str, Sequence[float]]],
        title: str,
        mark: float | None = None,
    ) -> None:
        height = _TOP + _ROW * len(rows) + _BOTTOM
        self.svg = make_svg(about, WIDTH, height)
        self._end = height - _BOTTOM
        self._x: Scale = fit_scale(
            [value for _, values in rows for value in values] or [0.0, 1.0], 12, WIDTH - 12
        )
        for value, text in format_ticks(self._x):
            self._line([(self._x(value), _TOP), (self._x(value), self._end)], "grid")
            self._text(text, self._x(value), self._end + 12, "middle")
        if mark is not None:
            self._line([(self._x(mark), _TOP), (self._x(mark), self._end)], "other")
        self._text(title, WIDTH / 2, height - 8, "middle soft")
        for number, (name, _) in enumerate(rows):
            self._text(cut(name, int((WIDTH - 24) / CHARACTER)), 12, self._y(number) - 15, "on")

    def dot(self, row: int, value: float, title: str) -> None:
        place = {"cx": format_coordinate(self._x(value)), "cy": format_coordinate(self._y(row)), "r": "3.4"}
        self.svg.append(element("circle", element("title", title), class_="dot", **place))

    def diamond(self, row: int, value: float, title: str) -> None:
        a, b = self._x(value), self._y(row)
        points = [(a, b - 6), (a + 6, b), (a, b + 6), (a - 6, b), (a, b - 6)]
        path = element("path", element("title", title), class_="kept", d=format_path(points))
        self.svg.append(path)

    def interval(self, row: int, low: float, high: float) -> None:
        a, b, y = self._x(low), self._x(high), self._y(row)
        self._line([(a, y), (b, y)], "line")
        for end in (a, b):
            self._line([(end, y - 5), (end, y + 5)], "line")

    def _y(self, row: int) -> float:
        return _TOP + _ROW * row + 28

    def _line(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        self.svg.append(element("path", class_=kind, d=format_path(points)))

    def _text(self, text: str, x: float, y: float, kind: str) -> None:
        self.svg.append(element("text", text, class_=kind, x=format_coordinate(x), y=format_coordinate(y)))
