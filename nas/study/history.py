"""A search told from its trials: how its best rose, what random search reaches, where networks come from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from nas.study.objective import Objective
from nas.study.records import Trial, TrialState

Item = TypeVar("Item")

MOST_POINTS = 200
"""Numbers of trials at which an expectation is worked out."""


@dataclass(frozen=True, slots=True)
class Reached:
    """The best reward after so many trials and so many seconds of training, of all workers together."""

    trials: int
    seconds: float
    reward: float


def track_best(trials: Sequence[Trial], objective: Objective) -> list[Reached]:
    """Return the best reward after each ended trial from the first with a score on, by number."""
    best: float | None = None
    seconds, sign = 0.0, objective.metric.sign
    found = []
    ended = [trial for trial in trials if not trial.is_running]
    for count, trial in enumerate(ended, 1):
        seconds += trial.result.seconds or 0.0
        if trial.score is not None:
            reward = objective.compute_reward(trial.score, trial.candidate.amount)
            best = reward if best is None else sign * max(sign * best, sign * reward)
        if best is not None:
            found.append(Reached(count, seconds, best))
    return found


def expect_random(trials: Sequence[Trial], objective: Objective) -> list[Reached]:
    """Return the best reward that random search is expected to have after so many trials, from the trials of
    one: of all ways to draw so many of them, each network once.

    Trials that failed take part, as ones without a reward. The first numbers, at which some draws have none,
    are left out, and there is no number beyond that of the trials.
    """
    ended = [trial for trial in trials if not trial.is_running]
    sign, count = objective.metric.sign, len(ended)
    scored = [(trial, trial.score) for trial in ended if trial.score is not None]
    rewards = sorted(
        sign * objective.compute_reward(score, trial.candidate.amount) for trial, score in scored
    )
    failed = count - len(rewards)
    seconds = sum(trial.result.seconds or 0.0 for trial in ended) / max(1, count)
    found = []
    for k in thin(range(failed + 1, count + 1), MOST_POINTS):
        all_ways = _count_ways_log(count, k)
        # The best of k is the i-th of all where the other k - 1 are among the i before it.
        chances = [math.exp(_count_ways_log(failed + i, k - 1) - all_ways) for i in range(len(rewards))]
        found.append(Reached(k, k * seconds, sign * math.fsum(map(float.__mul__, chances, rewards))))
    return found


def _count_ways_log(items: int, drawn: int) -> float:
    """Return the logarithm of the number of ways to draw some of so many items, -inf for none."""
    if drawn > items:
        return -math.inf
    return math.lgamma(items + 1) - math.lgamma(drawn + 1) - math.lgamma(items - drawn + 1)


def trace_ancestry(trials: Sequence[Trial], trial: Trial) -> list[Trial]:
    """Return a trial, the one that it was bred from or took its weights from, the one of that, and so on."""
    line = [trial]
    while (parent := find_parent(line[-1])) is not None and 0 <= parent < line[-1].number:
        line.append(trials[parent])
    return line


def find_parent(trial: Trial) -> int | None:
    """Return the number of the trial that one was bred from, else of the one that it took weights from."""
    return trial.result.parent if trial.bred_from is None else trial.bred_from


@dataclass(frozen=True, slots=True)
class TimeSpent:
    """Where the time of a search went, in seconds of all workers together, as far as its ledger has it.

    `trained`: by the state that trials ended in, from their second step on. `started`: before that, from when
    a training is built. `waited`: what is left of the time from the entry of each ended trial to its end, for
    a worker and in stops of the search. `wall`: from the first entry to the last end. None where it has no
    times.
    """

    trained: dict[TrialState, float]
    started: float
    waited: float | None
    wall: float | None

    @property
    def total_trained(self) -> float:
        return sum(self.trained.values())


def sum_times(trials: Sequence[Trial]) -> TimeSpent:
    """Return where the time of the ended trials went."""
    trained: dict[TrialState, float] = {}
    started, spans = 0.0, []
    for trial in trials:
        if trial.is_running:
            continue
        result = trial.result
        first_s = max(0.0, result.start_s - result.build_s)  # of `seconds`
        trained[trial.state] = trained.get(trial.state, 0.0) + max(0.0, (result.seconds or 0.0) - first_s)
        started += result.start_s
        if trial.began is not None and trial.ended is not None:
            spans.append((trial.began, trial.ended))
    if not spans:
        return TimeSpent(trained, started, None, None)
    together = sum((end - began).total_seconds() for began, end in spans)
    wall = (max(end for _, end in spans) - min(began for began, _ in spans)).total_seconds()
    return TimeSpent(trained, started, max(0.0, together - sum(trained.values()) - started), wall)


def thin(items: Sequence[Item], most: int) -> Sequence[Item]:
    """Return `most` of some items at equal steps, with the first and the last; all where there are fewer."""
    if len(items) <= most:
        return items
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]
