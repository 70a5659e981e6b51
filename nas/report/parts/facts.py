"""What several parts of a report need, worked out once."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import Any
from xml.etree import ElementTree as ET

from nas.report.console import pluralise
from nas.report.drawing import draw
from nas.report.html import element
from nas.report.tables import describe_budget, format_networks
from nas.runs.budget import explain_exhausted
from nas.study.importance import compute_importances
from nas.study.objective import Objective
from nas.study.records import Trial, TrialState, find_best
from nas.workflows.report import Report

BEST = 10
"""Trials of the table and of the learning curves."""
SHARE = 0.1
"""The part of the finished trials that counts as good; at least `BEST`, of which a third may be fewer."""
MOST_ROWS = 12
"""Decisions that are shown at once."""


class Facts:
    """What is known of a run, and what follows from it."""

    def __init__(self, found: Report) -> None:
        self.found = found
        self.state = state = found.state
        self.config = state.config
        self.objective: Objective = state.objective
        self.ended = [trial for trial in state.trials if not trial.is_running]
        self.scored = find_best(state.trials, len(state.trials), self.objective)
        count = len(self.scored)
        self.good = self.scored[: max(math.ceil(SHARE * count), min(BEST, math.ceil(count / 3)))]
        self.finalist = state.winner
        self.winner = self.finalist.trial if self.finalist else next(iter(self.scored), None)
        self.metric = self.objective.metric.name
        self.reward = "reward" if self.objective.factors else self.metric
        self.importances = compute_importances(state.trials, self.objective, self.config.seed)
        self.options = _list_options(state.trials)

    @property
    def status(self) -> str:
        """How many trials have ended, and of what."""
        trials = self.state.trials
        states = Counter(trial.state for trial in trials)
        words = {
            TrialState.COMPLETE: "finished", TrialState.PRUNED: "stopped early", TrialState.FAILED: "failed",
            TrialState.RUNNING: "running or interrupted",
        }  # fmt: skip
        parts = [f"{states[state]:,} {word}" for state, word in words.items() if states[state]]
        listed = f": {', '.join(parts)}" if parts else ""
        over = f"; {explain_exhausted(self.config.budget)}" if self.state.is_exhausted else ""
        return f"{len(self.ended):,} of {pluralise(self.config.trials, 'trial')} ended{listed}{over}. " + (
            f"Space {self.state.space.name}, {format_networks(self.state.space)}, "
            f"{describe_budget(self.config.budget)}."
        )

    @cached_property
    def drawing(self) -> tuple[ET.Element, str]:
        """The drawing of the best network, and the rules of its style."""
        assert self.winner is not None
        picture = ET.fromstring(draw(self.state.network(self.winner)))  # noqa: S314  # what was drawn here
        for part in picture.iter():
            part.tag = part.tag.rpartition("}")[2]
        style = picture.find("style")
        assert style is not None
        picture.remove(style)
        return picture, style.text or ""


_HALVES = ("parallel", "curves", "ancestry", "trust", "time", "failures")
"""Parts of which two stand side by side where there is room."""


def write_section(name: str, title: str, *content: ET.Element | None) -> ET.Element:
    """Return a part of the page under its title."""
    kind = "half" if name in _HALVES else "whole"
    return element("section", element("h2", title), *content, id=name, class_=kind)


def write_note(text: str) -> ET.Element:
    """Return a paragraph that explains."""
    return element("p", text, class_="note")


def _list_options(trials: Sequence[Trial]) -> dict[str, list[Any]]:
    """Return the options of each decision that were tried, in their order; decisions that most trials take
    come first."""
    counts: Counter[str] = Counter()
    options: dict[str, dict[str, Any]] = defaultdict(dict)
    for trial in trials:
        for name, option in trial.candidate.choices.items():
            counts[name] += 1
            options[name].setdefault(repr(option), option)
    return {name: sorted(options[name].values(), key=_rank_option) for name, _ in counts.most_common()}


def _rank_option(option: Any) -> tuple[int, float, str]:
    is_figure = isinstance(option, int | float) and not isinstance(option, bool)
    return (0, float(option), "") if is_figure else (1, 0.0, str(option))
