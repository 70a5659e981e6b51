"""Searches of coefficients: what is trained, kept and claimed, how they go on, and what is scaled by them."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from command_line import Said, command, nas, rows
from PIL import Image

import nas as package
from nas.graph.memory import compute_peak_memory
from nas.report.coefficients import CoefficientsScreen
from nas.runs.coefficients import CoefficientsFolder
from nas.runs.folder import RunFolder
from nas.space import load_space
from nas.space.coefficients import Coefficients
from nas.space.scale import scale_space
from nas.study.records import Trial
from nas.study.stored import read_trials

PLAIN = """\
name: plain
input: [1, 32, 32]
classes: 10
network:
  - conv: {name: stem, out: 8, kernel: 3, stride: 2}
  - stage: {name: s1, depth: 4, stride: 2, block: {conv: {out: 32, kernel: 3}}}
  - classifier
"""
SEARCH = ("--search-coefficients", "--workers", "0")
SMALL = ("--dataset", "digits", "--max-images", "200", "--epochs", "1", "--steps", "1", "--seeds", "2")
HERE = Path("runs/coefficients-plain")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Said, Path]:
    """What a search said, and the folder that it was in."""
    folder = tmp_path_factory.mktemp("searched")
    with contextlib.chdir(folder):
        Path("plain.yaml").write_text(PLAIN)
        said = nas("scale", "plain.yaml", *SEARCH, *SMALL)
    assert said.code == 0, said.err
    return said, folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a network."""
    monkeypatch.chdir(tmp_path)
    Path("plain.yaml").write_text(PLAIN)
    return tmp_path


@pytest.fixture
def folder(here: Path, searched: tuple[Said, Path]) -> CoefficientsFolder:
    """A copy of the search in the working folder."""
    shutil.copytree(searched[1], here, dirs_exist_ok=True)
    return CoefficientsFolder.open(HERE)


def read_scores() -> dict[tuple[str, ...], float]:
    table = rows(HERE / "coefficients.csv")
    return {
        tuple(row[k] for k in ("depth", "width", "resolution", "seed")): float(row["score"]) for row in table
    }


def read_ended() -> list[Trial]:
    if not (HERE / "study.journal").exists():
        return []
    (trials,) = read_trials(HERE / "study.journal", "coefficients")
    return [trial for trial in trials if not trial.is_running]


def test_what_is_written(folder: CoefficientsFolder, searched: tuple[Said, Path]) -> None:
    """Every network is the one that was counted, with all of its measures, and is ranked by its mean."""
    network, found = load_space(folder.network_file), json.loads(folder.ranking_file.read_text())
    scores: dict[tuple[str, ...], list[float]] = {}
    for row in rows(folder.table_file):
        factors = tuple(float(row[name]) for name in ("depth", "width", "resolution"))
        own = network if factors == (1, 1, 1) else scale_space(network, Coefficients(*factors).at(1))
        graph = own.architecture()
        cost = graph.cost
        counted = (cost.macs, cost.params, cost.activations, compute_peak_memory(graph))
        assert tuple(int(row[name]) for name in ("macs", "params", "activations", "memory")) == counted
        assert int(row["side"]) == round(32 * factors[2]) == own.input[1]
        scores.setdefault(tuple(map(str, factors)), []).append(float(row["score"]))
    assert len(scores) == len(found["standings"]) + 1 > 3
    means = [one["mean"] for one in found["standings"]]
    assert means == sorted(means, reverse=True)
    for one in found["standings"]:
        key = tuple(str(float(factor)) for factor in one["coefficients"].values())
        assert one["scores"] == scores[key] and one["mean"] == fmean(one["scores"])
        assert one["behind"]["mean"] == pytest.approx(means[0] - one["mean"])
        assert abs(one["growth"] / 2 - 1) <= 0.05
    assert found["best"] == found["standings"][0]["coefficients"]
    said = searched[0].out
    assert found["claim"] in said and str(folder.plot_file) in said and f"{means[0]:.4f}" in said
    assert "cannot be told apart from" in found["claim"] and "Which of " in said
    texts = [element.text for element in ET.parse(folder.plot_file).iter() if element.tag.endswith("text")]
    assert str(Coefficients(**found["best"])) in texts and "the network itself" in texts


def test_the_same_again_trains_nothing(folder: CoefficientsFolder) -> None:
    before, scores = [(trial.job, trial.ended) for trial in read_ended()], read_scores()
    said = nas("scale", "plain.yaml", *SEARCH)
    assert said.code == 0, said.err
    assert [(trial.job, trial.ended) for trial in read_ended()] == before and read_scores() == scores
    assert "[1/" not in said.out and json.loads(folder.ranking_file.read_text())["claim"] in said.out


def test_more_seeds_and_steps_are_added(folder: CoefficientsFolder) -> None:
    before = read_scores()
    said = nas("scale", "plain.yaml", *SEARCH, "--seeds", "3", "--steps", "2")
    assert said.code == 0, said.err
    assert read_scores().items() >= before.items() and len(read_scores()) > 1.5 * len(before)


def test_a_stop_says_how_to_go_on(
    here: Path, searched: tuple[Said, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished, ended = CoefficientsScreen.finished, []

    def stop(self: CoefficientsScreen, trial: Trial) -> None:
        finished(self, trial)
        ended.append(trial.job)
        if len(ended) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CoefficientsScreen, "finished", stop)
        said = nas("scale", "plain.yaml", *SEARCH, *SMALL)
    assert said.code == 130
    refused = nas("report", str(HERE))
    assert refused.code == 2 and refused.err.endswith(
        f"; {HERE}/coefficients.svg is written when it ends; it is of plain.yaml\n"
    )
    way_out = "nothing finished is lost. Go on with: nas scale plain.yaml --search-coefficients --workers 0"
    assert way_out in said.err and not (HERE / "coefficients.json").exists()
    early = nas("scale", "plain.yaml", "--phi", "1", "-o", "a.yaml", "--coefficients", str(HERE))
    assert (
        early.code == 2
        and "the search of coefficients has not ended; go on with it by nas scale" in early.err
    )
    assert nas("scale", "plain.yaml", *SEARCH).code == 0
    with contextlib.chdir(searched[1]):
        whole = read_scores()
    assert read_scores() == whole


def test_a_limit_of_time(here: Path) -> None:
    arguments = [
        "30" if one == "1" and SMALL[number - 1] == "--epochs" else one for number, one in enumerate(SMALL)
    ]
    said = nas(
        "scale", "plain.yaml", *SEARCH, *arguments, "--time-limit", "1s", "--family", "1", "-o", "net.yaml"
    )
    assert said.code == 0, said.err
    assert "The time limit is over before two seeds are. Go on with: nas scale plain.yaml" in said.out
    assert not Path("net_b1.yaml").exists() and (HERE / "coefficients.csv").exists()


def test_a_family_by_what_was_found(folder: CoefficientsFolder) -> None:
    best = json.loads(folder.ranking_file.read_text())["best"]
    said = nas("scale", "plain.yaml", "--family", "0..2", "--coefficients", str(HERE), "-o", "net.yaml")
    assert said.code == 0, said.err
    assert f"By coefficients of its own, {Coefficients(**best)}, of {HERE}." in said.out
    first = load_space("net_b1.yaml")
    network = load_space(folder.network_file)
    assert first.identity({}) == scale_space(network, Coefficients(**best).at(1)).identity({})
    assert first.meta["coefficients"] == best
    costs = [load_space(f"net_b{step}.yaml").cost({}).macs for step in range(3)]
    assert costs[0] == network.cost({}).macs
    assert costs[2] / costs[0] == pytest.approx((costs[1] / costs[0]) ** 2, rel=0.02)
    Path("plain.yaml").write_text(PLAIN.replace("depth: 4", "depth: 5"))
    other = nas("scale", "plain.yaml", "--phi", "1", "--coefficients", str(HERE), "-o", "net.yaml")
    assert "searched for another network" in other.out


def test_a_run_is_scaled_by_its_own_from_then_on(tiny_folder: Path, tiny_run: RunFolder) -> None:
    """By the data, recipe and seed of the run; where the best is another later, that is said."""
    before = nas("scale", "runs/mine", "--phi", "1", "-o", "old.yaml")
    assert before.code == 0 and "coefficients" not in before.out
    said = nas(
        "scale", "runs/mine", *SEARCH, "--seeds", "2", "--steps", "1", "--family", "1", "-o", "net.yaml"
    )
    assert said.code == 0, said.err
    assert (
        "Network: trial " in said.out
        and "1 epoch" in said.out
        and "by the time that the run's own took" in said.out
    )
    found = json.loads(Path("runs/mine/coefficients/coefficients.json").read_text())
    line = f"By coefficients of its own, {Coefficients(**found['best'])}, of runs/mine/coefficients."
    assert line in said.out and "the 40 validation images of digits" in found["claim"]
    refused = nas("report", "runs/mine/coefficients")
    assert (refused.code, refused.out, refused.err) == (
        2,
        "",
        "error: runs/mine/coefficients: is a search of coefficients, and a report is of a search of "
        "networks; see runs/mine/coefficients/coefficients.svg; the run that it is of has one: nas report "
        "runs/mine\n",
    )
    assert nas("report", "runs/mine").code == 0
    later = nas("scale", "runs/mine", "--family", "1", "-o", "later.yaml")
    assert line in later.out
    assert load_space("later_b1.yaml").identity({}) == load_space("net_b1.yaml").identity({})
    default = nas("scale", "runs/mine", "--phi", "1", "--coefficients", "published", "-o", "new.yaml")
    assert "coefficients" not in default.out
    assert load_space("new.yaml").identity({}) == load_space("old.yaml").identity({})
    (tiny_run.path / "coefficients" / "coefficients.json").write_text("{}")
    damaged = nas("scale", "runs/mine", "--phi", "1", "-o", "new.yaml")
    assert damaged.code == 2 and "coefficients.json: is damaged" in damaged.err
    assert damaged.err.endswith("or scale by --coefficients published\n")


def test_documents_and_lists_have_it(folder: CoefficientsFolder) -> None:
    said = nas("scale", "plain.yaml", *SEARCH, "--format", "json", "--phi", "1", "-o", "net.yaml")
    found = json.loads(said.out)
    assert found["kind"] == "coefficients" and found["files"][0]["file"] == "net.yaml"
    assert json.loads(folder.ranking_file.read_text()).items() <= found.items()
    (row,) = json.loads(nas("ls", "--format", "json").out)["runs"]
    assert (row["kind"], row["state"]) == ("coefficients", "ended")
    assert f"nas scale plain.yaml --search-coefficients --folder {HERE}" in str(row)


def test_a_network_without_stages(here: Path) -> None:
    flat = "name: flat\ninput: [1, 32, 32]\nclasses: 10\nnetwork:\n"
    flat += "  [conv: {out: 64, stride: 4}, conv: {name: b, out: 64}, classifier]"
    Path("plain.yaml").write_text(flat)
    said = nas("scale", "plain.yaml", *SEARCH, *SMALL)
    assert said.code == 0, said.err
    assert (
        "'flat' has no stage to deepen: its depth stays, and width and resolution are searched." in said.out
    )
    assert {row["depth"] for row in rows(HERE / "coefficients.csv")} == {"1", "1.0"}
    refused = nas("scale", "plain.yaml", "--phi", "1", "--coefficients", "1.2,1.1,1.15", "-o", "net.yaml")
    assert refused.err == "error: 'flat' has no stage, so its depth cannot be scaled; leave depth at 1\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*SEARCH, "--seeds", "1"), "seeds: 1 is not a number of seeds; it is a whole number, 2 or more"),
        ((*SEARCH, "--steps", "0"), "steps: 0 is not a number of steps; it is a whole number, 1 to 12"),
        ((*SEARCH, "--dataset", "imagefolder:nowhere"), "nowhere"),
        (
            (*SEARCH, "--coefficients", "1.2,1.1,1.15"),
            "--coefficients: are searched by --search-coefficients",
        ),
        (
            (*SEARCH, "-o", "a.yaml"),
            "-o a.yaml: a search writes no network; add --family 0..7, or leave it out",
        ),
        ((*SEARCH, "--phi", "1"), "nas scale: no file to write is named; add -o FILE"),
        (
            ("--seeds", "3", "--phi", "1", "-o", "a.yaml"),
            "--seeds: is of a search of coefficients; add --search",
        ),
        (("--phi", "1"), "nas scale: no file to write is named; add -o FILE"),
        (
            ("--coefficients", "1.2,1.1", "--phi", "1", "-o", "a.yaml"),
            "--coefficients: '1.2,1.1' is not three",
        ),
        (
            ("--coefficients", "1,1,1.01", "--phi", "1", "-o", "a.yaml"),
            "makes 1.0[0-9]* times the MACs of 'plain'",
        ),
        (
            ("--coefficients", "1.2,1.1,1.15", "--width", "2", "-o", "a.yaml"),
            "coefficients: are of steps, and",
        ),
        ((*SEARCH, "--width", "2", "-o", "a.yaml"), "factors: are no steps, which --search-coefficients"),
    ],
)
def test_what_is_refused(here: Path, arguments: tuple[str, ...], message: str) -> None:
    said = nas("scale", "plain.yaml", *arguments)
    assert said.code == 2 and re.search(message, said.err), said.err
    assert said.err.count("\n") == 1 and not HERE.exists() and not Path("a.yaml").exists()


def test_what_is_refused_of_spaces_and_runs(tiny_folder: Path, tiny_run: RunFolder) -> None:
    for arguments, message in {
        ("tiny.yaml",): "tiny.yaml: is a space with choices, and networks are scaled; name a run folder",
        (
            "runs/mine",
            "--dataset",
            "mnist",
        ): "--dataset: runs/mine has its own data, by which its networks are",
        ("runs/mine", "--images", "48"): "--images: runs/mine has its own data, by which its networks are",
        ("runs/mine", "--trial", "7"): "runs/mine: has no trial 7; it has trials 0 to 2",
        (): "nas scale: no network is named",
    }.items():
        said = nas("scale", *arguments, *SEARCH)
        assert said.code == 2 and message in said.err and said.err.count("\n") == 1, said.err
    assert not Path("runs/mine/coefficients").exists()


def test_changed_inputs_are_noticed(folder: CoefficientsFolder) -> None:
    longer = nas("scale", "plain.yaml", *SEARCH, "--epochs", "2")
    assert f"recipe: epochs: 2: {HERE} was begun with 1, and trainings of both do not compare" in longer.err
    assert longer.err.endswith("give that, or another folder by --folder\n")
    Path("plain.yaml").write_text(PLAIN.replace("kernel: 3}}}", "kernel: 5}}}"))
    other = nas("scale", "plain.yaml", *SEARCH)
    assert (
        other.code == 2
        and "plain.yaml is another network than when the search of coefficients began" in other.err
    )


@pytest.fixture
def photos(here: Path) -> Iterator[None]:
    """Coloured images of 48 pixels."""
    rng = np.random.default_rng(0)
    for place, name in enumerate(("blue", "green", "red")):
        for number in range(12):
            pixels = rng.integers(0, 120, (48, 48, 3))
            pixels[..., 2 - place] += 60
            target = Path("images", name, f"{number}.png")
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(target)
    yield


@pytest.mark.usefixtures("photos")
def test_larger_networks_see_more_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images are read at the largest side: what a larger input sees was not shrunk before."""
    from nas.training.loop import ClassifierTraining

    seen: list[tuple[int, float]] = []
    begin = ClassifierTraining.__init__

    def spy(self: ClassifierTraining, module: Any, images: Any, *args: Any, **options: Any) -> None:
        seen.append((images.resolution, float(images.train_images.std())))
        begin(self, module, images, *args, **options)

    monkeypatch.setattr(ClassifierTraining, "__init__", spy)
    settings = {
        "dataset": "imagefolder:images", "seeds": 2, "steps": 1, "workers": 0, "in_process": True,
        "recipe": {"epochs": 1},
    }  # fmt: skip
    found = package.search_coefficients("plain.yaml", settings)
    assert found.ranking and found.ranking.own.side == 32
    sides = Counter(side for side, _ in seen)
    assert set(sides) == {one.side for one in (found.ranking.own, *found.ranking.standings)} >= {32, 37}
    noise = dict(seen)
    assert noise[37] > noise[32]  # of noise less is left the more it is shrunk
    Path("images/red/0.png").unlink()
    with pytest.raises(
        package.InputError, match="has changed since the search of coefficients began: 35 images"
    ):
        package.search_coefficients("plain.yaml", settings)


@pytest.mark.slow
def test_a_kill_loses_and_repeats_nothing(here: Path, searched: tuple[Said, Path]) -> None:
    arguments = ("scale", "plain.yaml", "--search-coefficients", *SMALL, "--workers", "0")
    driver = subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and driver.poll() is None and len(read_ended()) < 2:
        time.sleep(0.01)
    driver.send_signal(signal.SIGKILL)
    assert driver.wait() == -signal.SIGKILL
    kept = {(trial.job or "", trial.ended, trial.score) for trial in read_ended()}
    said = nas("scale", "plain.yaml", *SEARCH)
    assert said.code == 0, said.err
    trials = read_ended()
    assert {(trial.job or "", trial.ended, trial.score) for trial in trials} >= kept and len(kept) >= 2
    assert len({trial.job for trial in trials}) == len(trials)
    with contextlib.chdir(searched[1]):
        whole = read_scores()
    assert read_scores() == whole


@pytest.mark.slow
def test_on_ray_it_is_the_same(here: Path, searched: tuple[Said, Path]) -> None:
    done = subprocess.run(
        command("scale", "plain.yaml", "--search-coefficients", *SMALL, "--workers", "2"),
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with contextlib.chdir(searched[1]):
        whole = read_scores()
    assert read_scores() == whole
