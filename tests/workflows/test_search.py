"""Searches from settings to results, on the command line: small spaces, short trainings."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clusters import descendants, works
from command_line import SHORT, TINY, Said, apart, command, nas, rows
from PIL import Image
from safetensors.torch import load_file
from toys import score_of

from nas.execution.config import ExecutorConfig
from nas.report.search_screen import SearchScreen
from nas.runs.config import SearchConfig
from nas.runs.folder import RunFolder
from nas.runs.manifest import Manifest
from nas.runs.state import RunState
from nas.space import load_space
from nas.study.records import Trial, TrialState
from nas.workflows.hardware import find_device

# The second kind of block has strides for 32 x 32 and is refused where a proxy trains at 8 x 8.
FRAGILE = """\
name: fragile
input: [1, 32, 32]
classes: 10
network:
  - choice:
      - conv: {out: {choice: [4, 6, 8]}, stride: 4}
      - [conv: {out: 64, stride: 2}, conv: {out: 64, stride: 2}, conv: {out: 64, stride: 2},
         conv: {out: 64, stride: 2}, conv: {out: {choice: [64, 72]}, stride: 2}]
    name: body
  - classifier
"""


pytestmark = pytest.mark.usefixtures("tiny_folder")


def search(*arguments: str, space: str = "tiny.yaml", name: str = "mine") -> Said:
    return nas("search", space, "--name", name, *SHORT, *arguments)


def images(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(list(folder.name.encode()))
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{i}.png")


def load(path: Path = Path("runs/mine")) -> RunState:
    return RunState.load(path)


def table(name: str = "mine") -> list[dict[str, str]]:
    return rows(Path("runs") / name / "trials.csv")


def test_every_trial_is_within_the_budget_and_none_is_another() -> None:
    said = search("--workers", "0", "--trials", "8", "--budget-flops", "100K..400K", "--budget-params", "6K")
    assert said.code == 0
    assert (
        "Networks are sampled evenly by their MACs, and anew while their parameters are outside." in said.out
    )
    space, trials = load_space(Path("tiny.yaml")), load().trials
    assert [trial.number for trial in trials] == list(range(8))
    costs = [space.cost(trial.candidate.choices) for trial in trials]
    assert all(100_000 <= cost.macs <= 400_000 and cost.params <= 6000 for cost in costs)
    assert len({space.identity(trial.candidate.choices) for trial in trials}) == 8


def test_a_finished_search_goes_further(tiny_run: RunFolder) -> None:
    """The weights of the best `keep` stay, results are those of all trials, and nothing is trained again."""
    run, before = tiny_run, load().trials
    said = nas("resume", "runs/mine", "--trials", "6")
    assert said.code == 0 and "[6/6] trial 5: score " in said.out and "[3/6]" not in said.out
    state = load()
    trials = state.trials
    assert trials[:3] == before and len(trials) == 6
    assert state.config.trials == 6
    best = sorted(trials, key=lambda t: (-score_of(t), t.candidate.cost.macs, t.number))[:2]
    assert set(run.weights_folder.iterdir()) == {run.weights_file(trial.number) for trial in best}
    assert load_space(run.best_file).meta["trial"] == best[0].number
    exported = load_file(run.path / "best.safetensors")
    assert exported.keys() == load_file(run.weights_file(best[0].number)).keys()
    again = nas("resume", "runs/mine")
    assert again.code == 0 and "trial 0" not in again.out and load().trials == trials


@pytest.mark.parametrize(
    "storage", [(), pytest.param(("--storage", "sqlite:///studies.db"), marks=pytest.mark.slow)]
)
def test_a_run_goes_on_under_another_name_and_from_another_folder(
    storage: tuple[str, ...], tiny_run: RunFolder, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is trained again and no weights are lost, wherever the study is kept."""
    run = tiny_run
    if storage:
        assert search("--workers", "0", "--trials", "3", "--keep", "2", *storage, name="stored").code == 0
        run = RunFolder.open(Path("runs/stored"))
    before = RunState.load(run.path, (), *storage[1:]).trials
    kept = {file.name for file in run.list_weights()}
    run.path.rename("moved")
    with monkeypatch.context() as inside:
        inside.chdir("moved")
        named = ("--storage", f"sqlite:///{tiny_folder}/studies.db") if storage else ()
        assert "3 of 3 trials ended" in nas("show", ".", *named).out
        said = nas("resume", ".", "--trials", "4", *named)
    assert said.code == 0 and "[3/4]" not in said.out
    moved = RunFolder.open(Path("moved"))
    left = {file.name for file in moved.list_weights()}
    assert RunState.load(moved.path, (), *storage[1:]).trials[:3] == before
    assert len(left) == len(kept) == 2 and left <= kept | {moved.weights_file(3).name}


def test_a_run_whose_study_is_gone_is_refused_and_keeps_its_weights(tiny_run: RunFolder) -> None:
    run = tiny_run
    weights = set(run.list_weights())
    run.journal.unlink()
    for arguments in (("resume", "runs/mine"), ("show", "runs/mine"), ("export", "runs/mine")):
        said = nas(*arguments)
        assert (said.code, said.err) == (
            2,
            "error: runs/mine: the study 'mine' is not in runs/mine/study.journal, though the run has "
            "results of it; restore it, or start a new run\n",
        )
    assert not run.journal.exists() and set(run.list_weights()) == weights


def test_files_of_the_user_in_a_run_stay(tiny_run: RunFolder) -> None:
    folder = tiny_run.weights_folder
    (folder / "notes.txt").write_text("mine")
    (folder / "more").mkdir()
    assert nas("resume", "runs/mine", "--trials", "4").code == 0
    assert (folder / "notes.txt").exists() and (folder / "more").is_dir()


def test_a_folder_of_weights_that_is_gone(tiny_run: RunFolder) -> None:
    """Later trials keep theirs; the best may be one of those that are lost."""
    run, manifest = tiny_run, Manifest.read(tiny_run)
    manifest.with_config(replace(manifest.config, keep=4)).write(run)
    shutil.rmtree(run.weights_folder)
    said = nas("resume", "runs/mine", "--trials", "4")
    assert [trial.state for trial in load().trials] == [TrialState.COMPLETE] * 4
    assert run.weights_file(3).is_file()
    (best,) = load().best(1)
    if best.number == 3:
        assert said.code == 0
    else:
        weights = run.weights_file(best.number)
        assert (said.code, said.err.replace('"', "")) == (  # safetensors before 0.7 quotes the path
            2,
            f"error: {weights}: the weights cannot be read: No such file or directory: {weights}; restore "
            "the file, or export another trial with --trial\n",
        )


@pytest.mark.slow
def test_the_images_to_test_on_are_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            images(Path("photos", split, name), 12)
    opened: list[Path] = []
    original = Image.open

    def noted(file: Path | str, *more: Any) -> Image.Image:
        opened.append(Path(file))
        return original(file, *more)

    monkeypatch.setattr(Image, "open", noted)
    data = ("--dataset", "imagefolder:photos", "--workers", "0")
    assert search(*data, "--trials", "2", "--finalists", "1", "--final-epochs", "1").code == 0
    assert nas("calibrate", "tiny.yaml", *data, *SHORT, "--networks", "4", "--long-epochs", "1").code == 0
    assert len(opened) == 24 and {file.parts[-3] for file in opened} == {"train"}


def test_a_resume_needs_the_data_that_the_search_began_with() -> None:
    for name in ("cat", "dog"):
        images(Path("photos", name), 12)
    search("--workers", "0", "--trials", "1", "--dataset", "imagefolder:photos", space="tiny.yaml")
    images(Path("photos", "owl"), 12)
    said = nas("resume", "runs/mine", "--trials", "2")
    assert (said.code, said.err) == (
        2,
        "error: data set 'imagefolder:photos' has changed since the search began: 3 classes were 2, or have "
        "other names; restore it, or start a new run\n",
    )
    assert len(table()) == 1


def test_a_network_for_data_of_more_channels_is_counted_with_them() -> None:
    """Its space has one channel, its images have three, and what is shipped is within the budget."""
    for name in ("cat", "dog"):
        images(Path("photos", name), 12)
    said = search(
        "--workers", "0", "--trials", "2", "--dataset", "imagefolder:photos", "--budget-flops", "60K"
    )
    assert said.code == 0
    text = Path("runs/mine/best.py").read_text()
    searched, shipped = (
        int(re.findall(rf"{what}: +([0-9,]+) MACs", text)[0].replace(",", ""))
        for what in ("Searched", "This file")
    )
    assert (
        0 <= searched - shipped <= 16 * 8 and searched <= 60_000
    )  # ten classes were counted, two are shipped


@pytest.mark.slow
def test_a_better_network_takes_the_exports_of_the_one_before_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C, best.yaml and best.py are never two networks."""
    assert search("--workers", "0", "--trials", "1", "--seed", "1").code == 0
    run = RunFolder.open(Path("runs/mine"))
    ended: list[int] = []

    def interrupted(self: SearchScreen, trial: Trial) -> None:
        ended.append(trial.number)
        if len(ended) == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(SearchScreen, "finished", interrupted)
    assert nas("resume", "runs/mine", "--trials", "10").code == 130
    assert load_space(run.best_file).meta["trial"] != 0
    assert not run.path.joinpath("best.py").exists() and not run.path.joinpath("best.pt").exists()
    assert nas("export", "runs/mine").code == 0
    assert run.path.joinpath("best.py").exists()


def test_a_resume_with_fewer_trials_than_there_are_is_refused(tiny_run: RunFolder) -> None:
    said = nas("resume", "runs/mine", "--trials", "2")
    assert (said.code, said.err) == (
        2, "error: --trials: runs/mine has 3 trials already; give more than that to go on\n"
    )  # fmt: skip
    assert load().config.trials == 3


def test_a_space_without_a_name_is_called_after_its_file() -> None:
    Path("mynet.yaml").write_text(TINY.partition("\n")[2])
    said = search("--workers", "0", "--trials", "1", space="mynet.yaml")
    assert "Space mynet: " in said.out
    assert load().space.name == "mynet"


def test_what_the_proxy_cannot_train_is_never_tried() -> None:
    Path("fragile.yaml").write_text(FRAGILE)
    said = search(
        "--workers", "0", "--trials", "5", "--resolution", "8", "--sampler", "random", space="fragile.yaml"
    )
    assert said.code == 0 and " 3 finished." in said.out
    assert "The search ended early" in said.out and "not buildable" in said.out


def test_a_trial_that_takes_too_long_fails() -> None:
    said = search("--workers", "0", "--trials", "2", "--trial-timeout", "0.000001")
    assert said.code == 1
    assert {(row["state"], row["reason"], row["message"]) for row in table()} == {
        ("failed", "timeout", "1e-06 s were over in epoch 1 of 1")
    }


def test_a_search_without_any_score_fails() -> None:
    """It ends once five trials have failed, with what they share; a resume tries the others."""
    why = "nan_loss: the training loss was nan in epoch 1"
    said = search("--workers", "0", "--trials", "7", "--lr", "1e38")
    assert said.code == 1
    assert said.err == (
        f"error: runs/mine: the first 5 trials all failed: {why}. Mend the cause, then go on with: nas "
        "resume runs/mine\n"
    )
    assert len(table()) == 5
    resumed = nas("resume", "runs/mine")
    assert resumed.code == 1
    assert resumed.err == (
        f"error: runs/mine: no trial gave a score: {why}; all reasons are in runs/mine/trials.csv. "
        "Mend the cause, then try more: nas resume runs/mine --trials 14\n"
    )
    assert [(r["state"], r["score"], r["reason"]) for r in table()] == [("failed", "", "nan_loss")] * 7
    assert "failed: nan_loss: the training loss was nan in epoch 1" in said.out
    assert not list(Path("runs/mine").glob("best*")) and not list(Path("runs/mine/weights").iterdir())
    said = nas("export", "runs/mine")
    assert said.code == 2
    assert said.err == "error: runs/mine: no trial is finished; go on with: nas resume runs/mine\n"


@pytest.mark.slow
def test_a_budget_that_no_network_meets() -> None:
    budget = ("--budget-flops", "41000", "--budget-params", "500..600")
    said = search("--workers", "0", "--sampler", "random", *budget)
    assert said.code == 2
    assert said.err == (
        "error: runs/mine: no network of 'tiny' was found within budget MACs <= 41,000 and "
        "params 500..600; widen the budget and start a new run\n"
    )


def test_a_space_that_ends_before_the_trials() -> None:
    Path("small.yaml").write_text(TINY.replace("[1, 2, 3]", "[1]").replace("[8, 12, 16]", "[8]"))
    said = search("--workers", "0", "--sampler", "random", "--trials", "20", space="small.yaml")
    assert said.code == 0 and len(table()) == 12
    assert "The search ended early: no untried network was found." in said.out
    assert "nas resume" not in said.out


def test_a_study_in_a_database() -> None:
    storage = ("--storage", "sqlite:///study.db", "--workers", "0", "--trials", "2")
    assert search(*storage).code == 0
    assert not Path("runs/mine/study.journal").exists()
    assert nas("resume", "runs/mine", "--trials", "3", *storage[:2]).code == 0 and len(table()) == 3
    said = nas("search", "tiny.yaml", "--runs", "others", "--name", "mine", *SHORT, *storage)
    assert said.code == 2 and not Path("others").exists()
    assert said.err == (
        f"error: storage 'sqlite:///{Path('study.db').absolute()}': has a study 'mine' already; choose "
        "another --name, or work on it too with --join\n"
    )


def figures(name: str) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in table(name)]


def test_the_same_seed_gives_the_same_search(tiny_run: RunFolder) -> None:
    for name, seed in (("same", "0"), ("other", "2")):
        assert search("--workers", "0", "--trials", "3", "--seed", seed, name=name).code == 0
    assert figures("mine") == figures("same") != figures("other")
    assert load_space(Path("runs/same/best.yaml")).meta == load_space(tiny_run.best_file).meta


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_one_worker_of_ray_gives_the_same_search_as_none() -> None:
    for name, workers in (("a", "1"), ("b", "0")):
        said = apart("search", "tiny.yaml", "--name", name, *SHORT, "--workers", workers, "--trials", "5")
        assert said.code == 0, said
    assert figures("a") == figures("b")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_asha_stops_trials_and_gives_them_no_score() -> None:
    said = apart(
        "search", "tiny.yaml", "--name", "mine", "--epochs", "6", "--max-images", "400", "--trials", "9",
        "--workers", "1", "--scheduler", "asha",
    )  # fmt: skip
    assert said.code == 0 and "stopped early" in said.out, said
    states = {row["trial"]: row for row in table()}
    pruned = [row for row in states.values() if row["state"] == "pruned"]
    assert len(states) == 9 and {row["state"] for row in states.values()} == {"complete", "pruned"} and pruned
    assert all(row["score"] == "" and row["epochs"] == "2" for row in pruned)
    assert all(row["epochs"] == "6" for row in states.values() if row["state"] == "complete")
    stopped = {row["trial"] for row in pruned}
    assert not stopped & {row["trial"] for row in rows(Path("runs/mine/pareto.csv"))}
    assert not stopped & {str(int(f.stem[6:])) for f in Path("runs/mine/weights").iterdir()}


# Kills


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_until(condition: Callable[[], bool], driver: subprocess.Popen[str], timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end and driver.poll() is None
        time.sleep(0.1)  # a look is at the whole run


def ended(run: Path = Path("runs/mine")) -> dict[int, Trial]:
    """The finished trials by number; none before there is a run."""
    if not (run / "run.yaml").is_file():
        return {}
    return {trial.number: trial for trial in load(run).trials if not trial.is_running}


def have_ended(count: int) -> Callable[[], bool]:
    """What says whether so many trials are finished."""
    return lambda: len(ended()) >= count


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_driver_that_is_killed_loses_no_trial() -> None:
    """Killed five times at random moments, from its own start to the third trial it ends; then resumed. It
    has workers of Ray twice, and none otherwise."""
    trials, rng = 14, random.Random(2)
    arguments = ["search", "tiny.yaml", "--name", "mine", "--trials", str(trials), "--epochs", "6"]
    before: dict[int, Trial] = {}
    orphans: set[int] = set()
    for workers in ("2", "0", "0", "2", "0"):
        driver = start(*arguments, "--workers", workers)
        target = len(before) + rng.randrange(3)
        wait_until(have_ended(target), driver, 120)
        time.sleep(rng.random())
        orphans.update(descendants(driver.pid))
        driver.kill()
        driver.communicate()
        now = ended()
        assert {n: now[n] for n in before} == before
        before = now
        if Path("runs/mine").exists():
            arguments = ["resume", "runs/mine"]
    last = apart(*arguments, "--workers", "0")
    assert last.code == 0, last
    now = ended()
    assert {n: now[n] for n in before} == before
    assert sorted(now) == list(range(trials))
    assert {trial.state for trial in now.values()} == {TrialState.COMPLETE}
    assert [f"trial {n}:" in last.out for n in before] == [False] * len(before)
    assert [(r["trial"], r["score"]) for r in table()] == [(str(n), str(now[n].score)) for n in range(trials)]
    assert (
        not list(Path("runs/mine/weights").glob(".*")) and len(list(Path("runs/mine/weights").iterdir())) == 5
    )
    end = time.monotonic() + 30
    while any(map(works, orphans)) and time.monotonic() < end:
        time.sleep(0.2)
    left = [pid for pid in orphans if works(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("workers", ["0", "2"])
def test_ctrl_c_stops_and_says_how_to_go_on(workers: str) -> None:
    driver = start(
        "search", "tiny.yaml", "--name", "mine", "--trials", "12", "--workers", workers, "--epochs", "6"
    )
    wait_until(have_ended(2), driver, 120)
    stopped = time.monotonic()
    driver.send_signal(signal.SIGINT)
    said, _ = driver.communicate(timeout=30)
    assert time.monotonic() - stopped < 20
    assert driver.returncode == 130 and "Traceback" not in said
    assert said.splitlines()[-1] == (
        "error: stopped; nothing finished is lost. Go on with: nas resume runs/mine"
    )
    before = ended()
    assert {row["trial"] for row in table() if row["state"] == "complete"} == {str(n) for n in before}
    assert apart("resume", "runs/mine", "--workers", "0", "--trials", str(len(before) + 2)).code == 0
    now = ended()
    assert {n: now[n] for n in before} == before and sorted(now) == list(range(len(before) + 2))


@pytest.mark.parametrize(("gpus", "device"), [(0, "cpu"), (0.5, "cuda")])
def test_trials_train_where_their_resources_are(gpus: float, device: str) -> None:
    assert find_device(SearchConfig("tiny.yaml", executor=ExecutorConfig(gpus_per_trial=gpus))) == device
