"""How far runs are, on a terminal: a row for each, or some lines for one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote

from rich.console import Group, RenderableType
from rich.text import Text

from nas.cost import format_count
from nas.errors import printable
from nas.report.console import duration, plural
from nas.report.tables import budget_text, table
from nas.runs.holder import Holder
from nas.runs.listing import Row
from nas.runs.status import Pace, Phase, SearchStatus
from nas.study.records import Trial

_COLOURS = {Phase.RUNNING: "green", Phase.FAILED: "red", Phase.DAMAGED: "red", Phase.SUBMITTED: "cyan"}


def runs_view(rows: Sequence[Row], now: datetime | None = None) -> RenderableType:
    """A table of runs; below it who works in them, and why some cannot be read."""
    if not rows:
        return Text("There are no runs.")
    now = now or datetime.now(UTC)
    view = table("run", "state", "space", ">trials", ">score", ">MACs", ">age")
    for row in rows:
        view.add_row(
            row.path.name,
            Text(row.phase.value, style=_COLOURS.get(row.phase, "")),
            Path(row.space).name if row.space.endswith(".yaml") else row.space,
            _progress(row),
            "" if row.score is None else f"{row.score:.4f}",
            "" if row.cost is None else format_count(row.cost.macs),
            age((now - row.began).total_seconds()),
        )
    notes = (Text(printable(f"{row.path.name}: {row.note}")) for row in rows if row.note)
    return Group(view, *notes)


def status_lines(found: SearchStatus | Row) -> Iterator[str]:
    """Say what a run is of, how far it is, and how to go on."""
    return _row_lines(found) if isinstance(found, Row) else _search_lines(found)


def _search_lines(status: SearchStatus) -> Iterator[str]:
    config, counts, path = status.config, status.counts, status.folder.path
    where = f" in {status.holder}, {_since(status)}" if status.holder else ""
    yield f"{path}: {status.kind} of {config.space}, {status.phase.value}{where}."
    by = f"{plural(config.trials, 'trial')} by {config.sampler}, " if status.wanted else ""
    yield f"Settings: {by}{budget_text(config.budget)}, {_epochs(config.recipe.epochs)}, seed {config.seed}."
    yield f"{_of(counts.ended, status.wanted, 'trial')} ended{_listed(status)}."
    if status.finals:
        yield f"{_of(status.finals_ended, status.finals_wanted, 'long training')} of finalists ended."
    if pace := status.pace:
        yield pace_line(pace)
    if best := status.best:
        yield f"Best: {describe_best(status, best)}."
    if failed := status.failures:
        yield f"{len(failed):,} failed, {name_of(failed[-1])} with: {failed[-1].failure}."
    yield from _next(status)


def stopped_line(holder: Holder, row: Row) -> str:
    """Say that a process was stopped, how far its run is, and how to go on."""
    done = "" if row.done is None else f", {_of(row.done, row.wanted, _noun(row))} done"
    return f"Stopped {holder}{done}. Nothing finished is lost. Go on with: {row.command}"


def pace_line(pace: Pace) -> str:
    """Say how fast a search goes."""
    return f"{pace.per_hour:,.3g} trials an hour, {duration(pace.left_s)} left."


def describe_best(status: SearchStatus, best: Trial) -> str:
    """Return the best trial in words; of a finalist also the mean of its long trainings."""
    found = next((one for one in status.finalists if one.trial == best), None)
    longer = f", {found.mean:.4f} after {status.config.finals.epochs} epochs" if found else ""
    name = status.objective.metric.name
    return f"{name} {best.score:.4f}{longer}, {best.candidate.cost}, trial {best.number}"


def name_of(trial: Trial) -> str:
    """Return what a trial, or a training that was decided beforehand, is called."""
    return trial.job or f"trial {trial.number}"


def _row_lines(row: Row) -> Iterator[str]:
    """Of a training, or of a search on a cluster."""
    of = f" of {row.space}" if row.space else ""
    yield f"{row.path}: {row.kind}{of}, {row.phase.value}{f', {row.note}' if row.note else ''}."
    if row.done is not None:
        yield f"{_of(row.done, row.wanted, _noun(row))} done."
    if row.score is not None:
        yield f"Best: {row.metric} {row.score:.4f}."
    if row.phase is Phase.RUNNING:
        yield _stop(row)
    elif row.phase is Phase.STOPPED:
        yield f"Go on with: {row.command}"
    elif row.phase is Phase.SUBMITTED:
        run = quote(str(row.path))
        yield f"Ask its cluster with: nas status {run} --address ADDRESS"
        yield f"Fetch its results with: nas attach {run} --address ADDRESS"


def age(seconds: float) -> str:
    """Return `45 s`, `12 min`, `30 h`, `9 d`."""
    for size, unit, most in ((1, "s", 60), (60, "min", 3600), (3600, "h", 48 * 3600)):
        if seconds < most:
            return f"{max(0, int(seconds // size))} {unit}"
    return f"{int(seconds // 86400)} d"


def _noun(row: Row) -> str:
    return "epoch" if row.kind == "training" else "trial"


def _progress(row: Row) -> str:
    if row.done is None:
        return ""
    return f"{row.done:,}" if row.wanted is None else f"{row.done:,}/{row.wanted:,}"


def _of(done: int, wanted: int | None, noun: str) -> str:
    return plural(done, noun) if wanted is None else f"{done:,} of {plural(wanted, noun)}"


def _epochs(epochs: int) -> str:
    return f"{plural(epochs, 'epoch')} each"


def _since(status: SearchStatus) -> str:
    assert status.holder is not None
    return f"for {duration(max(0.0, (status.now - status.holder.since).total_seconds()))}"


def _listed(status: SearchStatus) -> str:
    """Return the trials by state, those that run at last."""
    counts = status.counts
    amounts = {"finished": counts.complete, "stopped early": counts.pruned, "failed": counts.failed}
    parts = ", ".join(f"{amount:,} {name}" for name, amount in amounts.items() if amount)
    running = f"{counts.running:,} {'running' if status.holder else 'interrupted'}" if counts.running else ""
    return (f": {parts}" if parts else "") + (f"; {running}" if running else "")


def _next(status: SearchStatus) -> Iterator[str]:
    run, command = quote(str(status.folder.path)), status.resume_command
    match status.phase:
        case Phase.RUNNING:
            yield f"Watch it with: nas top {run}"
            yield f"Stop it with: nas stop {run}"
        case Phase.STOPPED:
            yield f"Go on with: {command}"
        case Phase.FAILED:
            yield f"Mend the cause, then go on with: {command}"
        case Phase.ENDED if not status.folder.is_calibration:
            yield f"Search further with: {command} --trials {2 * len(status.trials)}"


def _stop(row: Row) -> str:
    return f"Stop it with: nas stop {quote(str(row.path))}"
