"""Searches are those of commit ea9396c: the same seed gives the same points, costs and states.

`tests/data/write_searches.py` has written them, on that commit. Spaces with cells are drawn in another order
since: theirs are those of this build, which `python tests/workflows/test_same_searches.py` has written. The
sampler `gp` fits Gaussian processes: with another BLAS than there it may propose other points, as
`predictor` may, which is not compared. Spaces are counted with their own classes here, as then; a search on
data counts with those of the data, so that other networks may be inside the same budget.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from hashed import digest, fails, score
from torch import Tensor

from nas.cost import Cost
from nas.execution.local import LocalExecutor
from nas.runs.budget import read_budget
from nas.samplers import find_sampler
from nas.space import Choices, load_space
from nas.space.library import find_space
from nas.study.ledger import Ledger
from nas.study.objective import parse_objective
from nas.study.storage import claim_storage
from nas.study.study import Study
from nas.training.base import ACCURACY_METRIC, EpochResult, Parent, TrainingFailed
from nas.workflows.observer import Observer

_DATA = Path(__file__).parents[1] / "data"
_CELLS_FILE = _DATA / "searches-cells.json"
_FILES = (_DATA / "searches-ea9396c.json", _CELLS_FILE)
SEARCHES = [one for file in _FILES if file.exists() for one in json.loads(file.read_text())]
_CELLS = {"cell": "60M", "darts": "600M"}
_SAMPLERS = ("random", "evolution", "tpe")
_FAST = {
    ("mbconv", "random", "accuracy"), ("mbconv", "evolution", "accuracy"), ("mbconv", "tpe", "accuracy"),
    ("mbconv", "nsga2", "accuracy,params"),
    ("mbconv", "tpe", "accuracy,flops"), ("mbconv", "evolution", "accuracy*(flops/110M)^-0.07"),
    ("residual", "evolution", "accuracy"),
    ("small.yaml", "random", "accuracy"),
    ("mixed", "random", "accuracy"),
}  # fmt: skip
"""Those of less than a second."""


Searched = tuple[list[tuple[str, Cost, Choices]], bool, dict[str, int]]


class HashedTraining:
    """Two epochs of no time; where the point fails, in the second."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._epoch = 0

    @property
    def done(self) -> bool:
        return self._epoch == 2

    def epoch(self) -> EpochResult:
        self._epoch += 1
        if self._epoch == 2 and fails(self._choices):
            raise TrainingFailed("nan_loss", "the loss was nan")
        value = score(self._choices) * self._epoch / 2
        return EpochResult(self._epoch, value, value, seconds=1.0, loss=0.0, batch=64)

    def state_dict(self) -> Mapping[str, Tensor]:
        return {"w": torch.zeros(1)}


class HashedEvaluator:
    metric = ACCURACY_METRIC

    def __call__(self, choices: Choices, number: int, parent: Parent | None) -> HashedTraining:
        return HashedTraining(choices)


def search(
    folder: Path,
    *,
    space: str,
    sampler: str,
    objective: str,
    budget_flops: str | None,
    budget_params: str | None,
    trials: int,
    seed: int,
) -> Searched:
    """Return the state, cost and choices of each trial, whether the space was exhausted, and the counts."""
    file = _DATA / space if space.endswith(".yaml") else find_space(space)
    study = Study(
        load_space(file),
        read_budget(budget_flops, budget_params),
        Ledger(claim_storage(folder / "study.journal"), "nas"),
        trials=trials,
        sampler=find_sampler(sampler),
        seed=seed,
        objective=parse_objective(objective),
    )
    LocalExecutor().run(study, HashedEvaluator(), Observer())
    found = [(t.state.value, t.candidate.cost, dict(t.candidate.choices)) for t in study.trials]
    return found, study.exhausted, asdict(study.counts)


def _summed_up(trials: list[tuple[str, Cost, Choices]]) -> list[list[Any]]:
    return [[state, cost.macs, cost.params, digest(choices)] for state, cost, choices in trials]


def _key(expected: Mapping[str, Any]) -> tuple[str, str, str]:
    settings = expected["settings"]
    return settings["space"], settings["sampler"], settings["objective"]


@pytest.mark.parametrize(
    "expected",
    [
        pytest.param(one, marks=() if _key(one) in _FAST else pytest.mark.slow, id=" ".join(_key(one)))
        for one in SEARCHES
    ],
)
def test_a_search_is_as_it_was(expected: dict[str, Any], tmp_path: Path) -> None:
    if expected["settings"]["sampler"] == "tpe" and optuna.__version__ < "5":
        pytest.skip("the draws are those of Optuna 5's TPE")
    trials, exhausted, counts = search(tmp_path, **expected["settings"])
    assert [choices for _, _, choices in trials[: len(expected["choices"])]] == expected["choices"]
    assert _summed_up(trials) == expected["trials"]
    assert exhausted == expected["exhausted"]
    assert {key: counts[key] for key in expected["rejected"]} == expected["rejected"]


def test_every_space_and_sampler_is_compared() -> None:
    compared = {(s["settings"]["space"], s["settings"]["sampler"]) for s in SEARCHES}
    spaces = ("mbconv", "residual", "inception", "depthwise", "mixed", *_CELLS)
    assert compared >= {(space, sampler) for space in spaces for sampler in _SAMPLERS}


def test_the_searches_have_failures_and_rejections() -> None:
    """Else the comparison would show less than it says."""
    states = {trial[0] for s in SEARCHES for trial in s["trials"]}
    assert states == {"complete", "failed"}
    assert sum(s["rejected"]["over_budget"] for s in SEARCHES) > 0
    assert sum(s["rejected"]["duplicate"] for s in SEARCHES) > 0
    assert {s["settings"]["space"] for s in SEARCHES if s["exhausted"]} == {"small.yaml"}


def _write_cells() -> None:
    """Write the searches of spaces with cells, a search to a line."""
    lines = []
    for (space, budget), sampler in product(_CELLS.items(), _SAMPLERS):
        settings: dict[str, Any] = {
            "space": space, "sampler": sampler, "objective": "accuracy", "budget_flops": budget,
            "budget_params": None, "trials": 24, "seed": 0,
        }  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            trials, exhausted, counts = search(Path(folder), **settings)
        rejected = {key: counts[key] for key in ("over_budget", "duplicate", "unbuildable")}
        choices = [choices for _, _, choices in trials[:3]]
        found = {"trials": _summed_up(trials), "choices": choices, "exhausted": exhausted}
        lines.append(json.dumps({"settings": settings, **found, "rejected": rejected}))
    _CELLS_FILE.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    _write_cells()
