"""Finalists: the best of a search, trained longer under fresh seeds, name the winner."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
import yaml
from command_line import SHORT, TINY, Said, apart, nas
from safetensors.torch import load_file
from toys import asked, score_of

from nas.cost import Cost
from nas.errors import InputError
from nas.report.search_lines import describe_finals
from nas.runs.config import SearchConfig
from nas.runs.final_round import FinalsConfig
from nas.runs.finals import Finalist, FinalKey, compare_first_two, select_spare
from nas.runs.folder import RunFolder
from nas.runs.manifest import Manifest
from nas.runs.state import RunState
from nas.space import load_space, parse_space
from nas.study.ledger import Ledger
from nas.study.objective import ACCURACY
from nas.study.queue import FixedQueue, Job, NetworkKey
from nas.study.records import Candidate, Trial, TrialState
from nas.study.storage import open_storage
from nas.training.base import EpochResult, Failure, FailureReason
from nas.workflows.checks import check_rank
from nas.workflows.quantize import quantize

FINAL = ("--workers", "0", "--finalists", "2", "--final-epochs", "1", "--final-seeds", "2")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Said, Path]:
    """What a search with finalists said, and the folder that it was in."""
    folder = tmp_path_factory.mktemp("searched")
    with contextlib.chdir(folder):
        Path("tiny.yaml").write_text(TINY)
        said = nas("search", "tiny.yaml", "--name", "mine", *SHORT, "--trials", "4", *FINAL)
    assert said.code == 0, said.err
    return said, folder


pytestmark = pytest.mark.usefixtures("tiny_folder")


@pytest.fixture
def run(tiny_folder: Path, searched: tuple[Said, Path]) -> RunFolder:
    """A copy of it to work in."""
    shutil.copytree(searched[1], tiny_folder, dirs_exist_ok=True)
    return RunFolder.open(Path("runs/mine"))


def load(path: Path = Path("runs/mine")) -> RunState:
    return RunState.load(path)


def trial(number: int, score: float) -> Trial:
    return Trial(Candidate(number, {}, Cost(1, 1), str(number)), TrialState.COMPLETE, score, {1: score})


def finalist(*scores: float, number: int = 0) -> Finalist:
    return Finalist(trial(number, 0.5), tuple(trial(i, s) for i, s in enumerate(scores)))


def test_the_best_are_trained_longer_and_the_winner_leaves(
    run: RunFolder, searched: tuple[Said, Path]
) -> None:
    said, state = searched[0], load()
    best, finals = state.best(2), state.finals
    assert [(f.candidate.choices, len(f.curve), f.job) for f in finals] == [
        (one.candidate.choices, 1, f"trial {one.number}, seed {seed}, epochs 1")
        for seed in range(2)
        for one in best
    ]
    ranked = state.finalists
    assert {one.trial.number for one in ranked} == {one.number for one in best}
    means = {one.number: fmean(score_of(f) for f in finals[i::2]) for i, one in enumerate(best)}
    assert [one.mean for one in ranked] == sorted(means.values(), reverse=True)
    first = state.winner
    assert first is not None and first.mean == max(means.values())
    network = load_space(run.best_file)
    assert network.meta["final_score"] == first.mean and network.meta["trial"] == first.trial.number
    assert network.identity({}) == first.trial.candidate.identity
    assert f"{first.mean:.4f}" in said.out and "Finalists, after 1 epoch under 2 seeds:" in said.out
    text = (run.path / "best.py").read_text()
    assert f"{first.mean:.4f} after epoch 1, the mean of" in " ".join(text.split())


def test_one_training_of_each_network_is_kept_of_two_builds_too() -> None:
    """Which may give a network two identities."""
    options = (1, 1, 2, True)
    finals = [
        Trial(Candidate(i, {"a": option}, Cost(1, 1), str(i)), TrialState.COMPLETE, i / 10, {})
        for i, option in enumerate(options)
    ]
    assert select_spare(finals, ACCURACY) == [0]


@pytest.mark.slow
def test_the_winner_has_the_weights_of_its_best_seed_and_others_go(run: RunFolder) -> None:
    state = load()
    kept = {one.finals[0].number for one in state.finalists}
    found = {file.name for file in run.weights_folder.glob("final-*")}
    assert found == {f"final-{n:05d}.safetensors" for n in kept}
    assert state.winner is not None
    long = load_file(run.final_weights_file(state.winner.finals[0].number))
    shipped = load_file(run.path / "best.safetensors")
    assert sorted(map(torch.Tensor.sum, shipped.values())) == sorted(map(torch.Tensor.sum, long.values()))


@pytest.mark.slow
def test_seeds_are_fresh(run: RunFolder) -> None:
    """A long training is not that of the trial, nor that of another seed."""
    state = load()
    (best,) = state.best(1)
    finals = [f for f in state.finals if f.candidate.choices == best.candidate.choices]
    losses = [f.result.loss for f in (best, *finals)]
    assert len(set(losses)) == 3


@pytest.mark.slow
def test_finals_that_ended_are_not_repeated(run: RunFolder) -> None:
    before = load().finals
    said = nas("resume", "runs/mine", "--finalists", "3")
    assert said.code == 0
    after = load()
    assert after.finals[:4] == before and len(after.finals) == 6
    assert "[6/6]" in said.out and "[4/6]" not in said.out
    assert len(after.finalists) == 3


def test_jobs_that_ran_when_the_driver_died_run_again() -> None:
    space = parse_space(TINY, "tiny.yaml")
    point = space.smallest()
    keys = [NetworkKey(name, seed) for seed, name in enumerate("abc")]
    jobs = [Job(key, space, point, "final") for key in keys]

    def queue(jobs: list[Job]) -> FixedQueue:
        return FixedQueue(jobs, Ledger(open_storage(Path("jobs.journal")), "jobs"))

    def complete(queue: FixedQueue, number: int, score: float) -> None:
        queue.complete(number, EpochResult(1, score, score, 1.0))

    first = queue(jobs)
    complete(first, asked(first).number, 0.5)
    first.ask()
    again = queue(jobs)
    assert {number: job.key for number, job in again.by_number.items()} == {1: keys[1], 2: keys[2]}
    assert [asked(again).number for _ in range(2)] == [1, 2] and again.ask() is None
    complete(again, 1, 0.25)
    again.fail(2, Failure(FailureReason.ERROR, "no luck"))
    assert [again.collect_trials()[key].score for key in keys] == [0.5, 0.25, None]
    assert queue(jobs).remaining == 0
    other = queue([replace(jobs[0], key=NetworkKey("d", 0))])
    assert asked(other).number == 3 and other.counts.complete == 0


def test_the_first_two_are_told_apart_by_welch() -> None:
    # Student's t of (0.9, 0.92) and (0.8, 0.82) is 0.1 / 0.01414 = 7.07 with 2 degrees of freedom: p = 0.0194
    assert compare_first_two([finalist(0.92, 0.9), finalist(0.82, 0.8)]) is None
    # (0.92, 0.9) and (0.91, 0.88): t = 0.015 / 0.01803 = 0.832 with 1.74 degrees of freedom: p = 0.50
    assert compare_first_two([finalist(0.92, 0.9), finalist(0.91, 0.88)]) == pytest.approx(0.50, abs=0.01)
    assert compare_first_two([finalist(0.9, 0.9), finalist(0.9, 0.9)]) == 1.0
    assert compare_first_two([finalist(0.9, 0.9)]) is None
    assert compare_first_two([finalist(0.9), finalist(0.9)]) is None


def test_an_order_that_is_not_sure_is_said_to_be() -> None:
    def notes(first: Finalist, second: Finalist, seeds: int) -> list[str]:
        return list(describe_finals([first, replace(second, trial=trial(7, 0.5))], seeds))

    assert notes(finalist(0.92, 0.9), finalist(0.82, 0.8), 2) == []
    one = "One score does not tell whether trials 0 and 7 differ; give more --final-seeds."
    assert notes(finalist(0.9), finalist(0.1), 1) == [one]
    assert notes(finalist(0.9, 0.9, 0.8), finalist(0.8), 3) == [
        "Trial 7 has 1 score from 3 seeds; the others failed.", one
    ]  # fmt: skip
    assert notes(finalist(0.9, 0.9), finalist(0.9, 0.9), 2) == [
        "Trials 0 and 7 cannot be told apart (p = 1, Welch's t-test); choose by cost, or give more "
        "--final-seeds."
    ]


@pytest.mark.slow
def test_finalists_that_cannot_be_told_apart_are_said_to_be(run: RunFolder) -> None:
    ranked = load().finalists
    p, numbers = compare_first_two(ranked), [one.trial.number for one in ranked]
    message = (
        f"Trials {numbers[0]} and {numbers[1]} cannot be told apart (p = {p or 0:.2g}, Welch's t-test); "
        "choose by cost, or give more --final-seeds."
    )
    assert p is not None, "the space has no two networks that two seeds tell apart after an epoch"
    assert message in nas("show", "runs/mine").out


def test_several_objectives_have_no_finalists() -> None:
    said = nas(
        "search", "tiny.yaml", "--objective", "accuracy,flops", "--sampler", "nsga2", "--finalists", "2"
    )
    assert (said.code, said.err) == (
        2,
        "error: nas search: finalists: objective accuracy,flops has no best network to name; give a reward "
        "such as accuracy*(flops/400M)^-0.07, or leave the finalists out\n",
    )


@pytest.mark.slow
def test_a_time_limit_ends_the_search_and_exports_what_there_is() -> None:
    said = apart(
        "search", "tiny.yaml", "--name", "short", "--workers", "0", "--trials", "250", "--epochs", "3",
        "--time-limit", "12s", "--finalists", "2",
    )  # fmt: skip
    assert said.code == 0, said.err
    state = load(Path("runs/short"))
    assert "The time limit of 12s is over. Go on with: nas resume runs/short" in said.out
    assert 1 <= sum(trial.score is not None for trial in state.trials) < 250
    assert Path("runs/short/best.py").is_file() and not state.finals


@pytest.mark.parametrize("value", ["soon", "0h"])
def test_a_time_limit_that_is_none_is_refused(value: str) -> None:
    said = nas("search", "tiny.yaml", "--time-limit", value)
    assert said.code == 2 and said.err.startswith(f"error: nas search: time-limit: '{value}' is not ")


@pytest.mark.slow
def test_a_winner_is_named_when_all_finals_have_ended(run: RunFolder) -> None:
    assert load().winner is not None
    manifest = Manifest.read(run)
    manifest.with_config(manifest.config.change({"finalists": 3}, "test")).write(run)
    assert load().winner is None and len(load().finalists) == 2
    manifest.with_config(manifest.config.change({"finalists": 0}, "test")).write(run)
    assert load().winner is None and load().finalists == []


@pytest.mark.slow
def test_finalists_come_back_with_their_weights(run: RunFolder) -> None:
    """Fewer finalists, then more again: what was trained before is neither lost nor trained anew."""
    before = load().finals
    for count in ("1", "2"):
        assert nas("resume", "runs/mine", "--finalists", count).code == 0
        first = load().winner
        assert first is not None
        network = load_space(run.best_file)
        assert network.meta["trial"] == first.trial.number
        assert f"(trial {first.trial.number})" in (run.path / "best.py").read_text()
    assert load().finals == before


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_time_limit_ends_a_search_on_ray() -> None:
    said = apart(
        "search", "tiny.yaml", "--name", "ray", "--workers", "1", "--trials", "250", "--epochs", "8",
        "--time-limit", "30s",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert "The time limit of 30s is over. Go on with: nas resume runs/ray" in said.out
    assert Path("runs/ray/best.py").is_file()


def test_a_storage_that_has_finals_of_that_name_is_refused() -> None:
    space = parse_space(TINY, "tiny.yaml")
    ledger = Ledger(open_storage("sqlite:///s.db"), "a-finals")
    FixedQueue([Job(NetworkKey("a", 0), space, space.smallest(), "f")], ledger).ask()
    said = nas("search", "tiny.yaml", "--storage", "sqlite:///s.db", "--name", "a", *SHORT)
    assert said.code == 2
    way_out = "choose another --name, or work on it too with --join"
    assert said.err.endswith(f"has a study 'a-finals' already; {way_out}\n")


def test_a_time_limit_that_leaves_no_trial() -> None:
    said = nas("search", "tiny.yaml", "--name", "none", *SHORT, "--workers", "0", "--time-limit", "0.001s")
    message = "error: runs/none: no trial was begun in time; go on with more --time-limit\n"
    assert (said.code, said.err) == (1, message)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "rank: int8 is of finalists, and there are none; add finalists: 5, or leave it out"),
        (
            {"finalists": 2, "folds": 2},
            "rank: int8 is of one network, and with folds: 2 each is trained so many times; leave one of the "
            "two out",
        ),
        ({"rank": "int4"}, "rank: 'int4' is not a precision; it is float32 or int8"),
    ],
)
def test_what_cannot_be_ranked_in_int8(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        check_rank(SearchConfig.from_data({"space": "tiny.yaml", "rank": "int8", **settings}))
    assert str(error.value).endswith(said)


def test_trainings_of_another_rank_are_others() -> None:
    """Scores in float32 do not stand for those in int8, and the best weights of both stay."""
    plain, in_int8 = FinalsConfig(count=1), FinalsConfig(count=1, rank="int8")
    keys = [FinalKey.of(trial(7, 0.5), 0, config) for config in (plain, in_int8)]
    names = [key.name for key in keys]
    assert names == ["trial 7, seed 0, epochs 30", "trial 7, seed 0, epochs 30, int8"]
    assert [*map(FinalKey.parse, names)] == keys
    assert [*map(FinalKey.parse, ("network 7, proxy, seed 0", "trial 7", "", None))] == [None] * 4
    finals = [replace(trial(n, 0.5 + n / 10), job=names[n % 2]) for n in range(4)]
    assert select_spare(finals, ACCURACY) == [0, 1]


def test_a_rank_that_needs_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "nas.exporters.find_spec", lambda name: None if name == "onnxscript" else find_spec(name)
    )
    said = nas("search", "tiny.yaml", *SHORT, *FINAL, "--rank", "int8")
    assert said.code == 2
    assert said.err == (
        "error: --rank int8, format 'onnx': needs onnxscript, which is not installed; install it with: pip "
        "install onnxscript\n"
    )
    assert not Path("runs").exists()


@pytest.mark.slow
def test_finalists_are_ranked_by_what_is_deployed() -> None:
    """The score of each is the accuracy of the file that its weights become."""
    given = ("--trials", "3", "--epochs", "1", *FINAL, "--rank", "int8")
    said = nas("search", "tiny.yaml", "--name", "mine", *given)
    assert said.code == 0, said.err
    assert "1 epoch under 2 seeds, scored in int8:" in said.out
    state = load()
    assert state.winner is not None and state.manifest.config.finals.in_int8
    assert [len(one.scores) for one in state.finalists] == [2, 2]
    assert any(final.score != final.curve[1] for final in state.finals)  # the curve is of float32
    (file,) = quantize("runs/mine").formats
    assert file.parity.accuracy is not None
    assert file.parity.accuracy[1] == pytest.approx(state.winner.finals[0].score)
    assert yaml.safe_load(state.folder.best_file.read_text())["meta"]["final_rank"] == "int8"
