"""Which choices matter, and how good trials chose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from nas.report import figures
from nas.report.console import pluralise
from nas.report.embedding import write_figure
from nas.report.html import element, make_table
from nas.report.parts.facts import MOST_ROWS, Facts, write_note, write_section
from nas.study.importance import LEAST, TREES, Importance
from nas.study.records import Trial

_MOST_CHOICES = 200
"""Of the table."""


def write_importance(known: Facts) -> ET.Element | None:
    if not known.scored:
        return None
    title = "Which choices matter"
    if not known.importances:
        why = (
            f"{pluralise(len(known.scored), 'finished trial')}; {LEAST} are needed"
            if len(known.scored) < LEAST
            else "the finished trials differ in no choice that all of them take, or not in their scores"
        )
        return write_section("importance", title, write_note(f"Not worked out: {why}."))
    shown = known.importances[:MOST_ROWS]
    left_out = len(known.options) - len(known.importances)
    others = (
        f" {pluralise(left_out, 'choice')} of layers that not every network has "
        f"{'is' if left_out == 1 else 'are'} not among them."
        if left_out
        else ""
    )
    return write_section(
        "importance",
        title,
        element(
            "div",
            element(
                "div",
                write_figure(
                    figures.draw_importances(shown),
                    "How much each choice matters",
                    "The bar is the mean of the trees, the whisker the middle 90 % of them.",
                ),
                element(
                    "details",
                    element("summary", f"{pluralise(len(known.importances), 'choice')} as a table"),
                    make_table(
                        ("choice", ">of the variance", ">middle 90 %"),
                        map(_list_importance, known.importances),
                    ),
                ),
            ),
            element(
                "div",
                write_note(
                    f"The part of the variance of the {known.reward} that each choice explains by "
                    "itself, by functional ANOVA (Hutter et al. 2014) over "
                    f"{pluralise(len(known.scored), 'finished trial')}: the mean of {TREES} trees, each "
                    "fitted to trials drawn anew, and the middle 90 % of them. Of "
                    f"{pluralise(len(known.importances), 'choice')} the first {len(shown)} are "
                    f"shown.{others}"
                ),
                write_note(
                    "A budget couples choices: inside it, a wide stage leaves less for the others, so "
                    "that a choice may matter only for what it takes from them. A search that is not "
                    "random tries good options more often, and knows the others less. Read an order, "
                    "not a share, and none where the whiskers overlap."
                ),
            ),
            class_="split",
        ),
    )


def _list_importance(one: Importance) -> list[str]:
    return [one.name, f"{100 * one.value:.1f} %", f"{100 * one.low:.1f} to {100 * one.high:.1f} %"]


def write_choices(known: Facts) -> ET.Element | None:
    names = [name for name in _order_choices(known) if len(known.options[name]) > 1]
    if not (names and known.scored):
        return None
    shown = names[:_MOST_CHOICES]
    rows = [row for name in shown for row in _list_shares(known, name)]
    return write_section(
        "choices",
        "Options among good and all trials",
        write_note(
            f"How often each option is among the best {len(known.good)} of {len(known.scored):,} finished "
            "trials (the full bar) and among all trials (the empty bar below it), of those that have "
            "the choice."
        ),
        element("div", *(_draw_choice(known, name) for name in names[:MOST_ROWS]), class_="options"),
        element(
            "details",
            element("summary", f"{pluralise(len(shown), 'choice')} as a table"),
            make_table(("choice", "option", ">good", ">all"), rows),
        ),
        write_note(f"Of {len(names) - len(shown)} more, see trials.csv.") if shown != names else None,
    )


def _draw_choice(known: Facts, name: str) -> ET.Element:
    good, every = _count_shares(known.good, name), _count_shares(known.state.trials, name)
    options = known.options[name]
    drawn = figures.draw_shares(
        options, [good.get(one, 0.0) for one in options], [every.get(one, 0.0) for one in options]
    )
    return element(
        "div", element("h3", name), write_figure(drawn, f"How often each option of {name} is chosen")
    )


def _list_shares(known: Facts, name: str) -> Iterator[list[str]]:
    """Return the row of each option: how often it is among good trials, and among all."""
    good, every = _count_shares(known.good, name), _count_shares(known.state.trials, name)
    for option in known.options[name]:
        shares = (f"{100 * share.get(option, 0.0):.0f} %" for share in (good, every))
        yield [name, figures.show_option(option), *shares]


def write_parallel(known: Facts) -> ET.Element | None:
    names = [name for name in _order_choices(known) if len(known.options[name]) > 1][:MOST_ROWS]
    if not names or len(known.scored) < 2:
        return None
    options = {name: known.options[name] for name in names}
    drawn = figures.draw_parallel(known.scored, known.good, options, known.objective, known.reward)
    note = (
        f"Each line is a finished trial, from option to option down to its {known.reward}; the best "
        f"{len(known.good)} are thick. At each option lines lie in the order of their {known.reward}. A "
        f"network without a layer passes at the left end. {len(names)} of "
        f"{pluralise(len(known.options), 'choice')}."
    )
    figure = write_figure(drawn, "Each trial as a line through its options", note)
    return write_section("parallel", "Trials through their choices", figure)


def _order_choices(known: Facts) -> list[str]:
    """Return the decisions, those that matter most first, then those that most trials take."""
    first = [one.name for one in known.importances]
    return [*first, *(name for name in known.options if name not in set(first))]


def _count_shares(trials: Sequence[Trial], name: str) -> dict[Any, float]:
    """Return how often each option is among the trials that have a decision."""
    found = Counter(t.candidate.choices[name] for t in trials if name in t.candidate.choices)
    return {option: count / found.total() for option, count in found.items()}
