"""Searches on a GPU, through Ray and in one process."""

from __future__ import annotations

from typing import Any

import pytest

import nas
from nas.study.records import TrialState

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("tiny_folder")]


def search(**given: Any) -> nas.SearchResult:
    recipe = {"epochs": 2}
    config = {"space": "tiny.yaml", "trials": 4, "max_images": 600, "resolution": 16, "recipe": recipe}
    return nas.search(nas.SearchConfig.from_data({**config, **given}))


@pytest.mark.parametrize(
    "given", [{"workers": 1}, {"workers": 2, "gpus_per_trial": 0.5}, {"workers": 0}], ids=str
)
def test_a_search_trains_on_the_gpu(given: dict[str, Any]) -> None:
    """With the batch that its data give it, replayed as graphs, and with a limit that is a GPU's."""
    result = search(**given)
    assert [trial.state for trial in result.state.trials] == [TrialState.COMPLETE] * 4
    for trial in result.state.trials:
        assert (trial.result.batch, trial.result.eager) == (16, None)
        assert trial.result.limit is not None and trial.result.limit > 100_000
    assert result.exported[0].name == "best.py"


def test_deterministic_searches_on_a_gpu_are_equal() -> None:
    recipe = {"epochs": 2, "deterministic": True}
    one, other = (search(workers=0, recipe=recipe).state.trials for _ in range(2))
    assert [trial.score for trial in one] == [trial.score for trial in other]
