"""The examples: each does what it says, in one file of less than 60 lines."""

from __future__ import annotations

import importlib.util
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from command_line import SHORT, nas, rows
from suite_runs import ROOT, run_suites
from toys import history, run, study

from nas.blocks import BLOCKS
from nas.data import datasets
from nas.data.config import DataConfig
from nas.exporters.writing import export_python
from nas.graph.module import build_module, count_macs
from nas.inherit import inherit
from nas.ops import OPERATORS
from nas.runs.state import RunState
from nas.space import Choices, Space, load_space
from nas.space.plugins import load_plugins, read_plugins
from nas.study.study import Study

EXAMPLES = ROOT / "examples"
HERE = ("--workers", "0", "--name", "own", *SHORT)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder that has the examples; what they register goes with it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(EXAMPLES)
    monkeypatch.syspath_prepend(EXAMPLES)
    with patch.dict(BLOCKS), patch.dict(OPERATORS):
        yield tmp_path


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda file: file.name)
def test_it_is_short_and_says_how_it_is_run(file: Path) -> None:
    lines = file.read_text().splitlines()
    assert len(lines) < 60 and lines[0].startswith('"""')
    assert re.search(rf"^ +(PYTHONPATH=examples )?nas .*{file.stem}", file.read_text(), re.M)


@pytest.mark.slow
def test_the_suites_pass(tmp_path: Path) -> None:
    named = ("--plugin", EXAMPLES / "attention.py", "--plugin", EXAMPLES / "large_kernel.py")
    code, counts, said = run_suites(
        tmp_path, *named, "--sampler", "annealing:AnnealingSampler", path=[str(EXAMPLES)]
    )
    assert code == 0, said
    assert counts["PASSED"] > 100
    for name in ("channel_attention", "large_kernel", "annealing:AnnealingSampler"):
        assert f"[{name}" in said


@pytest.mark.parametrize("name", ["attention", "large_kernel"])
def test_a_plugin_is_searched_and_exported(name: str) -> None:
    plugin = ("--plugin", f"examples/{name}.py")
    said = nas("search", f"examples/{name}.yaml", *plugin, "--trials", "2", "--inherit", *HERE)
    assert said.code == 0, said
    assert [row["state"] for row in rows(Path("runs/own/trials.csv"))] == ["complete"] * 2
    assert Path("runs/own/best.py").is_file()


def attention_space() -> Space:
    load_plugins(read_plugins([EXAMPLES / "attention.py"]))
    return load_space(EXAMPLES / "attention.yaml")


def test_an_operator_with_weights_and_a_matrix_product_passes_its_own_export(tmp_path: Path) -> None:
    network = attention_space().resolve(attention_space().largest()).architecture()
    assert [n.op.name for n in network.nodes].count("channel_attention") == 1
    module = build_module(network)
    assert count_macs(module, network.input_shape) == network.cost.macs
    files = export_python(tmp_path, "mine", network, module.state_dict(), title="T", facts={})
    text = (tmp_path / "mine.py").read_text()
    assert "class CrossCovariance(nn.Module):" in text and "channel_attention=CrossCovariance(16)" in text
    assert "import nas" not in text and [file.suffix for file in files] == [".py", ".safetensors", ".pt"]


def test_its_weights_are_inherited_where_their_shapes_are_equal() -> None:
    space = attention_space()
    point: Choices = {"stem.out": 8, "s1.depth": 1, "s1.out": 8, "mix.block": "channel_attention"}
    parent, deeper, wider = (
        space.resolve(point | change).architecture() for change in ({}, {"s1.depth": 2}, {"s1.out": 16})
    )
    torch.manual_seed(0)
    weights = build_module(parent).state_dict()
    weights = {name: value + 1 if value.is_floating_point() else value for name, value in weights.items()}
    name = next(name for name in weights if name.endswith(".temperature"))
    for child, is_equal in ((parent, True), (deeper, True), (wider, False)):
        own = build_module(child).state_dict()
        found = inherit(child, own, parent, weights, seed=0)
        assert torch.equal(found.state[name], weights[name])
        projection = name.replace("temperature", "project")
        if is_equal:
            assert torch.equal(found.state[projection], weights[projection])
        else:
            assert torch.equal(found.state[projection], own[projection]) and not found.exact
    assert inherit(parent, build_module(parent).state_dict(), parent, weights, seed=0).exact


def test_a_sampler_goes_on_where_it_stopped(tmp_path: Path) -> None:
    def opened(name: str) -> Study:
        return study(tmp_path / name, trials=40, sampler="annealing:AnnealingSampler")

    whole, parts = opened("whole"), opened("parts")
    run(whole)
    run(parts, until=25)
    again = opened("parts")
    run(again)
    assert history(again) == history(whole) and len(history(whole)) == 40


def test_a_data_set_is_learned() -> None:
    data = datasets.load_dataset(DataConfig("examples/shapes.py:shapes", 16), seed=0)
    assert (data.classes, data.channels, len(data.train_labels)) == (("disc", "square"), 1, 480)
    Path("tiny.yaml").write_text(
        "name: tiny\ninput: [1, 16, 16]\nclasses: 2\nnetwork:\n"
        "  - conv: {name: stem, out: 16}\n  - conv: {name: body, out: 16, stride: 2}\n  - classifier\n"
    )
    options = (
        "--dataset",
        "examples/shapes.py:shapes",
        "--resolution",
        "16",
        "--epochs",
        "8",
        "--trials",
        "1",
    )
    said = nas("search", "tiny.yaml", *options, "--workers", "0", "--name", "own")
    assert said.code == 0, said
    assert float(rows(Path("runs/own/trials.csv"))[0]["score"]) > 0.8


def test_the_documented_data_set_is_the_example() -> None:
    documented = (ROOT / "docs" / "data.md").read_text()
    text = (EXAMPLES / "shapes.py").read_text()
    assert text[text.index("import numpy") :] in documented


def test_examples_draw_the_same_each_time() -> None:
    spec = importlib.util.spec_from_file_location("shapes", EXAMPLES / "shapes.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    first, again, other = module.shapes(), module.shapes(), module.shapes(seed=1)
    assert np.array_equal(first["images"], again["images"])
    assert not np.array_equal(first["images"], other["images"])


def test_a_proposer_climbs_inside_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    said = nas("init", "mbconv", "--budget-flops", "400M", "--trials", "12", "--name", "climbing")
    assert said.code == 0, said
    monkeypatch.setattr(sys, "argv", ["climbing.py", "runs/climbing"])
    runpy.run_path(str(EXAMPLES / "climbing.py"), run_name="__main__")
    state = RunState.load(Path("runs/climbing"))
    scores = [trial.score for trial in state.trials if trial.score is not None]
    assert len(scores) == 12 and max(scores) > scores[0]
    assert all(trial.candidate.cost.macs <= 400_000_000 for trial in state.trials)
    assert [trial.bred_from is None for trial in state.trials] == [True] + [False] * 11
    assert len({trial.candidate.identity for trial in state.trials}) == 12
