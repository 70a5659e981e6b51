"""The run of random search that a run is compared with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import TINY
from written_runs import CARD, write_run

from nas.runs.beside import find_random
from nas.runs.state import RunState
from nas.space import parse_space

SPACE = parse_space(TINY, "tiny.yaml")


@pytest.fixture
def chosen(tmp_path: Path) -> RunState:
    """A search by evolution."""
    return RunState.load(write_run(tmp_path / "chosen", SPACE, 4, sampler="evolution").path)


def test_the_longest_alike_run_is_found_and_a_run_of_random_search_itself(
    tmp_path: Path, chosen: RunState
) -> None:
    assert find_random(chosen) is None
    write_run(tmp_path / "short", SPACE, 2, seed=3, workers=0)
    found = find_random(chosen)
    assert found is not None and found.folder.path.name == "short" and len(found.trials) == 2
    write_run(tmp_path / "long", SPACE, 3)
    long = RunState.load(tmp_path / "long")
    for state in (chosen, long):
        found = find_random(state)
        assert found is not None and found.folder.path.name == "long"
    (tmp_path / "long" / "study.journal").write_text('{"broken\n{"op_code": 0}\n')
    found = find_random(chosen)
    assert found is not None and found.folder.path.name == "short"


@pytest.mark.parametrize(
    "settings",
    [
        {"sampler": "local"}, {"scheduler": "asha"}, {"prescreen": "naswot:4"}, {"inherit": True},
        {"budget_flops": "1G"}, {"epochs": 5}, {"resolution": 48}, {"objective": "accuracy*(flops/1M)^-0.1"},
    ],
    ids=str,
)  # fmt: skip
def test_a_run_that_is_not_alike_is_none(tmp_path: Path, chosen: RunState, settings: dict[str, Any]) -> None:
    write_run(tmp_path / "other", SPACE, 2, **settings)
    assert find_random(chosen) is None


def test_other_data_and_another_space_are_not_alike(tmp_path: Path, chosen: RunState) -> None:
    write_run(tmp_path / "data", SPACE, 2, card=replace(CARD, train=100))
    write_run(tmp_path / "space", parse_space(TINY.replace("[4, 6, 8]", "[4, 6]"), "tiny.yaml"), 2)
    assert find_random(chosen) is None
