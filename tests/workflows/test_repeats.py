"""Searches that train some of their networks once more, for the noise of a score."""

from __future__ import annotations

import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import SHORT, Said, apart, nas, rows
from toys import score_of

import nas as api
from nas.cost import Cost
from nas.report.run_documents import document_status
from nas.runs.folder import RunFolder
from nas.runs.posterior import BelievedScores
from nas.runs.score_noise import measure_noise
from nas.runs.state import RunState
from nas.runs.status import Phase, StatusReader
from nas.runs.status_lines import StatusReceiver, StatusWriter
from nas.study.belief import ScoredPoint, compute_belief
from nas.study.records import Candidate, Trial, TrialState
from nas.workflows.logged import _name_kind

pytestmark = pytest.mark.usefixtures("tiny_folder")
RUN = Path("runs/mine")
REPEATING = (*SHORT, "--workers", "0", "--trials", "16", "--repeats", "4", "--name", "mine")


class Killed(Exception):
    """What stands for a kill."""


class Dying(api.Observer):
    """Ends the search when so many repeats have."""

    def __init__(self, after: int) -> None:
        self._left = after

    def finished(self, trial: Trial) -> None:
        self._left -= trial.job is not None
        if not self._left:
            raise Killed


def load() -> RunState:
    return RunState.load(RUN)


def search(said: Said) -> RunState:
    assert said.code == 0, said.err
    return load()


@pytest.mark.slow
def test_repeats_tell_the_noise_by_which_networks_are_ranked() -> None:
    said = nas("search", "tiny.yaml", *REPEATING)
    state = search(said)
    assert len(state.trials) == 16 == len(rows(RUN / "trials.csv")) and len(state.repeats) == 4
    assert "Repeats: 4 networks again, under another seed.\n" in said.out
    for repeat in state.repeats:
        trial = state.trials[int((repeat.job or "").split()[1])]
        assert repeat.candidate.choices == trial.candidate.choices
        assert len(repeat.curve) == len(trial.curve) == 1
        assert repeat.result.loss != trial.result.loss  # under another seed
        assert f"trial {trial.number} again: score {repeat.score:.4f}" in said.out
    noise, count = measure_noise(state.trials, state.repeats) or (0.0, 0)
    assert count == 4 and noise > 0
    assert (
        f"Repeats: one score has a noise of {noise:.4f} (4 networks trained again); differences below "
        f"{1.96 * math.sqrt(2) * noise:.4f} are noise.\n"
    ) in said.out
    points = [ScoredPoint(t.number, t.candidate.choices, t.candidate.cost, score_of(t)) for t in state.trials]
    belief, found = compute_belief(points, noise), BelievedScores.read(state.folder)
    assert belief and found and (found.noise, found.error) == (noise, belief.error)
    assert found.source == "4 networks trained again"
    assert re.search(
        rf"Ranked by .* and one score a noise of {noise:.4f} \(4 networks trained again\)\.", said.out
    )
    assert len(list(RUN.glob("weights/*"))) == 16  # of those that are ranked
    status = StatusReader.open(RUN).read()
    assert (status.repeats_wanted, status.repeats_ended, status.phase) == (4, 4, Phase.ENDED)
    assert "4 of 4 repeats ended.\n" in nas("status", "runs/mine").out

    # further, and with more of them: what ended is not trained again
    more = search(nas("resume", "runs/mine", "--trials", "17", "--repeats", "5"))
    assert more.repeats[:4] == state.repeats and len(more.repeats) == 5 and len(more.trials) == 17
    found = BelievedScores.read(more.folder)
    assert found and found.source == "5 networks trained again" and found.trials == 17
    last = nas("resume", "runs/mine")
    assert search(last).repeats == more.repeats and "again, under" not in last.out
    assert "(5 networks trained again)" in last.out


@pytest.mark.slow
def test_repeats_that_ended_survive_a_kill(tmp_path: Path) -> None:
    settings = {"space": "tiny.yaml", "recipe": {"epochs": 1}, "max_images": 200, "trials": 16, "repeats": 4}
    config = api.SearchConfig.from_data({**settings, "workers": 0, "in_process": True})
    with pytest.raises(Killed):
        api.search(config, Dying(2), name="mine")
    state, status = load(), StatusReader.open(RUN).read()
    assert len(state.trials) == 16 and len(state.repeats) == 2
    assert status.phase is Phase.STOPPED and (status.repeats_wanted, status.repeats_ended) == (4, 2)
    assert not state.folder.believed_file.exists()
    far = StatusReceiver(RunFolder(RUN))
    far.take("".join(f"{line}\n" for line in StatusWriter(StatusReader.open(RUN)).write()))
    assert far.status and document_status(far.status)["repeats"] == {"wanted": 4, "ended": 2}
    other = shutil.copytree(RUN, tmp_path / "other")
    said = nas("resume", "runs/mine")
    after = search(said)
    assert after.repeats[:2] == state.repeats and len(after.repeats) == 4
    assert [repeat.ended for repeat in after.repeats[:2]] == [repeat.ended for repeat in state.repeats]
    assert "[3/4] trial" in said.out and "[2/4]" not in said.out
    assert {repeat.job for repeat in after.repeats} == {repeat.job for repeat in run_whole().repeats}

    # without time for the others: two of them tell no noise, and the best is named by its score
    short = nas("resume", str(other), "--time-limit", "0.01s")
    assert short.code == 0, short.err
    assert "Ranked by" not in short.out and (other / "best.py").is_file()
    status = StatusReader.open(other).read()
    assert status.phase is Phase.STOPPED and not RunFolder(other).believed_file.exists()


def run_whole() -> RunState:
    """The same search, which nothing has stopped."""
    said = nas("search", "tiny.yaml", *REPEATING[:-1], "whole")
    assert said.code == 0, said.err
    return RunState.load(Path("runs/whole"))


@pytest.mark.slow
def test_repeats_on_ray() -> None:
    said = apart("search", "tiny.yaml", *SHORT, "--workers", "1", *REPEATING[4:])
    state = search(said)
    assert len(state.trials) == 16 and len(state.repeats) == 4
    assert all(repeat.score is not None for repeat in state.repeats)
    assert "(4 networks trained again)" in said.out


def test_repeats_where_they_are_of_no_use() -> None:
    def refuse(*flags: str) -> str:
        said = nas("search", "tiny.yaml", *REPEATING, *flags)
        assert said.code == 2 and not RUN.exists()
        return said.err

    assert "repeats: networks of a study in a database keep their own scores" in refuse(
        "--storage", "sqlite:///a.db"
    )
    Path("own.py").write_text("def train(model, report):\n    report(0.5)\n")
    assert "has no effect: it is of the proxy" in refuse("--evaluator", "own.py:train")


def test_a_run_of_before_takes_repeats_and_a_database_none() -> None:
    said = nas("search", "tiny.yaml", *SHORT, "--workers", "0", "--trials", "2", "--name", "mine")
    assert said.code == 0, said.err
    few = nas("resume", "runs/mine", "--repeats", "4")
    assert few.code == 2 and "are of use from 16 trials on, and there are 2" in few.err
    apart_from = ("--storage", "sqlite:///a.db", "--name", "kept")
    said = nas("search", "tiny.yaml", *SHORT, "--workers", "0", "--trials", "2", *apart_from)
    assert said.code == 0, said.err
    kept = nas("resume", "runs/kept", "--storage", "sqlite:///a.db", "--trials", "16", "--repeats", "4")
    assert kept.code == 2 and "leave out --storage, or the repeats" in kept.err


def test_repeats_are_logged_by_their_name() -> None:
    trial = Trial(Candidate(3, {}, Cost(1, 1), "a"), TrialState.COMPLETE, 0.5)
    jobs = {None: "trial", "trial 1 again": "repeat", "trial 1, seed 0, epochs 3": "final"}
    assert [_name_kind(replace(trial, job=job)) for job in jobs] == [*jobs.values()]
