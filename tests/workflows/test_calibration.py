"""Calibrations: what is trained, the figures against other routes, and what is kept of them."""

from __future__ import annotations

import contextlib
import csv
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from command_line import TINY, Said, nas
from rich.console import Console
from scipy.stats import kendalltau, spearmanr

from nas.cost import Cost
from nas.report.calibration import render_calibration
from nas.runs.folder import RunFolder
from nas.runs.manifest import Manifest
from nas.runs.plan import Plan
from nas.runs.state import RunState
from nas.study.records import Trial, TrialState
from nas.workflows.calibration import CalibrationResult, dump_plan, read_plan
from nas.workflows.calibration_lookup import find_calibration, read_figures
from nas.workflows.proxy_figures import (
    LONG,
    PROXY,
    ConfidenceInterval,
    Figures,
    ScoredNetwork,
    compute_figures,
)
from nas.workflows.resume import resume

SHORT = ("--workers", "0", "--max-images", "100", "--epochs", "2", "--resolution", "16")
PLAN = ("--networks", "4", "--seeds", "2", "--long-epochs", "3")


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Said, Path]:
    """What a calibration said, and the folder that it was in."""
    folder = tmp_path_factory.mktemp("calibrated")
    with contextlib.chdir(folder):
        Path("tiny.yaml").write_text(TINY)
        said = nas("calibrate", "tiny.yaml", "--budget-flops", "300K", *SHORT, *PLAN)
    assert said.code == 0, said.err
    return said, folder


pytestmark = pytest.mark.usefixtures("tiny_folder")


@pytest.fixture
def run(tiny_folder: Path, calibrated: tuple[Said, Path]) -> RunFolder:
    """A copy of it to work in."""
    shutil.copytree(calibrated[1], tiny_folder, dirs_exist_ok=True)
    return RunFolder.open(Path("runs/calibrate-tiny-1"))


def load_trials(run: RunFolder) -> tuple[Trial, ...]:
    return RunState.load(run.path).trials


def row(number: int, proxy: Sequence[float], long: float) -> ScoredNetwork:
    scores = {PROXY: list(proxy), LONG: [long]}
    return ScoredNetwork(number, {}, Cost(number, 1), scores, {PROXY: [2.0] * len(proxy), LONG: [8.0]})


def tau_of(found: Figures) -> ConfidenceInterval:
    tau = found.proxy.ranking.kendall
    assert tau is not None
    return tau


@pytest.mark.slow
def test_every_network_is_within_the_budget_and_trained_as_planned(run: RunFolder) -> None:
    trials = load_trials(run)
    assert len({trial.candidate.identity for trial in trials}) == 4
    assert all(trial.candidate.cost.macs <= 300_000 for trial in trials)
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    epochs: dict[str, list[int]] = {}
    for trial in trials:
        assert trial.job is not None
        _, training, _ = trial.job.split(", ")
        epochs.setdefault(training, []).append(len(trial.curve))
    assert epochs == {
        PROXY: [2] * 8, LONG: [3] * 4, "epochs / 2": [1] * 4, "epochs x 2": [4] * 4, "images / 2": [2] * 4,
        "smaller": [2] * 4,
    }  # fmt: skip


@pytest.mark.slow
def test_no_two_trainings_of_a_network_have_one_seed(run: RunFolder) -> None:
    """Were the weights in the beginning the same, scores would agree more than those of a search."""
    losses: dict[str, list[float | None]] = {}
    for trial in load_trials(run):
        losses.setdefault(trial.candidate.identity, []).append(trial.result.loss)
    assert all(len(set(each)) == len(each) for each in losses.values())


def test_what_is_written(run: RunFolder, calibrated: tuple[Said, Path]) -> None:
    found = json.loads((run.path / "calibration.json").read_text())
    scores = np.array([n["scores"][PROXY] for n in found["networks"]])
    assert found["noise"] == pytest.approx(math.sqrt(scores.var(axis=1, ddof=1).mean()))
    assert [proxy["ranking"]["kendall"] for proxy in found["proxies"]] == [None] * 5
    assert [proxy["quality_per_second"] for proxy in found["proxies"]] == [None] * 5
    assert found["resolvable"] == pytest.approx(1.96 * math.sqrt(2) * found["noise"])
    with (run.path / "networks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [[float(r[f"score proxy {seed}"]) for seed in range(2)] for r in rows] == scores.tolist()
    dots = ET.fromstring((run.path / "calibration.svg").read_text()).findall(".//{*}circle")
    assert len(dots) == scores.size
    assert f"One score has a noise of {found['noise']:.4f}" in calibrated[0].out
    assert (
        "With 3 epochs: 4 networks are too few for a rank correlation; 8 or more give one.\n"
        in calibrated[0].out
    )
    assert "tau 1.00" not in calibrated[0].out and "quality" not in calibrated[0].out


@pytest.mark.slow
def test_a_search_of_the_same_proxy_says_so_and_no_other(run: RunFolder) -> None:
    same = nas("search", "tiny.yaml", *SHORT, "--trials", "1")
    other = nas("search", "tiny.yaml", *SHORT, "--trials", "1", "--batch", "32")
    line = "Calibrated: differences below "
    assert line in same.out and "See runs/calibrate-tiny-1" in same.out and line not in other.out


def read_line(run: RunFolder) -> str:
    kept = read_figures(run)
    assert kept and kept.data == json.loads((run.path / "calibration.json").read_text())
    return kept.line


@pytest.mark.slow
@pytest.mark.parametrize("noise", [10.0, 1e-9])
def test_the_noise_that_was_measured_decides_what_names_the_winner(run: RunFolder, noise: float) -> None:
    file = run.path / "calibration.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"noise": noise}))
    said = nas("search", "tiny.yaml", *SHORT, "--trials", "18", "--keep", "1", "--name", "mine")
    assert said.code == 0, said.err
    state = RunState.load(Path("runs/mine"))
    by_score = max(state.trials, key=lambda trial: (trial.score, -trial.candidate.cost.macs, -trial.number))
    best = state.best(18)
    assert f"trial: {best[0].number}\n" in Path("runs/mine/best.yaml").read_text()
    if noise < 1:
        assert "Ranked by their own scores: " in said.out and best[0].number == by_score.number
    else:
        assert "Ranked by what all scores say of each: " in said.out
        believed = [trial.believed for trial in best if trial.believed is not None]
        assert believed == sorted(believed, reverse=True) and len(believed) == 16
    assert "noise of" in nas("show", "runs/mine").out
    assert (run.path.parent / "mine" / "best.py").is_file()  # the weights are kept
    again = nas("resume", "runs/mine", "--trials", "19")
    assert again.code == 0 and "Ranked by " in again.out
    file.unlink()  # and what all said is of fewer trials then
    last = nas("resume", "runs/mine", "--trials", "20")
    assert last.code == 0 and "Ranked by " not in last.out
    state = RunState.load(Path("runs/mine"))
    top = max(state.trials, key=lambda trial: (trial.score, -trial.candidate.cost.macs, -trial.number))
    assert f"trial: {top.number}\n" in Path("runs/mine/best.yaml").read_text()
    assert f" {top.candidate.cost.macs:,} MACs, " in Path("runs/mine/best.py").read_text()


def test_a_line_says_a_tau_of_enough_networks_alone(run: RunFolder) -> None:
    """Also of a file of before, which has one of four networks."""
    file = run.path / "calibration.json"
    found = json.loads(file.read_text())
    few = "; 4 networks are too few for a rank correlation; 8 or more give one. See"
    assert few in read_line(run)
    found["proxies"][0]["ranking"]["kendall"] = {"value": 1.0, "low": -1.0, "high": 1.0}
    file.write_text(json.dumps(found))
    assert few in read_line(run)
    found["proxies"][0]["networks"] = 8
    file.write_text(json.dumps(found))
    assert "as 3 epochs do with Kendall's tau 1.00 (-1.00 to 1.00). See" in read_line(run)


@pytest.mark.slow
def test_the_same_data_by_another_path(run: RunFolder) -> None:
    """The line of a calibration is found however the path of the data is written."""
    file = run.path / "calibration.json"
    found = json.loads(file.read_text())
    other, manifest = RunFolder(Path(shutil.copytree(run.path, "runs/other"))), Manifest.read(run)
    config = manifest.config.change({"dataset": "imagefolder:photos"}, "test")
    manifest = manifest.with_config(config)
    whole = f"imagefolder:{Path('photos').absolute()}"
    same, others = ("imagefolder:./photos/", whole), ("imagefolder:photo", "digits")
    for written, is_same in ((text, text in same) for text in (*same, *others)):
        file.write_text(json.dumps(found | {"dataset": written}))
        (other.path / "calibration.json").unlink(missing_ok=True)
        assert (find_calibration(other, manifest) is not None) == is_same


def test_a_damaged_calibration_stops_no_search(run: RunFolder) -> None:
    (run.path / "calibration.json").write_text("[]")
    assert nas("search", "tiny.yaml", *SHORT, "--trials", "1").code == 0


@pytest.mark.slow
def test_a_calibration_that_is_resumed_trains_nothing_twice(run: RunFolder) -> None:
    before = load_trials(run)
    names = ("calibration.json", "networks.csv", "calibration.svg")
    for name in names:
        (run.path / name).unlink()
    said = nas("resume", "runs/calibrate-tiny-1")
    assert said.code == 0 and "One score has a noise of" in said.out
    assert said.out.endswith(f"Written: {', '.join(str(run.path / name) for name in names)}\n")
    assert load_trials(run) == before
    assert all((run.path / name).is_file() for name in names)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("networks: 3", ": networks: 3 is not a number of networks; it is a whole number, 4 or more"),
        ("seeds: three", ": seeds: 'three' is not a number of seeds; it is a whole number, 2 or more"),
        ("netwrks: 4", ": unknown key 'netwrks'; did you mean 'networks'?"),
        ("[4, 2]", ": wanted a mapping of settings, such as networks: 12"),
        ("networks: [", ":1: not valid YAML: expected the node content, but found '<stream end>'"),
    ],
)
def test_a_damaged_plan_is_told_by_its_file(tiny_run: RunFolder, text: str, rule: str) -> None:
    tiny_run.plan_file.write_text(text)
    said = nas("resume", "runs/mine")
    assert (said.code, said.out) == (2, "")
    assert (
        said.err == f"error: runs/mine/calibration.yaml{rule}; restore the file, or start a new calibration\n"
    )


def test_a_plan_is_read_as_it_was_written(tiny_run: RunFolder) -> None:
    plan = Plan(networks=5, seeds=2, long_epochs=7)
    tiny_run.plan_file.write_text(dump_plan(plan))
    assert read_plan(tiny_run) == plan


@pytest.mark.slow
def test_the_files_of_one_from_python(run: RunFolder) -> None:
    """The plot is among them."""
    (run.path / "calibration.svg").unlink()
    result = resume(run.path)
    assert isinstance(result, CalibrationResult)
    assert [file.name for file in result.files] == ["calibration.json", "networks.csv", "calibration.svg"]
    assert json.loads(json.dumps(result.to_data())) == json.loads(result.files[0].read_text())
    dots = ET.fromstring(result.files[2].read_text()).findall(".//{*}circle")
    names = [dot.get("data-name") for dot in dots]
    assert names == [str(number) for number in range(4) for seed in range(2)]


@pytest.mark.parametrize("count", [8, 12, 24])
def test_ranks_against_scipy(count: int) -> None:
    rng = np.random.default_rng(0)
    long = rng.random(count)
    proxy = long[:, None] + rng.normal(0, 0.2, (count, 3))
    found = compute_figures([row(i, proxy[i].tolist(), long[i]) for i in range(count)], resamples=200)
    taus = [kendalltau(proxy[:, s], long).statistic for s in range(3)]
    rhos = [spearmanr(proxy[:, s], long).statistic for s in range(3)]
    own, tau = found.proxy.ranking, tau_of(found)
    assert own.spearman and own.spearman.value == pytest.approx(np.mean(rhos))
    assert tau.value == pytest.approx(np.mean(taus)) and tau.low < tau.value < tau.high
    assert found.proxy.quality_per_second == ConfidenceInterval(tau.value / 2, tau.low / 2, tau.high / 2)
    assert found.long_seconds == 8
    top = np.argsort(-long)[: count // 3]
    if count < 24:
        assert own.kendall_top is own.spearman_top is None
    else:
        tops = [kendalltau(proxy[top, s], long[top]).statistic for s in range(3)]
        assert own.kendall_top and own.kendall_top.value == pytest.approx(np.mean(tops))


@pytest.mark.slow
def test_the_interval_has_the_truth_about_as_often_as_it_says() -> None:
    """Scores of a normal copula have the tau 2 / pi * asin(r); 95 % of intervals should have it.

    Of 60 the bootstrap of 24 networks covered 57 or so; fewer than 50 has a chance below 0.1 % at 95 %.
    """
    truth = 2 / math.pi * math.asin(0.8)
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(60):
        pairs = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 24)
        tau = tau_of(compute_figures([row(i, [x, x], y) for i, (x, y) in enumerate(pairs)], resamples=100))
        covered += tau.low <= truth <= tau.high
    assert covered >= 50


def test_a_proxy_without_differences_ranks_nothing() -> None:
    found = compute_figures([row(i, [0.1, 0.1], i / 10) for i in range(8)])
    assert found.noise == 0 and tau_of(found).value == 0


@pytest.mark.parametrize("count", [4, 7])
def test_so_few_networks_have_no_rank_correlation(count: int) -> None:
    found = compute_figures([row(i, [i / 10, i / 9], i / 10) for i in range(count)])
    own = found.proxy.ranking
    assert own.kendall is own.spearman is own.kendall_top is own.spearman_top is None
    assert found.noise > 0 and found.proxy.quality_per_second is None and found.best is None


def compare(noise: float, seconds: float, *, networks: int = 12, other: int = 12) -> Figures:
    """Figures of a proxy that ranks well, and of one whose scores are off by `noise` and take `seconds`."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(networks):
        one = row(i, (i / 10 + 0.1 * rng.standard_normal(2)).tolist(), i / 10)
        if i < other:
            scores = one.scores | {"other": [i / 10 + noise * rng.standard_normal()]}
            one = replace(one, scores=scores, seconds=one.seconds | {"other": [seconds]})
        rows.append(one)
    return compute_figures(rows, resamples=200)


@pytest.mark.parametrize(
    ("found", "best"),
    [
        (compare(0.2, 1.5), None),  # ranks a little worse, a little faster
        (compare(0.2, 0.05), "other"),  # forty times faster
        (compare(5.0, 2.0), PROXY),  # ranks nothing
        (compare(0.0, 0.05, other=7), None),  # too few for a tau: none to compare with
    ],
)
def test_the_best_for_its_time_is_named_where_intervals_are_apart(found: Figures, best: str | None) -> None:
    assert (found.best and found.best.name) == best
    own = [q for proxy in found.proxies if (q := proxy.quality_per_second)]
    if len(own) == 2:
        apart = own[0].low > own[1].high or own[1].low > own[0].high
        assert apart == (best is not None)


@pytest.mark.slow
def test_how_many_trials_of_the_best_train_in_half_an_hour(run: RunFolder) -> None:
    """One at a time, and none are recommended where intervals overlap."""
    result = resume(run.path)
    assert isinstance(result, CalibrationResult)
    result = replace(result, trainings={**result.trainings, "other": result.trainings["epochs x 2"]})
    said = []
    for found in (compare(0.2, 0.0625), compare(0.2, 1.5)):
        console = Console(width=200)
        with console.capture() as captured:
            console.print(render_calibration(result, found))
        said.append(" ".join(captured.get().split()))
    assert "per second: other; in 30 minutes, 28,800 trials of 4 epochs. Intervals" in said[0]
    assert "trials in 30 minutes" in said[0] and " 900 " in said[0]
    assert "No proxy ranks better per second" in said[1] and "trials of" not in said[1]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--networks", "3", "networks: 3 is not a number of networks; it is a whole number, 4 or more"),
        ("--seeds", "1", "seeds: 1 is not a number of seeds; it is a whole number, 2 or more"),
        ("--long-epochs", "0", "long-epochs: 0 is not a number of epochs; it is a whole number, 1 or more"),
    ],
)
def test_what_is_refused(option: str, value: str, message: str) -> None:
    said = nas("calibrate", "tiny.yaml", option, value)
    assert (said.code, said.err) == (2, f"error: {message}\n")


def test_more_networks_than_there_are() -> None:
    said = nas("calibrate", "tiny.yaml", *SHORT, "--budget-flops", "30K", "--name", "few")
    assert said.code == 2 and "are wanted, and samples found" in said.err
    assert said.err.startswith("error: networks: 12 are wanted, and samples found ")
    assert not Path("runs/few").exists()


@pytest.mark.slow
def test_a_calibration_is_no_search(run: RunFolder) -> None:
    no_best = "is a calibration, which has no best network; name the run of a search"
    no_trials = "trials: 9 has no effect: it is of searches, and this is a calibration; leave it out"
    for arguments, message in ((["export"], no_best), (["resume", "--trials", "9"], no_trials)):
        said = nas(*arguments, str(run.path))
        assert (said.code, said.err) == (2, f"error: {run.path}: {message}\n")
    assert nas("show", str(run.path)).out.startswith("Calibrated: differences below ")


def test_a_proxy_that_gave_few_scores_is_left_out_and_no_network_for_it() -> None:
    rows = [row(i, [i / 10, i / 9], i / 10) for i in range(6)]
    other = [
        replace(one, scores=one.scores | {"other": [0.5]}, seconds=one.seconds | {"other": [1.0]})
        for one in rows
    ]
    assert [p.name for p in compute_figures(other[:3] + rows[3:]).proxies] == [PROXY]
    found = compute_figures(other[:4] + rows[4:]).proxies
    assert [(p.name, p.networks) for p in found] == [(PROXY, 6), ("other", 4)]


def test_a_calibration_whose_first_trainings_all_fail_ends() -> None:
    said = nas("calibrate", "tiny.yaml", *SHORT, *PLAN, "--name", "none", "--lr", "1e38")
    assert (said.code, said.err) == (
        1,
        "error: runs/none: the first 5 trials all failed: nan_loss: the logits were not finite after epoch "
        "1. Mend the cause, then go on with: nas resume runs/none\n",
    )
    assert len(load_trials(RunFolder(Path("runs/none")))) == 5


def test_a_time_limit_stops_a_calibration() -> None:
    said = nas("calibrate", "tiny.yaml", *SHORT, *PLAN, "--name", "none", "--time-limit", "0.001s")
    assert said.code == 0
    assert said.out.endswith("The time limit of 0.001s is over. Go on with: nas resume runs/none\n")


@pytest.mark.slow
def test_a_calibration_as_a_document(tiny_folder: Path) -> None:
    """Progress is on the other stream; the plot is drawn as ever."""
    said = nas("calibrate", "tiny.yaml", "--budget-flops", "300K", *SHORT, *PLAN, "--format", "json")
    assert said.code == 0, said.err
    found, run = json.loads(said.out), Path("runs/calibrate-tiny-1")
    assert found["figures"] == json.loads((run / "calibration.json").read_text())
    assert (found["path"], found["left_out"]) == (str(run), 0) and (run / "calibration.svg").is_file()
    assert "Calibration: " in said.err
    again = nas("resume", str(run), "--in-process", "--format", "json")
    assert json.loads(again.out)["figures"] == found["figures"]
