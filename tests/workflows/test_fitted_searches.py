"""Searches of a space fitted to another input: what is counted, trained, kept, resumed and exported."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from command_line import SHORT, Said, nas, rows

from nas.runs.config import SearchConfig
from nas.runs.config_file import read_config
from nas.runs.state import RunState
from nas.space import dump_space, load_space
from nas.space.fit import fit_input

DEEP = """\
name: deep
input: [1, 128, 128]
classes: 10
network:
  - conv: {name: stem, out: {choice: [4, 6, 8]}, stride: 2}
  - stage: {name: s1, depth: {choice: [1, 2]}, stride: 2, block: {conv: {out: 8}}}
  - stage: {name: s2, stride: 2, block: {conv: {out: {choice: [8, 12]}}}}
  - stage: {name: s3, stride: 2, block: {conv: {out: 8}}}
  - stage: {name: s4, stride: 2, block: {conv: {out: 16}}}
  - classifier
"""
ONE = (
    DEEP.replace("{choice: [4, 6, 8]}", "6")
    .replace("{choice: [1, 2]}", "2")
    .replace("{choice: [8, 12]}", "8")
)
FITTED = "Input 16 x 16: strides of stem, s1, s2 are 1; the last map is 4 x 4, of 4 x 4 at 128 x 128.\n"


@pytest.fixture(autouse=True)
def folder(tiny_folder: Path) -> None:
    Path("deep.yaml").write_text(DEEP)
    Path("one.yaml").write_text(ONE)


def search(*arguments: str) -> Said:
    return nas("search", "deep.yaml", "--workers", "0", "--trials", "2", "--name", "mine", *SHORT, *arguments)


def test_a_search_at_another_input_goes_on_and_is_exported() -> None:
    """Nothing but the run folder is needed: the space as it was fitted is in there."""
    said = search("--input", "16", "--start", "one.yaml")
    assert said.code == 0 and said.out.startswith(FITTED) and "at 16 x 16.\n" in said.out
    space = fit_input(load_space("deep.yaml"), 16).space
    assert Path("runs/mine/space.yaml").read_text() == dump_space(space)
    for file in ("deep.yaml", "one.yaml"):
        Path(file).unlink()
    said = nas("resume", "runs/mine", "--trials", "4")
    assert said.code == 0 and "[4/4] trial 3" in said.out
    state = RunState.load(Path("runs/mine"))
    assert (state.config.input, state.config.data.resolution) == (16, 16)
    for trial in state.trials:
        assert trial.candidate.cost == space.cost(trial.candidate.choices)
    first = rows(Path("runs/mine/trials.csv"))[0]
    assert (first["stem.out"], first["s1.depth"], first["s2.out"]) == ("6", "2", "8")
    best = load_space("runs/mine/best.yaml")
    assert best.input == (1, 16, 16) and best.network.items[1].stride == 1  # type: ignore[union-attr]
    assert nas("export", "runs/mine", "-o", "left.py").code == 0
    spec = importlib.util.spec_from_file_location("left", "left.py")
    assert spec and spec.loader
    left: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(left)
    assert left.load()(torch.zeros(2, 1, 16, 16)).shape == (2, 10)
    assert "at 1 x 16 x 16 with 10 classes" in left.__doc__
    assert "16 x 16" in nas("show", "runs/mine/best.yaml").out
    assert nas("draw", "runs/mine").code == 0 and "16 x 16" in Path("runs/mine/best.svg").read_text()


@pytest.mark.parametrize(
    ("settings", "resolution", "given"),
    [
        ({"input": 16}, 16, {"input": 16}),
        ({"input": 96}, 96, {"input": 96}),
        ({"input": 4}, 8, {"input": 4}),
        ({"input": 5000}, 2048, {"input": 5000}),
        ({"input": 96, "resolution": 32}, 32, {"input": 96, "resolution": 32}),
        ({"input": 96, "resolution": 96}, 96, {"input": 96}),
        ({"resolution": 48}, 48, {"resolution": 48}),
        ({"input": None}, 32, {}),
    ],
)
def test_an_input_is_the_resolution_where_none_is_given(
    settings: dict[str, Any], resolution: int, given: dict[str, Any]
) -> None:
    config = SearchConfig.from_data({"space": "deep.yaml", **settings})
    assert config.data.resolution == resolution
    assert config.select_given() == {"space": "deep.yaml", **given}
    assert SearchConfig.from_data(config.select_given()) == SearchConfig.from_data(config.to_data()) == config


def test_both_are_taken_from_a_file_and_from_options() -> None:
    """The network is of the input, and trains at the resolution; an option of one leaves the other be."""
    Path("search.yaml").write_text("input: 32\nresolution: 16\n")
    assert read_config(Path("search.yaml")) == {"input": 32, "resolution": 16}
    said = search("--config", "search.yaml", "--input", "24")
    assert said.code == 0, said.err
    settings = yaml.safe_load(Path("runs/mine/run.yaml").read_text())["settings"]
    assert (settings["input"], settings["resolution"]) == (24, 16)
    assert load_space("runs/mine/best.yaml").input == (1, 24, 24)
    assert "at 16 x 16.\n" in said.out


def test_maps_of_one_pixel_are_said_with_both_ways_out() -> None:
    said = search("--trials", "1")
    assert said.code == 0
    assert said.out.startswith(
        "s4: maps are 1 x 1 at the proxy's resolution of 32 x 32, and larger at 128 x 128; fit the space to "
        "such images with --input 32, or train at --resolution 64.\n"
    )


@pytest.mark.parametrize("options", [("--resolution", "64"), ("--input", "32")])
def test_either_way_out_is_one(options: tuple[str, ...]) -> None:
    said = search("--trials", "1", *options)
    assert said.code == 0 and "maps are 1 x 1" not in said.out


def test_a_calibration_is_of_the_fitted_space() -> None:
    options = ("--networks", "4", "--seeds", "2", "--long-epochs", "2", "--workers", "0", "--name", "mine")
    said = nas("calibrate", "deep.yaml", "--input", "16", *options, "--epochs", "1", "--max-images", "40")
    assert said.code == 0 and said.out.startswith(FITTED), said.err
    assert RunState.load(Path("runs/mine")).space.input == (1, 16, 16)


@pytest.mark.parametrize("command", [("show",), ("draw", "--largest")])
def test_a_space_is_shown_and_drawn_at_another_input(command: tuple[str, ...]) -> None:
    name, *flags = command
    said = nas(name, "deep.yaml", "--input", "16", *flags)
    assert said.code == 0
    if name == "show":
        least = fit_input(load_space("deep.yaml"), 16).space.extent.smallest_cost
        assert said.out.startswith(FITTED) and f"{least.macs:,}" in said.out
    else:
        assert "16 x 16" in Path("deep.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "runs/mine"), "--input: runs/mine is a run, and was searched at its input; leave it out"),
        (("draw", "runs/mine"), "--input: runs/mine is a run, and was searched at its input; leave it out"),
        (
            ("show", "cell.yaml"),
            "--input 1: cell.yaml:3: cell: reduction 1 shrinks an image of 1 x 1 below 1 x 1; use fewer "
            "reductions or a larger input",
        ),
        (
            ("search", "cell.yaml"),
            "--input 1: cell.yaml:3: cell: reduction 1 shrinks an image of 1 x 1 below 1 x 1; use fewer "
            "reductions or a larger input",
        ),
        (
            ("search", "deep.yaml", "--start", "tiny.yaml"),
            "--start tiny.yaml: is a space of 252 networks; name the file of one network, such as a run's "
            "best.yaml",
        ),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], message: str) -> None:
    Path("runs/mine").mkdir(parents=True)
    Path("runs/mine/run.yaml").write_text("format: 2\n")
    cells = "cell: {out: 4, normal: &c {nodes: 1, inputs: [prev1], ops: skip_connect}, reduction: *c}"
    Path("cell.yaml").write_text(f"input: [3, 8, 8]\nnetwork:\n  - {cells}\n  - classifier\n")
    said = nas(*arguments, "--input", "1")
    assert (said.code, said.out, said.err) == (2, "", f"error: {message}\n")


@pytest.mark.parametrize("value", ["0", "-3", "1000001", "wide", "2.5"])
def test_what_is_no_input(value: str) -> None:
    said = search("--input", value)
    shown = repr(value) if value in ("wide", "2.5") else value
    assert (said.code, said.out) == (2, "") and not Path("runs").exists()
    assert said.err == (
        f"error: nas search: input: {shown} is not an input size; it is a whole number of pixels, 1 to "
        "1,000,000, or null for the space's own\n"
    )
