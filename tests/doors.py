"""Runs whose networks are trained elsewhere, of a space of few networks, and trainings of no time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from command_line import TINY
from toys import total

import nas
from nas.serving.open_run import OpenRun
from nas.serving.refusals import Reason, Refused

POINT = {"stem.out": 4, "stem.kernel": 3, "s1.depth": 1, "s1.out": 8, "s1.layer1.kernel": 3}
"""The cheapest network."""
LARGE = {
    "stem.out": 8, "stem.kernel": 5, "s1.depth": 3, "s1.out": 16,
    **{f"s1.layer{layer}.kernel": 5 for layer in (1, 2, 3)},
}  # fmt: skip
"""The dearest one."""
BUDGET = 600_000
"""About half of its MACs."""


def write_space(folder: Path, text: str = TINY) -> Path:
    """Write a space to a folder."""
    file = folder / "tiny.yaml"
    file.write_text(text)
    return file


def begin(folder: Path, text: str = TINY, metric: nas.Metric | None = None, **settings: Any) -> OpenRun:
    """Make a run in a folder, within the budget where no other is given."""
    given = {"space": str(write_space(folder, text)), "budget_flops": str(BUDGET), "sampler": "random"}
    config = nas.SearchConfig.from_data({**given, **settings})
    return nas.init_run(config, metric=metric, runs=folder, name="own")


def score(choices: dict[str, Any]) -> float:
    """The result of a training."""
    return total(choices) / 100


def refused(call: Any, *arguments: Any, **named: Any) -> Refused:
    """The refusal of a call."""
    try:
        call(*arguments, **named)
    except Refused as refusal:
        return refusal
    raise AssertionError("it is not refused")


def check_kept(run: OpenRun) -> None:
    """All trials are inside the budget, each another network, numbered without gaps."""
    trials = run.state.trials
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert len({trial.candidate.identity for trial in trials}) == len(trials)
    assert all(run.budget.admits(run.space.amounts(trial.candidate.choices)) for trial in trials)


__all__ = ["BUDGET", "LARGE", "POINT", "Reason", "begin", "check_kept", "refused", "score", "write_space"]
