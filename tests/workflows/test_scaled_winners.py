"""The winner of a search of each bundled space, scaled to a target."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import nas

import nas as package
from nas.measures import MACS
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


def test_a_scaled_space_has_the_least_and_the_most_of_each_measure(tiny_folder: Path) -> None:
    """The network of the fewest MACs has the most parameters."""
    Path("odd.yaml").write_text(
        "name: odd\ninput: [3, 32, 32]\nclasses: 2\nnetwork:\n"
        "  - choice:\n      - conv: {out: 32, kernel: 3}\n"
        "      - [max_pool: {kernel: 8, stride: 8}, conv: {out: 256, kernel: 3}]\n  - classifier\n"
    )
    said = nas("scale", "odd.yaml", "--width", "1", "--resolution", "2", "-o", "twice.yaml")
    assert said.code == 0, said
    space = load_space(Path("twice.yaml"))
    costs = [space.architecture(point.choices).cost for point in space.ends(MACS)]
    assert costs[0].params > costs[1].params
    for figures in ([cost.macs for cost in costs], [cost.params for cost in costs]):
        assert f"{min(figures):,} to {max(figures):,}" in said.out
