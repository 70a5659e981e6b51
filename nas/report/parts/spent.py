"""Where the time went, and what failed."""

from __future__ import annotations

from collections import Counter, defaultdict
from xml.etree import ElementTree as ET

from nas.report.console import format_duration, pluralise
from nas.report.html import make_table
from nas.report.parts.facts import BEST, Facts, write_note, write_section
from nas.study.history import sum_times
from nas.study.records import Trial, TrialState


def write_time(known: Facts) -> ET.Element | None:
    if not known.ended:
        return None
    spent = sum_times(known.state.trials)
    words = {
        TrialState.COMPLETE: "training, of finished trials",
        TrialState.PRUNED: "training, of those stopped early",
        TrialState.FAILED: "training, of failed ones",
    }
    parts = [(word, spent.trained[state]) for state, word in words.items() if state in spent.trained]
    parts.append(("starting, up to the second step", spent.started))
    notes = []
    if spent.waited is not None and spent.wall is not None:
        parts.append(("waiting for a worker, stops", spent.waited))
        notes.append(
            "The last row is what is left of the time from the entry of a trial to its end. From the first "
            f"entry to the last end it took {format_duration(spent.wall)}, so that "
            f"{spent.total_trained / max(spent.wall, 1e-9):.2f} trainings ran at a time on average, stops of "
            "the search included."
        )
    whole = sum(seconds for _, seconds in parts)
    rows = [[word, format_duration(seconds), _format_share(seconds, whole)] for word, seconds in parts]
    if repeats := [repeat for repeat in known.state.repeats if not repeat.is_running]:
        rows.append(["training, of repeats", format_duration(sum_times(repeats).total_trained), ""])
    if finals := [final for final in known.state.finals if not final.is_running]:
        rows.append(["training, of finalists", format_duration(sum_times(finals).total_trained), ""])
    return write_section(
        "time",
        "Where the time went",
        make_table(("", ">time", ">share"), rows),
        *(write_note(note) for note in notes),
    )


def write_failures(known: Facts) -> ET.Element:
    title = "Failures"
    beside = {"a repeat": known.state.repeats, "a finalist": known.state.finals}
    failed = [t for trials in (known.state.trials, *beside.values()) for t in trials if t.failure]
    if not failed:
        return write_section(
            "failures", title, write_note("None." if known.ended else "No trial has ended yet.")
        )
    by_reason: dict[str, list[Trial]] = defaultdict(list)
    for trial in known.state.trials:
        if trial.failure:
            by_reason[trial.failure.reason.value].append(trial)
    for what, others in beside.items():
        for other in others:
            if other.failure:
                by_reason[f"{other.failure.reason.value}, of {what}"].append(other)
    rows = []
    for reason, trials in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        numbers = ", ".join(str(trial.number) for trial in trials[:BEST])
        messages = Counter(trial.failure.message for trial in trials if trial.failure)
        (message, times), *_ = messages.most_common(1)
        also = f" ({times} times; {pluralise(len(messages) - 1, 'other')})" if len(messages) > 1 else ""
        rows.append(
            [reason, str(len(trials)), numbers + (", ..." if len(trials) > BEST else ""), message + also]
        )
    return write_section("failures", title, make_table(("reason", ">trials", "~numbers", "~message"), rows))


def _format_share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else ""
