"""Pipelines as a user has them: a file of steps, what it leaves, what is skipped, and what is refused."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import TINY, Said, nas, rows
from forks import FORKS

import nas as package
from nas.errors import InputError
from nas.runs.folder import TrainingFolder
from nas.runs.state import RunState
from nas.steps import STEPS, read_pipeline
from nas.steps.digests import digest_data

INSTANT = """\
import nas

@nas.evaluator(metric="share")
def train(network):
    module = network.module()
    for epoch in range(network.epochs):
        yield network.architecture.cost.params / 1e6 + network.seed % 7 / 1e4
"""
QUICK: dict[str, Any] = {
    "search": {
        "space": "tiny.yaml", "evaluator": "instant.py:train", "trials": 3, "workers": 0, "in_process": True,
        "recipe": {"epochs": 1},
    },
    "finalists": {"finalists": 2, "final_epochs": 2, "final_seeds": 2},
    "scale": {"family": "0..1"},
    "report": None,
}  # fmt: skip
WHOLE: dict[str, Any] = {
    "search": {
        "space": "tiny.yaml", "trials": 3, "workers": 0, "in_process": True, "max_images": 200,
        "recipe": {"epochs": 1},
    },
    "calibrate": {"networks": 4, "seeds": 2, "long_epochs": 2},
    "finalists": {"finalists": 2, "final_epochs": 2, "final_seeds": 2},
    "scale": {"factors": {"depth": 2, "width": 1.5}},
    "train": {"init": "search", "recipe": {"epochs": 2}, "cpus": 1},
    "versus": {"baseline": "plain.yaml", "seeds": 2, "recipe": {"epochs": 1}},
    "profile": {"runtimes": "torch", "rounds": 2},
    "export": {"format": "python,safetensors"},
    "report": {},
}  # fmt: skip
KILLED = """\
import os, signal, sys
from contextlib import contextmanager
import nas

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Search(nas.Observer):
    def epoch(self, candidate, result):
        if candidate.number == 1:
            die()

class Train(nas.TrainObserver):
    def epoch(self, result):
        die()

class Pipeline(nas.PipelineObserver):
    @contextmanager
    def hear(self, step):
        yield {"search": Search, "train": Train}[step]() if step == sys.argv[1] else None

nas.pipeline("mine.yaml", Pipeline())
"""
"""Does a pipeline and is killed in the middle of a step: after the first epoch of the second trial, or of the
training."""
PLAIN = """\
name: plain
input: [1, 32, 32]
classes: 10
network:
  - conv: {name: stem, out: 8, kernel: 3, stride: 2}
  - stage: {name: s1, depth: 2, stride: 2, block: {conv: {out: 16, kernel: 3}}}
  - classifier
"""

pytestmark = pytest.mark.usefixtures("tiny_folder")


@pytest.fixture(autouse=True)
def files(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    Path("instant.py").write_text(INSTANT)
    Path("plain.yaml").write_text(PLAIN)


def write(steps: Mapping[str, Any], name: str = "mine.yaml") -> None:
    Path(name).write_text(yaml.safe_dump(dict(steps), sort_keys=False))


def changed(steps: Mapping[str, Any], step: str, **settings: Any) -> dict[str, Any]:
    """Return steps with other settings in one."""
    found = deepcopy(dict(steps))
    found[step] = {**(found.get(step) or {}), **settings}
    return found


def done(said: Said) -> list[str]:
    """The steps that were done, and not skipped."""
    assert said.code == 0, said
    return [step["step"] for step in json.loads(said.out)["steps"] if step["done"]]


def run(steps: Mapping[str, Any], *options: str) -> list[str]:
    write(steps)
    return done(nas("run", "mine.yaml", "--format", "json", *options))


# What is done, and done again


def test_a_search_its_finalists_and_what_follows() -> None:
    write(QUICK)
    said = nas("run", "mine.yaml")
    assert said.code == 0, said
    heads = [line for line in said.out.splitlines() if line.startswith(("Pipeline", "Step"))]
    assert heads[0] == "Pipeline of 4 steps: search, finalists, scale, report. Folder: runs/mine"
    assert heads[1] == "Step 1/4, search: not done yet" and heads[-1].startswith("Step 4/4, report: done in ")
    assert said.out.count("Best network: ") == 2 and "Next:" not in said.out  # the next step does come next
    table = said.out.rpartition("came to")[2]
    assert [line.split()[:2] for line in table.strip().splitlines()[1:]] == [[step, "done"] for step in QUICK]
    state = RunState.load(Path("runs/mine/search-1"))
    assert len(state.trials) == 3 and len(state.finals) == 4 and state.winner
    assert {file.name for file in Path("runs/mine/scale-1").iterdir()} == {
        "network_b0.yaml",
        "network_b1.yaml",
    }
    assert "<html" in Path("runs/mine/report.html").read_text()

    again = nas("run", "mine.yaml")
    assert again.code == 0 and again.out.count("unchanged, skipped") == 4
    assert "mine: 4 of the 4 steps that it has begun are done" in nas("ls", "runs").out
    assert "search-1" in nas("ls", "runs/mine").out


def test_after_the_last_step_a_user_goes_on() -> None:
    write({step: QUICK[step] for step in ("search", "finalists")})
    search, finalists = nas("run", "mine.yaml").out.split("Step 1/2, search: done in ")
    assert "Next:" not in search and finalists.count("Next:") == 1


def test_what_a_change_does() -> None:
    assert run(QUICK) == list(QUICK)
    assert run(changed(QUICK, "scale", family="0..2")) == ["scale"]
    assert run(changed(QUICK, "search", workers=0, cpus_per_trial=1)) == [
        "scale"
    ]  # where it trains is no input
    assert run(changed(QUICK, "search", trials=5))[:2] == ["search", "finalists"]
    state = RunState.load(Path("runs/mine/search-1"))  # which went on
    assert len(state.trials) == 5 and state.winner
    assert "search" in run(changed(QUICK, "search", seed=1))
    assert len(RunState.load(Path("runs/mine/search-2")).trials) == 3


def test_files_that_settings_name_are_inputs() -> None:
    run(QUICK)
    Path("tiny.yaml").write_text(f"# a note\n{TINY}")
    assert run(QUICK) == []
    Path("instant.py").write_text(f"{INSTANT}# a note\n")
    write(QUICK)
    said = nas("run", "mine.yaml")
    assert "Step 1/4, search: the evaluator instant.py:train changed" in said.out
    Path("tiny.yaml").write_text(TINY.replace("[4, 6, 8]", "[4, 6]"))
    assert "Step 1/4, search: the space tiny.yaml changed" in nas("run", "mine.yaml").out


@pytest.mark.slow
def test_finalists_of_a_search_that_ends_before_its_repeats_are_of_use() -> None:
    """As its space has fewer networks than it has trials."""
    Path("few.yaml").write_text(
        "name: few\nabout: Few.\ninput: [1, 8, 8]\nclasses: 10\nnetwork:\n"
        "  - conv: {name: stem, out: {choice: [4, 6, 8]}, kernel: 3}\n  - classifier\n"
    )
    search = {**WHOLE["search"], "space": "few.yaml", "trials": 20, "repeats": 4}
    write({"search": search, "finalists": {"finalists": 1, "final_epochs": 1, "final_seeds": 2}})
    said = nas("run", "mine.yaml")
    assert (said.code, said.out.count("Step 2/2, finalists: done")) == (0, 1), said


def test_finalists_come_and_go_without_a_new_search() -> None:
    alone = {step: own for step, own in QUICK.items() if step != "finalists"}
    assert run(alone) == list(alone)
    assert "final_score" not in Path("runs/mine/search-1/best.yaml").read_text()
    assert run(QUICK)[0] == "finalists"
    assert "final_score" in Path("runs/mine/search-1/best.yaml").read_text()
    assert run(alone)[0] == "search"
    assert "final_score" not in Path("runs/mine/search-1/best.yaml").read_text()
    assert (
        len(RunState.load(Path("runs/mine/search-1")).trials) == 3 and not Path("runs/mine/search-2").exists()
    )


def test_a_step_that_is_forced_and_one_that_is_not_there() -> None:
    run(QUICK)
    assert run(QUICK, "--force", "scale") == ["scale"]
    said = nas("run", "mine.yaml", "--force", "scal")
    assert (said.code, said.err) == (
        2,
        "error: --force: there is no step 'scal' in it; did you mean 'scale'?\n",
    )


def test_a_pipeline_from_python() -> None:
    alone = {"search": QUICK["search"], "scale": {"phi": 1}}
    found = package.pipeline(alone, name="own", runs="there")
    again = package.pipeline(alone, name="own", runs="there")
    assert found.folder == Path("there/own")
    assert isinstance(found["search"].result, package.SearchResult)
    assert [step.why for step in again.steps] == [None, None] and again["search"].result is None
    assert again["scale"].record == found["scale"].record


def test_a_check_does_nothing() -> None:
    write(QUICK)
    Path("instant.py").write_text("raise SystemExit('run')\n")
    said = nas("run", "mine.yaml", "--check")
    assert (said.code, said.out) == (0, "4 steps, all settings are right: search, finalists, scale, report\n")
    assert not Path("runs").exists()


def test_images_of_a_folder_are_told_by_names_sizes_and_times(tmp_path: Path) -> None:
    image = tmp_path / "photos" / "cat" / "a.png"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"1")
    digests = [digest_data("imagefolder:photos")]
    image.write_bytes(b"22")
    digests.append(digest_data("imagefolder:photos"))
    image.rename(image.with_name("b.png"))
    digests.append(digest_data("imagefolder:photos"))
    assert len({*digests}) == 3 and digests[-1] == digest_data(f"imagefolder:{tmp_path}/photos/") is not None
    assert digest_data("photos") == digests[-1]
    assert digest_data("digits") is None and digest_data("instant.py:train")


@pytest.mark.timeout(20)
def test_images_behind_links_to_folders_are_told_too(tmp_path: Path) -> None:
    for kind in ("cat", "dog"):
        (tmp_path / "kept" / kind).mkdir(parents=True)
        (tmp_path / "kept" / kind / "a.png").write_bytes(b"1")
    photos = tmp_path / "photos"
    (photos / "cat").mkdir(parents=True)
    (photos / "cat/more").symlink_to(tmp_path / "kept/cat")
    (photos / "dog").symlink_to(tmp_path / "kept/dog")
    for loop in ("one", "two", "three"):
        (tmp_path / "kept/dog" / loop).symlink_to(photos)
    digests = [digest_data("imagefolder:photos")]
    for kind in ("cat", "dog"):
        (tmp_path / "kept" / kind / "a.png").write_bytes(b"22")
        digests.append(digest_data("imagefolder:photos"))
    (photos / "bird").symlink_to(tmp_path / "kept/dog")
    digests.append(digest_data("imagefolder:photos"))
    assert len({*digests}) == 4 and digests[-1] == digest_data("imagefolder:photos")


# Coefficients


def keep_coefficients(folder: Path, depth: float) -> None:
    """Write what a search of coefficients leaves."""
    folder.mkdir(exist_ok=True)
    (folder / "coefficients.yaml").write_text("format: 1\n")
    best = {"depth": depth, "width": 1.1, "resolution": 1.15}
    (folder / "coefficients.json").write_text(json.dumps({"best": best, "identity": "x"}))


def scaled_by() -> str:
    """What the network of the newest scaling says of its depth."""
    folder = max(Path("runs/mine").glob("scale-*"))
    depth = yaml.safe_load((folder / "network.yaml").read_text())["meta"]["coefficients"]["depth"]
    return f"{folder.name}: {depth}"


def test_coefficients_that_are_named_are_an_input() -> None:
    alone = {"search": QUICK["search"], "scale": {"phi": 1, "coefficients": "own"}}
    keep_coefficients(Path("own"), 1.1)
    assert run(alone) == ["search", "scale"] and scaled_by() == "scale-1: 1.1"
    assert run(alone) == []
    keep_coefficients(Path("own"), 1.2)
    assert run(alone) == ["scale"] and scaled_by() == "scale-2: 1.2"


def test_coefficients_of_the_search_are_an_input_where_they_are_used() -> None:
    own = Path("runs/mine/search-1/coefficients")
    alone = {"search": QUICK["search"], "scale": {"phi": 1}}
    run(alone)
    keep_coefficients(own, 1.1)
    assert run(alone) == ["scale"] and scaled_by() == "scale-2: 1.1"
    assert run(alone) == []
    keep_coefficients(own, 1.2)
    assert run(alone) == ["scale"] and scaled_by() == "scale-3: 1.2"
    for unused in ({"phi": 1, "coefficients": "published"}, {"factors": {"depth": 2}}):
        assert run({**alone, "scale": unused}) == ["scale"]
        keep_coefficients(own, 1.1)
        assert run({**alone, "scale": unused}) == []
        keep_coefficients(own, 1.2)


# What is refused, before anything is made


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([1], "wanted steps with their settings, such as search: {space: mbconv}"),
        ({}, "wanted steps with their settings, such as search: {space: mbconv}"),
        ({"serach": {}}, "unknown step 'serach'; did you mean 'search'?"),
        ({"space": "tiny.yaml", "trials": 3}, "'space' is a setting of a search, and no step; write search: "
         "{space: ...}, or give a file of these settings to nas search --config"),
        ({"final_epochs": 9, "search": {}}, "'final_epochs' is a setting of a search, and no step; write "
         "finalists: {final_epochs: ...}, or give a file of these settings to nas search --config"),
        ({"search": 3}, "search: 3 is no mapping of settings; write search: {} for the defaults"),
        ({"train": {}}, "train: needs the step search, which is missing; add search: {space: FILE}"),
        ({"search": {}}, "search: no space is named; add space: FILE, or name it on the command line"),
        ({"search": {"space": "tny.yaml"}}, "search: tny.yaml: no such file or folder, and no bundled "
         "space has this name; did you mean 'tiny.yaml'?"),
        (changed(QUICK, "search", trails=3), "search: unknown key 'trails'; did you mean 'trials'?"),
        (changed(QUICK, "search", trials=0), "search: trials: 0 is not a number of trials; it is a "
         "whole number, 1 or more"),
        (changed(WHOLE, "search", budget_flops="1"), "search: --budget-flops: 1 MACs is below the smallest "
         "network of 'tiny', 27,728; the largest has 1,075,360. Allow at least 27,728; choices that give the "
         "least MACs: s1.depth: 1, s1.layer1.kernel: 3, stem.out: 4, s1.out: 8 (4 of 5)"),
        (changed(QUICK, "search", finalists=3), "search: finalists: is a setting of the step "
         "finalists; write finalists: {finalists: ...}"),
        (changed(QUICK, "search", storage="sqlite:///a.db"), "search: storage: a pipeline has its "
         "studies in its own folder; leave it out"),
        (changed(QUICK, "finalists", finalists=0), "finalists: finalists: 0 trains none; give 1 or "
         "more, or leave the step out"),
        (changed(QUICK, "finalists", epochs=2), "finalists: unknown key 'epochs'; did you mean "
         "'final_epochs'?"),
        (changed(QUICK, "calibrate"), "calibrate: instant.py:train trains by code of a user's own, and "
         "this step trains on images; leave the step out"),
        (changed(WHOLE, "calibrate", networks=2), "calibrate: networks: 2 is not a number of networks; it "
         "is a whole number, 4 or more"),
        (changed(QUICK, "scale", phi=1), "scale: scale in one way: by --phi, by --depth, --width and "
         "--resolution, to --target-flops, to --target-params, or to a --family"),
        (changed(QUICK, "scale", family="3..9"), "scale: family: '3..9' is not a range of steps; write "
         "LOW..HIGH within 0..7, or one step of these"),
        (changed(QUICK, "scale", familie="0..7"), "scale: unknown key 'familie'; did you mean "
         "'family'?"),
        ({**QUICK, "scale": {"phi": 9}}, "scale: phi: 9 is not a step of EfficientNet's; it is a whole "
         "number from 0 to 7"),
        ({**QUICK, "scale": {"factors": 2}}, "scale: factors: wanted a mapping, such as {depth: ...}"),
        ({**QUICK, "scale": {}}, "scale: scale in one way: by --phi, by --depth, --width and "
         "--resolution, to --target-flops, to --target-params, or to a --family"),
        ({**QUICK, "scale": {"factors": {"deep": 2}}}, "scale: factors: unknown key 'deep'; did you "
         "mean 'depth'?"),
        ({**QUICK, "scale": {"factors": {"depth": 2}, "coefficients": "1.2,1.1,1.15"}}, "scale: "
         "coefficients: are of steps, and factors are given; leave one of them out"),
        (changed(QUICK, "scale", coefficients="1.2,1.1"), "scale: --coefficients: '1.2,1.1' is not three "
         "numbers; write depth, width and resolution, such as 1.2,1.1,1.15"),
        (changed(QUICK, "scale", coefficients="."), "scale: .: is not a run folder, it has no "
         "coefficients.yaml; name a folder that nas scale --search-coefficients made"),
        (changed(changed(WHOLE, "search", folds=3), "finalists", rank="int8"), "finalists: rank: int8 is of "
         "one network, and with folds: 3 each is trained so many times; leave one of the two out"),
        (changed(QUICK, "finalists", rank="int8"), "finalists: rank: 'int8' has no effect: it is of the "
         "proxy, and an evaluator of a user's own trains here; leave one out"),
        (changed(WHOLE, "train", inti="search"), "train: unknown key 'inti'; did you mean 'init'?"),
        (changed(WHOLE, "search", dataset="imagefolder:nowhere"), "search: data set 'imagefolder:nowhere': "
         "there is no such file or folder; name one that is there"),
        (changed(WHOLE, "train", mode="lineal"), "train: mode: 'lineal' is not a mode; it is scratch, "
         "finetune or linear"),
        (changed(WHOLE, "train", init="gone.pt"), "train: gone.pt: cannot be read: No such file or "
         "directory"),
        (changed(WHOLE, "train", network="a.yaml"), "train: network: is the best of the search here; "
         "leave it out"),
        (changed(WHOLE, "versus", seeds=1), "versus: seeds: 1 is not a number of seeds; it is a whole "
         "number, 2 or more, as an interval needs two"),
        (changed(WHOLE, "versus", dataset="cifar10"), "versus: dataset: is that of the search, by which its "
         "networks are compared; leave it out"),
        (changed(WHOLE, "train", input=64), "train: input: the search has its own; write it there, or give "
         "resolution"),
        (changed(WHOLE, "versus", baseline="plan.yaml"), "versus: plan.yaml: no such file or folder, "
         "and no bundled space has this name; did you mean 'plain.yaml'?"),
        (changed(WHOLE, "versus", baseline="tiny.yaml"), "versus: baseline: tiny.yaml is a space with "
         "choices; name the file of one network"),
        (changed(WHOLE, "profile", runtimes="onx"), "profile: runtimes: unknown runtime 'onx'; did you "
         "mean 'onnx'?"),
        (changed(WHOLE, "profile", batches=[0]), "profile: batches: [0] is not a list of sizes of a batch; "
         "each is a whole number from 1, as in 1,32"),
        (changed(WHOLE, "profile", input=32), "profile: unknown key 'input'; allowed: batches, device, "
         "rounds, runtimes, seed, strict, threads"),
        (changed(WHOLE, "profile", threads="two"), "profile: threads: 'two' is not a number of threads; it "
         "is a whole number, 1 or more"),
        (changed(WHOLE, "export", format="onx"), "export: format: unknown format 'onx'; did you mean "
         "'onnx'?"),
        (changed(WHOLE, "report", theme="dark"), "report: unknown key 'theme'; a report has no "
         "settings"),
    ],
)  # fmt: skip
def test_bad_input_is_one_message_before_the_first_step(steps: Any, message: str) -> None:
    Path("mine.yaml").write_text(yaml.safe_dump(steps, sort_keys=False))
    said = nas("run", "mine.yaml")
    assert (said.code, said.out, said.err) == (2, "", f"error: mine.yaml: {message}\n")
    assert not Path("runs").exists()


@pytest.mark.parametrize("step", ["search", "train"])
def test_a_logger_that_is_not_installed(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.exporters.find_spec", lambda name: None if name == "wandb" else find_spec(name))
    write(changed(WHOLE, step, log="wandb"))
    said = nas("run", "mine.yaml", "--check")
    message = "log: wandb: needs wandb, which is not installed; install it with: pip install wandb"
    assert (said.code, said.err) == (2, f"error: mine.yaml: {step}: {message}\n")


def test_a_rank_that_needs_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "nas.exporters.find_spec", lambda name: None if name == "onnxscript" else find_spec(name)
    )
    write(changed(WHOLE, "finalists", rank="int8"))
    said = nas("run", "mine.yaml", "--check")
    assert (said.code, said.err) == (
        2,
        "error: mine.yaml: finalists: --rank int8, format 'onnx': needs onnxscript, which is not installed; "
        "install it with: pip install onnxscript\n",
    )


def test_what_is_no_file_is_named() -> None:
    said = nas("run", "nowhere.yaml")
    assert (said.code, said.err) == (2, "error: nowhere.yaml: no such file\n")
    Path("mine.yaml").write_text("search: [")
    assert nas("run", "mine.yaml").err.startswith("error: mine.yaml:1: not valid YAML: ")
    write(QUICK)
    said = nas("run", "mine.yaml", "--name", "a/b")
    assert said.err == "error: --name: 'a/b' is not a folder name; --runs says where the folder is made\n"


def test_an_error_in_a_step_keeps_those_before() -> None:
    steps = changed(QUICK, "scale", family="0..1")
    write(steps)
    Path("instant.py").write_text(INSTANT.replace("yield", "raise ValueError('no light')\n        yield"))
    said = nas("run", "mine.yaml")
    assert (
        said.code == 2
        and said.err.startswith("error: search: evaluator instant.py:train: fails")
        and said.err.count("\n") == 1
    )
    Path("instant.py").write_text(INSTANT)
    assert run(steps) == list(steps)


# All steps, by the real proxy


@pytest.mark.slow
def test_what_a_change_of_trainings_does() -> None:
    few = {step: WHOLE[step] for step in ("search", "train", "versus", "report")}
    few = changed(few, "search", recipe={"epochs": 1, "metric": "macro-f1"})
    assert run(few) == list(few)
    home = Path("runs/mine")
    figures = json.loads((home / "train-1/figures.json").read_text())
    summary = yaml.safe_load((home / "steps/train.yaml").read_text())["summary"]
    assert summary == f"macro-f1 {figures['macro_f1']:.4f} on {figures['tested_on']}"
    assert "Against baselines" in (home / "report.html").read_text()

    longer = changed(few, "train", recipe={"epochs": 3})
    assert run(longer) == ["train"]
    assert (home / "train-2/figures.json").is_file() and (home / "train-1/figures.json").is_file()
    assert run(changed(longer, "versus", seeds=3)) == ["versus", "report"]
    assert len(rows(home / "search-1/versus/versus.csv")) == 6  # which went on
    assert run(changed(longer, "versus", seeds=3, seed=1)) == ["versus", "report"]
    assert len(rows(home / "search-1/versus-1/versus.csv")) == 6  # which was moved aside


@pytest.mark.slow
def test_a_pipeline_that_is_killed_goes_on() -> None:
    steps = {"search": WHOLE["search"], "train": {"recipe": {"epochs": 3}, "cpus": 1}}
    search, training = Path("runs/mine/search-1"), TrainingFolder(Path("runs/mine/train-1"))

    def kill_in(step: str) -> None:
        write(steps)
        code, said = FORKS.run("-c", KILLED, step)
        assert code == -signal.SIGKILL, said

    kill_in("search")
    (before,) = (trial for trial in RunState.load(search).trials if trial.score is not None)
    assert run({"search": steps["search"]}) == ["search"]
    trials = RunState.load(search).trials
    assert len(trials) == 3 and before in trials
    kill_in("train")
    assert not training.report_file.is_file()
    (first,) = rows(training.metrics_file)
    assert run(steps) == ["train"]
    epochs = rows(training.metrics_file)
    assert len(epochs) == 3 and epochs[0] == first
    assert not Path("runs/mine/search-2").exists() and not Path("runs/mine/train-2").exists()


def test_every_step_is_read_from_a_mapping() -> None:
    assert [step.name for step in read_pipeline(WHOLE)] == list(STEPS)
    with pytest.raises(InputError, match=r"^pipeline: search: unknown key 'trails'"):
        read_pipeline(changed(WHOLE, "search", trails=1))
    with pytest.raises(InputError, match=r"^pipeline: scale: factors: unknown key '1'; allowed: depth, "):
        read_pipeline({**QUICK, "scale": {"factors": {1: 2}}})
