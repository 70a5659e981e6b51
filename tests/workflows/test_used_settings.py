"""Every setting has an effect on a search by an evaluator of a user's own, or is refused there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import nas as command
from instant import Instant, config

import nas
from nas.errors import InputError
from nas.kinds import dump_value
from nas.runs.config import SearchConfig
from nas.runs.state import RunState
from nas.settings import User
from nas.training.base import FailureReason

REG = """\
import time
from functools import cache
from pathlib import Path

import torch


def train(network):
    network.module()
    for epoch in range(network.epochs):
        with Path("log").open("a") as log:
            log.write(f"{network.seed} {network.epochs} {network.device} {torch.get_num_threads()}\\n")
        yield network.architecture.cost.params / 10_000 * (epoch + 1)


def other(network):
    for score in train(network):
        yield score + 1


def uneven(network):
    for score in train(network):
        if network.seed == 0:
            time.sleep(0.3)
        yield score
"""
BASE = {"space": "tiny.yaml", "workers": 0, "in_process": True, "trials": 6, "evaluator": "reg.py:train"}
BASE |= {"recipe": {"epochs": 3}, "cpus_per_trial": 1}
APART = {"in_process": False}
"""For what a process of trainings is told: to start one takes most of a test."""
FINALS = {"finalists": 1, "final_epochs": 4, "final_seeds": 1}
START = "name: start\ninput: [1, 32, 32]\nclasses: 10\nnetwork: [{conv: {out: 6, kernel: 3, stride: 2}}, "
START += "{stage: {depth: 1, stride: 2, block: {conv: {out: 12, kernel: 3}}}}, classifier]\n"
EFFECTS: dict[str, tuple[dict[str, Any], Any]] = {
    "space": ({}, "small.yaml"),
    "budget_flops": ({}, "250K"),
    "budget_params": ({}, "2K"),
    "budget": ({}, ["memory=20K"]),
    "budget_fill": ({"budget_flops": "400K"}, 0.9),
    "input": ({"budget_flops": "400K"}, 24),
    "classes": ({}, 7),
    "trials": ({}, 7),
    "sampler": ({}, "optuna.samplers:BruteForceSampler"),
    "objective": ({}, "accuracy*(flops/100K)^-9"),
    "seed": ({}, 1),
    "start": ({}, ["start.yaml"]),
    "scale": ({}, "1..1"),
    "finalists": ({}, 1),
    "final_epochs": (FINALS, 5),
    "final_seeds": (FINALS, 2),
    "scheduler": ({}, "asha"),
    "inherit": ({}, True),
    "evaluator": (APART, "reg.py:other"),
    "cpus_per_trial": (APART, 3),
    "trial_timeout": ({"trials": 4} | APART, 1e-6),
    "time_limit": ({}, "0.001s"),
    "keep": ({}, 1),
    "log": ({}, "tensorboard"),
    "storage": ({}, "sqlite:///study.db"),
    "epochs": (APART, 2),
}
"""A value by which each setting changes a search, and what else it needs."""
OF_EXECUTORS = {"workers", "in_process", "gpus_per_trial", "address", "accelerator"}
"""Where trials run: an executor does not know who trains."""
OF_LATENCIES = {"budget_latency", "runtime", "threads"}
"""What a table of the parts of the space says, which does not know who trains either."""
SETTINGS = SearchConfig.settings() | SearchConfig.sections()["recipe"].settings()
UNUSED = [key for key, setting in SETTINGS.items() if User.EVALUATOR in setting.option.unused_by]
OTHERS: dict[str, Any] = {
    "dataset": "cifar10", "resolution": 16, "val_fraction": 0.3, "max_images": 100, "max_broken": 0.5,
    "folds": 3, "prescreen": "naswot:4", "batch": 8, "optimizer": "adamw", "lr": 0.1, "schedule": "one_cycle",
    "warmup": 0.1, "momentum": 0.8, "weight_decay": 0.1, "grad_clip": 1.0, "ema": 0.9, "label_smoothing": 0.2,
    "dropout": 0.1, "drop_path": 0.1, "zero_init_residual": False, "early_stop": 1, "fraction": 0.5,
    "score": "best", "cuda_graph": True, "deterministic": True, "crop": 0.1, "random_resized_crop": 0.5,
    "flip": False, "policy": "randaugment", "color_jitter": 0.4, "cutout": 0.5, "mixup": 0.2, "cutmix": 1.0,
    "background": "black", "levels": "0..4095", "duplicates": "drop", "group": "(a)", "columns": "a,b",
    "suffix": ".jpg", "metric": "macro-f1", "balance": "weights",
    "rank": "int8", "repeats": 8,
}  # fmt: skip
"""Values other than the default of those that are refused."""


@pytest.fixture(autouse=True)
def folder(tiny_folder: Path) -> Path:
    Path("reg.py").write_text(REG)
    Path("start.yaml").write_text(START)
    Path("small.yaml").write_text(Path("tiny.yaml").read_text().replace("[4, 6, 8]", "[4, 6]"))
    return tiny_folder


def test_each_is_known_to_be_used_or_not() -> None:
    """A new setting has its place in one of the four."""
    assert sorted([*EFFECTS, *OF_EXECUTORS, *OF_LATENCIES, *UNUSED]) == sorted(SETTINGS)
    assert set(OTHERS) == set(UNUSED)


def placed(key: str, value: Any) -> dict[str, Any]:
    return {key: value} if key in SearchConfig.settings() else {"recipe": {key: value}}


def searched(settings: Mapping[str, Any], name: str) -> object:
    """Return what can be seen of a search when it is over."""
    Path("log").unlink(missing_ok=True)
    recipe = {**BASE["recipe"], **settings.get("recipe", {})}  # type: ignore[dict-item]
    result = nas.search(SearchConfig.from_data({**BASE, **settings, "recipe": recipe}), name=name)
    state = RunState.load(result.state.folder.path, (), settings.get("storage"))
    files = sorted(str(p.relative_to(state.folder.path)) for p in state.folder.path.rglob("*") if p.is_file())
    figures = [
        [(t.candidate.choices, t.state, t.score, t.result.epochs, t.result.parent, t.failure) for t in trials]
        for trials in (state.trials, state.finals)
    ]
    log = Path("log").read_text() if Path("log").exists() else ""
    return figures, files, log, result.stopped_by, result.best and result.best.number


@cache
def search_twice(needs: tuple[tuple[str, Any], ...]) -> object:
    """Return what can be seen of a search with these settings, the same each time."""
    base = searched(dict(needs), "base")
    assert searched(dict(needs), "again") == base
    return base


@pytest.mark.parametrize("key", EFFECTS)
def test_what_is_used_changes_a_search(key: str) -> None:
    needs, value = EFFECTS[key]
    assert searched({**needs, **placed(key, value)}, "other") != search_twice(tuple(needs.items()))


def message(key: str, value: Any) -> str:
    place = key.replace("_", "-") if key in SearchConfig.settings() else f"recipe: {key}"
    return (
        f"{place}: {dump_value(value)} has no effect: it is of the proxy, and an evaluator of a user's own "
        "trains here; leave one out"
    )


@pytest.mark.parametrize("key", UNUSED)
def test_what_is_not_is_refused(key: str) -> None:
    """As an option, as a key of a file, from Python; but for its default, which nothing is lost of."""
    setting, value = SETTINGS[key], OTHERS[key]
    evaluator = ("--evaluator", "reg.py:train")
    flag = [f"--{key.replace('_', '-')}={value}"]
    if setting.option.flags == ():
        flag = ["--recipe", f"{key}={yaml.safe_dump(value).splitlines()[0]}"]
    said = command("search", "tiny.yaml", *flag, *evaluator)
    assert (said.code, said.out, said.err) == (2, "", f"error: {message(key, value)}\n")
    Path("search.yaml").write_text(yaml.safe_dump(placed(key, value)))
    said = command("search", "tiny.yaml", "--config", "search.yaml", *evaluator)
    assert (said.code, said.out, said.err) == (2, "", f"error: {message(key, value)}\n")
    for options in ({"evaluator": "reg.py:train"}, {}):
        with pytest.raises(InputError) as error:
            own = None if options else Instant()
            nas.search(config(**{"trials": 16, **placed(key, value), **options}), evaluator=own)
        assert str(error.value) == message(key, value)
    assert not Path("runs").exists()


def test_a_resume_from_python_changes_nothing_without_effect() -> None:
    nas.search(SearchConfig.from_data(BASE), name="mine")
    changes = {"evaluator": "runs/mine/plugins/reg.py:train", "recipe": {"batch": 8}}
    with pytest.raises(InputError) as error:
        nas.resume("runs/mine", changes=changes)
    assert str(error.value) == f"nas resume: {message('batch', 8)}"


def test_a_run_of_before_that_has_such_settings_goes_on() -> None:
    nas.search(SearchConfig.from_data(BASE), name="mine")
    file = Path("runs/mine/run.yaml")
    file.write_text(file.read_text().replace("folds: 1", "folds: 3"))
    changes = {"evaluator": "runs/mine/plugins/reg.py:train", "trials": 7}
    again = nas.resume("runs/mine", changes=changes)
    assert isinstance(again, nas.SearchResult) and again.counts.complete == 7


# The time limit of a trial


def test_a_training_that_takes_too_long_fails_and_the_search_goes_on() -> None:
    """Also the first one: others may be quicker. Finalists have the limit in proportion to their epochs."""
    given = {**BASE, **APART, "evaluator": "reg.py:uneven", "trial_timeout": 0.5, **FINALS, "seed": 0}
    result = nas.search(SearchConfig.from_data(given), name="mine")
    first, *others = result.state.trials
    assert first.failure is not None and first.failure.reason is FailureReason.TIMEOUT
    assert first.failure.message == "0.5 s were over after an epoch" and len(first.curve) == 1
    assert result.counts.complete == len(others) == 5 and len(result.finalists) == 1


def test_an_evaluator_in_python_has_it_too() -> None:
    result = nas.search(config(trial_timeout=1e-6), evaluator=Instant(), name="mine")
    assert result.counts.failed == 3 and result.best is None
    result = nas.search(config(trial_timeout=60.0, finalists=1), evaluator=Instant(), name="other")
    assert result.counts.complete == 3 and len(result.finalists) == 1
