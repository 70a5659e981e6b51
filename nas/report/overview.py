"""How far runs are, on a terminal: a row for each, or some lines for one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote

from rich.console import Group, RenderableType
from rich.text import Text

from nas.cost import format_count
from nas.errors import make_printable
from nas.report.console import format_duration, format_figure, pluralise
from nas.report.tables import describe_budget, make_table
from nas.runs.budget import explain_exhausted
from nas.runs.holder import Holder
from nas.runs.listing import ListedRun
from nas.runs.status import Pace, Phase, SearchStatus
from nas.study.records import Trial

_COLOURS = {Phase.RUNNING: "green", Phase.FAILED: "red", Phase.DAMAGED: "red", Phase.SUBMITTED: "cyan"}


def render_runs(rows: Sequence[ListedRun]) -> RenderableType:
    """Return a table of runs; below it who works in them, and why some cannot be read."""
    if not rows:
        return Text("There are no runs.")
    now = datetime.now(UTC)
    view = make_table("run", "state", "space", ">trials", ">score", ">MACs", ">age")
    for row in rows:
        view.add_row(
            row.path.name,
            Text(row.phase.value, style=_COLOURS.get(row.phase, "")),
            Path(row.space).name if row.space.endswith(".yaml") else row.space,
            _format_progress(row),
            "" if row.score is None else f"{row.score:.4f}",
            "" if row.cost is None else format_count(row.cost.macs),
            format_age((now - row.began).total_seconds()),
        )
    notes = (Text(make_printable(f"{row.path.name}: {row.note}")) for row in rows if row.note)
    return Group(view, *notes)


def describe_status(found: SearchStatus | ListedRun) -> Iterator[str]:
    """Say what a run is of, how far it is, and how to go on."""
    return _describe_row(found) if isinstance(found, ListedRun) else _describe_search(found)


def _describe_search(status: SearchStatus) -> Iterator[str]:
    config, counts, path = status.config, status.counts, status.folder.path
    where = f" in {status.holder}, {_format_since(status)}" if status.holder else ""
    yield f"{path}: {status.kind} of {config.space}, {status.phase.value}{where}."
    by = f"{pluralise(config.trials, 'trial')} by {config.sampler}, " if status.wanted else ""
    epochs = "" if status.manifest.elsewhere else f"{_format_epochs(config.recipe.epochs)}, "
    yield f"Settings: {by}{describe_budget(config.budget)}, {epochs}seed {config.seed}."
    yield f"{_format_done(counts.ended, status.wanted, 'trial')} ended{_list_states(status)}."
    if status.repeats:
        yield f"{_format_done(status.repeats_ended, status.repeats_wanted, 'repeat')} ended."
    if status.finals:
        long = _format_done(status.finals_ended, status.finals_wanted, "long training")
        yield f"{long} of finalists ended."
    if pace := status.pace:
        yield describe_pace(pace)
    if best := status.best:
        yield f"Best: {describe_best(status, best)}."
    if failed := status.failures:
        yield f"{len(failed):,} failed, {name_trial(failed[-1])} with: {failed[-1].failure}."
    yield from _describe_next(status)


def describe_stopped(holder: Holder, row: ListedRun) -> str:
    """Say that a process was stopped, how far its run is, and how to go on."""
    done = "" if row.done is None else f", {_format_done(row.done, row.wanted, _name_unit(row))} done"
    return f"Stopped {holder}{done}. Nothing finished is lost. {_describe_way_on(row)}".rstrip()


def describe_pace(pace: Pace) -> str:
    """Say how fast a search goes."""
    return f"{format_figure(pace.per_hour)} trials an hour, {format_duration(pace.left_s)} left."


def describe_best(status: SearchStatus, best: Trial) -> str:
    """Return the best trial in words; of a finalist also the mean of its long trainings."""
    found = next((one for one in status.finalists if one.trial == best), None)
    longer = f", {found.mean:.4f} after {status.config.finals.epochs} epochs" if found else ""
    name = status.objective.metric.name
    return f"{name} {best.score:.4f}{longer}, {best.candidate.cost}, trial {best.number}"


def name_trial(trial: Trial) -> str:
    """Return what a trial, or a training that was decided beforehand, is called."""
    return trial.job or f"trial {trial.number}"


def _describe_row(row: ListedRun) -> Iterator[str]:
    """Describe a training, or a search on a cluster."""
    of = f" of {row.space}" if row.space else ""
    yield f"{row.path}: {row.kind}{of}, {row.phase.value}{f', {row.note}' if row.note else ''}."
    if row.done is not None:
        yield f"{_format_done(row.done, row.wanted, _name_unit(row))} done."
    if row.score is not None:
        yield f"Best: {row.metric} {row.score:.4f}."
    if row.phase is Phase.RUNNING:
        yield _format_stop_command(row)
    elif row.phase is Phase.STOPPED:
        yield _describe_way_on(row)
    elif row.phase is Phase.SUBMITTED:
        run = quote(str(row.path))
        yield f"Ask its cluster with: nas status {run} --address ADDRESS"
        yield f"Fetch its results with: nas attach {run} --address ADDRESS"


def format_age(seconds: float) -> str:
    """Return `45 s`, `12 min`, `30 h`, `9 d`."""
    for size, unit, most in ((1, "s", 60), (60, "min", 3600), (3600, "h", 48 * 3600)):
        if seconds < most:
            return f"{max(0, int(seconds // size))} {unit}"
    return f"{int(seconds // 86400)} d"


def _name_unit(row: ListedRun) -> str:
    return "epoch" if row.kind == "training" else "trial"


def _format_progress(row: ListedRun) -> str:
    if row.done is None:
        return ""
    return f"{row.done:,}" if row.wanted is None else f"{row.done:,}/{row.wanted:,}"


def _format_done(done: int, wanted: int | None, noun: str) -> str:
    return pluralise(done, noun) if wanted is None else f"{done:,} of {pluralise(wanted, noun)}"


def _format_epochs(epochs: int) -> str:
    return f"{pluralise(epochs, 'epoch')} each"


def _format_since(status: SearchStatus) -> str:
    assert status.holder is not None
    return f"for {format_duration(max(0.0, (status.now - status.holder.since).total_seconds()))}"


def _list_states(status: SearchStatus) -> str:
    """Return the trials by state, those that run at last."""
    counts = status.counts
    amounts = {"finished": counts.complete, "stopped early": counts.pruned, "failed": counts.failed}
    parts = ", ".join(f"{amount:,} {name}" for name, amount in amounts.items() if amount)
    doing = "running" if status.holder else "interrupted"
    if status.manifest.elsewhere:
        doing = "asked for and not told of"
    running = f"{counts.running:,} {doing}" if counts.running else ""
    return (f": {parts}" if parts else "") + (f"; {running}" if running else "")


def _describe_next(status: SearchStatus) -> Iterator[str]:
    run, command = quote(str(status.folder.path)), status.resume_command
    match status.phase:
        case Phase.RUNNING:
            yield f"Watch it with: nas top {run}"
            yield f"Stop it with: nas stop {run}"
        case Phase.STOPPED:
            left = " --running" * (status.manifest.elsewhere and status.counts.running > 0)
            yield f"Go on with: {command}{left}"
        case Phase.FAILED:
            yield f"Mend the cause, then go on with: {command}"
        case Phase.ENDED if status.is_exhausted:
            yield f"It is over before its last trial: {explain_exhausted(status.config.budget)}."
        case Phase.ENDED if not status.is_calibration:
            yield f"Search further with: {command} --trials {2 * len(status.trials)}"


def _describe_way_on(row: ListedRun) -> str:
    """Say what goes on with a run, where its folder says so; that of a pipeline does not name its file."""
    command = "nas run, and the file of its steps" if row.kind == "pipeline" else row.command
    return f"Go on with: {command}" if command else ""


def _format_stop_command(row: ListedRun) -> str:
    return f"Stop it with: nas stop {quote(str(row.path))}"
