"""A search in lines on a terminal: what starts, what came out, what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote

from rich.console import Console

from nas.deadline import dump_duration
from nas.execution.base import TrialQueue
from nas.measures import LATENCY
from nas.report.console import format_duration, format_share, open_terminal, pluralise, say, show
from nas.report.scaled import render_scaled
from nas.report.tables import (
    describe_budget,
    describe_counts,
    describe_sampling,
    describe_volume,
    format_networks,
    render_architecture,
    render_best,
    render_finals,
    render_front,
)
from nas.runs.budget import explain_exhausted
from nas.runs.counted import describe_classes
from nas.runs.finals import Finalist, compare_first_two
from nas.runs.posterior import BelievedScores
from nas.runs.state import RunState
from nas.study.records import Trial, TrialState
from nas.training.base import ACCURACY_METRIC
from nas.workflows.observer import Round
from nas.workflows.prepared import Prepared
from nas.workflows.search import SearchResult, StopReason
from nas.workflows.session import Session
from nas.workflows.usage import Usage


def say_start(prepared: Prepared, console: Console) -> None:
    """Print the space and the data."""
    space, data = prepared.space, prepared.data
    extent = space.extent
    classes = f"{space.classes:,} class" + ("" if space.classes == 1 else "es")
    whose = describe_classes(space, prepared.config.classes, data)
    say(
        console,
        f"Space {space.name}: {format_networks(space)}, "
        f"{extent.smallest_cost.macs:,} to {extent.largest_cost.macs:,} MACs with {classes}, {whose}.",
    )
    if space.clock is not None:
        low, high = (LATENCY.format(end.value) for end in space.ends(LATENCY))
        say(console, f"Latency in {prepared.config.latency.runtime}: {low} to {high}, as predicted.")
    if data is None:
        say(console, f"Evaluator {prepared.evaluator}: score {prepared.evaluator.metric}.")
        return
    side = prepared.config.data.resolution
    say(
        console,
        f"Data {data.name}: {len(data.classes)} classes, {pluralise(data.channels, 'channel')}, "
        f"{len(data.train_labels):,} images to train on, {len(data.val_labels):,} to validate on, at "
        f"{side} x {side}.",
    )
    if prepared.evaluator.metric != ACCURACY_METRIC:
        say(console, f"Networks are judged by {prepared.evaluator.metric.name} on the images to validate on.")
    for note in data.notes:
        say(console, note)


def say_beginning(session: Session, console: Console) -> None:
    """Print what a search or a calibration is of."""
    say_start(session, console)
    if session.data is not None and session.data.broken:
        say(console, f"Files that are left out are listed in {session.folder.broken_file}.")


def say_round(session: Session, which: Round, queue: TrialQueue, trials: int, console: Console) -> None:
    """Print what is trained next."""
    match which:
        case Round.SEARCH:
            _say_search(session, trials, console)
        case Round.REPEATS if queue.remaining:
            say(console, f"Repeats: {pluralise(trials, 'network')} again, under another seed.")
        case Round.FINALISTS if queue.remaining:
            _say_finalists(session, trials, console)
        case Round.CALIBRATION:
            _say_calibration(session, trials, console)


def _say_search(session: Session, trials: int, console: Console) -> None:
    config = session.config
    say(
        console,
        f"Search: {pluralise(trials, 'trial')} by {config.sampler}, {describe_budget(config.budget)}, "
        f"{pluralise(config.recipe.epochs, 'epoch')} each, {_describe_batch(session)}seed {config.seed}. "
        f"Run folder: {session.folder.path}",
    )
    if config.budget.others:
        say(console, describe_sampling(config.budget))
    if config.warm_start:
        say(console, f"First: {', '.join(config.warm_start)}.")


def _describe_batch(session: Session) -> str:
    """Return what the proxy trains with, picked or given; a user's evaluator has its own."""
    recipe = session.recipe
    return f"batch {recipe.batch_size:,}, rate {recipe.peak_lr:g}, " if session.proxy else ""


def _say_finalists(session: Session, trials: int, console: Console) -> None:
    finals = session.config.finals
    say(
        console,
        f"Finalists: the best {trials // finals.seeds} again, {pluralise(finals.epochs, 'epoch')} under "
        f"{pluralise(finals.seeds, 'fresh seed')}{finals.scored}.",
    )


def _say_calibration(session: Session, trials: int, console: Console) -> None:
    say(
        console,
        f"Calibration: {pluralise(trials, 'training')}, {_describe_batch(session)}"
        f"seed {session.config.seed}. Run folder: {session.folder.path}",
    )


def print_result(result: SearchResult, console: Console) -> None:
    """Print what a search came to, and what to do next. Raises NasError where no trial has a score."""
    print_outcome(result, console)
    if not result.elsewhere:  # its commands read weights
        _say_next(result, console)


def print_outcome(result: SearchResult, console: Console) -> None:
    """Print what a search came to. Raises NasError where no trial has a score."""
    state, config = result.state, result.state.config
    command = state.manifest.resume_command(state.folder)
    if result.stopped_by is StopReason.EXHAUSTED:
        say(console, f"The search ended early: {explain_exhausted(config.budget)}.")
    if result.stopped_by is StopReason.TIME_LIMIT:
        assert config.time_limit is not None
        say(console, f"The time limit of {dump_duration(config.time_limit)} is over. Go on with: {command}")
    if state.trials:
        say(console, describe_counts(result.counts, config.budget))
    if near := describe_near_limit(state):
        say(console, near)
    for line in describe_usage(result.usage):
        say(console, line)
    result.check()
    if config.prescreen and all(trial.prescreen is None for trial in state.trials):
        say(console, f"No network could be scored by {config.prescreen.name}: each was trained as proposed.")
    console.print(render_best(best := state.best(5), state.objective, config.measures))
    if ranked := describe_believed(state.believed, best):
        say(console, ranked)
    _print_finals(state, console)
    _print_front(state, console)
    if result.elsewhere:
        say(console, f"Best network: {result.state.folder.best_file}; its weights are in {result.elsewhere}")
    else:
        exported = next(file for file in result.exported if file.suffix == ".py")
        say(console, f"Best network: {exported} (checked: same outputs, same parameters, imports only torch)")
    if result.scaled:
        say(console, "Scaled:")
        show(render_scaled(result.scaled), console)
    for name, line in result.logged.items():
        say(console, f"Logged to {name}: {line}")


def describe_near_limit(state: RunState) -> str | None:
    """Say how many networks were measured before they were trained, and what became of them."""
    measured = state.measured
    if not measured.before:
        return None
    left_out = measured.count_too_slow(state.config.budget)
    return (
        "Measured before training, as they are near the limit of latency: "
        f"{pluralise(len(measured.before), 'network')}, {left_out} of them over it and left out."
    )


def describe_believed(found: BelievedScores | None, best: Sequence[Trial]) -> str | None:
    """Say by what networks are ranked where the noise of a score is known, and what the `best` are worth."""
    worth = [f"{trial.believed:.4f}" for trial in best if trial.believed is not None]
    if found is None or (found.is_used and not worth):  # other trials have come since
        return None
    compared = f"{found.error:.4f}, and one score a noise of {found.noise:.4f} ({found.source})"
    if not worth:
        return f"Ranked by their own scores: what all others say of one has an error of {compared}."
    return (
        f"Ranked by what all scores say of each: what the others say has an error of {compared}. "
        f"{'The first are' if len(worth) > 1 else 'The first is'} worth {', '.join(worth)}."
    )


def describe_usage(usage: Usage) -> Iterator[str]:
    """Say what trials did with their time, and how fast they were, as far as their trainings tell."""
    if not usage.total_s:
        return
    times = map(format_duration, (usage.trained_s, usage.started_s, usage.waited_s))
    trained, started, waited = (
        f"{part} ({time})" for part, time in zip(format_usage(usage), times, strict=True)
    )
    yield f"Of their time, trials trained {trained}, started {started} and waited {waited}."
    if usage.images_s is None:
        return
    speed = f"In training, {usage.images_s:,.0f} images/s a trial"
    if usage.share is None:
        yield f"{speed}."
    else:
        yield f"{speed}, {format_share(usage.share)} of the limit of this device by its {usage.limited_by}."


def format_usage(usage: Usage) -> list[str]:
    """Return the parts of their time that trials trained, started and waited."""
    return [format_share(s / usage.total_s) for s in (usage.trained_s, usage.started_s, usage.waited_s)]


def print_run(state: RunState, top: int) -> None:
    """Print the best trials of a run, searching or finished."""
    console, folder = open_terminal(), state.folder
    say(console, f"{folder.path}: {state.space.name}, {format_networks(state.space)}")
    ended = sum(not trial.is_running for trial in state.trials)
    config = state.config
    say(console, f"{ended} of {pluralise(config.trials, 'trial')} ended, {describe_budget(config.budget)}.")
    if state.is_exhausted:
        say(console, f"It is over before its last trial: {explain_exhausted(config.budget)}.")
    if failed := [trial for trial in state.trials if trial.failure]:
        say(console, f"{len(failed)} failed, trial {failed[-1].number} with: {failed[-1].failure}.")
    if ended < len(state.trials):
        for line in describe_running(state):
            say(console, line)
        running = " --running" * state.manifest.elsewhere
        say(console, f"Go on with: {state.manifest.resume_command(folder)}{running}")
    if best := state.best(top):
        console.print(render_best(best, state.objective, config.measures))
        if ranked := describe_believed(state.believed, best):
            say(console, ranked)
    else:
        say(console, "No trial has a score.")
    _print_finals(state, console)
    _print_front(state, console)


def describe_running(state: RunState) -> Iterator[str]:
    """Say of each trial that has not ended how far it is."""
    running, epochs = [trial for trial in state.trials if trial.is_running], state.config.recipe.epochs
    for trial in running[:_RUNNING]:
        epoch = max(trial.curve, default=0)
        score = f", {state.objective.metric.name} {trial.curve[epoch]:.4f}" if epoch else ""
        far = "" if state.manifest.elsewhere else f", epoch {epoch}/{epochs}{score}"
        what = "Asked for and not told of" if state.manifest.elsewhere else "Running or interrupted"
        yield f"{what}: trial {trial.number}{far}, {trial.candidate.cost}."
    if len(running) > _RUNNING:
        yield f"So are {len(running) - _RUNNING} more."


_RUNNING = 10


def say_stopped(state: RunState, console: Console) -> None:
    """Print what a search has that is asked to end."""
    best = state.best_trial
    if best is None:
        say(console, "No trial has a score yet.")
        return
    say(console, f"Best so far: trial {best.number}, score {best.score:.4f}, {best.candidate.cost}.")
    if state.has_weights(best):  # else another driver has them
        say(console, f"Export it with: {_format_export_command(state)}")


def _format_export_command(state: RunState) -> str:
    return f"nas export {_format_run_flags(state)} -o my_network.py"


def _format_run_flags(state: RunState) -> str:
    """Return a run as commands take it."""
    return f"{quote(str(state.folder.path))}{state.manifest.format_study_flags(state.folder)}"


def print_trial(state: RunState, trial: Trial) -> None:
    """Print what became of a trial, its choices and its network."""
    console = open_terminal()
    fate = _describe_fate(trial, state.objective.metric.name)
    say(console, f"{state.folder.path}, trial {trial.number}: {fate}.")
    choices = ", ".join(f"{name}: {option}" for name, option in trial.candidate.choices.items())
    say(console, f"Choices: {choices or 'none'}.")
    show(render_architecture(state.network(trial)), console)


def _describe_fate(trial: Trial, metric: str) -> str:
    epochs = pluralise(len(trial.curve), "epoch")
    match trial.state:
        case TrialState.COMPLETE:
            return f"{metric} {trial.score:.4f} after {epochs}"
        case TrialState.PRUNED:
            return f"stopped early, after {epochs}"
        case TrialState.FAILED:
            return f"failed with {trial.failure}"
        case TrialState.RUNNING:
            return f"not ended, after {epochs}"


def _print_finals(state: RunState, console: Console) -> None:
    """Print the finalists of a search that has some."""
    ranked = state.finalists
    if not ranked:
        return
    finals = state.config.finals
    seeds = pluralise(finals.seeds, "seed")
    say(console, f"Finalists, after {pluralise(finals.epochs, 'epoch')} under {seeds}{finals.scored}:")
    show(render_finals(ranked, state.config.measures), console)
    for note in describe_finals(ranked, finals.seeds):
        say(console, note)


def describe_finals(ranked: Sequence[Finalist], seeds: int) -> Iterator[str]:
    """Say what makes the order of finalists unsure."""
    for one in ranked:
        if len(one.scores) < seeds:
            scores = pluralise(len(one.scores), "score")
            yield f"Trial {one.trial.number} has {scores} from {seeds} seeds; the others failed."
    if len(ranked) < 2:
        return
    first, second = (one.trial.number for one in ranked[:2])
    p = compare_first_two(ranked)
    if min(len(one.scores) for one in ranked[:2]) < 2:
        yield f"One score does not tell whether trials {first} and {second} differ; give more --final-seeds."
    elif p is not None:
        yield (
            f"Trials {first} and {second} cannot be told apart (p = {p:.2g}, Welch's t-test); "
            "choose by cost, or give more --final-seeds."
        )


def _print_front(state: RunState, console: Console) -> None:
    """Print the front of a search with several objectives."""
    objective, config = state.objective, state.config
    if not objective.costs:
        return
    volume = describe_volume(state.front, objective, state.space, config.budget)
    console.print(render_front(state.front, objective, config.measures, volume))
    if state.front:
        end = "highest" if objective.metric.maximize else "lowest"
        say(console, f"The best network is the one of the {end} {objective.metric.name}, whatever it costs.")
    if LATENCY in objective.costs and LATENCY not in config.budget:
        say(console, "Latencies are predicted, and none was measured: nas profile measures networks.")


def _say_next(result: SearchResult, console: Console) -> None:
    state = result.state
    command = state.manifest.resume_command(state.folder)
    best: Path = state.folder.best_file
    further = f"{command} --trials {2 * len(state.trials)}"
    plugins = state.manifest.format_plugin_flags(state.folder)
    run = _format_run_flags(state)
    say(console, "Next:")
    go_on = {
        StopReason.FINISHED: [(further, "search further")],
        StopReason.EXHAUSTED: [],
        StopReason.TIME_LIMIT: [(command, "what is missing")],
    }
    trains = state.manifest.data is not None  # on images, as a full training does
    commands = (
        (f"nas show {quote(str(best))}{plugins}", "the network, stage by stage"),
        (f"nas show {run}", "the trials"),
        (f"nas report {run}", "the search as one page"),
        *go_on[result.stopped_by],
        *[(f"nas train {run} --init search", "the best network in full")] * trains,
        (_format_export_command(state), "write the best network elsewhere"),
    )
    width = max(len(command) for command, _ in commands)
    for command, why in commands:
        say(console, f"  {command:<{width}}  # {why}")
