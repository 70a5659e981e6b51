"""Trials in this process. The trainings are fakes; the study is real."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from dying import Dying, start_driver
from fakes import (
    INFINITE,
    MISUSES,
    Fake,
    FakeTraining,
    GivesUp,
    breed,
    check_faults,
    check_infinite,
    check_misuse,
    check_speeds,
    infinite_faults,
    start,
)
from toys import total

from nas.deadline import TimeIsUp
from nas.execution.base import Attempt
from nas.execution.local import LocalExecutor
from nas.space import Choices
from nas.study.records import Candidate, TrialResult, TrialState
from nas.study.study import Study
from nas.training.base import EpochResult, Evaluator, EvaluatorError, FailureReason, Parent
from nas.workflows.observer import Observer


def test_local_runs_every_trial_and_tells_in_order(tmp_path: Path) -> None:
    s, heard = start(tmp_path, trials=4)
    LocalExecutor().run(s, Fake(tmp_path / "log"), heard)
    assert s.counts.complete == 4
    for trial in s.trials:
        assert trial.score == pytest.approx((total(trial.candidate.choices) + 0.25) * 0.03)
        assert list(trial.curve) == [1, 2, 3] and trial.curve[3] == trial.score
        assert trial.result == TrialResult(epochs=3, seconds=1.833333, loss=0.5, batch=64, images=300)
    check_speeds(s)
    assert heard.log[:5] == [("started", 0), (1, 0), (2, 0), (3, 0), ("complete", 0)]
    assert heard.kept == {t.number: (t.score, [float(t.number)] * 2) for t in s.trials}


def test_numbers_of_numpy_are_written_as_any(tmp_path: Path) -> None:
    """All that an evaluator may have computed by it."""

    class Numpy(FakeTraining):
        def epoch(self) -> EpochResult:
            one = super().epoch()
            return EpochResult(
                cast("int", np.int64(one.epoch)),
                cast("float", np.float32(0.5)),
                cast("float", np.float32(0.5)),
                cast("float", np.float32(2.0)),
                loss=cast("float", np.float32(0.25)),
                batch=cast("int", np.int32(64)),
                deviation=cast("float", np.float32(0.125)),
                images=cast("int", np.int64(100)),
                train_s=cast("float", np.float32(1.5)),
                start_s=cast("float", np.float32(0.5)),
            )

    class Evaluator(Fake):
        def __call__(self, choices: Choices, number: int, parent: Parent | None) -> FakeTraining:
            return Numpy(self, choices, number, parent)

    s, heard = start(tmp_path, trials=1)
    LocalExecutor().run(s, Evaluator(tmp_path / "log"), heard)
    (trial,) = start(tmp_path, trials=1)[0].trials
    assert trial == s.trials[0] and trial.curve == {1: 0.5, 2: 0.5, 3: 0.5}
    result = TrialResult(epochs=3, seconds=6.0, loss=0.25, batch=64, deviation=0.125, images=300)
    assert trial.result == result


def test_local_records_a_failure_and_goes_on(tmp_path: Path) -> None:
    s, heard = start(tmp_path, trials=5)
    LocalExecutor().run(s, Fake(tmp_path / "log", {1: "nan", 2: "bug"}), heard)
    check_faults(s, heard)


def test_local_ends_where_the_study_gives_up(tmp_path: Path) -> None:
    s, heard = start(tmp_path, trials=5, rules=[GivesUp()])
    LocalExecutor().run(s, Fake(tmp_path / "log", {1: "bug"}), heard)
    assert str(s.given_up) == "trial 1 failed"
    assert [t.state for t in s.trials] == [TrialState.COMPLETE, TrialState.FAILED]
    assert heard.log[-1] == ("failed", 1)
    resumed, heard = start(tmp_path, trials=5)
    LocalExecutor().run(resumed, Fake(tmp_path / "log"), heard)
    assert (resumed.counts.complete, resumed.counts.failed) == (4, 1)


def test_local_starts_from_a_parent_where_it_can(tmp_path: Path) -> None:
    s, heard = start(tmp_path, trials=6, inherit=breed)
    LocalExecutor().run(s, Fake(tmp_path / "log", {3: "barren", 5: "bug"}), heard)
    assert [t.result.parent for t in s.trials] == [None] * 4 + [3, None]  # the last has trained no epoch
    assert s.trials[3].result.not_inherited == "from trial 2: there is nothing"
    assert s.trials[5].state is TrialState.FAILED
    inherited = 100 + 3 + total(s.trials[3].candidate.choices)
    assert heard.kept[3][1] == [3.0, 3.0] and heard.kept[4][1] == [4.0 + inherited] * 2


def test_local_leaves_an_interrupted_trial_to_be_resumed(tmp_path: Path) -> None:
    class Interrupted(Observer):
        def epoch(self, candidate: Candidate, result: EpochResult) -> None:
            if candidate.number == 1:
                raise KeyboardInterrupt

    s, heard = start(tmp_path, trials=3)
    fake = Fake(tmp_path / "log")
    with pytest.raises(KeyboardInterrupt):
        LocalExecutor().run(s, fake, Interrupted())
    resumed, heard = start(tmp_path, trials=3)
    assert [t.state for t in resumed.trials] == [TrialState.COMPLETE, TrialState.RUNNING]
    LocalExecutor().run(resumed, fake, heard)
    assert fake.starts() == [0, 1, 1, 2] and resumed.counts.complete == 3


@pytest.mark.parametrize("fault", MISUSES)
def test_an_evaluator_that_is_none_ends_the_run(tmp_path: Path, fault: str) -> None:
    """Its trial stays running: with the evaluator mended it is trained again."""
    s, heard = start(tmp_path, trials=4)
    with pytest.raises(EvaluatorError) as error:
        LocalExecutor().run(s, Fake(tmp_path / "log", {1: fault}), heard)
    check_misuse(s, heard, fault, error.value)
    resumed, heard = start(tmp_path, trials=4)
    LocalExecutor().run(resumed, Fake(tmp_path / "log"), heard)
    assert resumed.counts.complete == 4 and resumed.trials[0] == s.trials[0]


def test_figures_that_are_not_finite_fail_a_trial(tmp_path: Path) -> None:
    s, heard = start(tmp_path, trials=len(INFINITE) + 3)
    LocalExecutor().run(s, Fake(tmp_path / "log", infinite_faults()), heard)
    check_infinite(s, heard)
    assert list(start(tmp_path, trials=1)[0].trials) == list(s.trials)


def test_weights_that_are_not_finite_fail_a_trial(tmp_path: Path) -> None:
    """Of whatever evaluator: those of a running variance too, though every score was finite."""
    s, heard = start(tmp_path, trials=2)
    LocalExecutor().run(s, Fake(tmp_path / "log", {0: "infinite weights"}), heard)
    failed, complete = s.trials
    assert str(failed.failure) == "nan_loss: stem.norm.running_var was not finite after epoch 3"
    assert complete.state is TrialState.COMPLETE and heard.of(0) == ["started", 1, 2, "failed"]


def test_weights_that_cannot_be_kept_fail_a_trial(tmp_path: Path) -> None:
    s, heard = start(tmp_path, trials=2)
    LocalExecutor().run(s, Fake(tmp_path / "log", {0: "no weights"}), heard)
    failed, complete = s.trials
    assert failed.failure is not None
    assert (failed.failure.reason, complete.state) == (FailureReason.ERROR, TrialState.COMPLETE)
    assert failed.result.epochs == 2 and heard.of(0) == ["started", 1, 2, "failed"]


@pytest.mark.slow
def test_a_network_that_kills_the_search_is_begun_twice(tmp_path: Path) -> None:
    codes = [start_driver(tmp_path, "is killed", "local:LocalExecutor").wait(60) for _ in range(3)]
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0]
    s, _ = start(tmp_path, trials=3)
    assert [str(trial.failure) for trial in s.trials] == [
        "worker_died: 2 times; the search died with it",
        "nan_loss: as told",
        "nan_loss: as told",
    ]
    assert Dying(tmp_path / "log").count_starts(0) == 2


def test_a_second_ctrl_c_leaves_no_death(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes while the try is taken back after the first."""

    class Stopping(Observer):
        def started(self, candidate: Candidate) -> None:
            raise KeyboardInterrupt

    s, _ = start(tmp_path, trials=1)
    note, noted = Study.note_deaths, []

    def break_off(study: Study, number: int, deaths: Mapping[str, int]) -> None:
        noted.append(dict(deaths))
        if len(noted) == 2:
            raise KeyboardInterrupt
        note(study, number, deaths)

    monkeypatch.setattr(Study, "note_deaths", break_off)
    with pytest.raises(KeyboardInterrupt):
        LocalExecutor().run(s, Fake(tmp_path / "log"), Stopping())
    assert noted == [{"process": 1}, {}, {}]
    assert not start(tmp_path, trials=1)[0].count_deaths(0)


def test_a_training_that_begins_anew_tells_again_what_it_began_from() -> None:
    """As one whose batch has no room does, with half of it."""

    class Anew:
        def __init__(self, *_: object) -> None:
            self.epochs = iter((1, 2, 1, 2))

        done = False

        def epoch(self) -> EpochResult:
            return EpochResult(next(self.epochs), 0.5, 0.5, 1.0)

        def state_dict(self) -> dict[str, object]:
            return {}

    attempt = Attempt(cast("Evaluator", Anew), {}, 0, Parent(3, {}, b""))
    steps = [attempt.step().epoch for _ in range(4)]
    assert [step and step.parent for step in steps] == [3, None, 3, None]


def test_a_stop_of_the_search_is_no_death(tmp_path: Path) -> None:
    """Ctrl-C and a time limit, as often as they come."""

    class Stopping(Observer):
        def started(self, candidate: Candidate) -> None:
            raise KeyboardInterrupt

    for _ in range(3):
        s, _ = start(tmp_path, trials=1)
        with pytest.raises(KeyboardInterrupt):
            LocalExecutor().run(s, Fake(tmp_path / "log"), Stopping())
    over: list[TimeIsUp] = []

    class Late(Observer):
        def epoch(self, candidate: Candidate, result: EpochResult) -> None:
            over.append(TimeIsUp())

    s, _ = start(tmp_path, trials=1, find_end=lambda: next(iter(over), None))
    LocalExecutor().run(s, Fake(tmp_path / "log"), Late())
    assert s.trials[0].is_running and list(s.trials[0].curve) == [1]
    s, heard = start(tmp_path, trials=1)
    assert not s.count_deaths(0)
    LocalExecutor().run(s, Fake(tmp_path / "log"), heard)
    assert s.counts.complete == 1
