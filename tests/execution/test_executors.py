"""An executor is one class and its row in the table: everything else finds it there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast
from unittest.mock import patch

import pytest
from command_line import nas as command
from fakes import Fake, GivesUp, start
from instant import Instant, config
from toys import ToySpace

import nas
from nas.errors import NasError
from nas.execution import EXECUTORS, ExecutorRow, keep_ready, make_executor
from nas.execution.base import Attempt, Executor, TrialObserver, TrialQueue, ask_for_trial, tell
from nas.execution.child import ChildExecutor
from nas.execution.config import ExecutorConfig
from nas.execution.local import LocalExecutor
from nas.runs.state import RunState
from nas.space import Choices, Space
from nas.study.ledger import Ledger
from nas.study.queue import FixedQueue, Job, NetworkKey
from nas.study.records import Candidate, TrialState
from nas.study.storage import claim_storage
from nas.training.base import Evaluator
from nas.workflows.observer import Observer

STEPS: list[int] = []
"""The trial of each epoch."""


class TurnsExecutor:
    """An executor of a test: so many trials at a time in this process, an epoch of each in turn."""

    def __init__(self, trials: int) -> None:
        self._trials = trials

    def run(self, queue: TrialQueue, evaluator: Evaluator, observer: TrialObserver) -> None:
        going: list[tuple[Candidate, Attempt]] = []
        while True:
            while len(going) < self._trials and (one := ask_for_trial(queue, observer)) is not None:
                observer.started(one)
                going.append((one, Attempt(evaluator, one.choices, one.number, queue.find_parent(one))))
            if queue.given_up or not going:
                return
            one, attempt = going.pop(0)
            STEPS.append(one.number)
            if tell(queue, observer, one, attempt.step(), attempt.dump_weights):
                going.append((one, attempt))

    def check_cluster(self) -> str:
        return f"Turns: {self._trials} trials at a time."


ROW = ExecutorRow(
    is_chosen=lambda config: config.address == "turns",
    make=lambda config, *_: TurnsExecutor(config.workers or 1),
    addresses=("turns",),
)


@pytest.fixture
def turns() -> Iterator[None]:
    STEPS.clear()
    with patch.dict(EXECUTORS, {"turns": ROW, **EXECUTORS}, clear=True):
        yield


class Heard(Observer):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def noted(self, text: str) -> None:
        self.notes.append(text)

    def doing(self, what: str) -> None:
        self.notes.append(what)


@pytest.mark.usefixtures("tiny_folder", "turns")
def test_a_search_and_its_finalists_are_trained_by_one_that_is_added() -> None:
    heard = Heard()
    settings = config(address="turns", workers=2, trials=4, finalists=1, final_epochs=3, final_seeds=1)
    result = nas.search(settings, heard, evaluator=Instant(epochs=2), name="mine")
    assert [0, 1, 0, 1, 2, 3, 2, 3, *3 * [0]] == STEPS
    joined = heard.notes.index("Joining the cluster at turns")
    assert heard.notes[joined + 1] == "Turns: 2 trials at a time."
    trials = [*result.state.trials, *result.state.finals]
    assert [trial.state for trial in trials] == 5 * [TrialState.COMPLETE]
    assert command("resume", "runs/mine").err.endswith("go on with: nas resume runs/mine --address turns\n")


@pytest.mark.usefixtures("tiny_folder", "turns")
def test_the_command_line_names_it_by_its_address() -> None:
    said = command(
        "search", "tiny.yaml", "--address", "turns", "--workers", "2", "--trials", "2", "--name", "mine",
        "--epochs", "1", "--max-images", "100", "--finalists", "0",
    )  # fmt: skip
    assert said.code == 0, said
    assert "Turns: 2 trials at a time." in said.out
    assert STEPS == [0, 1] and len(RunState.load(Path("runs/mine")).best(2)) == 2


def test_trials_under_way_stay_running_where_the_study_gives_up(tmp_path: Path) -> None:
    s, heard = start(tmp_path, trials=5, rules=[GivesUp()])
    TurnsExecutor(2).run(s, Fake(tmp_path / "log", {0: "bug"}), heard)
    assert [t.state for t in s.trials] == [TrialState.FAILED, TrialState.RUNNING]
    assert s.given_up and s.ask() is None and s.remaining == 3


def test_trainings_that_are_decided_beforehand_are_given_up_too(tmp_path: Path) -> None:
    space, point = cast("Space", ToySpace()), cast("Choices", {"depth": 2, "w0": 1, "w1": 2})
    jobs = [Job(NetworkKey("net", seed), space, point, "fake") for seed in range(3)]
    queue = FixedQueue(jobs, Ledger(claim_storage(None), "fixed"), [GivesUp()])
    LocalExecutor().run(queue, Fake(tmp_path / "log", {1: "bug"}), Observer())
    assert str(queue.given_up) == "trial 1 failed"
    assert [t.state for t in queue.trials] == [TrialState.COMPLETE, TrialState.FAILED]


class EndsAfter(Observer):
    """Has an end for a queue after so many epochs."""

    def __init__(self, epochs: int) -> None:
        self._left = epochs

    def epoch(self, candidate: Candidate, result: nas.EpochResult) -> None:
        self._left -= 1

    def find_end(self) -> NasError | None:
        return None if self._left > 0 else NasError("that will do")


@pytest.mark.parametrize(
    ("executor", "curves"),
    [(LocalExecutor(), [3, 1]), (ChildExecutor(), [3, 1]), (TurnsExecutor(2), [2, 2])],
    ids=["local", "child", "turns"],
)
def test_an_end_is_asked_for_between_epochs(tmp_path: Path, executor: Executor, curves: list[int]) -> None:
    """What is trained counts, and the rest is resumed."""
    ends, fake = EndsAfter(4), Fake(tmp_path / "log")
    s, _ = start(tmp_path, trials=5, find_end=ends.find_end)
    executor.run(s, fake, ends)
    assert str(s.given_up) == "that will do" and s.ask() is None
    assert [len(trial.curve) for trial in s.trials] == curves
    assert [trial.is_running for trial in s.trials] == [epochs < 3 for epochs in curves]
    resumed, heard = start(tmp_path, trials=5)
    LocalExecutor().run(resumed, fake, heard)
    assert resumed.counts.complete == 5 and resumed.given_up is None


@pytest.mark.parametrize("trials", [1, 2])
def test_an_end_begins_no_trial_and_is_none_where_all_are_trained(tmp_path: Path, trials: int) -> None:
    ends = EndsAfter(3)
    s, _ = start(tmp_path, trials=trials, find_end=ends.find_end)
    LocalExecutor().run(s, Fake(tmp_path / "log"), ends)
    assert [trial.state for trial in s.trials] == [TrialState.COMPLETE]
    assert (s.given_up is None) == (trials == 1)


@pytest.mark.usefixtures("turns")
def test_the_others_are_chosen_as_before() -> None:
    child, local = ExecutorConfig(workers=0), ExecutorConfig(workers=0, in_process=True)
    assert isinstance(make_executor(child, 0), ChildExecutor)
    assert isinstance(make_executor(local, 0), LocalExecutor)
    with keep_ready(ExecutorConfig(address="turns")) as begin:
        begin()  # there is nothing to begin


def test_the_setting_lists_the_addresses_of_the_table() -> None:
    setting = ExecutorConfig.settings()["address"]
    for address in (address for row in EXECUTORS.values() for address in row.addresses):
        assert address in setting.kind.rule and f"`{address}`" in setting.option.help
