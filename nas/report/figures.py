"""The figures of a report, as SVG inside a page: their colours are the page's, light or dark, and nothing is
told by colour alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

from nas.measures import Measure
from nas.plots.chart import Point, Scale, choose_ticks, fit_scale, format_path, format_ticks
from nas.plots.svg import format_coordinate
from nas.report.html import element
from nas.study.history import Reached, thin
from nas.study.importance import Importance
from nas.study.objective import Objective
from nas.study.records import Trial
from nas.training.base import Metric

WIDTH, HEIGHT = 420, 290
LEFT, RIGHT, TOP, BOTTOM = 68, 12, 12, 40
"""Margins around the axes, in pixels of a figure that is as wide as it says."""

MOST_DOTS = 1500
"""Of a figure; of more trials as many are drawn at equal steps."""
MOST_LINES = 300
LINE = 16
CHARACTER = 7.0
"""Pixels of one, at most on average."""

STYLE = """
figure svg { width: 100%; height: auto; display: block; font-size: 12px }
@media (max-width: 600px) { figure svg { font-size: 13.5px } }
figure text { fill: var(--ink); dominant-baseline: central }
figure .end { text-anchor: end }
figure .middle { text-anchor: middle }
figure .soft { fill: var(--soft) }
figure .grid { stroke: var(--grid) }
figure .dot { fill: var(--ground); stroke: var(--soft); stroke-width: 1.2 }
figure .kept { fill: var(--one); stroke: var(--ink); stroke-width: 1 }
figure .line { fill: none; stroke: var(--one); stroke-width: 2.4 }
figure .other { fill: none; stroke: var(--two); stroke-width: 2; stroke-dasharray: 6 4 }
figure .thin { fill: none; stroke: var(--soft); stroke-width: 1 }
figure .faint { fill: none; stroke: var(--soft); stroke-width: .7; opacity: .25 }
figure .on { paint-order: stroke; stroke: var(--ground); stroke-width: 4px; stroke-linejoin: round }
figure .good { fill: none; stroke: var(--one); stroke-width: 1.8; opacity: .9 }
"""


@dataclass
class Frame:
    """A figure with two axes. `x_ticks`, `y_ticks`: figures on them and how they are written."""

    about: str
    x: Scale
    y: Scale
    x_title: str
    y_title: str
    x_ticks: Sequence[tuple[float, str]]
    height: int = HEIGHT
    svg: ET.Element = field(init=False)

    def __post_init__(self) -> None:
        self.svg = make_svg(self.about, WIDTH, self.height)
        bottom = self.height - BOTTOM
        for value, text in format_ticks(self.y):
            self.path([(LEFT, self.y(value)), (WIDTH - RIGHT, self.y(value))], "grid")
            self.text(text, LEFT - 6, self.y(value), "end")
        for value, text in self.x_ticks:
            self.path([(self.x(value), TOP), (self.x(value), bottom)], "grid")
            self.text(text, self.x(value), bottom + 12, "middle")
        self.text(self.x_title, (LEFT + WIDTH - RIGHT) / 2, self.height - 9, "middle soft")
        turned = element(
            "text",
            self.y_title,
            class_="middle soft",
            transform=f"translate(8 {(TOP + bottom) / 2:.0f}) rotate(-90)",
        )
        self.svg.append(turned)

    def path(self, points: Sequence[Point], kind: str, title: str = "") -> None:
        made = element("path", element("title", title) if title else None, class_=kind, d=format_path(points))
        self.svg.append(made)

    def text(self, text: str, x: float, y: float, kind: str) -> None:
        self.svg.append(element("text", text, class_=kind, x=format_coordinate(x), y=format_coordinate(y)))

    def dot(self, x: float, y: float, kind: str, title: str, radius: float = 2.4) -> None:
        if self.y.end <= self.y(y) <= self.y.start:
            place = {"cx": format_coordinate(self.x(x)), "cy": format_coordinate(self.y(y)), "r": str(radius)}
            self.svg.append(element("circle", element("title", title), class_=kind, **place))

    def diamond(self, x: float, y: float, title: str) -> None:
        a, b = self.x(x), self.y(y)
        self.path([(a, b - 5), (a + 5, b), (a, b + 5), (a - 5, b), (a, b - 5)], "kept", title)

    def steps(self, points: Sequence[Point], kind: str) -> None:
        """Draw a line that stays where it is until the next point."""
        if not points:
            return
        corners = [points[0]]
        for before, point in pairwise(points):
            if point[1] != before[1]:
                corners += [(point[0], before[1]), point]
        corners.append((points[-1][0], points[-1][1]))
        self.line(corners, kind)

    def line(self, points: Sequence[Point], kind: str) -> None:
        inside = [(self.x(x), min(max(self.y(y), self.y.end), self.y.start)) for x, y in points]
        if len(inside) > 1:
            self.path(inside, kind)


def make_svg(about: str, width: int, height: int) -> ET.Element:
    """Make an empty figure that a screen reader names."""
    return element("svg", viewBox=f"0 0 {width} {height}", role="img", aria_label=about)


def draw_progress(
    reached: Sequence[Reached],
    trials: Sequence[Trial],
    objective: Objective,
    random: Sequence[Reached],
    by_time: bool,
    reward: str,
) -> ET.Element:
    """Draw the best reward against trials, or against the time trained; each trial as a dot, and what random
    search is expected to reach as a line of dashes."""
    ended = [trial for trial in trials if not trial.is_running]
    places: list[float] = []
    spent = 0.0
    for count, trial in enumerate(ended, 1):
        spent += trial.result.seconds or 0.0
        places.append(spent if by_time else count)
    dots = [
        (place, objective.reward(trial.score, trial.candidate.amount), trial)
        for place, trial in zip(places, ended, strict=True)
        if trial.score is not None
    ]
    last = places[-1]
    unit, factor = time_unit(last) if by_time else ("trials", 1.0)
    line = [((one.seconds if by_time else one.trials) / factor, one.reward) for one in reached]
    other = [((one.seconds if by_time else one.trials) / factor, one.reward) for one in random]
    other = [point for point in other if point[0] <= last / factor * (1 + 1e-9)]
    sign = objective.metric.sign
    y = fit_rewards([reward for _, reward, _ in dots] + [reward for _, reward in other], sign)
    first = 0.0 if by_time else min(1.0, last)
    x = Scale(first, max(last / factor, first + 1e-6), LEFT, WIDTH - RIGHT)
    title = f"time trained, {unit}" if by_time else unit
    about = f"Best {reward} against {'the time trained' if by_time else 'trials'}"
    frame = Frame(about, x, y, title, reward, [(v, f"{v:g}") for v in _whole_ticks(x, by_time)])
    for place, value, trial in thin(dots, MOST_DOTS):
        frame.dot(place / factor, value, "dot", f"trial {trial.number}: {value:.4f}")
    frame.line(other, "other")
    frame.steps([*line, (last / factor, line[-1][1])], "line")
    return frame.svg


def draw_front(
    trials: Sequence[Trial], front: Sequence[Trial], measure: Measure, metric: Metric
) -> ET.Element:
    """Draw scores against a cost, those of the front as diamonds on a line."""

    def amount(trial: Trial) -> int:
        return trial.candidate.amount(measure)

    label = measure.label
    scored = [(amount(trial), trial.score, trial) for trial in trials if trial.score is not None]
    x = fit_scale([float(cost) for cost, *_ in scored], LEFT, WIDTH - RIGHT)
    y = fit_rewards([score for _, score, _ in scored], metric.sign)
    ticks = [(v, measure.format(round(v))) for v in choose_ticks(x.low, x.high, 5) if v >= 0]
    frame = Frame(f"{metric.name} against {label}", x, y, label, metric.name, ticks)
    on_front = {trial.number for trial in front}
    for cost, score, trial in thin([one for one in scored if one[2].number not in on_front], MOST_DOTS):
        frame.dot(cost, score, "dot", f"trial {trial.number}: {score:.4f}, {cost:,} {label}")
    points = [(float(amount(trial)), trial.score) for trial in front if trial.score is not None]
    frame.steps(points, "line")
    for place, trial in zip(points, front, strict=True):
        frame.diamond(*place, f"trial {trial.number}: {trial.score:.4f}, {amount(trial):,} {label}")
    return frame.svg


def list_importances(found: Sequence[Importance]) -> ET.Element:
    """List decisions, each with a bar, and the middle 90 % of the trees as a whisker."""
    most = max(one.high for one in found) or 1.0

    def part(value: float) -> str:
        return f"{100 * value / most:.1f}%"

    rows = []
    for one in found:
        bar = element("i", class_="strong", style=f"width: {part(one.value)}")
        whisker = element("b", style=f"left: {part(one.low)}; width: {part(one.high - one.low)}")
        share = element("span", f"{100 * one.value:.1f} %")
        rows.append(
            element(
                "div", element("span", one.name), element("div", bar, whisker), share, class_="importance"
            )
        )
    return element("div", *rows)


def draw_curves(trials: Sequence[Trial], metric: str) -> ET.Element:
    """Draw the learning curves of trials, the best first; each is named at its end."""
    epochs = max(max(trial.curve) for trial in trials)
    values = [value for trial in trials for value in trial.curve.values()]
    room = 10 + CHARACTER * max(len(_name_curve(*one)) for one in enumerate(trials))
    x = Scale(1, max(epochs, 2), LEFT, WIDTH - RIGHT - room)
    y = fit_scale(values, HEIGHT + 60 - BOTTOM, TOP)
    ticks = [(v, f"{v:g}") for v in _whole_ticks(x, False)]
    frame = Frame("Learning curves of the best trials", x, y, "epochs", metric, ticks, HEIGHT + 60)
    ends = spread([y(trial.curve[max(trial.curve)]) for trial in trials], LINE, TOP, HEIGHT + 60 - BOTTOM)
    for rank, trial in reversed(list(enumerate(trials))):
        points = [(float(epoch), value) for epoch, value in sorted(trial.curve.items())]
        kind, name = ("thin" if rank else "line"), _name_curve(rank, trial)
        placed = [(x(a), y(b)) for a, b in points]
        path = element("path", element("title", name), class_=kind, d=format_path(placed))
        if rank:
            path.set("style", f"stroke-dasharray: {_DASHES[rank % len(_DASHES)]}")
        frame.svg.append(path)
        label = WIDTH - RIGHT - room + 10
        frame.path([placed[-1], (label, ends[rank])], "thin" if rank == 0 else "faint")
        frame.text(name, label + 3, ends[rank], "plain")
    return frame.svg


def _name_curve(rank: int, trial: Trial) -> str:
    return f"{rank + 1}. trial {trial.number}"


_DASHES = ("none", "7 3", "2 2", "9 3 2 3", "12 4", "4 4", "1 3", "9 2 2 2 2 2")


ROW = 54


def draw_parallel(
    trials: Sequence[Trial],
    good: Sequence[Trial],
    options: Mapping[str, Sequence[Any]],
    objective: Objective,
    reward: str,
) -> ET.Element:
    """Draw each trial as a line down through its options, one row a decision, to its reward in the last row;
    those of `good` are thicker, on top. A network without a decision passes at its left end."""
    names = [*options, reward]
    left, right = 6.0, WIDTH - 16.0
    levels = {name: ROW * i + 30.0 for i, name in enumerate(names)}
    svg = make_svg("Each trial as a line through its options", WIDTH, ROW * len(names) + 12)
    rewarded = [(objective.reward(t.score, t.candidate.amount), t) for t in trials if t.score is not None]
    rewarded.sort(key=lambda one: one[0])
    last = fit_rewards([value for value, _ in rewarded], objective.metric.sign)
    scale = Scale(last.low, last.high, left + 8, right)
    for y in levels.values():
        svg.append(element("path", class_="grid", d=format_path([(left, y), (right, y)])))

    best = {trial.number for trial in good}
    order = {trial.number: i / max(1, len(rewarded) - 1) - 0.5 for i, (_, trial) in enumerate(rewarded)}
    others = thin([one for one in rewarded if one[1].number not in best], MOST_LINES)
    for value, trial in [*others, *(one for one in rewarded if one[1].number in best)]:
        points = []
        for name, own in options.items():
            x = left
            if name in trial.candidate.choices:
                step = (right - left) / (len(own) + 1)
                place = own.index(trial.candidate.choices[name]) + 1 + 0.5 * order[trial.number]
                x = left + place * step
            points.append((x, levels[name]))
        points.append((min(max(scale(value), left), right), levels[reward]))
        kind = "good" if trial.number in best else "faint"
        title = element("title", f"trial {trial.number}: {value:.4f}")
        svg.append(element("path", title, class_=kind, d=format_path(points)))

    for name, y in levels.items():
        svg.append(_text(cut(name), left, y - 16, "on"))
    for name, own in options.items():
        for i, option in enumerate(own, 1):
            x = left + i * (right - left) / (len(own) + 1)
            svg.append(_text(cut(show_option(option), 9), x, levels[name] + 13, "middle on"))
    for value, text in format_ticks(scale):
        svg.append(_text(text, scale(value), levels[reward] + 13, "middle on"))
    return svg


def fit_rewards(values: Sequence[float], sign: int) -> Scale:
    """Return a scale of rewards up the page that leaves the worst out where they would press the others
    together."""
    ordered = sorted(values, key=lambda value: -sign * value)
    best, worst, most = ordered[0], ordered[-1], ordered[round(0.95 * (len(ordered) - 1))]
    if abs(best - worst) > 3 * abs(best - most) > 0:
        worst = most
    return fit_scale([best, worst], HEIGHT - BOTTOM, TOP)


def spread(places: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Return places at least so far apart, in their order and as near to where they were as that allows."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    result = [0.0] * len(places)
    before = low - apart
    for i in order:
        before = result[i] = max(places[i], before + apart)
    after = high + apart
    for i in reversed(order):
        after = result[i] = min(result[i], after - apart)
    return result


def time_unit(seconds: float) -> tuple[str, float]:
    """Return the unit that a span is best read in, and its seconds."""
    for unit, factor in (("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * factor:
            return unit, factor
    return "seconds", 1.0


def show_option(option: Any) -> str:
    """Return an option as a space's file has it."""
    return str(option).lower() if isinstance(option, bool) else str(option)


def cut(text: str, most: int = 54) -> str:
    """Return a text that fits beside a figure, its end being what tells it from others."""
    return text if len(text) <= most else f"…{text[1 - most :]}"


def _whole_ticks(x: Scale, parts: bool) -> Iterable[float]:
    ticks = choose_ticks(x.low, x.high, 5)
    return ticks if parts else [v for v in ticks if math.isclose(v, round(v)) and v >= x.low]


def _text(text: str, x: float, y: float, kind: str) -> ET.Element:
    return element("text", text, class_=kind, x=format_coordinate(x), y=format_coordinate(y))
