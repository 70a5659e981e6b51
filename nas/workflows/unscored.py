"""Searches of which no trial has a score: what is told of them, and the way out."""

from __future__ import annotations

from nas.runs.state import RunState
from nas.study.records import Counts
from nas.workflows.failures import describe_failures


def explain_no_score(state: RunState, counts: Counts, *, in_time: bool, exhausted: bool) -> str:
    """Return why no trial has a score, and what to do. `in_time`: the search was over before its time limit;
    `exhausted`: it has tried every network that it found."""
    run = state.folder.path
    if not state.trials:
        return f"{run}: no trial was begun in time; go on with more --time-limit"
    if not in_time and not counts.ended:
        return f"{run}: no trial was finished in time; go on with more --time-limit"
    command = state.manifest.resume_command(state.folder)
    more = f"try more: {command} --trials {2 * state.config.trials}" if in_time else f"go on with: {command}"
    if any(trial.too_slow for trial in state.trials):
        ways = (
            ["raise --budget-latency in a new run"]
            if exhausted
            else [more, "raise --budget-latency in a new run"]
        )
        return (
            f"{run}: every network that has a score took longer than the limit when it was measured, as "
            f"{state.folder.measured_file} says; {', or '.join(ways)}"
        )
    if not any(trial.failure for trial in state.trials):
        return (
            f"{run}: no trial gave a score: all were stopped early by {state.config.pruner}; search "
            "anew with another --scheduler, or without one"
        )
    return (
        f"{run}: no trial gave a score: {describe_failures(state.trials)}; all reasons are in "
        f"{state.folder.trials_file}. Mend the cause, then {'start a new run' if exhausted else more}"
    )
