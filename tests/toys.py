"""Spaces of tests that are not files, and studies of them whose trials train in no time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from nas.cost import Cost
from nas.errors import InputError
from nas.execution.base import TrialQueue
from nas.measures import Budget
from nas.runs.budget import BudgetKeys
from nas.samplers import SamplerFactory, find_sampler
from nas.space import Choices, Space
from nas.study.ledger import Ledger
from nas.study.records import Candidate, Trial, TrialState
from nas.study.storage import claim_storage
from nas.study.study import Study
from nas.testing.spaces import ByRejection
from nas.training.base import ACCURACY_METRIC, EpochResult, Metric


def read_budget(flops: str | None, params: str | None, others: Sequence[str] = ()) -> Budget:
    """The budget of the texts of its limits; `others` are `NAME=INTERVAL`, such as `memory=8M`."""
    given = {"budget_flops": flops, "budget_params": params, "budget": list(others)}
    return BudgetKeys(**BudgetKeys.read({key: value for key, value in given.items() if value})).value


@dataclass
class ToySpace(ByRejection):
    """Layers of widths 1 to 4, the third and fourth only when asked for; costs 1,000 MACs per width.

    Width 3 before width 4 cannot be built; the order of the layers does not count: (1, 2) is (2, 1).
    """

    name: str = "toy"
    layers: int = 4
    costs: int = field(default=0)

    def sample(self, choose: Callable[[str, tuple[Any, ...]], Any]) -> Choices:
        depth = choose("depth", tuple(range(2, self.layers + 1)))
        return {"depth": depth, **{f"w{i}": choose(f"w{i}", (1, 2, 3, 4)) for i in range(depth)}}

    def _widths(self, choices: Mapping[str, Any]) -> list[int]:
        return [choices[f"w{i}"] for i in range(choices["depth"])]

    def cost(self, choices: Choices) -> Cost:
        self.costs += 1
        widths = self._widths(choices)
        if (3, 4) in pairwise(widths):
            raise InputError("3 before 4 cannot be built")
        return Cost(macs=1000 * sum(widths), params=sum(widths))

    def identity(self, choices: Choices) -> str:
        return "".join(map(str, sorted(self._widths(choices))))

    @property
    def extent(self) -> SimpleNamespace:
        least = {"depth": 2, "w0": 1, "w1": 1}
        most = {"depth": self.layers, **{f"w{i}": 4 for i in range(self.layers)}}
        return SimpleNamespace(smallest=least, largest=most)


def total(choices: Mapping[str, Any]) -> int:
    """The sum of all options, where these are numbers."""
    return sum(map(int, choices.values()))


def score(choices: Mapping[str, Any]) -> float:
    total: float = sum(choices.get(f"w{i}", 0) * 3**-i for i in range(8))
    return total / 10


def study(
    path: Path | str | None,
    *,
    trials: int = 12,
    sampler: str | SamplerFactory = "random",
    seed: int = 0,
    budget: Budget | None = None,
    space: object = None,
    metric: Metric = ACCURACY_METRIC,
    called: str = "nas",
    **more: Any,
) -> Study:
    """Return a study of a space, a toy if none is given, in the storage at a path or URL, or in memory."""
    return Study(
        cast("Space", space or ToySpace()),
        budget or Budget(),
        Ledger(claim_storage(path), called, metric),
        trials=trials,
        sampler=find_sampler(sampler) if isinstance(sampler, str) else sampler,
        seed=seed,
        **more,
    )


def asked(queue: TrialQueue) -> Candidate:
    """The next candidate of a study, or of another queue, that has one."""
    candidate = queue.ask()
    assert candidate is not None
    return candidate


def after(epoch: int, value: float, seconds: float = 0.0) -> EpochResult:
    """What an epoch gave."""
    return EpochResult(epoch, value, value, seconds)


def end(study: Study, number: int, score: float, seconds: float = 0.0) -> Trial:
    """End a trial of one epoch."""
    return study.complete(number, after(1, score, seconds))


def run(study: Study, until: int = 10**9) -> None:
    """The fake executor: trains in no time, until so many trials are complete."""
    while study.counts.complete < until and (candidate := study.ask()) is not None:
        end(study, candidate.number, score(candidate.choices))


def score_of(trial: Trial) -> float:
    """The score of a trial that has one."""
    assert trial.score is not None
    return trial.score


def history(study: Study) -> list[tuple[Candidate, TrialState, float | None]]:
    return [(t.candidate, t.state, t.score) for t in study.trials]
