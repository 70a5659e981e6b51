"""Trials on a Ray that all tests here share. The trainings are fakes; studies and workers are real."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dying import Dying
from fakes import (
    EPOCHS,
    INFINITE,
    MISUSES,
    Fake,
    Heard,
    breed,
    check_infinite,
    check_misuse,
    infinite_faults,
    start,
)
from toys import ToySpace, asked

from nas.errors import InputError
from nas.execution.local import LocalExecutor
from nas.study.pruning import PRUNERS, find_pruner
from nas.study.records import Candidate, TrialState
from nas.study.study import Study
from nas.training.base import EvaluatorError, Failure, FailureReason
from nas.workflows.observer import Observer

if TYPE_CHECKING:
    from nas.execution.ray_executor import RayExecutor

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_ray")]


@pytest.fixture(scope="module")
def one_ray() -> Iterator[None]:
    """Ray, whose workers import the fakes from here."""
    from nas.execution.ray_start import keep_ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        with keep_ray("local", dashboard=False):
            yield


def make_executor(**options: Any) -> RayExecutor:
    from nas.execution.ray_executor import RayExecutor

    return RayExecutor(dashboard=False, **options)


def test_a_trial_survives_the_death_of_its_worker_but_not_of_every_worker(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    s, heard = start(tmp_path, trials=4)
    fake = Fake(tmp_path / "log", {1: "dies", 2: "dies once"})
    make_executor().run(s, fake, heard)
    assert capfd.readouterr() == ("", "")
    assert sorted(fake.starts()) == [0, 1, 1, 2, 2, 3]
    assert heard.of(2) == ["started", "started", 1, 2, 3, "complete"]
    died = s.trials[1]
    assert died.failure is not None and died.failure.reason is FailureReason.WORKER_DIED
    assert died.failure.message == (
        "2 times; its process was killed by SIGKILL, as a system does where memory is full, or ended itself "
        "by os._exit"
    )
    assert s.counts.complete == 3


def test_a_death_on_ray_counts_after_a_resume(tmp_path: Path) -> None:
    """The driver died after a first death, or before it could tell of the second."""
    s, _ = start(tmp_path, trials=3)
    for deaths in ({"process": 1}, {"process": 2, "machine": 1}, {"machine": 4}):
        s.note_deaths(asked(s).number, deaths)
    s, heard = start(tmp_path, trials=3)
    fake = Fake(tmp_path / "log", {0: "dies", 1: "dies", 2: "dies once"})
    make_executor().run(s, fake, heard)
    first, second, third = s.trials
    assert first.failure is not None and first.failure.message.startswith("2 times; its process was killed")
    assert str(second.failure) == "worker_died: 3 times; the search died with it"
    assert heard.of(1) == ["failed"]
    assert third.state is TrialState.COMPLETE
    assert sorted(fake.starts()) == [0, 2, 2]


def test_tune_writes_no_weights_into_the_texts_that_it_makes_of_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes two of each, for lines of its log that nobody sees."""
    from nas.execution.ray_trials import Controller

    texts = []
    process = Controller._process_trial_results

    def note(controller: Controller, trial: Any, results: list[Any]) -> None:
        texts.append(f"{results}")
        process(controller, trial, results)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(Controller, "_process_trial_results", note)
    s, heard = start(tmp_path, trials=2)
    make_executor(concurrency=1).run(s, Fake(tmp_path / "log"), heard)
    assert len(texts) == 2 * EPOCHS and sum("SentWeights" in text for text in texts) == 2
    assert not any('"dtype":"F32"' in text for text in texts)  # the head of a file of weights
    assert set(heard.kept) == {0, 1}


def test_a_mailbox_that_dies_costs_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory is full Ray may end it, before a worker has taken what was sent."""
    import ray

    from nas.execution.ray_mailbox import Post

    sent: list[tuple[int, str]] = []
    send = Post.send

    def kill_first(post: Post, number: int, letter: Any) -> str:
        name = send(post, number, letter)
        if not sent:
            ray.kill(ray.get_actor(name))
        sent.append((number, name))
        return name

    monkeypatch.setattr(Post, "send", kill_first)
    s, heard = start(tmp_path, trials=6, sampler="evolution", inherit=breed)
    make_executor(concurrency=1).run(s, Fake(tmp_path / "log"), heard)
    local_folder = tmp_path / "local"
    local_folder.mkdir()
    local, heard_locally = start(local_folder, trials=6, sampler="evolution", inherit=breed)
    LocalExecutor().run(local, Fake(tmp_path / "log"), heard_locally)
    assert list(s.trials) == list(local.trials) and heard.kept == heard_locally.kept
    assert [number for number, _ in sent] == [3, 3, 4, 5]
    assert len({name for _, name in sent}) == 2 and sent[1][1] == sent[3][1] != sent[0][1]
    assert dict(s.count_deaths(3)) == {"machine": 1}


def test_a_trial_that_hangs_is_ended_on_ray(tmp_path: Path) -> None:
    """Even one that holds Python's lock; its epochs are kept, and it is not begun again."""
    s, heard = start(tmp_path, trials=3)
    dying = Dying(tmp_path / "log", {1: "hangs in C"}, limit_s=1)
    make_executor(concurrency=1).run(s, dying, heard)
    failures = [trial.failure for trial in s.trials]
    assert failures[1] == Failure(FailureReason.TIMEOUT, "1 s were over in epoch 2, which did not end")
    assert [failure and failure.reason for failure in failures[::2]] == [FailureReason.NAN_LOSS] * 2
    assert [list(trial.curve) for trial in s.trials] == [[1]] * 3 and heard.of(1) == ["started", 1, "failed"]


def test_a_worker_that_dies_late_has_not_run_out_of_time(tmp_path: Path) -> None:
    """Its preparation has a time of its own: together they took longer than one may."""
    s, heard = start(tmp_path, trials=1)
    late = Dying(tmp_path / "log", {0: "is killed in a while"}, {0: "takes a while"}, limit_s=1)
    make_executor(concurrency=1).run(s, late, heard)
    failure = s.trials[0].failure
    assert failure is not None and failure.reason is FailureReason.WORKER_DIED
    assert failure.message.startswith("2 times; its process was killed by SIGKILL")


def test_a_worker_that_ends_itself(tmp_path: Path) -> None:
    """It is tried twice, and its failure says by which exit code, or signal and where. One that was asked to
    end is tried again."""
    deaths = {
        "raises SystemExit": "2 times; its process ended with exit code 3",
        "segfaults": "2 times; its process was ended by SIGSEGV (dying.py:",
    }
    s, heard = start(tmp_path, trials=len(deaths) + 1)
    asked = "is asked to end, then is asked to end, then lives"
    make_executor().run(s, Dying(tmp_path / "log", dict(enumerate([*deaths, asked]))), heard)
    *died, lived = s.trials
    assert str(lived.failure) == "nan_loss: as told" and heard.of(lived.number).count("started") == 3
    for trial, words in zip(died, deaths.values(), strict=True):
        assert trial.failure is not None and trial.failure.reason is FailureReason.WORKER_DIED
        assert trial.failure.message.startswith(words) and "\n" not in trial.failure.message
        assert list(trial.curve) == [1] and trial.result.epochs == 1
        assert heard.of(trial.number) == ["started", 1, "started", 1, "failed"]


@pytest.mark.parametrize("name", [*PRUNERS, "optuna.pruners:MedianPruner"])
def test_ray_prunes_what_local_prunes(tmp_path: Path, name: str) -> None:
    def opened(folder: Path) -> tuple[Study, Heard]:
        folder.mkdir()
        pruner = find_pruner(name)(EPOCHS)
        return start(folder, trials=14, space=ToySpace(layers=8), pruner=pruner)

    s, heard = opened(tmp_path / "ray")
    make_executor(concurrency=1).run(s, Fake(tmp_path / "log"), heard)
    local, heard_locally = opened(tmp_path / "local")
    LocalExecutor().run(local, Fake(tmp_path / "log"), heard_locally)
    assert s.counts.complete + s.counts.pruned == 14 and s.counts.pruned >= 2
    assert list(s.trials) == list(local.trials)
    assert (heard.log, heard.kept) == (heard_locally.log, heard_locally.kept)


def test_many_workers_prune_too(tmp_path: Path) -> None:
    s, heard = start(tmp_path, trials=12, space=ToySpace(layers=8), pruner=find_pruner("asha")(EPOCHS))
    make_executor().run(s, Fake(tmp_path / "log"), heard)
    assert s.counts.complete + s.counts.pruned == 12 and s.counts.pruned >= 2
    for trial in s.trials:
        pruned = trial.state is TrialState.PRUNED
        assert list(trial.curve) == ([1] if pruned else [1, 2, 3])
        assert (trial.score is None, trial.number not in heard.kept) == (pruned, pruned)


@pytest.mark.parametrize("fault", MISUSES)
def test_an_evaluator_that_is_none_ends_the_run_on_ray(tmp_path: Path, fault: str) -> None:
    s, heard = start(tmp_path, trials=4)
    with pytest.raises(EvaluatorError) as error:
        make_executor(concurrency=1).run(s, Fake(tmp_path / "log", {1: fault}), heard)
    check_misuse(s, heard, fault, error.value)


def test_an_evaluator_that_cannot_be_sent_ends_the_run(tmp_path: Path) -> None:
    s, heard = start(tmp_path, trials=2)
    fake = Fake(tmp_path / "log")
    fake.lock = threading.Lock()  # type: ignore[attr-defined]
    worker: Any = importlib.import_module("ray._private.worker")
    with pytest.raises(EvaluatorError) as error:
        make_executor().run(s, fake, heard)
    assert str(error.value) == (
        "evaluator fakes.py:fake: cannot be sent to workers (TypeError: cannot pickle '_thread.lock' object)"
        "; let it make what it holds where it trains, or train in this process by --workers 0 --in-process"
    )
    assert s.trials == []
    # what Ray does at its next start, where it would be sent again
    assert not [hook for hook in worker._post_init_hooks if "_ParameterRegistry" in repr(hook)]


def test_figures_that_are_not_finite_fail_a_trial_on_ray(tmp_path: Path) -> None:
    s, heard = start(tmp_path, trials=len(INFINITE) + 3)
    make_executor().run(s, Fake(tmp_path / "log", infinite_faults()), heard)
    check_infinite(s, heard)


def test_trials_that_no_node_has_room_for(tmp_path: Path) -> None:
    s, heard = start(tmp_path, trials=1)
    with pytest.raises(InputError) as error:
        make_executor(cpus_per_trial=512, gpus_per_trial=1).run(s, Fake(tmp_path / "log"), heard)
    assert str(error.value).startswith(
        "a trial asks for 512 CPUs and 1 GPUs, and no node of the Ray cluster has that ("
    )
    assert str(error.value).endswith("); lower --cpus-per-trial or --gpus-per-trial")
    assert s.trials == []


def test_an_error_of_a_listener_ends_the_run_as_it_is(tmp_path: Path) -> None:
    class Full(Observer):
        def trained(self, candidate: Candidate, score: float, weights: bytes) -> None:
            raise OSError(28, "No space left on device")

    s, _ = start(tmp_path, trials=3)
    with pytest.raises(OSError, match="No space left on device"):
        make_executor().run(s, Fake(tmp_path / "log"), Full())
    assert {t.state for t in s.trials} == {TrialState.RUNNING}
