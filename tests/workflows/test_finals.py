"""Finalists: the best of a search, trained longer under fresh seeds, name the winner."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
import torch
from command_line import SHORT, TINY, apart, nas
from nas.workflows.finals import Finalist, finalists, indistinct, read_finals, winner
from safetensors.torch import load_file

from nas.cost import Cost
from nas.report.session import finals_notes
from nas.runs.folder import Run
from nas.space import load_space, parse_space
from nas.study.queue import Job, Jobs
from nas.study.records import Candidate, Record, best_of

FINAL = ("--workers", "0", "--finalists", "2", "--final-epochs", "1", "--final-seeds", "2")


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """What a search with finalists said, and the folder that it was in."""
    folder = tmp_path_factory.mktemp("searched")
    with contextlib.chdir(folder):
        Path("tiny.yaml").write_text(TINY)
        said = nas("search", "tiny.yaml", "--name", "mine", *SHORT, "--trials", "4", *FINAL)
    assert said.code == 0, said.err
    return said, folder


pytestmark = pytest.mark.usefixtures("tiny_folder")


@pytest.fixture
def run(tiny_folder, searched):
    """A copy of it to work in."""
    shutil.copytree(searched[1], tiny_folder, dirs_exist_ok=True)
    return Run.open(Path("runs/mine"))


def record(number, score=None, identity="", macs=1, **facts):
    return Record(
        Candidate(number, {}, Cost(macs, 1), identity or str(number)), "complete", score, {1: score}, facts
    )


def finalist(*scores, number=0):
    return Finalist(record(number, 0.5), tuple(record(i, s) for i, s in enumerate(scores)))


def test_the_best_are_trained_longer_and_the_winner_leaves(run, searched):
    said = searched[0]
    best = best_of(run.records(), 2)
    finals = read_finals(run)
    assert [(f.candidate.choices, len(f.scores), f.facts["job"]) for f in finals] == [
        (r.candidate.choices, 1, f"trial {r.candidate.number}, seed {seed}, epochs 1")
        for seed in range(2)
        for r in best
    ]
    ranked = finalists(run)
    assert {one.record.candidate.number for one in ranked} == {r.candidate.number for r in best}
    means = {r.candidate.number: fmean(f.score for f in finals[i::2]) for i, r in enumerate(best)}
    assert [one.mean for one in ranked] == sorted(means.values(), reverse=True)
    first = winner(run)
    assert first is not None and first.mean == max(means.values())
    network = load_space(run.best_file)
    assert (
        network.meta["final_score"] == first.mean and network.meta["trial"] == first.record.candidate.number
    )
    assert network.identity({}) == first.record.candidate.identity
    assert f"{first.mean:.4f}" in said.out and "Finalists, after 1 epoch under 2 seeds:" in said.out
    text = (run.path / "best.py").read_text()
    assert f"{first.mean:.4f} after epoch 1, the mean of" in " ".join(text.split())


@pytest.mark.slow
def test_the_winner_has_the_weights_of_its_best_seed_and_others_go(run):
    kept = {one.finals[0].candidate.number for one in finalists(run)}
    folder = run.path / "weights"
    assert {f.name for f in folder.glob("final-*")} == {f"final-{n:05d}.safetensors" for n in kept}
    first = winner(run)
    long = load_file(folder / f"final-{first.finals[0].candidate.number:05d}.safetensors")
    shipped = load_file(run.path / "best.safetensors")
    assert sorted(map(torch.Tensor.sum, shipped.values())) == sorted(map(torch.Tensor.sum, long.values()))


@pytest.mark.slow
def test_seeds_are_fresh(run):
    """A long training is not that of the trial, nor that of another seed."""
    trial = best_of(run.records(), 1)[0]
    finals = [f for f in read_finals(run) if f.candidate.choices == trial.candidate.choices]
    losses = [f.facts["loss"] for f in (trial, *finals)]
    assert len(set(losses)) == 3


@pytest.mark.slow
def test_finals_that_ended_are_not_repeated(run):
    before = read_finals(run)
    said = nas("resume", "runs/mine", "--finalists", "3")
    assert said.code == 0
    after = read_finals(run)
    assert after[:4] == before and len(after) == 6
    assert "[6/6]" in said.out and "[4/6]" not in said.out
    assert len(finalists(run)) == 3


def test_jobs_that_ran_when_the_driver_died_run_again():
    space = parse_space(TINY, "tiny.yaml")
    point = space.smallest()
    jobs = [Job(name, point, "final", seed) for seed, name in enumerate("abc")]
    storage = Path("jobs.journal")
    first = Jobs(space, jobs, storage=storage, name="jobs")
    first.complete(first.ask().number, 0.5)
    first.ask()
    again = Jobs(space, jobs, storage=storage, name="jobs")
    assert {number: job.name for number, job in again.by_number.items()} == {1: "b", 2: "c"}
    assert [again.ask().number for _ in range(2)] == [1, 2] and again.ask() is None
    again.complete(1, 0.25)
    again.fail(2, "error", "no luck")
    assert {name: r.score for name, r in again.results().items()} == {"a": 0.5, "b": 0.25}
    assert Jobs(space, jobs, storage=storage, name="jobs").remaining == 0
    other = Jobs(space, [replace(jobs[0], name="d")], storage=storage, name="jobs")
    assert other.ask().number == 3 and other.counts.complete == 0


def test_the_first_two_are_told_apart_by_welch():
    # Student's t of (0.9, 0.92) and (0.8, 0.82) is 0.1 / 0.01414 = 7.07 with 2 degrees of freedom: p = 0.0194
    assert indistinct([finalist(0.92, 0.9), finalist(0.82, 0.8)]) is None
    # (0.92, 0.9) and (0.91, 0.88): t = 0.015 / 0.01803 = 0.832 with 1.74 degrees of freedom: p = 0.50
    assert indistinct([finalist(0.92, 0.9), finalist(0.91, 0.88)]) == pytest.approx(0.50, abs=0.01)
    assert indistinct([finalist(0.9, 0.9), finalist(0.9, 0.9)]) == 1.0
    assert indistinct([finalist(0.9, 0.9)]) is None
    assert indistinct([finalist(0.9), finalist(0.9)]) is None


def test_an_order_that_is_not_sure_is_said_to_be():
    def notes(first, second, seeds):
        return list(finals_notes([first, replace(second, record=record(7, 0.5))], seeds))

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
def test_finalists_that_cannot_be_told_apart_are_said_to_be(run):
    p = indistinct(finalists(run))
    numbers = [one.record.candidate.number for one in finalists(run)]
    message = (
        f"Trials {numbers[0]} and {numbers[1]} cannot be told apart (p = {p or 0:.2g}, Welch's t-test); "
        "choose by cost, or give more --final-seeds."
    )
    assert p is not None, "the space has no two networks that two seeds tell apart after an epoch"
    assert message in nas("show", "runs/mine").out


def test_several_objectives_have_no_finalists():
    said = nas(
        "search", "tiny.yaml", "--objective", "accuracy,flops", "--sampler", "nsga2", "--finalists", "2"
    )
    assert (said.code, said.err) == (
        2,
        "error: nas search: finalists: objective accuracy,flops has no best network to name; give a reward "
        "such as accuracy*(flops/400M)^-0.07, or leave the finalists out\n",
    )


@pytest.mark.slow
def test_a_time_limit_ends_the_search_and_exports_what_there_is():
    said = apart(
        "search", "tiny.yaml", "--name", "short", "--workers", "0", "--trials", "250", "--epochs", "3",
        "--time-limit", "20s", "--finalists", "2",
    )  # fmt: skip
    assert said.code == 0, said.err
    run = Run.open(Path("runs/short"))
    assert "The time limit of 20s is over. Go on with: nas resume runs/short" in said.out
    assert 1 <= sum(r.score is not None for r in run.records()) < 250
    assert (run.path / "best.py").is_file() and not read_finals(run)


@pytest.mark.parametrize("value", ["soon", "0h"])
def test_a_time_limit_that_is_none_is_refused(value):
    said = nas("search", "tiny.yaml", "--time-limit", value)
    assert said.code == 2 and said.err.startswith(f"error: nas search: time-limit: '{value}' is not ")


@pytest.mark.slow
def test_a_winner_is_named_when_all_finals_have_ended(run):
    assert winner(run) is not None
    run.write_settings(replace(run.settings, finalists=3))
    assert winner(run) is None and len(finalists(run)) == 2
    run.write_settings(replace(run.settings, finalists=0))
    assert winner(run) is None and finalists(run) == []


@pytest.mark.slow
def test_finalists_come_back_with_their_weights(run):
    """Fewer finalists, then more again: what was trained before is neither lost nor trained anew."""
    before = read_finals(run)
    for count in ("1", "2"):
        assert nas("resume", "runs/mine", "--finalists", count).code == 0
        first = winner(run)
        network = load_space(run.best_file)
        assert network.meta["trial"] == first.record.candidate.number
        assert f"(trial {first.record.candidate.number})" in (run.path / "best.py").read_text()
    assert read_finals(run) == before


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_time_limit_ends_a_search_on_ray():
    said = apart(
        "search", "tiny.yaml", "--name", "ray", "--workers", "1", "--trials", "250", "--epochs", "8",
        "--time-limit", "60s",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert "The time limit of 60s is over. Go on with: nas resume runs/ray" in said.out
    assert Path("runs/ray/best.py").is_file()


def test_a_storage_that_has_finals_of_that_name_is_refused():
    Jobs(parse_space(TINY, "tiny.yaml"), [Job("a", parse_space(TINY, "t").smallest(), "f", 0)],
         storage="sqlite:///s.db", name="a-finals").ask()  # fmt: skip
    said = nas("search", "tiny.yaml", "--storage", "sqlite:///s.db", "--name", "a", *SHORT)
    assert said.code == 2
    assert said.err.endswith("has a study 'a-finals' already; choose another --name\n")


def test_a_time_limit_that_leaves_no_trial():
    said = nas("search", "tiny.yaml", "--name", "none", *SHORT, "--workers", "0", "--time-limit", "0.001s")
    message = "error: runs/none: no trial was begun in time; go on with more --time-limit\n"
    assert (said.code, said.err) == (1, message)
