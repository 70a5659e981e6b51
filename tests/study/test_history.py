"""What is told of a search from its trials, against counting it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from statistics import fmean

import pytest
import toys

from nas.cost import Cost
from nas.measures import MACS
from nas.study.history import expect_random, find_parent, sum_times, thin, trace_ancestry, track_best
from nas.study.objective import Factor, Objective
from nas.study.records import Candidate, Trial, TrialResult, TrialState
from nas.study.stored import read_trials
from nas.training.base import Failure, FailureReason, Metric

LOSS = Objective(metric=Metric("loss", maximize=False))
REWARD = Objective(factors=(Factor(MACS, 2000, -0.5),))
START = datetime(2026, 1, 1, tzinfo=UTC)


def made(scores: Sequence[float | None]) -> list[Trial]:
    """Return trials of these scores, None for one that failed; each takes a second longer than the last."""
    return [
        Trial(
            Candidate(number, {"a": number}, Cost(macs=1000 * (number + 1)), str(number)),
            TrialState.FAILED if score is None else TrialState.COMPLETE,
            score,
            result=TrialResult(epochs=1, seconds=number + 1.0),
            failure=Failure(FailureReason.ERROR, "broken") if score is None else None,
            began=START + timedelta(seconds=10 * number),
            ended=START + timedelta(seconds=10 * number + 15),
        )
        for number, score in enumerate(scores)
    ]


@pytest.mark.parametrize("objective", [Objective(), LOSS, REWARD], ids=["accuracy", "loss", "reward"])
@pytest.mark.parametrize("failed", [0, 2])
def test_random_search_is_the_mean_of_all_draws(objective: Objective, failed: int) -> None:
    trials = made([0.5, 0.9, 0.7, 0.71, *[None] * failed, 0.2])
    best = max if objective.metric.maximize else min
    rewards = [
        None if t.score is None else objective.compute_reward(t.score, t.candidate.amount) for t in trials
    ]
    expected = {
        k: fmean(best(r for r in draw if r is not None) for draw in combinations(rewards, k))
        for k in range(failed + 1, len(trials) + 1)
    }
    found = expect_random(trials, objective)
    assert {one.trials: one.reward for one in found} == pytest.approx(expected)
    seconds = fmean(trial.result.seconds for trial in trials)
    assert [one.seconds for one in found] == pytest.approx([k * seconds for k in expected])


def test_random_search_of_many_trials_and_of_none() -> None:
    """At some numbers only; the last is all of them, whose best there is."""
    trials = made([(i * 7919 % 3001) / 3001 for i in range(3000)])
    found = expect_random(trials, Objective())
    assert len(found) == 200 and (found[0].trials, found[-1].trials) == (1, 3000)
    assert found[-1].reward == pytest.approx(max(t.score or 0.0 for t in trials))
    assert [one.reward for one in found] == sorted(one.reward for one in found)
    assert expect_random([], Objective()) == expect_random(made([None, None]), Objective()) == []


@pytest.mark.parametrize(
    ("objective", "best"), [(Objective(), [0.5, 0.5, 0.9, 0.9]), (LOSS, [0.5, 0.5, 0.5, 0.1])]
)
def test_the_best_so_far(objective: Objective, best: list[float]) -> None:
    found = track_best(made([None, 0.5, None, 0.9, 0.1]), objective)
    assert [one.reward for one in found] == best
    assert [(one.trials, one.seconds) for one in found] == [(2, 3.0), (3, 6.0), (4, 10.0), (5, 15.0)]


def test_where_time_went() -> None:
    trials = made([0.5, None, 0.7])
    spent = sum_times(trials)
    assert spent.trained == {TrialState.COMPLETE: 4.0, TrialState.FAILED: 2.0}
    assert (spent.total_trained, spent.started, spent.waited, spent.wall) == (6.0, 0.0, 39.0, 35.0)
    late = replace(trials[2], result=TrialResult(epochs=1, seconds=3.0, start_s=1.5, build_s=1.0))
    spent = sum_times([*trials[:2], late])  # half a second of its first epoch was before the second step
    assert spent.trained == {TrialState.COMPLETE: 3.5, TrialState.FAILED: 2.0}
    assert (spent.started, spent.waited) == (1.5, 38.0)
    assert sum_times([]).waited is None and sum_times([]).total_trained == 0


@pytest.mark.parametrize("sampler", ["evolution", "local"])
def test_what_was_bred_says_from_which(tmp_path: Path, sampler: str) -> None:
    """A child has one other option than its parent, which was better than most; a random network has none."""
    space = toys.ToySpace(layers=3)
    toys.run(toys.study(tmp_path / "study.journal", sampler=sampler, trials=24, space=space))
    (trials,) = read_trials(tmp_path / "study.journal", "nas")
    bred = [trial for trial in trials if find_parent(trial) is not None]
    assert 8 < len(bred) < 24 and trials[0].bred_from is None
    for trial in bred:
        parent = trials[find_parent(trial) or 0].candidate.choices
        own = trial.candidate.choices
        changed = [name for name in own if name in parent and own[name] != parent[name]]
        assert len(changed) == 1, (own, parent)
    line = trace_ancestry(trials, bred[-1])
    assert line[0] is bred[-1] and find_parent(line[-1]) is None
    assert [find_parent(trial) for trial in line[:-1]] == [trial.number for trial in line[1:]]


def test_a_network_that_was_given_was_not_bred(tmp_path: Path) -> None:
    """Of a warm start longer than the first population, though the sampler breeds beside it."""
    starts = [{"depth": 2, "w0": a, "w1": b} for a, b in ((1, 1), (1, 2), (2, 2), (1, 3), (1, 4), (2, 4))]
    study = toys.study(tmp_path / "study.journal", sampler="evolution", trials=8, warm_start=starts)
    toys.run(study)
    (trials,) = read_trials(tmp_path / "study.journal", "nas")
    assert [trial.bred_from is None for trial in trials[:7]] == [*[True] * 6, False]


def test_weights_of_another_are_a_parent_too() -> None:
    first, second, third = made([0.5, 0.6, 0.7])
    second = replace(second, result=TrialResult(parent=0))
    third = replace(third, bred_from=1, result=TrialResult(parent=0))
    assert [one.number for one in trace_ancestry([first, second, third], third)] == [2, 1, 0]
    damaged = replace(second, result=TrialResult(parent=7))
    assert trace_ancestry([first, damaged], damaged) == [damaged]


@pytest.mark.parametrize(("count", "most", "kept"), [(3, 5, 3), (5, 5, 5), (100, 7, 7)])
def test_thinned_items_have_both_ends(count: int, most: int, kept: int) -> None:
    found = thin(range(count), most)
    assert len(found) == kept and (found[0], found[-1]) == (0, count - 1) and len(set(found)) == kept
