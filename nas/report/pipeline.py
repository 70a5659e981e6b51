"""A pipeline on a terminal: each step as it begins, what its command prints of it, and a table in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nas.report.calibration import print_calibration
from nas.report.claims import VersusScreen, print_verdict
from nas.report.console import format_duration, pluralise, say, show
from nas.report.documents import Document
from nas.report.heartbeat import waiting
from nas.report.latency import render_profile
from nas.report.scaled import print_scaled
from nas.report.search_lines import print_outcome, print_result
from nas.report.search_screen import SearchScreen
from nas.report.tables import make_table
from nas.report.training import TrainScreen, print_training
from nas.workflows.pipeline import EndedStep, PipelineObserver

_SCREENS: dict[str, Callable[[Console], Any]] = {
    "search": SearchScreen,
    "calibrate": SearchScreen,
    "finalists": SearchScreen,
    "train": TrainScreen,
    "versus": VersusScreen,
}
_DOING = {
    "scale": "Scaling the network",
    "export": "Exporting the network, and checking it",
    "report": "Writing the report",
}
"""What steps without a screen do, which tell facts; a profile tells what it does."""
_PRINTED: dict[str, Callable[[Any, Console], None]] = {
    "search": print_outcome,
    "calibrate": print_calibration,
    "finalists": print_outcome,
    "scale": print_scaled,
    "train": print_training,
    "versus": print_verdict,
    "profile": lambda found, console: show(render_profile(found), console),
}
_PRINTED_LAST: dict[str, Callable[[Any, Console], None]] = {
    **_PRINTED,
    "search": print_result,
    "finalists": print_result,
}
"""Of the last step, after which a user goes on."""


class PipelineScreen(PipelineObserver):
    """Shows a pipeline while its steps are done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._steps: Sequence[str] = ()

    @contextmanager
    def hear(self, step: str) -> Iterator[Any]:
        if step in _SCREENS:
            with _SCREENS[step](self._console) as screen:
                yield screen
            return
        facts: list[str] = []
        try:
            with waiting(_DOING.get(step, "")) as tell:
                yield facts.append if step in _DOING else tell
        finally:
            for fact in facts:  # when no spinner turns in the line
                say(self._console, fact)

    def planned(self, steps: Sequence[str], folder: Path) -> None:
        self._steps = steps
        say(
            self._console,
            f"Pipeline of {pluralise(len(steps), 'step')}: {', '.join(steps)}. Folder: {folder}",
        )

    def began(self, step: str, why: str) -> None:
        say(self._console, f"{self._format_head(step)}: {why}")

    def ended(self, step: EndedStep) -> None:
        if step.why is None:
            say(self._console, f"{self._format_head(step.name)}: unchanged, skipped. {step.record.summary}")
            return
        printed = _PRINTED_LAST if step.name == self._steps[-1] else _PRINTED
        if step.result is not None and step.name in printed:
            printed[step.name](step.result, self._console)
        took = format_duration(step.record.seconds)
        say(self._console, f"{self._format_head(step.name)}: done in {took}. {step.record.summary}")

    def _format_head(self, step: str) -> str:
        return f"Step {self._steps.index(step) + 1}/{len(self._steps)}, {step}"


def describe_plan(steps: Sequence[str]) -> str:
    """Return what is said of a file whose settings are right."""
    return f"{pluralise(len(steps), 'step')}, all settings are right: {', '.join(steps)}"


def render_pipeline(steps: Sequence[EndedStep]) -> Table:
    """Return a row for each step: whether it was done, how long that took, and what it came to."""
    view = make_table("step", "now", ">took", "came to")
    for step in steps:
        now = "unchanged" if step.why is None else "done"
        view.add_row(step.name, now, format_duration(step.record.seconds), step.record.summary)
    return view


def document_steps(folder: Path, steps: Sequence[EndedStep]) -> Document:
    """Return what a pipeline came to."""
    return {
        "kind": "pipeline",
        "path": str(folder),
        "steps": [
            {
                "step": step.name,
                "done": step.why is not None,
                "why": step.why,
                "seconds": step.record.seconds,
                "summary": step.record.summary,
                "place": str(folder / step.record.place),
                "files": [str(folder / file) for file in step.record.outputs or ()],
            }
            for step in steps
        ],
    }
