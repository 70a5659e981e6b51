"""Candidates that a score chooses among before one is trained."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from command_line import SHORT, TINY, nas

from nas.data.config import DataConfig
from nas.data.datasets import load_dataset
from nas.graph.architecture import Architecture
from nas.measures import ACTIVATIONS, MACS, PARAMS
from nas.runs.state import RunState
from nas.space import Choices, parse_space
from nas.study.records import Candidate
from nas.training.evaluator import ProxyEvaluator
from nas.training.recipe import Recipe
from nas.training.screens import SCREENS
from nas.training.zero_cost import ZERO_COST
from nas.workflows.prescreen import Prescreen, score_untrained

pytestmark = pytest.mark.usefixtures("tiny_folder")


def test_every_score_screens() -> None:
    assert (*ZERO_COST, MACS.name, PARAMS.name, ACTIVATIONS.name) == SCREENS


def test_the_scores_are_those_of_nas_score() -> None:
    space = parse_space(TINY, "tiny.yaml")
    point = space.smallest()
    data = load_dataset(DataConfig("digits", 32, max_images=100), seed=0)
    (expected,) = score_untrained([space.resolve(point)], ["naswot", "zen"], data, batch=16, seed=5)
    evaluator = ProxyEvaluator(space, Recipe(batch=16), data, 5)
    candidate = Candidate(0, point, space.cost(point), "")
    for name, score in expected.scores.items():
        assert Prescreen(name, 4, evaluator).score(candidate) == score
    assert Prescreen("params", 4, evaluator).score(candidate) == candidate.cost.params


@pytest.mark.slow
def test_a_search_trains_what_it_has_chosen() -> None:
    said = nas(
        "search", "tiny.yaml", "--name", "mine", *SHORT, "--workers", "0", "--trials", "3",
        "--prescreen", "naswot:3",
    )  # fmt: skip
    assert said.code == 0, said.err
    trials = RunState.load(Path("runs/mine")).trials
    assert len(trials) == 3 and all((trial.prescreen or 0) > 0 for trial in trials)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nasw:4", "'nasw' is not a score; did you mean 'naswot'?"),
        (
            "naswot",
            "'naswot' does not say how many candidates it chooses among; write naswot:8, or any number "
            "from 2 to 64",
        ),
        (
            "zen:1",
            "'zen:1' does not say how many candidates it chooses among; write zen:8, or any number from 2 to "
            "64",
        ),
    ],
)
def test_what_is_refused(value: str, message: str) -> None:
    said = nas("search", "tiny.yaml", "--prescreen", value)
    assert (said.code, said.err) == (2, f"error: nas search: prescreen: {message}\n")


def test_a_network_without_a_score_comes_last() -> None:
    """Batch norm of one value fails: the network is not chosen, and the search goes on."""
    space = parse_space(TINY, "tiny.yaml")
    data = load_dataset(DataConfig("digits", 32, max_images=100), seed=0)

    class Broken(ProxyEvaluator):
        def network(self, choices: Choices) -> Architecture:
            raise ValueError("Expected more than 1 value per channel")

    screen = Prescreen("naswot", 4, Broken(space, Recipe(), data, 0))
    candidate = Candidate(0, space.smallest(), space.cost(space.smallest()), "")
    assert screen.score(candidate) == -math.inf


def test_a_search_whose_networks_have_no_score_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Prescreen, "score", lambda self, candidate: -math.inf)
    said = nas(
        "search", "tiny.yaml", "--name", "mine", *SHORT, "--workers", "0", "--trials", "1",
        "--prescreen", "naswot:2",
    )  # fmt: skip
    assert (
        said.code == 0 and "No network could be scored by naswot: each was trained as proposed." in said.out
    )
    (trial,) = RunState.load(Path("runs/mine")).trials
    assert trial.prescreen is None


def test_inheritance_with_folds_is_refused() -> None:
    said = nas("search", "tiny.yaml", "--inherit", "--folds", "3")
    assert (said.code, said.err) == (
        2,
        "error: nas search: inherit: with folds: 3 a network would be scored on images that its parent was "
        "trained on; leave one of the two out\n",
    )
