"""A run on a live screen, as `top` has processes: progress, what trains now, the best, rate and failures."""

from __future__ import annotations

import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nas.cost import format_count
from nas.errors import make_printable
from nas.report.console import format_duration, say
from nas.report.overview import describe_pace, describe_status, name_trial
from nas.report.tables import make_table, render_best
from nas.runs.listing import ListedRun
from nas.runs.status import Phase, SearchStatus
from nas.study.records import Trial, find_best

REFRESH_S = 1.0
_BEST = 5
_OTHER_LINES = 17
"""Of the screen, beside the rows of what trains now and of the best."""
_LEAVE = "q or Ctrl-C leaves; the run goes on."


def watch(read: Callable[[], SearchStatus | ListedRun], console: Console, then: str = "") -> None:
    """Show how far a run is, each second anew, until q or Ctrl-C; once where there is no terminal.

    `then`: what to do when it has ended, of a run that is elsewhere. Raises what `read` raises.
    """
    if not console.is_terminal:
        for line in describe_status(read()):
            say(console, line)
        return
    with suppress(KeyboardInterrupt), _keys() as pressed, _ended_by_sigterm():
        view = render_top(read(), console.height, then)
        with Live(view, console=console, screen=True, auto_refresh=False) as live:
            while pressed(REFRESH_S) not in ("q", "Q"):
                live.update(render_top(read(), console.height, then), refresh=True)


def render_top(found: SearchStatus | ListedRun, height: int, then: str = "") -> RenderableType:
    """Return the screen of a run, of so many lines. `then`: as of `watch`."""
    leave = Text(_LEAVE, style="dim")
    if isinstance(found, ListedRun):
        lines = [*map(_make_line, describe_status(found))]
        bar = [] if found.wanted is None else [_make_bar(found.done or 0, found.wanted, "epochs")]
        return Group(lines[0], *bar, *([] if then else lines[1:]), "", leave)
    head, settings, counts, *more = map(_make_line, describe_status(found))
    head.stylize("bold")
    room = max(2, height - _OTHER_LINES)
    shown = min(_BEST, room // 2)
    parts: list[RenderableType] = [head, settings]
    if found.wanted:
        parts.append(_make_bar(found.counts.ended, found.wanted, "trials"))
    parts.append(counts)
    if found.repeats:
        parts.append(_make_bar(found.repeats_ended, found.repeats_wanted, "repeats"))
    if found.finals:
        parts.append(_make_bar(found.finals_ended, found.finals_wanted, "long trainings"))
    if pace := found.pace:
        parts.append(Text(describe_pace(pace)))
    if failures := found.failures:
        last = f"{len(failures):,} failed, {name_trial(failures[-1])} with: {failures[-1].failure}."
        parts.append(_make_line(last, "red"))
    if running := found.running:
        parts.append(_render_running(found, running, room - shown))
    if best := [] if found.is_calibration else find_best(found.trials, shown, found.objective):
        parts.append(render_best(best, found.objective, found.config.measures))
    if found.phase is not Phase.RUNNING:
        parts.append(_make_line(then) if then else more[-1])
    return Group(*parts, leave)


def _make_line(text: str, style: str = "") -> Text:
    return Text(make_printable(text), style, no_wrap=True, overflow="ellipsis")


def _make_bar(done: int, wanted: int, noun: str) -> Table:
    row = Table.grid(expand=True, padding=(0, 1))
    row.add_column(ratio=1)
    row.add_column(justify="right", no_wrap=True)
    row.add_row(ProgressBar(total=max(1, wanted), completed=min(done, wanted)), f"{done:,}/{wanted:,} {noun}")
    return row


def _render_running(status: SearchStatus, running: list[Trial], most: int) -> RenderableType:
    """Return what trains now: its epoch, the last value of its metric, its cost and for how long."""
    view = make_table("training", ">epoch", f">{status.objective.metric.name}", ">MACs", ">params", ">for")
    for trial in running[:most]:
        epoch, cost = max(trial.curve, default=0), trial.candidate.cost
        value = f"{trial.curve[epoch]:.4f}" if trial.curve else ""
        took = (status.now - trial.began).total_seconds() if trial.began else None
        view.add_row(
            name_trial(trial),
            _format_epoch(status, trial, epoch),
            value,
            format_count(cost.macs),
            format_count(cost.params),
            "" if took is None else format_duration(max(0.0, took)),
        )
    more = len(running) - most
    return Group(view, Text(f"and {more:,} more")) if more > 0 else view


def _format_epoch(status: SearchStatus, trial: Trial, epoch: int) -> str:
    """Return `2/4`, and of a calibration, whose trainings have epochs of their own, `2`."""
    if status.is_calibration:
        return str(epoch)
    config = status.config
    is_final = any(trial is final for final in status.finals)
    return f"{epoch}/{config.finals.epochs if is_final else config.recipe.epochs}"


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Give what waits so many seconds for a key, and returns it, or nothing; keys are not shown meanwhile."""
    try:
        import termios
        import tty

        before = termios.tcgetattr(sys.stdin)
    except (ImportError, OSError, ValueError, termios.error):  # no terminal to read, or Windows
        yield _wait
        return
    try:
        tty.setcbreak(sys.stdin)
        yield _wait_for_key
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _wait(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def _wait_for_key(seconds: float) -> str:
    ready, *_ = select.select([sys.stdin], [], [], seconds)
    return sys.stdin.read(1) if ready else ""


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Leave on SIGTERM as on Ctrl-C, so that the terminal is given back as it was."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
