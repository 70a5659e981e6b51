"""A search as a person sees it on a terminal: what starts, how it goes, what came out, what to do next."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from nas.cost import Interval
from nas.deadline import TimeIsUp, deadline, duration_text
from nas.errors import InputError, NasError
from nas.report.progress import SearchProgress
from nas.report.tables import (
    best_view,
    budget_text,
    counts_line,
    finals_view,
    front_view,
    networks,
    plural,
    scaled_view,
    show,
)
from nas.runs.config import SearchConfig
from nas.runs.folder import Run
from nas.study.pareto import hypervolume, pareto, worst_cost
from nas.study.records import Record, best_of
from nas.study.study import Study
from nas.workflows.calibration import figures_line, known_line
from nas.workflows.export import export_trial, scale_best
from nas.workflows.finals import Finalist, finalists, indistinct
from nas.workflows.search import Prepared, Search


class Stopped(NasError):
    """The user pressed Ctrl-C; nothing is lost."""

    exit_code = 130


def run_search(search: Search, began: float) -> None:
    """Search to the end, showing progress, then the results and the export of the best network.

    `began`: when the command did, by `time.monotonic`; its time limit counts from there.

    Raises Stopped on Ctrl-C and NasError where no trial gave a score.
    """
    console = terminal()
    run, settings = search.run, search.settings
    with stoppable(run), run.locked():
        study = search.study()
        say_start(search, console)
        _say_search(search, console)
        in_time = _train(search, study, console, began)
        best = study.best(5)
        exported = next(f for f in export_trial(run) if f.suffix == ".py") if best else None
    if study.exhausted and not study.records():
        raise InputError(
            f"{run.path}: no network of '{search.space.name}' was found within "
            f"{budget_text(settings.budget)}; widen the budget and start a new run"
        )
    if study.exhausted:
        say(console, "The search ended early: no untried network inside the budget was found.")
    if not in_time:
        limit = duration_text(settings.time_limit or 0)
        say(console, f"The time limit of {limit} is over. Go on with: {resume_command(run)}")
    if not study.records():
        raise NasError(f"{run.path}: no trial was begun in time; go on with more --time-limit")
    say(console, counts_line(study.counts, settings.budget))
    if not best and not in_time:
        raise NasError(f"{run.path}: no trial was finished in time; go on with more --time-limit")
    if not best:
        raise NasError(
            f"{run.path}: no trial gave a score; the reasons are in {run.path / 'trials.csv'}. "
            f"Mend the cause, then try more: {resume_command(run)} --trials {2 * settings.trials}"
        )
    if settings.prescreen and not any("prescreen" in record.facts for record in study.records()):
        say(
            console, f"No network could be scored by {settings.prescreen.name}: each was trained as proposed."
        )
    console.print(best_view(best, settings.objective))
    _print_finals(run, console)
    _print_front(run, study.records(), console)
    say(console, f"Best network: {exported} (checked: same outputs, same parameters, imports only torch)")
    if settings.scale:
        with run.locked():
            files = scale_best(run)
        say(console, "Scaled:")
        show(scaled_view(files), console)
    _next_commands(run, study, in_time, console)


@contextmanager
def stoppable(run: Run) -> Iterator[None]:
    """Raises Stopped on Ctrl-C, and NasError where the run cannot be written; both say how to go on."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's stop is a Ctrl-C
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(f"stopped; nothing finished is lost. Go on with: {resume_command(run)}") from None
    except OSError as error:
        raise NasError(
            f"{run.path}: cannot be written: {error.strerror or error}; make room. Nothing finished is lost. "
            f"Go on with: {resume_command(run)}"
        ) from error


def time_left(settings: SearchConfig, began: float) -> float | None:
    """Seconds of the time limit that are left; `began` by `time.monotonic`."""
    return None if settings.time_limit is None else began + settings.time_limit - time.monotonic()


def _train(search: Search, study: Study, console: Console, began: float) -> bool:
    """Train the trials and the finalists; False where the time limit cut that short."""
    settings = search.settings
    try:
        with deadline(time_left(settings, began)):
            with SearchProgress(console, settings.trials, settings.recipe.epochs) as progress:
                progress.follow(study)
                search.go(study, progress)
            if settings.finals.count:
                _train_finalists(search, console)
    except TimeIsUp:
        return False
    return True


def _train_finalists(search: Search, console: Console) -> None:
    settings, jobs = search.settings, search.final_jobs()
    if jobs.remaining:
        say(
            console,
            f"Finalists: the best {len(jobs.names) // settings.finals.seeds} again, "
            f"{plural(settings.finals.epochs, 'epoch')} under {plural(settings.finals.seeds, 'fresh seed')}.",
        )
    with SearchProgress(console, len(jobs.names), settings.finals.epochs) as progress:
        progress.follow(jobs)
        search.finals(jobs, progress)


def print_run(run: Run, top: int) -> None:
    """The best trials of a run, searching or finished."""
    console = terminal()
    if run.is_calibration:
        say(console, figures_line(run.path) or f"{run.path}: a calibration that is not finished")
        return
    trials = run.records()
    space = run.space
    say(console, f"{run.path}: {space.name}, {networks(space)}")
    ended = sum(r.state != "running" for r in trials)
    say(
        console,
        f"{ended} of {plural(run.settings.trials, 'trial')} ended, {budget_text(run.settings.budget)}.",
    )
    console.print(best_view(best_of(trials, top, run.settings.objective), run.settings.objective))
    _print_finals(run, console)
    _print_front(run, trials, console)


def _print_finals(run: Run, console: Console) -> None:
    """The finalists of a search that has some."""
    ranked = finalists(run)
    if not ranked:
        return
    epochs, seeds = run.settings.finals.epochs, run.settings.finals.seeds
    say(console, f"Finalists, after {plural(epochs, 'epoch')} under {plural(seeds, 'seed')}:")
    show(finals_view(ranked), console)
    for note in finals_notes(ranked, seeds):
        say(console, note)


def finals_notes(ranked: Sequence[Finalist], seeds: int) -> Iterator[str]:
    """What makes the order of finalists unsure."""
    for one in ranked:
        if len(one.scores) < seeds:
            scores = plural(len(one.scores), "score")
            yield f"Trial {one.record.candidate.number} has {scores} from {seeds} seeds; the others failed."
    if len(ranked) < 2:
        return
    first, second = (one.record.candidate.number for one in ranked[:2])
    p = indistinct(ranked)
    if min(len(one.scores) for one in ranked[:2]) < 2:
        yield f"One score does not tell whether trials {first} and {second} differ; give more --final-seeds."
    elif p is not None:
        yield (
            f"Trials {first} and {second} cannot be told apart (p = {p:.2g}, Welch's t-test); "
            "choose by cost, or give more --final-seeds."
        )


def _print_front(run: Run, records: list[Record], console: Console) -> None:
    """The front of a search with several objectives."""
    costs = run.settings.objective.costs
    if costs:
        front, worst = pareto(records, costs), worst_cost(run.space, run.settings.budget)
        console.print(front_view(front, costs, hypervolume(front, costs, worst), worst))


def say_start(search: Search | Prepared, console: Console) -> None:
    """The space and the data."""
    settings, data = search.settings, search.data
    space = search.space
    say(
        console,
        f"Space {space.name}: {networks(space)}, "
        f"{space.extent.smallest_cost.macs:,} to {space.extent.largest_cost.macs:,} MACs.",
    )
    side = settings.data.resolution
    say(
        console,
        f"Data {data.name}: {len(data.classes)} classes, {plural(data.channels, 'channel')}, "
        f"{len(data.train_labels):,} images to train on, {len(data.val_labels):,} to validate on, at "
        f"{side} x {side}.",
    )
    for note in data.notes:
        say(console, note)


def _say_search(search: Search, console: Console) -> None:
    settings, recipe = search.settings, search.settings.recipe
    say(
        console,
        f"Search: {plural(settings.trials, 'trial')} by {settings.sampler}, {budget_text(settings.budget)}, "
        f"{plural(recipe.epochs, 'epoch')} each, seed {settings.seed}. Run folder: {search.run.path}",
    )
    if search.data.broken:
        say(console, f"Files that are left out are listed in {search.run.path / 'broken.txt'}.")
    if Interval() not in (settings.budget.macs, settings.budget.params):
        say(console, "Networks are drawn evenly by their MACs, and anew while their parameters are outside.")
    if settings.warm_start:
        say(console, f"First: {', '.join(settings.warm_start)}.")
    known = known_line(search.run)
    if known:
        say(console, known)


def _next_commands(run: Run, study: Study, in_time: bool, console: Console) -> None:
    best: Path = run.best_file
    further = f"{resume_command(run)} --trials {2 * len(study.records())}"
    plugins = run.plugin_flags
    say(console, "Next:")
    commands = (
        (f"nas show {best}{plugins}", "the network, stage by stage"),
        (f"nas show {run.path}{plugins}", "the trials"),
        (further, "search further") if in_time else (resume_command(run), "what is missing"),
        (f"nas export {run.path}{plugins} -o my_network.py", "write the best network elsewhere"),
    )
    width = max(len(command) for command, _ in commands)
    for command, why in commands:
        say(console, f"  {command:<{width}}  # {why}")


def resume_command(run: Run) -> str:
    """The command that goes on with a run."""
    return f"nas resume {run.path}{run.plugin_flags}"


def terminal() -> Console:
    """A terminal gets lines wrapped between words; a pipe gets them whole."""
    console = Console(highlight=False)
    console.soft_wrap = not console.is_terminal
    return console


def say(console: Console, text: str) -> None:
    """Print a line as it is."""
    console.print(Text(text))
