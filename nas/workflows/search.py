"""A search from its config to its results: the one place where all parts meet."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from nas.deadline import TimeIsUp
from nas.errors import InputError, NasError
from nas.execution import keep_ready
from nas.measures import LATENCY
from nas.runs.config import SearchConfig
from nas.runs.finals import Finalist, FinalKey, find_winner, select_finalists, select_spare
from nas.runs.folder import RunFolder
from nas.runs.measured import MeasuredLatencies
from nas.runs.state import RunState
from nas.study.ledger import Ledger
from nas.study.queue import FixedQueue, Job, JobEvaluator
from nas.study.records import Counts, Trial
from nas.training.base import Evaluator, Lengthenable
from nas.training.evaluator import scale_resolution
from nas.training.process import borrowed_process
from nas.training.quantized import Int8Evaluator
from nas.workflows.believing import rank_by_all
from nas.workflows.calibration_lookup import find_calibration
from nas.workflows.export import export_module, load_trial
from nas.workflows.keeping import FinalsKeeper, WeightsKeeper
from nas.workflows.limited import KEPT, measure_best, train_lost
from nas.workflows.logged import RunLog
from nas.workflows.observer import Observer, Observers, Round
from nas.workflows.prepared import prepare
from nas.workflows.repeating import train_repeats
from nas.workflows.scaling import ScaledFile, scale_best
from nas.workflows.search_studies import Studies, open_studies
from nas.workflows.session import Session, check_place, reopen, start
from nas.workflows.stops import StopCheck, stoppable
from nas.workflows.unscored import explain_no_score
from nas.workflows.usage import Meter, Usage

FRESH = 500_000
"""Added to the seed of a search for its long trainings."""
_FINAL = "final"


class StopReason(Enum):
    """Why a search ended."""

    FINISHED = "finished"
    """All trials were tried."""
    EXHAUSTED = "exhausted"
    """No untried network inside the budget was found."""
    TIME_LIMIT = "time limit"
    """The time limit was over; a resume goes on."""


@dataclass(frozen=True)
class SearchResult:
    """What a search came to.

    `state`: the run with all its trials. `exported`: the files of the best network, the module first, none
    where no trial has a score. `scaled`: the best network at the steps of the setting `scale`. `usage`: of
    the time of this command.
    """

    state: RunState
    counts: Counts
    stopped_by: StopReason
    exported: tuple[Path, ...] = ()
    scaled: tuple[ScaledFile, ...] = ()
    usage: Usage = field(default_factory=Usage)
    elsewhere: str = ""
    """HOST:FOLDER with the weights of the best network, where another driver of the study trained it."""
    logged: Mapping[str, str] = field(default_factory=dict)
    """The line that opens what is logged, by the name of the logger."""

    @property
    def best(self) -> Trial | None:
        """The trial of the best network: that of the winner of the finals, else that of the best score."""
        return self.state.best_trial

    def __repr__(self) -> str:
        return f"<SearchResult {self.state}>"

    @property
    def finalists(self) -> list[Finalist]:
        """The best networks that were trained longer, the best first."""
        return self.state.finalists

    @property
    def front(self) -> list[Trial]:
        """The trials that no other beats in score and costs."""
        return self.state.front

    def check(self) -> None:
        """Raise NasError where no trial has a score."""
        if self.best is None:
            in_time = self.stopped_by is not StopReason.TIME_LIMIT
            exhausted = self.stopped_by is StopReason.EXHAUSTED
            raise NasError(explain_no_score(self.state, self.counts, in_time=in_time, exhausted=exhausted))


def search(
    config: SearchConfig,
    observer: Observer | None = None,
    *,
    evaluator: Evaluator | None = None,
    plugins: Sequence[Path | str] = (),
    runs: Path | str = "runs",
    name: str | None = None,
    join: bool = False,
) -> SearchResult:
    """Search a space for the best network within a budget, and export it.

    `observer` hears how it goes. `evaluator`: what trains, in place of the configured one. `plugins`: Python
    files of blocks and operators, which are run. The run folder is `runs/name`, or one called like the space
    with a number. `join`: work on the study `name` that another driver has begun in the same database.

        >>> import nas
        >>> short = {"max_images": 200, "workers": 0, "in_process": True}  # in seconds
        >>> settings = {"space": "tiny.yaml", "budget_flops": "300K", "trials": 2, **short}
        >>> result = nas.search(nas.SearchConfig.from_data(settings))
        >>> result  # doctest: +ELLIPSIS
        <SearchResult runs/tiny-1: best is trial ..., accuracy ..., ... MACs, ... params; of 2 trials>
        >>> result.counts.complete, result.best.candidate.cost.macs <= 300_000, result.exported[0]
        (2, True, PosixPath('runs/tiny-1/best.py'))

    Outside the main thread, which alone gets signals, a time limit ends the search after an epoch and not in
    the middle of one.

    Raises InputError for what cannot be searched, Stopped on Ctrl-C, NasError where the run cannot be
    written. Whatever ends it, `resume` goes on.
    """
    began = time.monotonic()
    config, observer = SearchConfig.expect(config), observer or Observer()
    place = partial(check_place, config, Path(runs), name, config.space, join)
    with keep_ready(config.executor) as begin:
        prepared = prepare(config, evaluator, plugins, observer, place, begin)
        return run_search(start(prepared, Path(runs), name, config.space, join=join), observer, began)


def resume_search(
    folder: RunFolder,
    observer: Observer | None = None,
    *,
    changes: Mapping[str, Any] | None = None,
    evaluator: Evaluator | None = None,
    plugins: Sequence[Path | str] = (),
    repair: bool = False,
) -> SearchResult:
    """Go on with a search that was stopped, or further with `changes` such as `{"trials": 64}`."""
    began = time.monotonic()
    observer = observer or Observer()
    session = reopen(folder, dict(changes or {}), evaluator, plugins, observer, repair)
    return run_search(session, observer, began)


def run_search(session: Session, observer: Observer, began: float) -> SearchResult:
    """Train what is still to be trained, and write the results. `began`: when the time limit started."""
    config, meter = session.config, Meter()
    observer = Observers(observer, meter)
    with (
        stoppable(session) as stop,
        session.folder.locked(),
        keep_ready(config.executor),
        ExitStack() as opened,
    ):
        studies = open_studies(session, observer, stop, to_ask=True)
        opened.callback(lambda: studies.close())
        session.write_changes()
        observer.began(session)
        log = opened.enter_context(RunLog(session, observer.noted))
        observer = Observers(observer, log)
        in_time = True
        try:
            with stop.timed(config.time_limit, began):
                _train(session, studies, observer, stop)
                if LATENCY in config.budget:
                    measure_best(session, studies.trials, observer)
                    _name_best(session, studies)
                if studies.finals:
                    _train_finalists(session, studies, studies.finals, observer, stop)
        except KeyboardInterrupt as end:
            stop.check_place()
            # It may have come between the write of a trial and its note: what is written counts.
            studies.close()
            studies = open_studies(session, observer, stop, to_ask=False)
            session.make_state(studies.trials).write_tables()
            if isinstance(end, TimeIsUp):
                rank_by_all(session, studies)
                measure_best(session, studies.trials, observer)
            _name_best(session, studies)
            if not isinstance(end, TimeIsUp):
                observer.stopped(studies.make_state(session))
                raise
            in_time = False
        meter.stop()
        stop.check_place()
        study = studies.study
        session = session.note_end(study)
        state = studies.make_state(session)
        train_lost(session, state, observer)
        observer.doing("Exporting the best network, and checking it")
        if study.exhausted and not state.trials:
            within = f"budget {config.budget}" if config.budget else "no budget"
            raise InputError(
                f"{session.folder.path}: no network of '{session.space.name}' was found within {within}; "
                "widen the budget and start a new run"
            )
        reason = StopReason.FINISHED if in_time else StopReason.TIME_LIMIT
        if study.exhausted:
            reason = StopReason.EXHAUSTED
        has_best = bool(state.best(1))
        elsewhere = _find_elsewhere(state, study.ledger, studies.finals)
        result = SearchResult(
            state,
            study.counts,
            reason,
            tuple(export_module(load_trial(state))) if has_best and not elsewhere else (),
            tuple(scale_best(state)) if has_best else (),
            meter.usage,
            elsewhere,
        )
        if config.log:
            observer.doing("Writing what is logged")
        files = [session.folder.best_file, *result.exported]
        return replace(result, logged=log.conclude(result.best, files))


def _find_elsewhere(state: RunState, ledger: Ledger, finals: Ledger | None) -> str:
    """Return where another driver has the weights of the best network; nothing where they are here."""
    winner, best, folder = state.winner, state.best(1), state.folder
    if not ledger.is_shared or not best:
        return ""
    if winner and finals:
        number = winner.finals[0].number
        return "" if folder.final_weights_file(number).exists() else finals.place(number)
    number = best[0].number
    return "" if folder.weights_file(number).exists() else ledger.place(number)


def _train(session: Session, studies: Studies, observer: Observer, stop: StopCheck) -> None:
    """Train the trials of the search, and its repeats, and write its tables. Those are written on
    KeyboardInterrupt too."""
    config, study = session.config, studies.study
    name_best = partial(_name_best, session, studies)
    known = find_calibration(session.folder, session.manifest)
    may_know = known or config.repeats or session.folder.believed_file.exists()
    ranks_again = may_know or LATENCY in config.budget
    keep = max(KEPT, config.keep) if ranks_again else config.keep
    named = session.make_state(study.trials).best(1)  # perhaps not by its own score
    spared = {session.folder.weights_file(trial.number) for trial in named}
    keeper = WeightsKeeper(session.folder, study, keep, name_best, stop.check_place, spared)
    observer.round(study, Round.SEARCH, config.trials, config.recipe.epochs)
    if known:
        observer.noted(known)
    try:
        # what scores candidates does so in this process
        with borrowed_process(config.executor.cpus_per_trial) if config.prescreen else nullcontext():
            session.executor.run(study, session.evaluator, Observers(observer, keeper))
        keeper.tidy()  # other drivers of the study may have ended the last trials
        if end := study.given_up:
            raise end
        if studies.repeats:
            train_repeats(session, study.trials, studies.repeats, observer, stop)
        rank_by_all(session, studies)
        name_best()
    finally:
        stop.check_place()
        session.make_state(study.trials).write_tables()


def _train_finalists(
    session: Session, studies: Studies, ledger: Ledger, observer: Observer, stop: StopCheck
) -> None:
    """Train the best networks longer, one seed after the other, as far as they were not, and name the winner
    in best.yaml."""
    config = session.config
    best = select_finalists(session.make_state(studies.trials).trials, config.finals, session.objective)
    jobs = [
        Job(FinalKey.of(trial, seed, config.finals), session.space, trial.candidate.choices, _FINAL)
        for seed in range(config.finals.seeds)
        for trial in best
    ]
    longer = {_FINAL: _lengthen_trainings(session)}
    while True:
        queue = FixedQueue(jobs, ledger, find_end=stop.find_end)
        evaluator = JobEvaluator(queue.by_number, longer)
        observer.round(queue, Round.FINALISTS, len(jobs), config.finals.epochs)
        keeper = FinalsKeeper(session.folder, stop.check_place)
        session.executor.run(queue, evaluator, Observers(observer, keeper))
        if end := queue.given_up:
            raise end
        if not queue.is_outdated:
            break
    for number in select_spare(ledger.trials, session.objective):
        session.folder.final_weights_file(number).unlink(missing_ok=True)
    _name_best(session, studies)


def _lengthen_trainings(session: Session) -> Evaluator:
    """Return the evaluator whose trainings have the epochs of the finals, under fresh seeds, and are scored
    as these are ranked."""
    config = session.config
    epochs, seed = config.finals.epochs, config.seed + FRESH
    if config.finals.in_int8:
        assert session.proxy is not None, "a ranking in int8 is of the proxy"
        return Int8Evaluator(session.proxy.with_epochs(epochs, seed), config.seed)
    assert isinstance(session.evaluator, Lengthenable), "that is checked at the start"
    return session.evaluator.with_epochs(epochs, seed)


def _name_best(session: Session, studies: Studies) -> None:
    """Write best.yaml: the winner of the finalists where there is one, else the best trial."""
    config, state = session.config, studies.make_state(session)
    winner = find_winner(state.trials, state.finals, config.finals, session.objective)
    facts: dict[str, Any] = {"dataset": config.data.dataset} if session.data else {}
    if session.plugins:
        facts["plugins"] = [plugin.name for plugin in session.plugins]
    if winner is not None:
        facts |= {
            "final_score": winner.mean,
            "final_scores": winner.scores,
            "final_epochs": config.finals.epochs,
        }
        if config.finals.in_int8:
            facts["final_rank"] = config.finals.rank
    best = state.best_trial
    if best is None:
        if any(trial.too_slow for trial in state.trials):
            session.folder.remove_best()
        return
    if measured := MeasuredLatencies.read(session.folder).latencies.get(best.candidate.identity):
        facts["latency_measured"] = measured
    if (data := session.manifest.data) and data.background:
        resolved = session.space.resolve(best.candidate.choices)
        side = scale_resolution(session.space, resolved, config.data.resolution)
        facts["preprocessing"] = data.describe_preprocessing(side)
    session.folder.write_best(session.space, best, facts, config.measures)
