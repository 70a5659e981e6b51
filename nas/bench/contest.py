"""Searches by several samplers over one table, repeated in parallel processes, each repeat a fair pair."""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from nas.bench.config import BenchConfig
from nas.bench.score_table import Table, read_table
from nas.errors import InputError, NasError
from nas.importing import release_children, without_current_folder
from nas.machine import count_cores
from nas.measures import Budget
from nas.samplers import find_sampler
from nas.space import load_space
from nas.space.library import find_space
from nas.space.plugins import Plugin, load_plugins
from nas.study.belief import RANKED, ScoredPoint, compute_belief
from nas.study.ledger import Ledger
from nas.study.records import Candidate, Counts
from nas.study.storage import open_storage
from nas.study.study import Study
from nas.training.base import EpochResult
from nas.workflows.checks import check_budget

BASELINE = "random"


@dataclass(frozen=True)
class Contest:
    """Settings of a contest: `repeats` searches of `trials` trials by each sampler and by the baseline.

    Repeat i of every sampler has the seed `seed` + i and, where `noisy`, the same score of each network:
    one of its scores, drawn anew for each repeat. Else a search is told the mean of a network's scores. What
    is added has the standard deviation `noise`.
    """

    table: Table
    samplers: tuple[str, ...]
    trials: int
    repeats: int
    budget: Budget
    seed: int = 0
    noisy: bool = False
    noise: float = 0.0

    def __post_init__(self) -> None:
        members = self.table.count_inside(self.budget)
        if not members:
            raise InputError(
                f"{self.table.file}: none of its {len(self.table.entries):,} networks is inside the budget "
                f"{self.budget}; widen it"
            )
        if members < self.trials:
            raise InputError(
                f"--trials: {self.trials:,}, and {self.table.file} has {members:,} networks inside the "
                "budget; ask for at most so many"
            )

    @property
    def deviation(self) -> float:
        """Standard deviation of a score that a search is told, of one network."""
        seeds = self.table.seed_deviation if self.noisy else 0.0
        return math.hypot(seeds, self.noise)

    @property
    def most(self) -> float:
        """The best true score inside the budget."""
        return self.table.find_most(self.budget)

    def observe(self, identity: str, seed: int) -> float:
        """Return the score of a network that a search of this seed is told."""
        seen = self.table.entries[identity].observe(identity, seed if self.noisy else None)
        return seen + random.Random(f"{seed} {identity}").gauss(0, self.noise) if self.noise else seen


@dataclass(frozen=True, slots=True)
class Outcome:
    """One search. `best`: after each trial, the true score of the trial that the search would return then;
    a search that found no more networks stays at its last. `asked_s`: seconds of each ask. `believed`: the
    true score of the trial that it returns in the end by what all scores say together; `is_better`: whether
    that counts."""

    sampler: str
    repeat: int
    best: tuple[float, ...]
    asked_s: tuple[float, ...]
    counts: Counts
    believed: float = math.nan
    is_better: bool = False


def prepare_contest(
    space: str, table: Path, config: BenchConfig, plugins: tuple[Plugin, ...] = ()
) -> Contest:
    """Return the contest that a config says, on the table in a file.

    Raises InputError for an unknown sampler, a table that is none of the space's networks, and a budget that
    leaves too few of them.
    """
    samplers = tuple(dict.fromkeys((BASELINE, *config.samplers)))
    for name in samplers:
        find_sampler(name)
    load_plugins(plugins)
    found = load_space(find_space(space))
    check_budget(found, config.budget)
    return Contest(
        read_table(table, found),
        samplers,
        config.trials,
        config.repeats,
        config.budget,
        config.seed,
        config.score == "random",
        config.noise,
    )


def run_contest(
    contest: Contest, jobs: int | None = None, plugins: tuple[Plugin, ...] = ()
) -> Iterator[Outcome]:
    """Yield the outcome of every search of a contest as they end; `jobs` processes, 1 for this one, None for
    one a core."""
    jobs = jobs or count_cores()
    tasks = [(sampler, repeat) for repeat in range(contest.repeats) for sampler in contest.samplers]
    if jobs == 1:
        yield from (run_search(contest, *task) for task in tasks)
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes take every core already
    with without_current_folder():
        pool = ProcessPoolExecutor(
            min(jobs, len(tasks)),
            get_context("spawn"),
            initializer=_start_process,
            initargs=(contest, plugins),
        )
        futures: list[Future[Outcome]] = [pool.submit(_run_task, *task) for task in tasks]
    try:
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool:
        raise NasError("a process that ran searches has died; run fewer at a time, with --jobs") from None
    finally:
        pool.shutdown(cancel_futures=True)


def run_search(contest: Contest, sampler: str, repeat: int) -> Outcome:
    """Run one search of a contest."""
    table = contest.table
    seed = contest.seed + repeat
    study = Study(
        table.space,
        contest.budget,
        Ledger(open_storage(None), "bench"),
        trials=contest.trials,
        sampler=find_sampler(sampler),
        seed=seed,
        try_out=table.require,
    )
    best: list[float] = []
    asked_s: list[float] = []
    first = (math.inf, 0, 0)
    points: list[ScoredPoint] = []
    true: dict[int, float] = {}
    while (candidate := _ask(study, asked_s)) is not None:
        entry = table.entries[candidate.identity]
        seen = contest.observe(candidate.identity, seed)
        study.complete(candidate.number, EpochResult(1, seen, seen, 0.0))
        # As `find_best` has it: the highest score, then the cheaper, then the earlier.
        rank = (-seen, candidate.cost.macs, candidate.number)
        best.append(entry.true_score if rank < first else best[-1])
        first = min(first, rank)
        points.append(ScoredPoint(candidate.number, candidate.choices, candidate.cost, seen))
        true[candidate.number] = entry.true_score
    if not best:
        raise InputError(
            f"{table.file}: a search by '{sampler}' met no network that has a row; "
            "the table covers too little of the space"
        )
    best += best[-1:] * (contest.trials - len(best))
    found = Outcome(sampler, repeat, tuple(best), tuple(asked_s), study.counts, best[-1])
    belief = compute_belief(points, contest.deviation)
    if belief is None or not belief.is_better:
        return found
    ranked = sorted(points, key=lambda point: (-point.score, point.cost.macs, point.number))[:RANKED]
    named = min(ranked, key=lambda point: (-belief.scores[point.number], point.cost.macs, point.number))
    return replace(found, believed=true[named.number], is_better=True)


def _ask(study: Study, asked_s: list[float]) -> Candidate | None:
    """Return the next candidate, and append the time that it took."""
    start = time.perf_counter()
    candidate = study.ask()
    if candidate is not None:
        asked_s.append(time.perf_counter() - start)
    return candidate


_contest: Contest
"""In a process of the pool: what is run there."""


def _start_process(contest: Contest, plugins: tuple[Plugin, ...]) -> None:
    global _contest
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    release_children()
    load_plugins(plugins)
    _contest = contest


def _run_task(sampler: str, repeat: int) -> Outcome:
    return run_search(_contest, sampler, repeat)
