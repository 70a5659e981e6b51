"""Costs, budgets and files are of the network that the user gets: with the classes of the data, or others
that are asked for. Runs of before that keep what they said."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from command_line import SHORT, TINY, nas, rows
from safetensors.torch import load_file

from nas.measures import MACS, PARAMS
from nas.runs.folder import RunFolder
from nas.runs.state import RunState
from nas.space import Space, load_space, parse_space
from nas.workflows import prepared

pytestmark = pytest.mark.usefixtures("tiny_folder")

MANY = TINY.replace("classes: 10", "classes: 1000").replace("[1, 32, 32]", "[3, 32, 32]")
"""A space of images in colour and 1,000 classes, where `digits` are grey and ten."""
SEARCH = ("search", "many.yaml", "--workers", "0", "--trials", "1", "--name", "mine", *SHORT)


@pytest.fixture(autouse=True)
def space(tiny_folder: Path) -> Space:
    Path("many.yaml").write_text(MANY)
    return parse_space(MANY, "many.yaml")


def figures(run: str = "runs/mine") -> list[int]:
    """The parameters of the best network, as each place has them."""
    (row,) = rows(Path(run, "trials.csv"))
    best: dict[str, Any] = yaml.safe_load(Path(run, "best.yaml").read_text())["meta"]
    network = load_space(Path(run, "best.yaml")).cost({})
    return [int(row["params"]), best["params"], network.params]


def test_a_search_counts_the_network_that_leaves(space: Space) -> None:
    limit = space.ends(PARAMS).least.value - 1  # no network with 1,000 classes has so few
    said = nas(*SEARCH, "--budget-params", str(limit))
    assert said.code == 0, said
    assert "MACs with 10 classes, the data's.\n" in said.out
    weights = load_file("runs/mine/best.safetensors")
    learnt = sum(t.numel() for name, t in weights.items() if "running" not in name and "num_" not in name)
    assert figures() == [learnt] * 3
    assert yaml.safe_load(Path("runs/mine/best.yaml").read_text())["input"] == [1, 32, 32]
    run = RunState.load(Path("runs/mine"))
    assert (run.space.input[0], run.space.classes) == (1, 10)
    assert nas("resume", "runs/mine", "--trials", "2").code == 0
    assert f"{run.trials[0].candidate.cost.params}," in Path("runs/mine/trials.csv").read_text()


def test_classes_that_are_asked_for_are_counted(space: Space) -> None:
    said = nas(*SEARCH, "--classes", "40")
    assert said.code == 0, said
    assert "MACs with 40 classes, as --classes says.\n" in said.out
    (point,) = (trial.candidate.choices for trial in RunState.load(Path("runs/mine")).trials)
    assert figures() == [space.for_data(1, 40).cost(point).params] * 3
    assert "with 10 classes" in Path("runs/mine/best.py").read_text()  # its weights are for the data
    assert nas("show", "many.yaml", "--classes", "40").out != nas("show", "many.yaml").out
    said = nas("show", "runs/mine", "--classes", "40")
    assert said.code == 2 and said.err == (
        "error: --classes: runs/mine was counted when it was searched; name the file of a space\n"
    )


def test_an_evaluator_trains_what_is_counted() -> None:
    Path("own.py").write_text(
        "import nas\n\n\n@nas.evaluator('width', maximize=True)\ndef train(network):\n"
        "    yield float(network.module()(__import__('torch').zeros(2, 3, 32, 32)).shape[1])\n"
    )
    own = ("--evaluator", "own.py:train", "--workers", "0", "--trials", "1", "--epochs", "1")
    assert "MACs with 1,000 classes, the space's own." in nas("search", "many.yaml", *own).out
    said = nas("search", "many.yaml", *own, "--classes", "1")
    assert "MACs with 1 class, as --classes says." in said.out, said
    assert [row["score"] for row in rows(Path("runs/many-2/trials.csv"))] == ["1.0"]


def test_a_run_of_before_keeps_its_meaning(space: Space) -> None:
    assert nas(*SEARCH).code == 0
    file = RunFolder(Path("runs/mine")).manifest_file
    document = yaml.safe_load(file.read_text())
    assert document.pop("counted") == "deployed"
    file.write_text(yaml.safe_dump({**document, "format": 2}))
    counted = RunState.load(Path("runs/mine")).space
    assert (counted.input[0], counted.classes) == (3, 1000)
    said = nas("resume", "runs/mine", "--trials", "2")  # which writes run.yaml anew
    assert said.code == 0 and "MACs with 1,000 classes, the space's own." in said.out
    again = RunState.load(Path("runs/mine"))
    assert again.space == counted
    cost = counted.cost(again.trials[1].candidate.choices)
    assert again.trials[1].candidate.cost == cost
    file.write_text(file.read_text().replace("at least", "by the moon"))
    assert nas("show", "runs/mine").err == (
        f"error: {file}: counted: is damaged ('by the moon' is not a valid Counted); restore the file\n"
    )


@pytest.mark.parametrize("limit", ["1", "1G..2G"])
def test_a_budget_that_no_data_could_meet_is_refused_before_they_are_read(limit: str) -> None:
    with patch.object(prepared, "load_data", side_effect=AssertionError):
        said = nas(*SEARCH, "--budget-flops", limit)
    assert said.code == 2 and said.err.startswith("error: --budget-flops: "), said
    assert not Path("runs").exists()


@pytest.mark.parametrize("measure", [MACS, PARAMS])
def test_a_budget_that_only_other_data_could_meet_is_refused_with_the_figures_of_these(
    space: Space, measure: Any
) -> None:
    most = space.for_data(1, 10).ends(measure).most.value
    said = nas(*SEARCH, "--budget", f"{measure.name}={most + 1}..{10 * most}")
    assert said.code == 2 and f"above the largest network of 'tiny', {most:,}" in said.err, said
    assert not Path("runs").exists()


def test_a_network_of_other_channels_and_classes_is_a_start() -> None:
    assert nas(*SEARCH).code == 0
    said = nas("search", "many.yaml", *SEARCH[2:6], "--start", "runs/mine/best.yaml", *SHORT)
    assert said.code == 0, said
    first, second = (rows(Path(run, "trials.csv"))[0] for run in ("runs/mine", "runs/many-1"))
    assert first["params"] == second["params"]
