"""Searches are those of commit ea9396c: the same seed gives the same points, costs and states.

`tests/data/write_searches.py` has written `searches-ea9396c.json` on that commit: every bundled space by
`random`, `evolution`, `tpe` and `predictor`, and `mbconv` by other samplers and for other objectives. All of
it holds, but for two changes that were wanted:

- A seed draws other networks of `cell` and `darts`. That every wiring can be built, dead ends left out, took
  counting a cell's nodes from the last to the first (6fae9c2), so that decisions are asked for, and options
  listed, in another order; the order changed again as sources behind which the same is asked became one part
  (ef2c238: `cell` is counted in three quarters of the time), and kinds of cells one for all stacks (080d7be:
  3,117 parts of `darts`, not 4,653). Random networks are places in that list, and a mutation is a place among
  the decisions. Every network that `random` tried then has the cost and the end that it had.
- `predictor` begins with the random networks of then, and proposes others after them (e681f2a: ahead of `tpe`
  at 20, 50 and 100 trials, see `docs/samplers.md`). It models after 10 complete trials at most, not 20; it
  takes the greatest expected improvement, not the best of one function drawn from the model; its pool has
  up to 50 children and 10 random networks, not 100 of each; and what a child leaves open is drawn once, not
  after each change. The model is as it was but for the last bits: its noise is climbed to with Cholesky
  factors, where a grid was gone through with eigenvectors (080d7be). What was drawn with these differed from
  processor to processor, and so did the searches of then.

`searches-since.json` has these searches as they are since, which `PYTHONPATH=tests python
tests/workflows/test_same_searches.py` writes. Those of `predictor` were the same with OpenBLAS's kernels for
Zen, Haswell, SkylakeX and the Pentium III; another library may round such that two candidates change places,
in `predictor` as in `gp`. Spaces are counted with their own classes here, as then; a search on data counts
with those of the data, so that other networks may be inside the same budget.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from hashed import digest, fails, score
from torch import Tensor
from toys import read_budget

from nas.execution.local import LocalExecutor
from nas.samplers import find_sampler
from nas.space import Choices, load_space
from nas.space.library import find_space
from nas.study.ledger import Ledger
from nas.study.objective import parse_objective
from nas.study.storage import claim_storage
from nas.study.study import Study
from nas.training.base import ACCURACY_METRIC, EpochResult, Parent, TrainingFailed
from nas.workflows.observer import Observer

Search = dict[str, Any]
Key = tuple[str, str, str]


def _read_searches(file: Path) -> dict[Key, Search]:
    """Return the searches of a file by space, sampler and objective."""
    searches = json.loads(file.read_text()) if file.exists() else []
    return {(s["space"], s["sampler"], s["objective"]): one for one in searches for s in [one["settings"]]}


_DATA = Path(__file__).parents[1] / "data"
_SINCE_FILE = _DATA / "searches-since.json"
_THEN, _SINCE = _read_searches(_DATA / "searches-ea9396c.json"), _read_searches(_SINCE_FILE)
_CELLS = ("cell", "darts")
_SAMPLERS = ("random", "evolution", "tpe", "predictor")
_START = 6
"""Complete trials of 24 that `predictor` draws at random."""
_FAST = {
    ("mbconv", "random", "accuracy"), ("mbconv", "evolution", "accuracy"), ("mbconv", "tpe", "accuracy"),
    ("mbconv", "nsga2", "accuracy,params"),
    ("mbconv", "tpe", "accuracy,flops"), ("mbconv", "evolution", "accuracy*(flops/110M)^-0.07"),
    ("residual", "evolution", "accuracy"),
    ("small.yaml", "random", "accuracy"),
    ("mixed", "random", "accuracy"),
}  # fmt: skip
"""Those of less than a second."""


def _is_another(key: Key) -> bool:
    """Return whether a search is another than that of then, as was wanted."""
    space, sampler, _ = key
    return space in _CELLS or sampler == "predictor"


def _each(keys: Iterable[Key]) -> pytest.MarkDecorator:
    """Run a test for each of some searches."""
    old = pytest.mark.skipif(optuna.__version__ < "5", reason="the draws are those of Optuna 5's TPE")
    params = []
    for key in keys:
        marks = [*([] if key in _FAST else [pytest.mark.slow]), *([old] if key[1] == "tpe" else [])]
        params.append(pytest.param(key, marks=marks, id=" ".join(key)))
    return pytest.mark.parametrize("key", params)


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


def search(folder: Path, settings: Mapping[str, Any], warm_start: Sequence[Choices] = ()) -> Search:
    """Return what a search comes to, as the files have it, with the choices of all trials."""
    space = settings["space"]
    study = Study(
        load_space(_DATA / space if space.endswith(".yaml") else find_space(space)),
        read_budget(settings["budget_flops"], settings["budget_params"]),
        Ledger(claim_storage(folder / "study.journal"), "nas"),
        trials=settings["trials"],
        sampler=find_sampler(settings["sampler"]),
        seed=settings["seed"],
        warm_start=warm_start,
        objective=parse_objective(settings["objective"]),
    )
    LocalExecutor().run(study, HashedEvaluator(), Observer())
    found = [(trial.state.value, trial.candidate) for trial in study.trials]
    counts = asdict(study.counts)
    return {
        "settings": settings,
        "trials": [[state, c.cost.macs, c.cost.params, digest(c.choices)] for state, c in found],
        "choices": [dict(c.choices) for _, c in found],
        "exhausted": study.exhausted,
        "rejected": {key: counts[key] for key in ("over_budget", "duplicate", "unbuildable")},
    }


def _check_equal(found: Search, expected: Search) -> None:
    given = expected["choices"]
    assert {**found, "choices": found["choices"][: len(given)]} == expected


@_each(key for key in _THEN if not _is_another(key))
def test_a_search_is_as_it_was(key: Key, tmp_path: Path) -> None:
    _check_equal(search(tmp_path, _THEN[key]["settings"]), _THEN[key])


@_each(key for key in _THEN if key[0] in _CELLS and key[1] == "random")
def test_networks_of_cells_have_the_costs_and_ends_that_they_had(key: Key, tmp_path: Path) -> None:
    then = _THEN[key]
    assert len(then["choices"]) == len(then["trials"])
    _check_equal(search(tmp_path, then["settings"], warm_start=then["choices"]), then)


@_each(_SINCE)
def test_a_search_is_as_it_has_been_since(key: Key, tmp_path: Path) -> None:
    _check_equal(search(tmp_path, _SINCE[key]["settings"]), _SINCE[key])


def test_the_predictor_begins_as_it_did() -> None:
    compared = [key for key in _THEN if key[1] == "predictor" and key[0] not in _CELLS]
    assert len(compared) > 5
    for key in compared:
        then, since = _THEN[key]["trials"], _SINCE[key]["trials"]
        complete = [number for number, trial in enumerate(then) if trial[0] == "complete"]
        first = complete[_START - 1] + 1  # that is modelled
        assert since[:first] == then[:first], key
        assert since[first] != then[first], key


def test_every_space_and_sampler_is_compared() -> None:
    spaces = ("mbconv", "residual", "inception", "depthwise", "mixed", *_CELLS)
    assert {key[:2] for key in _THEN} >= {*product(spaces, _SAMPLERS)}
    assert {*_SINCE} == {key for key in _THEN if _is_another(key)}


def test_the_searches_have_failures_and_rejections() -> None:
    """Else the comparison would show less than it says."""
    searches = [*_THEN.values(), *_SINCE.values()]
    assert {trial[0] for s in searches for trial in s["trials"]} == {"complete", "failed"}
    assert sum(s["rejected"]["over_budget"] for s in searches) > 0
    assert sum(s["rejected"]["duplicate"] for s in searches) > 0
    assert {s["settings"]["space"] for s in searches if s["exhausted"]} == {"small.yaml"}


def _write_since() -> None:
    """Write the searches that are others than then, a search to a line."""
    lines = []
    for key, then in _THEN.items():
        if _is_another(key):
            with tempfile.TemporaryDirectory() as folder:
                found = search(Path(folder), then["settings"])
            lines.append(json.dumps({**found, "choices": found["choices"][:3]}))
    _SINCE_FILE.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    _write_since()
