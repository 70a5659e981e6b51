"""Which choices matter, and how good trials chose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

from nas.report import figures
from nas.report.console import plural
from nas.report.html import element
from nas.report.parts.facts import MOST_ROWS, Facts, write_note, write_section
from nas.study.importance import LEAST, TREES
from nas.study.records import Trial

_BARS = 200


def write_importance(known: Facts) -> ET.Element | None:
    if not known.scored:
        return None
    title = "Which choices matter"
    if not known.importances:
        why = (
            f"{plural(len(known.scored), 'finished trial')}; {LEAST} are needed"
            if len(known.scored) < LEAST
            else "the finished trials differ in no choice that all of them take, or not in their scores"
        )
        return write_section("importance", title, write_note(f"Not worked out: {why}."))
    shown = known.importances[:MOST_ROWS]
    left_out = len(known.options) - len(known.importances)
    others = (
        f" {plural(left_out, 'choice')} of layers that not every network has "
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
                figures.list_importances(shown),
                write_note("The bar is the mean of the trees, the whisker the middle 90 % of them."),
            ),
            element(
                "div",
                write_note(
                    f"The part of the variance of the {known.reward} that each choice explains by "
                    "itself, by functional ANOVA (Hutter et al. 2014) over "
                    f"{plural(len(known.scored), 'finished trial')}: the mean of {TREES} trees, each "
                    "fitted to trials drawn anew, and the middle 90 % of them. Of "
                    f"{plural(len(known.importances), 'choice')} the first {len(shown)} are "
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


def write_choices(known: Facts) -> ET.Element | None:
    names = [name for name in _order_choices(known) if len(known.options[name]) > 1]
    if not (names and known.scored):
        return None
    blocks = [_write_choice(known, name) for name in names[:_BARS]]
    rest = blocks[MOST_ROWS:]
    more = None
    if rest:
        summary = element("summary", f"{plural(len(rest), 'other choice')}")
        more = element("details", summary, element("div", *rest, class_="options"))
    return write_section(
        "choices",
        "Options among good and all trials",
        write_note(
            f"How often each option is among the best {len(known.good)} of {len(known.scored):,} finished "
            "trials (the full bar) and among all trials (the empty bar below it), of those that have "
            "the choice."
        ),
        element("div", *blocks[:MOST_ROWS], class_="options"),
        more,
        write_note(f"Of {len(names) - _BARS} more, see trials.csv.") if len(names) > _BARS else None,
    )


def _write_choice(known: Facts, name: str) -> ET.Element:
    shares = [_shares(trials, name) for trials in (known.good, known.state.trials)]
    rows = []
    for option in known.options[name]:
        good, every = (share.get(option, 0.0) for share in shares)
        rows.append(
            element(
                "div",
                element("span", figures.show_option(option)),
                element("i", class_="strong", style=f"width: {max(1.0, 100 * good):.1f}%"),
                element("span", f"{100 * good:.0f} %"),
                element("i", style=f"width: {max(1.0, 100 * every):.1f}%"),
                element("span", f"{100 * every:.0f} %"),
                class_="option",
            )
        )
    return element("div", element("h3", name), *rows)


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
        f"{plural(len(known.options), 'choice')}."
    )
    figure = element("figure", drawn, element("figcaption", note))
    return write_section("parallel", "Trials through their choices", figure)


def _order_choices(known: Facts) -> list[str]:
    """The decisions, those that matter most first, then those that most trials take."""
    first = [one.name for one in known.importances]
    return [*first, *(name for name in known.options if name not in set(first))]


def _shares(trials: Sequence[Trial], name: str) -> dict[Any, float]:
    """Return how often each option is among the trials that have a decision."""
    found = Counter(t.candidate.choices[name] for t in trials if name in t.candidate.choices)
    return {option: count / found.total() for option, count in found.items()}
