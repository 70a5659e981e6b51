"""The examples of pipelines, each with fewer and smaller trainings, on images that are drawn here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command_line import nas
from PIL import Image

from nas.latency import table as tables
from nas.steps import STEPS, read_pipeline

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = """\
name: small
input: [3, 32, 32]
classes: 10
network:
  - conv: {name: stem, out: {choice: [4, 8]}, stride: 2}
  - stage:
      name: s1
      depth: {choice: [1, 2, 3]}
      stride: 2
      block: {conv: {out: {choice: [8, 16]}, kernel: {choice: [3, 5]}}}
  - classifier
"""
HERE: dict[str, Any] = {
    "space": "small.yaml", "trials": 2, "workers": 0, "in_process": True, "recipe": {"epochs": 1},
    "input": 16, "max_images": 80,
}  # fmt: skip
FEWER: dict[str, dict[str, Any]] = {
    "calibrate": {"networks": 4, "long_epochs": 1},
    "finalists": {"finalists": 2, "final_epochs": 1, "final_seeds": 2},
    "train": {"recipe": {"epochs": 1}, "cpus": 1},
    "versus": {"baseline": "random", "seeds": 2, "recipe": {"epochs": 1}},
    "profile": {"runtimes": "torch", "batches": [1], "rounds": 2},
    "export": {"format": "python"},
}
FILES = ("photos", "cifar10", "latency", "teacher")


def draw_images(folder: Path, *classes: str) -> None:
    rng = np.random.default_rng(0)
    for split, count in {"train": 20, "test": 4}.items():
        for place, name in enumerate(classes):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 120, (16, 16, 3))
                pixels[..., place % 3] += 60
                Image.fromarray(pixels.astype(np.uint8)).save(folder / split / name / f"{number}.png")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SMALL)
    one = re.sub(r"\{choice: \[.*?, (\d+)\]\}", r"\1", SMALL)
    Path("small_one.yaml").write_text(one)
    draw_images(Path("photos"), "blue", "green", "red")
    draw_images(Path("cifar"), "cat", "dog", "frog", "ship")


def read(name: str) -> dict[str, Any]:
    steps: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    return steps


@pytest.mark.parametrize("name", FILES)
def test_its_settings_are_right_with_its_budget_and_it_says_how_it_is_run(name: str) -> None:
    file = EXAMPLES / f"{name}.yaml"
    Path("runs/large").mkdir(parents=True)
    for there in ("best.safetensors", "figures.json"):
        (Path("runs/large") / there).touch()
    assert [step.name for step in read_pipeline(file)] == list(read(name))
    assert f"#     nas run examples/{name}.yaml\n" in file.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_small_one_is_done(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting, fewer in {"FITTED": 6, "HELD_OUT": 3, "ROUNDS": 2}.items():
        monkeypatch.setattr(tables, setting, fewer)
    steps = read(name)
    for step, own in steps.items():
        steps[step] = {**(own or {}), **FEWER.get(step, {})}
    steps["search"] |= HERE
    limits = {"budget_flops": "1M"} if "budget_flops" in steps["search"] else {
        "budget_latency": "1s", "runtime": "torch",
    }  # fmt: skip
    steps["search"] |= limits
    if name == "teacher":
        given = ("--epochs", "1", "--input", "16", "--name", "large", "--cpus", "1")
        assert nas("train", "small_one.yaml", "--dataset", "imagefolder:photos", *given).code == 0
    Path(f"{name}.yaml").write_text(yaml.safe_dump(steps, sort_keys=False))
    said = nas("run", f"{name}.yaml", "--format", "json")
    assert said.code == 0, said
    found = json.loads(said.out)
    assert [step["step"] for step in found["steps"] if step["done"]] == list(steps)
    assert all(Path(file).is_file() for step in found["steps"] for file in step["files"])
    assert Path(f"runs/{name}/report.html").is_file()
    again = json.loads(nas("run", f"{name}.yaml", "--format", "json").out)
    assert not any(step["done"] for step in again["steps"])
    home = Path(f"runs/{name}")
    exported = {file.name for file in (home / "export-1").iterdir()}
    assert {"best.py", "best.safetensors", "labels.txt", "preprocess.json", "README.md"} <= exported
    weights = [(home / folder / "best.safetensors").read_bytes() for folder in ("train-1", "export-1")]
    assert weights[0] == weights[1]
    if name == "cifar10":
        assert list(steps) == list(STEPS)
        assert json.loads((home / "calibrate-1/calibration.json").read_text())["plan"]["networks"] == 4
        assert json.loads((home / "profile-1/profile.json").read_text())["latencies"]
