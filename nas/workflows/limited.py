"""Searches with a limit of latency: what is named was measured whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.errors import InputError
from nas.measures import LATENCY, Budget
from nas.runs.budget import name_option
from nas.runs.measured import MeasuredLatencies
from nas.study.ledger import Ledger
from nas.study.queue import FixedQueue, Job, JobEvaluator, NetworkKey
from nas.study.records import Trial
from nas.study.storage import claim_storage
from nas.workflows.keeping import FileKeeper

if TYPE_CHECKING:
    from nas.latency.table import LatencyTable
    from nas.runs.config import SearchConfig
    from nas.runs.state import RunState
    from nas.space import Space
    from nas.space.plugins import Plugin
    from nas.workflows.near_limit import NearLimit
    from nas.workflows.observer import Observer
    from nas.workflows.session import Session

KEPT = 16
"""Trials at least whose weights stay: of those near a limit some are over it when they are measured."""
_AGAIN = "again"


def check_latency(config: SearchConfig) -> None:
    """Raise InputError where it is not said what a latency is of, or is said and there is none."""
    runtime = config.latency.runtime
    if config.has_latency and runtime is None:
        where = (
            f"--{name_option(LATENCY)}"
            if LATENCY in config.budget
            else f"--objective {config.objective.text}"
        )
        raise InputError(
            f"{where}: each runtime has a latency of its own; say which by --runtime onnx, or torch"
        )
    if runtime is None:
        return
    if not config.has_latency:
        raise InputError(
            f"--runtime: {runtime} has no effect where no latency is asked for; add "
            f"--{name_option(LATENCY)} 8ms, or leave it out"
        )
    from nas.workflows.latency import check_runtime

    check_runtime(runtime, config.latency.threads)


def load_table(
    space: Space, config: SearchConfig, plugins: Sequence[Plugin], observer: Observer
) -> LatencyTable | None:
    """Return the table of a space, as it is counted, where a search needs one; the observer hears how good it
    is."""
    if not config.has_latency:
        return None
    from nas.workflows.latency import find_table

    assert config.latency.runtime is not None
    files = [Path(plugin.file) for plugin in plugins]
    table = find_table(
        space,
        config.latency.runtime,
        config.latency.threads,
        files,
        lambda text: observer.doing(f"Latency: {text}"),
        noted=observer.noted,
    )
    errors = table.errors["table"]
    observer.noted(
        f"Latency is of {table.fingerprint.device}, predicted by a table of {len(table.parts):,} parts: of "
        f"{len(table.held_out)} whole networks {100 * errors.within_5:.0f} % were within 5 %, "
        f"{100 * errors.within_10:.0f} % within 10 %, tau {errors.tau:.2f}."
    )
    if table.contention:
        observer.noted(
            f"The machine was not quiet when that was measured: {table.contention}; measure it again with "
            "nas latency --anew when it is."
        )
    return table


def watch_limit(session: Session, observer: Observer) -> tuple[NearLimit | None, Budget]:
    """Return what measures networks near a limit of latency before they are trained, and what a sampler's
    networks are inside. Where nothing can be measured, room is left for errors. The observer hears which."""
    limit, budget = session.config.budget.get(LATENCY), session.config.budget
    if limit is None or limit.high is None:
        return None, budget
    from nas.latency.table import read_table
    from nas.workflows.latency import find_change
    from nas.workflows.near_limit import NearLimit, ProcessTimer

    table, why = read_table(session.folder.table_file), ""
    if now := find_change(table, session.config.latency):
        why = f"the table of latencies is of {table.fingerprint.device}, and this is {now.device}"
    elif not _can_time_beside(session.config):
        why = "beside trainings one thread alone is told its own time, and --workers 0 trains none meanwhile"
    if why and table.excess:
        observer.noted(
            f"Networks near the limit of latency are not measured before they are trained, and those far "
            f"inside are tried first: {why}."
        )
    elif table.excess:
        observer.noted(
            f"Latency: one in ten networks took over {100 * table.excess:.1f} % longer than predicted, so "
            f"those of over {LATENCY.format(find_sure(limit.high, table))} as predicted are measured before "
            "they are trained."
        )
    timer = None
    if not why:
        plugins = [Path(plugin.file) for plugin in session.plugins]
        is_quiet = _is_quiet(session.config)
        timer = ProcessTimer(session.space, table, plugins, limit.high / 1e9, is_quiet=is_quiet)
    near = NearLimit(limit.high, find_sure(limit.high, table), timer, session.folder, observer)
    return near, leave_room(session.space, budget, table) if why else budget


def leave_room(space: Space, budget: Budget, table: LatencyTable) -> Budget:
    """Return a budget whose networks are inside the limit of latency even where they take as much longer than
    predicted as nine of ten held-out ones did at most; as it is, where that leaves none."""
    limit = budget.get(LATENCY)
    if limit is None or limit.high is None:
        return budget
    high = find_sure(limit.high, table)
    narrower = Budget({**budget, LATENCY: replace(limit, high=high)})
    is_met = high >= limit.low and space.uniform(narrower).sample(np.random.default_rng(0), 1)
    return narrower if is_met else budget


def _is_quiet(config: SearchConfig) -> bool:
    """Return whether nothing trains while the next trial is looked for."""
    return config.executor.workers == 0


def _can_time_beside(config: SearchConfig) -> bool:
    """Return whether trainings that go on leave the time of a network as it is: one thread is told the time
    that it had a core, several are told what they waited for one too."""
    return _is_quiet(config) or config.latency.threads == 1


def find_sure(limit: int, table: LatencyTable) -> int:
    """Return up to which predicted latency a network is inside a limit even where it takes as much longer as
    nine of ten held-out ones did at most."""
    return int(limit / (1 + table.excess))


def measure_best(session: Session, trials: Sequence[Trial], observer: Observer) -> None:
    """Measure the best networks whole, as many as are to be named, until they are inside the limit. On
    another device than that of the table they are left as predicted, and the observer hears so."""
    config, folder = session.config, session.folder
    if LATENCY not in config.budget:
        return
    from nas.latency.table import read_table
    from nas.workflows.latency import find_change, measure_whole

    table = read_table(folder.table_file)
    wanted = max(1, config.finals.count)
    while waiting := _find_unmeasured(session, trials, wanted):
        if now := find_change(table, config.latency):
            observer.noted(
                f"The table of latencies is of {table.fingerprint.device}, and this is {now.device}: "
                "the best networks are inside the limit as predicted, and none was measured. Resume the run "
                "there, which measures them, or start a new run here."
            )
            return
        observer.doing(f"Measuring the latency of {len(waiting)} of the best networks")
        found = measure_whole(
            session.space,
            [trial.candidate.choices for trial in waiting],
            table,
            [Path(plugin.file) for plugin in session.plugins],
            lambda text: observer.doing(f"Latency: {text}"),
        )
        known = MeasuredLatencies.read(folder)
        more = {trial.candidate.identity: value for trial, value in zip(waiting, found, strict=True)}
        replace(known, latencies={**known.latencies, **more}).write(folder)


def train_lost(session: Session, state: RunState, observer: Observer) -> None:
    """Train the best network again, by its own seed, where its weights were not kept, as so many others were
    better until they were measured."""
    best = next(iter(state.best(1)), None)
    file = best and session.folder.weights_file(best.number)
    if not best or not file or file.exists() or state.winner or not any(t.too_slow for t in state.trials):
        return
    observer.doing(f"Training trial {best.number} again, whose weights were not kept")
    job = Job(NetworkKey(f"trial {best.number}", best.number), session.space, best.candidate.choices, _AGAIN)
    queue = FixedQueue([job], Ledger(claim_storage(None), _AGAIN, session.evaluator.metric))
    evaluator = JobEvaluator(queue.by_number, {_AGAIN: session.evaluator})
    session.executor.run(queue, evaluator, FileKeeper(file))


def _find_unmeasured(session: Session, trials: Sequence[Trial], wanted: int) -> list[Trial]:
    """Return those of the best networks inside the limit, as far as is known, that were not measured."""
    state, measured = session.make_state(trials), MeasuredLatencies.read(session.folder)
    best = state.best(wanted) if session.objective.is_single else state.front
    return [trial for trial in best if not measured.has(trial)]
