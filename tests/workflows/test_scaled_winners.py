"""The winner of a search of each bundled space, scaled to a target."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import nas

import nas as package
from nas.space import load_space
from nas.space.library import list_spaces

SEARCHED = [name for name in list_spaces() if not name.startswith("reference/")]


@pytest.mark.slow
@pytest.mark.parametrize("name", SEARCHED)
def test_a_winner_comes_within_two_percent_of_a_target(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials are told their scores: which network wins is by chance, as where it is trained for a while."""
    monkeypatch.chdir(tmp_path)
    config = package.SearchConfig.from_data({"space": name, "trials": 3, "sampler": "random", "seed": 1})
    run = package.init_run(config, name="mine")
    with run:
        for score in (0.3, 0.9, 0.5):
            run.tell(run.ask().number, score)
    own = load_space("runs/mine/best.yaml").cost({}).macs
    target = 2 * own
    said = nas("scale", "runs/mine", "--target-flops", str(target), "-o", "scaled.yaml")
    assert said.code == 0, said.err
    scaled = load_space("scaled.yaml")
    assert abs(scaled.architecture().cost.macs / target - 1) <= 0.02
    assert scaled.input_sizes >= load_space("runs/mine/best.yaml").input_sizes
