"""The best network against baselines, where 'nas versus' compared them."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import plotly.graph_objects as go

from nas.errors import InputError
from nas.report.claims import describe_equal_cost, format_cells, list_heads, name_standing
from nas.report.embedding import write_figure
from nas.report.figures import DIAMOND, TWO, add_marks, add_whiskers, cut, finish_rows, to_text
from nas.report.html import element, make_table
from nas.report.parts.facts import Facts, write_note, write_section
from nas.workflows.versus.verdict import Verdict, VersusStanding


def write_versus(known: Facts) -> ET.Element | None:
    verdict = known.found.verdict
    if verdict is None:
        return None
    if isinstance(verdict, InputError):
        return write_section("versus", "Against baselines", write_note(str(verdict)))
    metric = verdict.metric.capitalize()
    about = f"{metric} of each network under each seed"
    drawn = [write_figure(draw_scores(verdict), about, "Each seed as a dot, the mean as a diamond.")]
    if any(one.difference for one in verdict.others):
        said = "How far it is ahead under each seed, the mean, and from six seeds on the 95 % interval."
        drawn.append(write_figure(draw_differences(verdict), "Differences to each baseline", said))
    notes = list(verdict.notes)
    if verdict.equal_cost:
        notes.append(describe_equal_cost(verdict.equal_cost))
    return write_section(
        "versus",
        "Against baselines",
        element("p", verdict.claim),
        make_table(list_heads(verdict), format_cells(verdict)),
        element("div", *drawn, class_="figures"),
        write_note(
            f"Within {verdict.budget}, by one recipe. Differences are of the network less each; "
            f"{verdict.test}."
        ),
        *(write_note(note) for note in notes),
    )


def draw_scores(verdict: Verdict) -> go.Figure:
    """Draw the scores of each network, a row each: a dot for each seed, and the mean."""
    rows = [(to_text(cut(name_standing(verdict, one))), one) for one in verdict.standings]
    figure = go.Figure()
    add_marks(figure, [(i, score, name) for i, (name, one) in enumerate(rows) for score in one.known])
    means = [(i, one.mean, f"{name}, mean") for i, (name, one) in enumerate(rows) if one.mean is not None]
    add_marks(figure, means, **DIAMOND)
    return finish_rows(figure, [name for name, _ in rows], to_text(verdict.metric))


def draw_differences(verdict: Verdict) -> go.Figure:
    """Draw the differences of the network to each baseline, a row each: a dot for each seed, the mean, and
    its interval as a line where it has one. A line of dashes is where nothing is ahead."""
    rows = [
        (to_text(cut(name_standing(verdict, one))), one, one.difference)
        for one in verdict.others
        if one.difference
    ]
    figure = go.Figure()
    dashes = {"color": TWO, "dash": "dash", "width": 2}
    figure.add_shape(type="line", x0=0, x1=0, y0=0, y1=1, yref="paper", line=dashes)
    seeds = [(i, by, name) for i, (name, one, _) in enumerate(rows) for by in _match_scores(verdict.own, one)]
    add_marks(figure, seeds)
    means = [(i, found.mean, f"{name}, mean") for i, (name, _, found) in enumerate(rows)]
    add_marks(figure, means, **DIAMOND)
    add_whiskers(figure, [found.interval or (found.mean, found.mean) for *_, found in rows])
    figure.update_xaxes(rangemode="tozero")
    return finish_rows(figure, [name for name, *_ in rows], to_text(f"{verdict.metric} ahead"))


def _match_scores(own: VersusStanding, other: VersusStanding) -> list[float]:
    both = zip(own.scores, other.scores, strict=True)
    return [a - b for a, b in both if a is not None and b is not None]
