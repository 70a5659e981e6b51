"""The figures of a report, by plotly and Optuna: their colours are the page's, light or dark, and nothing is
told by colour alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import accumulate
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna.trial import TrialState, create_trial
from optuna.visualization import plot_intermediate_values, plot_optimization_history, plot_pareto_front

from nas.latency.summary import Latency
from nas.measures import Measure
from nas.plots.chart import choose_ticks
from nas.report.html import clean
from nas.samplers.verbosity import quiet_optuna
from nas.study.history import Reached, thin
from nas.study.importance import Importance
from nas.study.objective import Objective
from nas.study.records import Trial
from nas.training.base import Metric

HEIGHT = 320
"""Pixels of most figures, which are as wide as there is room."""
ROW = 44
"""Pixels of a row that has a name above it."""
MOST_DOTS = 1500
"""Of a figure; of more trials as many are drawn at equal steps."""
MOST_LINES = 300
TOGETHER = 12
"""Lines that are drawn as one: many in one are faster, and hide how many lie upon each other."""

GROUND, INK, SOFT, GRID, ONE, TWO = (
    f"var(--{name})" for name in ("ground", "ink", "soft", "grid", "one", "two")
)
"""Colours, by the names that the style of the page has for them."""
CLEAR = "rgba(0,0,0,0)"
DOT = {"symbol": "circle-open", "color": SOFT, "size": 6}
DIAMOND = {"symbol": "diamond", "color": ONE, "size": 11, "line": {"color": INK, "width": 1}}
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square-open", "diamond-open", "triangle-up", "x-thin-open", "star", "circle-open")

_AXIS = {
    "automargin": True, "gridcolor": GRID, "linecolor": GRID, "zeroline": False,
    "title": {"font": {"color": SOFT}, "standoff": 6},
}  # fmt: skip
THEME = go.layout.Template(
    layout={
        "autotypenumbers": "strict",
        "font": {"color": INK, "family": "system-ui, 'Helvetica Neue', Arial, sans-serif", "size": 12},
        "hoverlabel": {"bgcolor": GROUND, "bordercolor": SOFT, "font": {"color": INK}},
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
        "modebar": {"activecolor": INK, "bgcolor": CLEAR, "color": SOFT},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "xaxis": _AXIS,
        "yaxis": _AXIS,
    }
)


def draw_progress(
    trials: Sequence[Trial], objective: Objective, random: Sequence[Reached], by_time: bool, reward: str
) -> go.Figure:
    """Draw the best reward against ended trials, or against the time trained; each trial as a dot, and what
    random search is expected to reach as a line of dashes."""
    ended = [trial for trial in trials if not trial.is_running]
    seconds = list(accumulate(trial.result.seconds or 0.0 for trial in ended))
    unit, factor = choose_unit(seconds[-1]) if by_time else ("trials", 1.0)
    places = [spent / factor for spent in seconds] if by_time else list(range(1, len(ended) + 1))
    with quiet_optuna():
        study = optuna.create_study(direction="maximize" if objective.metric.maximize else "minimize")
    study.add_trials(
        create_trial(state=TrialState.FAIL)
        if trial.score is None
        else create_trial(value=objective.compute_reward(trial.score, trial.candidate.amount))
        for trial in ended
    )
    figure = plot_optimization_history(study, target_name=to_text(reward))
    dots, best = figure.data = figure.data[:2]  # without those that break a constraint
    rewards = dict(zip(dots.x, dots.y, strict=True))
    shown = thin(list(rewards), MOST_DOTS)
    dots.update(
        x=[places[i] for i in shown],
        y=[rewards[i] for i in shown],
        name="a trial",
        marker=DOT,
        hoverinfo="text",
        hovertext=[f"trial {ended[i].number}: {rewards[i]:.4f}" for i in shown],
    )
    best.update(x=places, name="best so far", line={"color": ONE, "shape": "hv", "width": 2.4})
    other = [((one.seconds / factor if by_time else one.trials), one.reward) for one in random]
    other = [point for point in other if point[0] <= places[-1] * (1 + 1e-9)]
    if other:
        xs, ys = zip(*other, strict=True)
        dashes = {"color": TWO, "dash": "dash", "width": 2}
        figure.add_scatter(x=xs, y=ys, name="random search, expected", mode="lines", line=dashes)
    rewards_shown = [*rewards.values(), *(reward for _, reward in other)]
    figure.update_yaxes(range=fit_rewards(rewards_shown, objective.metric.sign))
    figure.update_xaxes(**_count_from_one(places[-1]) if not by_time else {})
    return _finish(figure, HEIGHT, f"time trained, {unit}" if by_time else "trials ended", to_text(reward))


def draw_front(
    trials: Sequence[Trial], front: Sequence[Trial], measure: Measure, metric: Metric
) -> go.Figure:
    """Draw scores against a cost, those of the front as diamonds on a line."""
    on_front = {trial.number for trial in front}
    others = [trial for trial in trials if trial.score is not None and trial.number not in on_front]
    shown = [*front, *thin(others, MOST_DOTS)]
    costs = [trial.candidate.amount(measure) for trial in shown]
    scores = [score for trial in shown if (score := trial.score) is not None]
    with quiet_optuna():
        study = optuna.create_study(directions=["minimize", "maximize" if metric.maximize else "minimize"])
    study.add_trials(create_trial(values=point) for point in zip(costs, scores, strict=True))
    label = to_text(measure.label)
    figure = plot_pareto_front(study, target_names=[label, to_text(metric.name)])
    for trace, name, look in zip(figure.data, ("a trial", "the front"), (DOT, DIAMOND), strict=True):
        numbers = sorted(trace.marker.color, key=costs.__getitem__)  # by which Optuna colours them
        trace.marker, trace.hovertemplate, trace.text = look, None, None
        trace.update(
            x=[costs[i] for i in numbers],
            y=[scores[i] for i in numbers],
            name=name,
            showlegend=True,
            hoverinfo="text",
            hovertext=[
                f"trial {shown[i].number}: {scores[i]:.4f}, {measure.show(costs[i])} {label}" for i in numbers
            ],
        )
    figure.data[1].update(mode="lines+markers", line={"color": ONE, "shape": "hv", "width": 2.4})
    low, high = fit_range(costs)
    ticks = [tick for tick in choose_ticks(low, high, 5) if tick >= 0]
    figure.update_xaxes(range=[low, high], tickvals=ticks, ticktext=[measure.format(round(t)) for t in ticks])
    figure.update_yaxes(range=fit_rewards(scores, metric.sign))
    return _finish(figure, HEIGHT, label, to_text(metric.name))


def draw_curves(trials: Sequence[Trial], metric: str) -> go.Figure:
    """Draw the learning curves of trials, the best first: its line is thick, and above the others."""
    with quiet_optuna():
        study = optuna.create_study()
    study.add_trials(create_trial(value=0.0, intermediate_values=dict(t.curve)) for t in reversed(trials))
    figure = plot_intermediate_values(study)
    for rank, (trace, trial) in enumerate(zip(reversed(figure.data), trials, strict=True)):
        colour = (ONE, INK, TWO, SOFT)[rank % 4]
        trace.update(
            name=f"{rank + 1}. trial {trial.number}",
            line={"color": colour, "dash": DASHES[rank % len(DASHES)], "width": 1.4 if rank else 3},
            marker={"color": colour, "symbol": SYMBOLS[rank % len(SYMBOLS)], "size": 6},
            hovertemplate="%{fullData.name}, epoch %{x}: %{y:.4f}<extra></extra>",
        )
    figure.update_xaxes(**_count_from_one(max(max(trial.curve) for trial in trials)))
    figure.update_layout(showlegend=True, legend={"traceorder": "reversed"})
    return _finish(figure, HEIGHT + 80, "epochs", to_text(metric))


def draw_importances(found: Sequence[Importance]) -> go.Figure:
    """Draw a bar for each decision, and the middle 90 % of the trees as a whisker."""
    figure = go.Figure()
    figure.add_bar(
        x=[100 * one.value for one in found],
        y=list(range(len(found))),
        orientation="h",
        width=0.3,
        marker={"color": ONE},
        hoverinfo="text",
        hovertext=[f"{100 * one.low:.1f} to {100 * one.high:.1f} %" for one in found],
    )
    add_whiskers(figure, [(100 * one.low, 100 * one.high) for one in found])
    figure.update_xaxes(rangemode="tozero", ticksuffix=" %")
    names = [f"{to_text(cut(one.name, 36))}: {100 * one.value:.1f} %" for one in found]
    return finish_rows(figure, names, "of the variance")


def draw_shares(options: Sequence[Any], good: Sequence[float], every: Sequence[float]) -> go.Figure:
    """Draw how often each option is among good trials, a full bar, and among all, an empty one below it."""
    figure = go.Figure()
    empty = {"color": CLEAR, "line": {"color": SOFT, "width": 1}}
    for name, shares, look in (("good", good, {"color": ONE}), ("all", every, empty)):
        figure.add_bar(
            x=[100 * share for share in shares],
            y=list(range(len(options))),
            orientation="h",
            name=name,
            marker=look,
            text=[f"{100 * share:.0f} %" for share in shares],
            textposition="outside",
            cliponaxis=False,
            hoverinfo="text",
            hovertext=[
                f"{to_text(show_option(option))}: {100 * share:.1f} % of {name}"
                for option, share in zip(options, shares, strict=True)
            ],
        )
    figure.update_layout(bargap=0.2, showlegend=False)
    figure.update_xaxes(range=[0, 118], visible=False)
    labels = [to_text(cut(show_option(option), 16)) for option in options]
    figure.update_yaxes(  # ticks that are not seen keep an option apart from a share of 0 %
        range=[len(options) - 0.5, -0.5], tickvals=list(range(len(options))), ticktext=labels, showgrid=False,
        ticks="outside", ticklen=8, tickcolor=CLEAR,
    )  # fmt: skip
    return _finish(figure, 34 * len(options) + 16)


def draw_parallel(
    trials: Sequence[Trial],
    good: Sequence[Trial],
    options: Mapping[str, Sequence[Any]],
    objective: Objective,
    reward: str,
) -> go.Figure:
    """Draw each trial as a line down through its options, one row a decision, to its reward in the last row;
    those of `good` are thicker, on top. A network without a decision passes at its left end.

    Optuna 4's own needs `eval`, which the page forbids; Optuna 5's is told by colour, and wide.
    """
    rewarded = [
        (objective.compute_reward(t.score, t.candidate.amount), t) for t in trials if t.score is not None
    ]
    rewarded.sort(key=lambda one: one[0])
    low, high = fit_rewards([value for value, _ in rewarded], objective.metric.sign)
    order = {trial.number: i / max(1, len(rewarded) - 1) - 0.5 for i, (_, trial) in enumerate(rewarded)}

    def place(trial: Trial, name: str) -> float:
        choices = trial.candidate.choices
        if name not in choices:
            return 0.0
        return (options[name].index(choices[name]) + 1 + 0.5 * order[trial.number]) / (len(options[name]) + 1)

    names, rows = [*options, reward], list(range(len(options) + 1))
    figure = go.Figure()
    line = {"type": "line", "x0": 0, "x1": 1, "line": {"color": GRID}, "layer": "below"}
    figure.update_layout(shapes=[{**line, "y0": row, "y1": row} for row in rows])
    best = {trial.number for trial in good}
    others = thin([one for one in rewarded if one[1].number not in best], MOST_LINES)
    faint, thick = {"color": SOFT, "width": 0.8}, {"color": ONE, "width": 1.8}
    groups = [(others[i : i + TOGETHER], faint, 0.35) for i in range(0, len(others), TOGETHER)]
    for group, look, opacity in (*groups, ([one for one in rewarded if one[1].number in best], thick, 0.9)):
        xs: list[float | None] = []
        for value, trial in group:
            end = min(max((value - low) / (high - low), 0.0), 1.0)
            xs += [*(place(trial, name) for name in options), end, None]
        figure.add_scatter(
            x=xs, y=[*rows, None] * len(group), mode="lines", line=look, opacity=opacity, hoverinfo="text",
            hovertext=[f"trial {trial.number}: {value:.4f}" for value, trial in group for _ in (*rows, None)],
        )  # fmt: skip

    labels = [_label(to_text(cut(name)), 0, row, xanchor="left", yshift=16) for row, name in enumerate(names)]
    for row, own in enumerate(options.values()):
        places = (i / (len(own) + 1) for i in range(1, len(own) + 1))
        labels += [
            _label(to_text(cut(show_option(option), 9)), x, row, yshift=-13)
            for x, option in zip(places, own, strict=True)
        ]
    for tick in choose_ticks(low, high, 5):
        labels.append(_label(f"{tick:.4g}", (tick - low) / (high - low), rows[-1], yshift=-13))
    figure.update_layout(annotations=labels, showlegend=False)
    figure.update_xaxes(range=[-0.02, 1.02], visible=False)
    figure.update_yaxes(range=[len(rows) - 0.5, -0.6], visible=False)
    return _finish(figure, 54 * len(rows) + 16)


def draw_latencies(found: Sequence[Latency]) -> go.Figure:
    """Draw how long each network takes in each runtime, a row each: the median, and a whisker from the figure
    that 10 % of the runs are below to the one that 95 % are, where it is known."""
    figure = go.Figure()
    names = [to_text(cut(f"{one.network} in {one.runtime}, batch {one.batch}")) for one in found]
    add_marks(figure, [(i, 1e3 * one.median_s, names[i]) for i, one in enumerate(found)], **DIAMOND)
    ends = [(one.low_s, one.p95_s or one.median_s) for one in found]
    add_whiskers(figure, [(1e3 * low, 1e3 * high) for low, high in ends])
    figure.update_xaxes(rangemode="tozero")
    return finish_rows(figure, names, "ms")


def add_marks(figure: go.Figure, marks: Sequence[tuple[int, float, str]], **look: Any) -> None:
    """Draw marks in rows, each at a value, of a name."""
    figure.add_scatter(
        x=[value for _, value, _ in marks], y=[row for row, *_ in marks], mode="markers",
        marker={**DOT, "size": 8, **look}, hoverinfo="text",
        hovertext=[f"{name}: {value:.4f}" for _, value, name in marks],
    )  # fmt: skip


def add_whiskers(figure: go.Figure, ends: Sequence[tuple[float, float]]) -> None:
    """Give each of the marks, or bars, that were drawn last a line from a low to a high value."""
    whiskers = {
        "symmetric": False, "color": INK, "thickness": 1.8, "width": 5,
        "array": [high - at for at, (_, high) in zip(figure.data[-1].x, ends, strict=True)],
        "arrayminus": [at - low for at, (low, _) in zip(figure.data[-1].x, ends, strict=True)],
    }  # fmt: skip
    figure.data[-1].error_x = whiskers


def finish_rows(figure: go.Figure, names: Sequence[str], title: str) -> go.Figure:
    """Return a figure whose rows, at 0, 1 and so on from the top, have their names above them."""
    labels = [_label(name, 0, row, xref="paper", xanchor="left", yshift=15) for row, name in enumerate(names)]
    figure.update_layout(annotations=labels, showlegend=False)
    figure.update_yaxes(range=[len(names) - 0.6, -0.7], visible=False)
    return _finish(figure, ROW * len(names) + 48, title)


def _label(text: str, x: float, row: int, **where: Any) -> dict[str, Any]:
    """Return a text upon what is drawn. Give a figure all at once: with each it checks all anew."""
    return {"text": text, "x": x, "y": row, "showarrow": False, "bgcolor": GROUND, "borderpad": 1, **where}


def _finish(figure: go.Figure, height: int, x_title: str = "", y_title: str = "") -> go.Figure:
    figure.layout.title = None
    figure.update_layout(
        template=THEME, height=height, xaxis={"title": {"text": x_title}}, yaxis={"title": {"text": y_title}}
    )
    return figure


def _count_from_one(most: float) -> dict[str, Any]:
    """Return an axis of whole numbers from 1 on."""
    return {"range": fit_range([1, max(most, 2)]), "tickformat": ",d", "dtick": 1 if most <= 10 else None}


def fit_rewards(values: Sequence[float], sign: int) -> list[float]:
    """Return a range of rewards that leaves the worst out where they would press the others together."""
    ordered = sorted(values, key=lambda value: -sign * value)
    best, worst, most = ordered[0], ordered[-1], ordered[round(0.95 * (len(ordered) - 1))]
    if abs(best - worst) > 3 * abs(best - most) > 0:
        worst = most
    return fit_range([best, worst])


def fit_range(values: Sequence[float]) -> list[float]:
    """Return a range that has all values, and a little room at its ends."""
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.01 * abs(high) or 0.01
    return [low - room, high + room]


def choose_unit(seconds: float) -> tuple[str, float]:
    """Return the unit that a span is best read in, and its seconds."""
    for unit, factor in (("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * factor:
            return unit, factor
    return "seconds", 1.0


def to_text(text: str) -> str:
    """Return a text that anyone may have written as plotly, which has markup of its own, shows it."""
    return escape(clean(text), quote=False)


def show_option(option: Any) -> str:
    """Return an option as a space's file has it."""
    return str(option).lower() if isinstance(option, bool) else str(option)


def cut(text: str, most: int = 44) -> str:
    """Return a text that fits beside a figure, its end being what tells it from others."""
    return text if len(text) <= most else f"…{text[1 - most :]}"
