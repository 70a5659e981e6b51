# mypy: ignore-errors
"""Write `searches-ea9396c.json`: the trials of searches as commit ea9396c made them, for
`tests/workflows/test_same_searches.py`.

It runs on that commit only, whose modules it imports. From the root of this repository:

    git worktree add ../old ea9396c
    PYTHONPATH=../old python tests/data/write_searches.py

A trial is kept as its state, MACs, parameters and a digest of its choices; of the first trials of a search
the choices are kept too, to see where two searches part, and of all random networks with cells, as other
ones are drawn since. `small.yaml` has fewer networks within its budget than trials are wanted: its searches
end early.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests/

import torch
from hashed import digest, fails, score
from nas.local import Events, run_local
from nas.objective import parse_objective
from nas.proxy.training import EpochResult, TrainingFailed

from nas.samplers import find_sampler
from nas.settings import read_budget
from nas.space import load_space
from nas.space.library import find_space
from nas.study import Study

HERE = Path(__file__).parent
FILE = HERE / "searches-ea9396c.json"
FULL = 3
"""Trials of a search whose choices are kept."""
CELLS = ("cell", "darts")
BUDGETS = {
    "mbconv": ("100M..150M", None), "residual": ("900M", "10M"), "inception": ("900M", None),
    "depthwise": ("60M", None), "mixed": ("400M", "2M..8M"), "cell": ("150M", None), "darts": ("150M", "2M"),
    "small.yaml": ("215K..240K", None),
}  # fmt: skip
SAMPLERS = ("random", "evolution", "tpe", "predictor")
OTHERS = (
    ("nsga2", "accuracy"), ("nsga3", "accuracy"), ("local", "accuracy"), ("reinforce", "accuracy"),
    ("gp", "accuracy"), ("tpe", "accuracy,flops"), ("nsga2", "accuracy,params"),
    ("evolution", "accuracy*(flops/110M)^-0.07"), ("predictor", "accuracy*(params/2M)^-0.5"),
)  # fmt: skip
"""Searches of mbconv only."""


class HashedTraining:
    """Two epochs of no time; where the point fails, in the second."""

    def __init__(self, choices, number, data, parent):
        self._choices = choices
        self._epoch = 0

    @property
    def done(self):
        return self._epoch == 2

    def epoch(self):
        self._epoch += 1
        if self._epoch == 2 and fails(self._choices):
            raise TrainingFailed("nan_loss", "the loss was nan")
        value = score(self._choices) * self._epoch / 2
        return EpochResult(self._epoch, value, value, 1.0, 0.0, 64)

    def state_dict(self):
        return {"w": torch.zeros(1)}


def search(space, sampler, objective="accuracy", trials=24, seed=0):
    flops, params = BUDGETS[space]
    file = HERE / space if space.endswith(".yaml") else find_space(space)
    with tempfile.TemporaryDirectory() as folder:
        study = Study(
            load_space(file),
            read_budget(flops, params),
            trials=trials,
            sampler=find_sampler(sampler),
            seed=seed,
            storage=Path(folder) / "study.journal",
            objective=parse_objective(objective),
        )
        run_local(study, HashedTraining, None, Events())
        records, counts, exhausted = study.records(), asdict(study.counts), study.exhausted
    candidates = [record.candidate for record in records]
    full = trials if space in CELLS and sampler == "random" else FULL
    settings = {
        "space": space, "sampler": sampler, "objective": objective, "budget_flops": flops,
        "budget_params": params, "trials": trials, "seed": seed,
    }  # fmt: skip
    return {
        "settings": settings,
        "trials": [
            [record.state, c.cost.macs, c.cost.params, digest(c.choices)]
            for record, c in zip(records, candidates, strict=True)
        ],
        "choices": [dict(c.choices) for c in candidates[:full]],
        "exhausted": exhausted,
        "rejected": {key: counts[key] for key in ("over_budget", "duplicate", "unbuildable")},
    }


def lines(found):
    """JSON with a line for each trial."""
    parts = []
    for key, value in found.items():
        rows = ",\n    ".join(json.dumps(row) for row in value) if isinstance(value, list) else None
        parts.append(f'  "{key}": ' + (json.dumps(value) if rows is None else f"[\n    {rows}\n  ]"))
    return "{\n" + ",\n".join(parts) + "\n}"


def main():
    torch.set_num_threads(1)
    wanted = [(space, sampler, "accuracy") for space in BUDGETS for sampler in SAMPLERS]
    wanted += [("mbconv", *other) for other in OTHERS]
    texts = []
    for one in wanted:
        print(*one, flush=True)
        texts.append(lines(search(*one)))
    FILE.write_text("[\n" + ",\n".join(texts) + "\n]\n")


if __name__ == "__main__":
    main()
