"""How the best rose, against trials, time and costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

from nas.measures import Measure
from nas.report import figures
from nas.report.console import pluralise
from nas.report.embedding import write_figure
from nas.report.html import element, make_table
from nas.report.parts.facts import BEST, Facts, write_note, write_section
from nas.report.tables import describe_volume
from nas.study.history import Reached, expect_random, thin
from nas.study.objective import Objective
from nas.study.pareto import find_front
from nas.study.records import Trial

_MOST_FRONT = 50
"""Networks of the front of a search of several objectives; of more, as many at equal steps."""
_AT_RANDOM: dict[str, Any] = {
    "sampler": "random", "scheduler": None, "prescreen": None, "inherit": False, "start": [], "finalists": 0,
    "storage": None,
}  # fmt: skip
"""Settings by which trials are drawn and trained each by itself."""


def write_progress(known: Facts) -> ET.Element | None:
    if not known.scored:
        return None
    random, about = _find_random_line(known)
    times = [True] if any(trial.result.seconds for trial in known.ended) else []
    drawn = [
        write_figure(
            figures.draw_progress(known.state.trials, known.objective, random, by_time, known.reward),
            said := f"Best {known.reward} against {'the time trained' if by_time else 'trials'}",
            f"{said}.",
        )
        for by_time in (False, *times)
    ]
    note = (
        "The solid line is the best so far, each dot a trial. Time is that of training, of all workers "
        "together."
    )
    return write_section(
        "progress",
        "How the best rose",
        element("div", *drawn, class_="figures"),
        write_note(note),
        *about,
    )


def _find_random_line(known: Facts) -> tuple[list[Reached], list[ET.Element]]:
    """Return the line of random search, and what it is or why there is none."""
    run, manifest = known.found.random, known.state.manifest
    if run is None:
        why = (
            "There is no line of random search: the trials of this search were chosen, and say nothing "
            "of ones that were not."
        )
        if manifest.data is None and known.config.evaluator is None:
            return [], [write_note(why)]
        config = known.config.change(_AT_RANDOM, "random search")
        alike = replace(manifest.with_config(config), picked={})  # with this batch on any machine
        command = alike.start_command(known.state.folder)
        return [], [write_note(f"{why} A run beside this one gives it:"), element("pre", command)]
    own = len(run.config.warm_start)
    drawn = expect_random(run.trials[own:], known.objective)
    where = "this run's own trials" if run is known.state else f"the trials of {run.folder.path.name}"
    text = (
        "The line of dashes is what random search is expected to reach at equal cost: the mean best of "
        f"as many drawn from {where}, {pluralise(len(run.trials) - own, 'network')} drawn evenly from the "
        "budget and trained alike; it ends where these do."
    )
    return drawn, [write_note(text)]


def write_costs(known: Facts) -> ET.Element | None:
    if not known.scored:
        return None
    drawn = [_draw_cost(known, measure) for measure in known.config.measures]
    note = write_note(
        "Diamonds on a line are the front: no trial has a better score at no more of this cost."
    )
    title = f"{known.metric} against cost"
    plots = element("div", *drawn, class_="figures")
    return write_section("costs", title[0].upper() + title[1:], plots, note, *_write_front(known))


def _draw_cost(known: Facts, measure: Measure) -> ET.Element:
    alone = Objective(costs=(measure,), metric=known.objective.metric)
    front = find_front(known.scored, alone)
    drawn = figures.draw_front(known.scored, front, measure, alone.metric)
    about = f"{alone.metric.name} against {measure.label}"
    return write_figure(drawn, about, _describe_front(known, front, alone))


def _write_front(known: Facts) -> list[ET.Element]:
    """Write the front of a search of several objectives, as a table."""
    if not known.objective.costs:
        return []
    front, measures = known.state.front, known.config.measures
    rows = [
        [f"{t.score:.4f}", *(m.show(t.candidate.amount(m)) for m in measures), str(t.number)]
        for t in thin(front, _MOST_FRONT)
    ]
    heads = (f">{known.metric}", *(f">{m.label}" for m in measures), ">trial")
    said = f"The front of the search: {_describe_front(known, front, known.objective)}"
    return [element("h3", said), make_table(heads, rows)]


def _describe_front(known: Facts, front: Sequence[Trial], objective: Objective) -> str:
    nouns = " and ".join(cost.noun for cost in objective.costs)
    said = f"{pluralise(len(front), 'network')} on the front of {known.metric} and {nouns}"
    volume = describe_volume(front, objective, known.state.space, known.config.budget)
    return f"{said}; {volume}." if volume else f"{said}."


def write_curves(known: Facts) -> ET.Element | None:
    if not known.scored:
        return None
    best = [trial for trial in known.scored[:BEST] if trial.curve]
    if not best or max(len(trial.curve) for trial in best) < 2:
        return write_section(
            "curves", "Learning curves", write_note("Trials are of one epoch, which is no curve.")
        )
    note = f"Of the best {len(best)} trials, after each epoch; the thick line is the best."
    figure = write_figure(figures.draw_curves(best, known.metric), "Learning curves of the best trials", note)
    return write_section("curves", "Learning curves", figure)
