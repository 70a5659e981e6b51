"""Which decisions matter, where that is known."""

from __future__ import annotations

import random
from dataclasses import replace
from statistics import fmean

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.importance import FanovaImportanceEvaluator

from nas.cost import Cost
from nas.space import Choices
from nas.study.importance import LEAST, TREES, compute_importances, find_shared_names
from nas.study.objective import Objective
from nas.study.records import Candidate, Trial, TrialState

NAMES = [f"d{i}" for i in range(8)]
OPTIONS = (3, 5, 7)


def made(count: int, seed: int = 0, matters: str = "d3") -> list[Trial]:
    """Return trials of random choices whose score is one of them, and a little noise."""
    rng = random.Random(seed)
    trials = []
    for number in range(count):
        places = {name: rng.randrange(3) for name in NAMES}
        choices: Choices = {name: OPTIONS[place] for name, place in places.items()}
        score = 0.2 * places[matters] + rng.gauss(0, 0.05)
        candidate = Candidate(number, choices, Cost(macs=10), str(number))
        trials.append(Trial(candidate, TrialState.COMPLETE, score))
    return trials


@pytest.mark.parametrize("matters", ["d0", "d5"])
def test_the_decision_that_matters_is_the_first_beyond_the_intervals(matters: str) -> None:
    first, *others = compute_importances(made(80, matters=matters), Objective())
    assert first.name == matters and first.value > 0.8
    assert all(one.low <= one.value <= one.high for one in (first, *others))
    assert first.low > max(one.high for one in others)
    assert len(others) == len(NAMES) - 1


def test_they_are_those_of_optuna() -> None:
    trials = made(40)
    study = optuna.create_study(direction="maximize")
    options: dict[str, BaseDistribution] = {
        name: CategoricalDistribution(list(dict.fromkeys(t.candidate.choices[name] for t in trials)))
        for name in NAMES
    }
    study.add_trials(
        optuna.trial.create_trial(params=dict(t.candidate.choices), distributions=options, value=t.score)
        for t in trials
    )
    trees = [FanovaImportanceEvaluator(n_trees=1, seed=seed).evaluate(study) for seed in range(TREES)]
    found = {one.name: one.value for one in compute_importances(trials, Objective())}
    assert found == pytest.approx({name: fmean(tree[name] for tree in trees) for name in NAMES})


def test_the_unit_of_scores_does_not_count() -> None:
    trials = made(40)
    huge = [replace(trial, score=2.0**700 * (trial.score or 0.0)) for trial in trials]
    values = [[one.value for one in compute_importances(one, Objective())] for one in (trials, huge)]
    assert values[0] == values[1]


def test_nothing_is_said_of_too_few_or_of_equal_scores() -> None:
    assert compute_importances(made(LEAST - 1), Objective()) == []
    alike = [Trial(trial.candidate, TrialState.COMPLETE, 0.5) for trial in made(LEAST)]
    assert compute_importances(alike, Objective()) == []
    assert compute_importances([], Objective()) == []


def test_decisions_that_some_networks_do_not_have_are_left_out() -> None:
    trials = made(30)
    short = {name: option for name, option in trials[7].candidate.choices.items() if name != "d3"}
    other = Candidate(7, {**short, "only": 1}, Cost(macs=10), "7")
    trials[7] = Trial(other, TrialState.COMPLETE, 0.5)
    names = [name for name in NAMES if name != "d3"]
    assert find_shared_names(trials) == names
    assert {one.name for one in compute_importances(trials, Objective())} == set(names)
