"""Comparisons: who takes part, what is kept and claimed, how they go on, and what is refused."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any
from unittest.mock import patch

import pytest
from command_line import Said, command, nas, rows
from trainings import write_images

import nas as package
from nas.errors import InputError
from nas.measures import MACS
from nas.report.claims import VersusScreen
from nas.runs.beside import find_random
from nas.runs.comparison import VersusFolder
from nas.runs.folder import RunFolder
from nas.runs.state import RunState
from nas.space import load_space
from nas.study.queue import JobKey, NetworkKey
from nas.study.records import Trial, TrialState
from nas.study.stored import read_trials
from nas.workflows.versus.pairs import Difference
from nas.workflows.versus.verdict import Verdict, VersusStanding, compare_at_equal_cost, word_claim

PLAIN = """\
name: plain
input: [1, 32, 32]
classes: 10
network:
  - conv: {name: stem, out: 8, kernel: 3, stride: 2}
  - stage:
      name: s1
      depth: 7
      stride: 2
      block:
        conv: {out: 16, kernel: 3}
  - classifier
"""
SHORT = ("--epochs", "1", "--workers", "0")
WHO = ("--baseline", "plain.yaml,random", "--seeds", "2")
HERE = Path("runs/mine/versus")


@pytest.fixture(scope="module")
def compared(tiny_search: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Said, Path]:
    """What a comparison said, and the folder that it was in."""
    folder = tmp_path_factory.mktemp("compared")
    shutil.copytree(tiny_search, folder, dirs_exist_ok=True)
    with contextlib.chdir(folder):
        Path("plain.yaml").write_text(PLAIN)
        said = nas("versus", "runs/mine", *WHO, *SHORT)
    assert said.code == 0, said.err
    return said, folder


@pytest.fixture
def run(tiny_folder: Path, tiny_run: RunFolder) -> RunFolder:
    """A search in the working folder, and a network beside it."""
    Path("plain.yaml").write_text(PLAIN)
    return tiny_run


@pytest.fixture
def versus(tiny_folder: Path, compared: tuple[Said, Path]) -> VersusFolder:
    """A copy of the comparison in the working folder."""
    shutil.copytree(compared[1], tiny_folder, dirs_exist_ok=True)
    return VersusFolder.open(HERE)


def read_verdict() -> Verdict:
    found = Verdict.read(VersusFolder(HERE))
    assert found is not None
    return found


def read_scores() -> dict[tuple[str, str], float]:
    return {(row["network"], row["seed"]): float(row["score"]) for row in rows(HERE / "versus.csv")}


def test_what_is_written(versus: VersusFolder, compared: tuple[Said, Path]) -> None:
    table, verdict = rows(versus.table_file), read_verdict()
    names = ["network", "plain.yaml", "random 0-0", "random 1-0"]
    assert sorted({row["network"] for row in table}) == names
    assert [(row["network"], row["seed"]) for row in table if row["network"] < "r"] == [
        (name, seed) for name in names[:2] for seed in "01"
    ]
    own, plain, random = verdict.standings
    scores = read_scores()
    assert own.scores == tuple(scores["network", seed] for seed in "01")
    assert random.scores == (scores["random 0-0", "0"], scores["random 1-0", "1"])
    for other in (plain, random):
        differences = [a - b for a, b in zip(own.known, other.known, strict=True)]
        assert other.difference is not None and other.deviation == stdev(other.known)
        assert other.difference.mean == pytest.approx(fmean(differences))
        assert other.difference.interval is None, "of two seeds"
    said = compared[0].out
    assert verdict.claim in said and f"{own.mean:.4f}" in said and str(versus.table_file) in said
    assert "cannot be told apart from plain.yaml" in verdict.claim and "more accurate" not in verdict.claim
    assert "2 seeds against 2 baselines give no p below 1, whatever the scores" in said
    assert "There is no test split: the search chose the network by the images" in said
    assert "all 4 ways to swap" in said and "There is no figure of random search" in said


def test_every_network_is_the_one_that_was_counted_and_is_inside(versus: VersusFolder) -> None:
    state = RunState.load(Path("runs/mine"))
    most = state.best(1)[0].candidate.cost.macs
    for row in rows(versus.table_file):
        name = re.sub(r"[ .]+", "-", row["network"].removesuffix(".yaml"))
        network = load_space(versus.path / f"{name}.yaml")
        cost = network.architecture().cost
        assert (str(cost.macs), str(cost.params)) == (row["macs"], row["params"])
        assert cost.macs <= most
        if row["network"] == "plain.yaml":
            assert cost.macs >= 0.9 * most
        if row["network"] == "network":
            assert cost.macs == most


def test_seeds_are_fresh_and_the_same_for_all(versus: VersusFolder) -> None:
    """Trainings of a network differ by their seed, and no search had it."""
    (trials,) = read_trials(versus.journal, "versus")
    losses = {trial.job: trial.result.loss for trial in trials}
    assert len(set(losses.values())) == len(losses) == 6
    searched = {trial.result.loss for trial in RunState.load(Path("runs/mine")).trials}
    assert not searched & set(losses.values())


def test_the_same_again_trains_nothing(versus: VersusFolder, compared: tuple[Said, Path]) -> None:
    before, scores = [(trial.job, trial.began, trial.ended) for trial in read_ended()], read_scores()
    said = nas("versus", "runs/mine", "--workers", "0")
    assert said.code == 0, said.err
    assert [(trial.job, trial.began, trial.ended) for trial in read_ended()] == before and len(before) == 6
    assert read_scores() == scores
    assert read_verdict().claim in said.out and "[1/" not in said.out


def test_more_seeds_go_on_and_are_noted(versus: VersusFolder) -> None:
    before = read_scores()
    said = nas("versus", "runs/mine", "--seeds", "3", "--workers", "0")
    assert said.code == 0, said.err
    assert read_scores().items() >= before.items() and len(read_scores()) == 9
    assert "There was a verdict of another number of seeds before (2)" in said.out
    assert len(read_trials(versus.journal, "versus")[0]) == 9
    assert "verdict of another number" in nas("versus", "runs/mine", "--workers", "0").out


def test_a_document_has_the_same(versus: VersusFolder) -> None:
    said = nas("versus", "runs/mine", "--workers", "0", "--format", "json")
    found = json.loads(said.out)
    assert found["kind"] == "versus" and found["claim"] == read_verdict().claim
    assert found == {"kind": "versus", "path": str(HERE), "files": found["files"]} | json.loads(
        versus.verdict_file.read_text()
    )


def test_a_verdict_is_read_as_it_was_written(versus: VersusFolder) -> None:
    verdict = read_verdict()
    assert json.loads(json.dumps(verdict.to_data())) == json.loads(versus.verdict_file.read_text())
    versus.verdict_file.write_text("{}")
    with pytest.raises(InputError, match=r"versus\.json: is damaged"):
        Verdict.read(versus)
    assert nas("versus", "runs/mine", "--workers", "0").code == 0
    assert read_verdict() == verdict


def test_a_stop_says_how_to_go_on(
    run: RunFolder, compared: tuple[Said, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trainings that ended before it are kept; in the end all is as if there had been none."""
    ended: list[str | None] = []
    finished = VersusScreen.finished

    def stop(self: VersusScreen, trial: Trial) -> None:
        finished(self, trial)
        ended.append(trial.job)
        if len(ended) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(VersusScreen, "finished", stop)
        said = nas("versus", "runs/mine", *WHO, *SHORT)
    assert said.code == 130
    assert "stopped; nothing finished is lost. Go on with: nas versus runs/mine --workers 0" in said.err
    assert not (HERE / "versus.json").exists()
    again = nas("versus", "runs/mine", "--workers", "0")
    assert again.code == 0 and "[3/6]" in again.out and "[2/6]" not in again.out
    whole = {(r["network"], r["seed"]): float(r["score"]) for r in rows(compared[1] / HERE / "versus.csv")}
    assert read_scores() == whole


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--baseline", "reference/mobilnet_v2"), "--baseline reference/mobilnet_v2: .*did you mean"),
        (("--baseline", "tiny.yaml"), "--baseline tiny.yaml: tiny.yaml: is a space with choices"),
        (
            ("--baseline", "reference/vgg16"),
            r"no scale of 'vgg16' uses MACs <= 986,784; the nearest have [\d,]+ MACs; take another network,",
        ),
        (("--baseline", "plain.yaml,plain.yaml"), "baseline: plain.yaml is named twice; keep one"),
        (("--baseline", "random,random:4"), "baseline: random is named twice"),
        (
            ("--baseline", "random:3"),
            "random:3: each of the 2 seeds has .*; give a multiple, such as random:4",
        ),
        (("--baseline", "random:many"), "'random:many' does not say how many; write random:2"),
        (("--seeds", "1"), "seeds: 1 is not a number of seeds; it is a whole number, 2 or more"),
        (("--dataset", "mnist"), "--dataset: runs/mine has its own data and budget"),
        (("--budget-flops", "1M"), "--budget-flops: runs/mine has its own data and budget"),
        (("--trial", "7"), "runs/mine: has no trial 7; it has trials 0 to 2"),
        (("--recipe", "early_stop=2"), "recipe: early_stop: networks are compared after their last epoch"),
        (("--recipe", "score=best"), "recipe: score: networks are compared after their last epoch"),
        (
            ("--storage", "sqlite:///a.db"),
            "--storage sqlite:///a.db: runs/mine has its trials in study.journal",
        ),
    ],
)
def test_what_is_refused_of_a_run(run: RunFolder, arguments: tuple[str, ...], message: str) -> None:
    said = nas("versus", "runs/mine", "--seeds", "2", *SHORT, *arguments)
    assert said.code == 2 and said.out.count("[1/") == 0
    assert re.search(message, said.err), said.err
    assert said.err.count("\n") == 1 and not HERE.exists()


def test_known_networks_that_nobody_named_are_left_out_where_none_is_so_small(run: RunFolder) -> None:
    said = nas("versus", "runs/mine", "--seeds", "2", *SHORT)
    assert said.code == 0, said.err
    assert "reference/mobilenet_v2 is left out: no scale of 'mobilenet_v2' uses MACs <= 986,784" in said.out
    assert "reference/efficientnet_b0 is left out: " in said.out and "against 1 baseline" in said.out
    assert [one.name for one in read_verdict().standings] == ["network", "random"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nas versus: no network is named"),
        (("tiny.yaml",), "tiny.yaml: is a space with choices, and networks are compared"),
        (("plain.yaml", "--baseline", "random"), "random members are those of the space of a run"),
        (("plain.yaml", "--trial", "1"), "--trial: plain.yaml is a file"),
        (
            ("plain.yaml", "--budget-flops", "10K"),
            "plain.yaml: has .* MACs, and the budget is MACs <= 10,000",
        ),
        (("nowhere",), "nowhere: no such file or folder"),
        (("runs/empty",), "runs/empty: no trial has a score, so that there is no best network to compare"),
    ],
)
def test_what_is_refused(run: RunFolder, arguments: tuple[str, ...], message: str) -> None:
    empty = Path(shutil.copytree(run.path, "runs/empty"))
    shutil.rmtree(empty / "weights")
    for name in ("study.journal", "best.yaml"):
        (empty / name).unlink()
    said = nas("versus", *arguments, *SHORT)
    assert said.code == 2 and re.search(message, said.err), said.err
    assert said.err.count("\n") == 1


def test_its_report_is_that_of_its_run(versus: VersusFolder) -> None:
    said = nas("report", str(versus.path))
    assert (said.code, said.out, said.err) == (
        2,
        "",
        f"error: {versus.path}: is a comparison, and a report is of a search of networks; see "
        f"{versus.table_file}; the run that it is of has one: nas report runs/mine\n",
    )


def test_changed_inputs_are_noticed(versus: VersusFolder) -> None:
    changed = nas("versus", "runs/mine", "--epochs", "2", "--workers", "0")
    assert changed.code == 2
    assert (
        "recipe: epochs: 2: runs/mine/versus was begun with 1, and trainings of both do not compare"
        in changed.err
    )
    other = nas(
        "versus", "runs/mine", "--trial", str(1 - min(1, RunState.load(Path("runs/mine")).best(1)[0].number))
    )
    assert other.code == 2 and "trial: " in other.err
    Path("plain.yaml").write_text(PLAIN.replace("kernel: 3}", "kernel: 5}"))
    baseline = nas("versus", "runs/mine", "--workers", "0")
    assert baseline.code == 2
    assert "plain is another network than when the comparison began" in baseline.err
    manifest = versus.manifest_file.read_text()
    versus.manifest_file.write_text(manifest.replace("format: 1", "format: 9", 1))
    assert "has format 9, and this nas reads format 1" in nas("versus", "runs/mine", "--workers", "0").err


def test_data_that_are_not_the_run_s(run: RunFolder) -> None:
    text = run.manifest_file.read_text()
    run.manifest_file.write_text(re.sub(r"(?m)^  train: \d+$", "  train: 17", text))
    said = nas("versus", "runs/mine", *WHO, *SHORT)
    assert said.code == 2
    assert "data set 'digits' has changed since runs/mine was searched: " in said.err


def test_the_report_has_it(versus: VersusFolder) -> None:
    page = package.write_report("runs/mine").read_text()
    assert 'id="versus"' in page and read_verdict().claim in page
    assert "Accuracy of each network under each seed" in page and "95 % interval" in page
    versus.verdict_file.write_text("[]")
    assert "versus.json: is damaged" in package.write_report("runs/mine").read_text()
    versus.verdict_file.unlink()
    assert 'id="versus"' not in package.write_report("runs/mine").read_text()


def test_a_list_of_runs_has_one_of_a_file(versus: VersusFolder) -> None:
    shutil.copytree(HERE, "runs/far")
    assert "versus" in nas("status", "runs/far").out
    (found,) = [row for row in json.loads(nas("ls", "--format", "json").out)["runs"] if row["name"] == "far"]
    assert (found["kind"], found["state"]) == ("versus", "ended")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network, and coloured images with a test split."""
    monkeypatch.chdir(tmp_path)
    Path("plain.yaml").write_text(PLAIN)
    Path("other.yaml").write_text(PLAIN.replace("name: plain", "name: other").replace("out: 16", "out: 24"))
    write_images()


OF_PHOTOS: dict[str, Any] = {
    "dataset": "imagefolder:images", "baseline": "other.yaml", "seeds": 2, "workers": 0, "in_process": True,
    "recipe": {"epochs": 1},
}  # fmt: skip


@pytest.mark.usefixtures("photos")
def test_a_file_is_compared_on_test_images() -> None:
    found = package.versus("plain.yaml", OF_PHOTOS)
    assert found.verdict.tested_on == "the 15 test images of imagefolder:images"
    assert not any("flatters" in note for note in found.verdict.notes) and found.verdict.equal_cost is None
    assert all((15 * score).is_integer() for one in found.verdict.standings for score in one.known)
    assert found.folder == Path("runs/versus-plain")
    own, other = (load_space(found.folder / f"{name}.yaml") for name in ("network", "other"))
    assert own.input == (3, 32, 32) and own.classes == 3
    assert 0.9 <= other.amount({}, MACS) / own.amount({}, MACS) <= 1
    limited = package.versus(
        "plain.yaml", OF_PHOTOS | {"budget_flops": "1.05M", "budget_params": "20K"}, output="far"
    )
    amounts = limited.verdict.standings[1].amounts
    assert amounts["macs"][1] <= 1_050_000 and amounts["params"][1] <= 20_000


@pytest.mark.usefixtures("photos")
def test_test_images_of_which_none_can_be_read_are_refused() -> None:
    for file in Path("images/test").rglob("*.png"):
        file.write_bytes(b"no image")
    with pytest.raises(
        InputError, match=r"none of 15 images to test on can be read: .* and 12 more; replace"
    ):
        package.versus("plain.yaml", OF_PHOTOS)
    assert not Path("runs").exists()


@pytest.mark.usefixtures("photos")
def test_other_images_are_noticed() -> None:
    package.versus("plain.yaml", OF_PHOTOS)
    Path("images/test/red/0.png").unlink()
    with pytest.raises(InputError, match=r"has changed since the comparison began: 86 images .* were 87"):
        package.versus("plain.yaml", OF_PHOTOS)


@pytest.mark.usefixtures("photos")
def test_folds_are_refused() -> None:
    with pytest.raises(
        InputError, match="folds: networks are compared on one part of the data; leave it out"
    ):
        package.versus("plain.yaml", OF_PHOTOS | {"folds": 3})


@pytest.mark.usefixtures("photos")
def test_a_function_is_run_where_it_is_named_and_nowhere_else() -> None:
    """Its images are kept: the same again needs neither the name nor the file."""
    Path("made.py").write_text(
        "import numpy as np\n\n\ndef made(seed=0):\n    rng = np.random.default_rng(0)\n"
        "    images = rng.integers(0, 255, (60, 1, 16, 16), np.uint8)\n"
        "    return {'images': images, 'labels': np.arange(60) % 3}\n"
    )
    found = package.versus("plain.yaml", OF_PHOTOS | {"dataset": "made.py:made"})
    Path("made.py").unlink()
    again = package.versus("plain.yaml", {"workers": 0, "in_process": True})
    assert again.verdict == found.verdict and "validation images of made.py:made" in found.verdict.tested_on


def row(name: str, difference: Difference | None) -> VersusStanding:
    return VersusStanding(name, "", 1, {}, (0.9, 0.9), difference)


def test_the_words_of_a_claim() -> None:
    """Each baseline is in the one part of the sentence that its p gives."""
    standings = [
        row("network", None),
        row("a", Difference(0.02, 0.01, 0.03, 0.001, 0.004, 8)),
        row("b", Difference(-0.01, -0.02, -0.001, 0.01, 0.03, 8)),
        row("c", Difference(0.01, 0.001, 0.02, 0.03, 0.06, 8)),
        row("d", None),
        row("e", Difference(0.03, 0.01, 0.03, 0.001, 0.004, 8)),
    ]
    assert word_claim("mine", standings, "By one recipe") == (
        "By one recipe, mine is more accurate than a by 0.0200 (p = 0.004) and e by 0.0300 (p = 0.004), is "
        "less accurate than b by 0.0100 (p = 0.03), cannot be told apart from c (p = 0.06) and was not "
        "compared, for want of scores, with d."
    )
    assert word_claim("mine", standings[:3], "By one recipe", "macro-f1") == (
        "By one recipe, mine has a higher macro-f1 than a by 0.0200 (p = 0.004) and has a lower macro-f1 "
        "than b by 0.0100 (p = 0.03)."
    )


def of_seconds(state: RunState | None) -> RunState:
    """A run each of whose trials took a second."""
    assert state is not None
    trials = (replace(one, result=replace(one.result, seconds=1.0)) for one in state.trials)
    return replace(state, trials=tuple(trials))


def test_random_search_at_equal_cost(run: RunFolder) -> None:
    """It is told by a run of random search beside, at the cost that both have, and by nothing else."""
    assert compare_at_equal_cost(RunState.load(run.path))[0] is None
    said = nas(
        "search", "tiny.yaml", "--name", "drawn", "--sampler", "random", "--trials", "2", "--workers", "0",
        "--epochs", "1", "--max-images", "200",
    )  # fmt: skip
    assert said.code == 0, said.err
    state, drawn = (of_seconds(RunState.load(one)) for one in (run.path, Path("runs/drawn")))
    with patch("nas.workflows.versus.verdict.find_random", lambda one: of_seconds(find_random(one))):
        found, why = compare_at_equal_cost(state)
    assert found is not None and why is None and found.run == "drawn"
    assert found.seconds == min(len(state.trials), len(drawn.trials))
    assert found.random <= max(trial.score or 0.0 for trial in drawn.trials)
    assert found.search <= max(trial.score or 0.0 for trial in state.trials)
    drawn = RunState.load(Path("runs/drawn"))
    assert compare_at_equal_cost(drawn) == (None, "The search was random search itself.")


def test_a_training_that_fails_leaves_its_pair_out(versus: VersusFolder) -> None:
    """Only pairs of two scores count, and a note says so."""
    from nas.measures import Budget
    from nas.workflows.versus.contestants import Contestant
    from nas.workflows.versus.verdict import list_doubts, rank

    (trials,) = read_trials(versus.journal, "versus")
    network = load_space(versus.path / "network.yaml")
    contestants = [Contestant(name, network, (0, 1), 32) for name in ("network", "plain.yaml")]
    *others, _ = (NetworkKey(one.name, seed) for one in contestants for seed in one.seeds)
    named = {trial.job: trial for trial in trials}
    known: dict[JobKey, Trial] = {key: named[key.name] for key in others}
    standings = rank(contestants, known, 2, Budget(), 0)
    assert standings[1].scores[1] is None and standings[1].difference is None
    assert "plain.yaml: 1 of 2 seeds have a score" in " ".join(list_doubts(standings, 2, ()))


def test_trainings_whose_first_all_fail_end(run: RunFolder) -> None:
    said = nas("versus", "runs/mine", *WHO, *SHORT, "--lr", "1e38")
    assert said.code == 1
    assert "the first 5 trials all failed: nan_loss: the training loss was nan in epoch 1. " in said.err
    assert "Mend the cause, then go on with: nas versus runs/mine --workers 0" in said.err
    assert [trial.state for trial in read_ended()] == [TrialState.FAILED] * 5


@pytest.mark.slow
def test_on_ray_it_is_the_same(run: RunFolder, compared: tuple[Said, Path]) -> None:
    done = subprocess.run(
        command("versus", "runs/mine", *WHO, "--epochs", "1", "--workers", "2"), capture_output=True,
        text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    whole = {(r["network"], r["seed"]): float(r["score"]) for r in rows(compared[1] / HERE / "versus.csv")}
    assert read_scores() == whole


@pytest.mark.slow
def test_a_kill_loses_and_repeats_nothing(run: RunFolder) -> None:
    """Killed in the middle: what had ended is there as it was, and is not trained again."""
    arguments = ("versus", "runs/mine", *WHO, "--epochs", "6", "--workers", "0")
    driver = subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and driver.poll() is None and len(read_ended()) < 2:
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    assert driver.wait() == -signal.SIGKILL
    kept = {(trial.job or "", trial.ended, trial.score) for trial in read_ended()}
    assert 2 <= len(kept) < 6
    said = nas(*arguments)
    assert said.code == 0, said.err
    trials = read_ended()
    assert {(trial.job or "", trial.ended, trial.score) for trial in trials} >= kept and len(trials) == 6
    assert len({trial.job for trial in trials}) == 6
    assert not any(f"{name}: score" in said.out for name, *_ in kept)


def read_ended() -> list[Trial]:
    if not (HERE / "study.journal").exists():
        return []
    (trials,) = read_trials(HERE / "study.journal", "versus")
    return [trial for trial in trials if not trial.is_running]
