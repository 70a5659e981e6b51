"""Runners: in this process, and on Ray. The trainings are fakes; studies, workers and clusters are real."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from clusters import Cluster, descendants, wait_until, works
from fakes import DATA, EPOCHS, Breeding, Fake, start
from toys import history

from nas.errors import InputError, NasError
from nas.execution.local import Events, run_local


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """Workers import the fakes from here."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))


def test_local_runs_every_trial_and_tells_in_order(tmp_path):
    s, heard = start(tmp_path, trials=4)
    run_local(s, Fake(tmp_path / "log"), DATA, heard)
    assert s.counts.complete == 4
    for record in s.records():
        assert record.score == pytest.approx((sum(record.candidate.choices.values()) + 0.25) * 0.03)
        assert list(record.scores) == [1, 2, 3] and record.scores[3] == record.score
        assert record.facts == {"seconds": 1.5, "loss": 1 / 3, "batch": 64}
    assert heard.log[:5] == [("started", 0), (1, 0), (2, 0), (3, 0), ("complete", 0)]
    assert heard.kept == {r.candidate.number: (r.score, [float(r.candidate.number)] * 2) for r in s.records()}


def check_faults(s, heard):
    assert [r.state for r in s.records()] == [
        "complete",
        "failed",
        "failed",
        *["complete"] * (s.counts.complete - 1),
    ]
    nan, bug = s.records()[1:3]
    assert nan.facts == {"reason": "nan_loss", "message": "the loss was nan in epoch 1"}
    assert bug.facts["reason"] == "error"
    assert bug.facts["message"].startswith("ValueError: a block went wrong (fakes.py:")
    assert heard.of(1) == ["started", "failed"]
    assert set(heard.kept) == {r.candidate.number for r in s.records() if r.state == "complete"}


def test_local_records_a_failure_and_goes_on(tmp_path):
    s, heard = start(tmp_path, trials=5)
    run_local(s, Fake(tmp_path / "log", {1: "nan", 2: "bug"}), DATA, heard)
    check_faults(s, heard)


def test_local_starts_from_a_parent_where_it_can(tmp_path):
    s, _ = start(tmp_path, trials=6)
    heard = Breeding(s)
    run_local(s, Fake(tmp_path / "log", {3: "barren", 5: "bug"}), DATA, heard)
    assert [r.facts.get("parent") for r in s.records()] == [None] * 4 + [3, 4]
    assert s.records()[3].facts["not_inherited"] == "from trial 2: there is nothing"
    assert s.records()[5].state == "failed"
    inherited = 100 + 3 + sum(s.records()[3].candidate.choices.values())
    assert heard.kept[3][1] == [3.0, 3.0] and heard.kept[4][1] == [4.0 + inherited] * 2


def test_local_leaves_an_interrupted_trial_to_be_resumed(tmp_path):
    class Interrupted(Events):
        def epoch(self, candidate, progress):
            if candidate.number == 1:
                raise KeyboardInterrupt

    s, heard = start(tmp_path, trials=3)
    fake = Fake(tmp_path / "log")
    with pytest.raises(KeyboardInterrupt):
        run_local(s, fake, DATA, Interrupted())
    resumed, heard = start(tmp_path, trials=3)
    assert [r.state for r in resumed.records()] == ["complete", "running"]
    run_local(resumed, fake, DATA, heard)
    assert fake.starts() == [0, 1, 1, 2] and resumed.counts.complete == 3


# On Ray


def test_ray_runs_what_local_runs_and_prints_nothing(tmp_path, capfd):
    """One worker: the same trials, parents and scores as in this process."""
    from nas.execution.ray_executor import Resources, run

    faults = {1: "nan", 2: "bug", 4: "barren"}
    s, _ = start(tmp_path, trials=6, sampler="evolution")
    heard = Breeding(s)
    fake = Fake(tmp_path / "log", faults)
    run(s, fake, DATA, heard, Resources(concurrency=1), epochs=EPOCHS)
    check_faults(s, heard)
    assert fake.starts() == [0, 1, 2, 3, 4, 5] and set(fake.threads()) == {1}
    assert heard.of(3) == ["started", 1, 2, 3, "complete"]
    assert heard.url.startswith("http://127.0.0.1:")
    assert capfd.readouterr() == ("", "")

    (tmp_path / "local").mkdir()
    local, _ = start(tmp_path / "local", trials=6, sampler="evolution")
    heard_locally = Breeding(local)
    run_local(local, Fake(tmp_path / "local" / "log", faults), DATA, heard_locally)
    assert history(s) == history(local)
    assert [r.facts for r in s.records()] == [r.facts for r in local.records()]
    assert [r.facts.get("parent") for r in s.records()] == [None, None, None, 2, None, 4]
    assert heard.kept == heard_locally.kept


def test_nothing_is_started_for_a_finished_study(tmp_path):
    from nas.execution.ray_executor import Resources, run

    s, heard = start(tmp_path, trials=0)
    run(s, Fake(tmp_path / "log"), DATA, heard, Resources(address="nowhere:1"), epochs=EPOCHS)


@pytest.mark.parametrize("address", ["127.0.0.1", "ray://127.0.0.1:10001", "127.0.0.1:", ":6379"])
def test_an_address_that_is_none(tmp_path, address):
    from nas.execution.ray_executor import Resources, run

    s, heard = start(tmp_path, trials=1)
    with pytest.raises(InputError) as error:
        run(s, Fake(tmp_path / "log"), DATA, heard, Resources(address=address), epochs=EPOCHS)
    assert str(error.value) == f"'{address}' is not a Ray address; write local, auto or host:port"


def unanswered(tmp_path, address):
    from nas.execution.ray_executor import Resources, run

    s, heard = start(tmp_path, trials=1)
    started = time.monotonic()
    with pytest.raises(InputError) as error:
        run(s, Fake(tmp_path / "log"), DATA, heard, Resources(address=address), epochs=EPOCHS)
    assert str(error.value) == (
        f"no Ray cluster answers at address '{address}'; start one with `ray start --head`, or start "
        "Ray here with --address local"
    )
    return time.monotonic() - started


def test_an_address_that_does_not_answer(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert unanswered(tmp_path, f"127.0.0.1:{free.getsockname()[1]}") < 5


@pytest.mark.slow
def test_an_address_where_something_else_answers(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert unanswered(tmp_path, f"127.0.0.1:{other.getsockname()[1]}") < 20


def test_an_unknown_scheduler(tmp_path):
    from nas.execution.ray_executor import Resources

    with pytest.raises(InputError) as error:
        Resources(scheduler="hyperbnd")
    assert str(error.value) == "unknown scheduler 'hyperbnd'; did you mean 'hyperband'?"


def test_brackets_of_hyperband():
    """Of 27 epochs: rungs at 1, 3 and 9, at 3 and 9, at 9, none; 27 is the end. A trial's number decides."""
    from ray.tune.schedulers import TrialScheduler

    from nas.execution.ray_executor import _hyperband

    def first_rung(number):
        """Among good trials a poor one stops at the first rung of its bracket, if it has one."""
        scheduler = _hyperband(27)
        trials = [SimpleNamespace(trial_id=str(i), config={"number": number}) for i in range(4)]
        for trial, score in zip(trials, (0.9, 0.9, 0.9, 0.1), strict=True):
            scheduler.on_trial_add(None, trial)
            for epoch in range(1, 27):
                result = {"epoch": epoch, "score": score}
                if scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP:
                    break
            else:
                epoch = None
        return epoch

    found = [first_rung(number) for number in range(400)]
    assert found == [first_rung(number) for number in range(400)]
    # exp(-s) of bracket s, as Ray has it: 0.644, 0.237, 0.087, 0.032 of 400, each within three deviations
    assert 228 < found.count(1) < 287 and 69 < found.count(3) < 121 and 17 < found.count(9) < 52
    assert 2 < found.count(None) < 24 and len(set(found)) == 4


def test_hyperband_leaves_the_global_random_state():
    from nas.execution.ray_executor import _hyperband

    state = np.random.get_state()[1].tolist()
    _hyperband(4).on_trial_add(None, SimpleNamespace(trial_id="0", config={"number": 3}))
    assert np.random.get_state()[1].tolist() == state


@pytest.mark.slow
def test_a_trial_survives_the_death_of_its_worker_but_not_of_every_worker(tmp_path, capfd):
    from nas.execution.ray_executor import Resources, run

    s, heard = start(tmp_path, trials=4)
    fake = Fake(tmp_path / "log", {1: "dies", 2: "dies once"})
    run(s, fake, DATA, heard, Resources(max_failures=2), epochs=EPOCHS)
    assert capfd.readouterr() == ("", "")
    assert sorted(fake.starts()) == [0, 1, 1, 1, 2, 2, 3]
    assert heard.of(2) == ["started", "started", 1, 2, 3, "complete"]
    died = s.records()[1]
    assert died.facts["reason"] == "worker_died"
    assert died.facts["message"].startswith("3 times; ")
    assert s.counts.complete == 3


@pytest.mark.slow
def test_asha_prunes_the_poor(tmp_path):
    """Nine trials on one worker: the first and every new best go on, the rest stops after epoch 1."""
    from nas.execution.ray_executor import Resources, run

    s, heard = start(tmp_path, trials=9)
    run(s, Fake(tmp_path / "log"), DATA, heard, Resources(concurrency=1, scheduler="asha"), epochs=EPOCHS)
    assert s.counts.complete + s.counts.pruned == 9 and s.counts.pruned >= 3
    for record in s.records():
        if record.state == "pruned":
            assert record.facts["fidelity"] == 1 and list(record.scores) == [1]
            assert record.score is None and record.candidate.number not in heard.kept
        else:
            assert list(record.scores) == [1, 2, 3]
    first = [r.scores[1] for r in s.records()]
    assert s.records()[first.index(max(first))].state == "complete"


@pytest.mark.slow
def test_hyperband_prunes_some(tmp_path):
    """Of 3 epochs: trials 2, 3, 4, ... are in the bracket with a rung at 1, or in the one without."""
    from nas.execution.ray_executor import Resources, run

    s, heard = start(tmp_path, trials=14, sampler="predictor")
    run(
        s, Fake(tmp_path / "log"), DATA, heard, Resources(concurrency=1, scheduler="hyperband"), epochs=EPOCHS
    )
    assert s.counts.complete + s.counts.pruned == 14 and s.counts.pruned >= 2
    for record in s.records():
        if record.state == "pruned":
            assert record.facts["fidelity"] == 1 and list(record.scores) == [1] and record.score is None
        else:
            assert list(record.scores) == [1, 2, 3]
    assert {r.state for r in s.best(14)} == {"complete"}


@pytest.mark.slow
def test_trials_that_no_node_has_room_for(tmp_path):
    from nas.execution.ray_executor import Resources, run

    s, heard = start(tmp_path, trials=1)
    resources = Resources(cpus_per_trial=512, gpus_per_trial=1)
    with pytest.raises(InputError) as error:
        run(s, Fake(tmp_path / "log"), DATA, heard, resources, epochs=EPOCHS)
    assert str(error.value).startswith(
        "a trial asks for 512 CPUs and 1 GPUs, and no node of the Ray cluster has that ("
    )
    assert str(error.value).endswith("); lower --cpus-per-trial or --gpus-per-trial")
    assert s.records() == []


@pytest.mark.slow
def test_an_error_of_a_listener_ends_the_run_as_it_is(tmp_path):
    from nas.execution.ray_executor import Resources, run

    class Full(Events):
        def weights(self, candidate, score, weights):
            raise OSError(28, "No space left on device")

    s, _ = start(tmp_path, trials=3)
    with pytest.raises(OSError, match="No space left on device"):
        run(s, Fake(tmp_path / "log"), DATA, Full(), Resources(), epochs=EPOCHS)
    assert {r.state for r in s.records()} == {"running"}


_DRIVER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from fakes import DATA, EPOCHS, Fake, start
from nas.execution.ray_executor import Resources, run
if __name__ == "__main__":
    folder = Path(sys.argv[2])
    study, heard = start(folder, trials=40)
    try:
        run(study, Fake(folder / "log", epoch_s=0.3), DATA, heard, Resources(), epochs=EPOCHS)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_driver_leaves_no_process_and_a_ledger_to_resume(tmp_path, kill):
    command = [sys.executable, "-c", _DRIVER, str(Path(__file__).parents[1]), str(tmp_path)]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    fake = Fake(tmp_path / "log")
    wait_until(lambda: len(fake.starts()) >= 5, 120)
    workers = descendants(driver.pid)
    stopped = time.monotonic()
    driver.send_signal(kill)
    said, _ = driver.communicate(timeout=30)
    assert time.monotonic() - stopped < 10
    assert said == ("interrupted\n" if kill == signal.SIGINT else "")
    wait_until(lambda: not any(map(works, workers)), timeout_s=20)
    s, heard = start(tmp_path, trials=7)
    before = [r for r in s.records() if r.state == "complete"]
    assert before and s.counts.failed == 0 and 1 <= s.counts.running <= os.cpu_count()
    run_local(s, fake, DATA, heard)
    assert s.counts.complete == len(s.records())
    assert [r for r in s.records() if r in before] == before
    assert all(fake.starts().count(r.candidate.number) == 1 for r in before)


@pytest.mark.slow
def test_workers_that_cannot_start_end_the_run(tmp_path, monkeypatch):
    from nas.execution.ray_executor import Resources, run

    monkeypatch.delenv("PYTHONPATH")
    s, heard = start(tmp_path, trials=3)
    with pytest.raises(NasError) as error:
        run(s, Fake(tmp_path / "log"), DATA, heard, Resources(), epochs=EPOCHS)
    assert str(error.value) == (
        "a worker cannot start: ModuleNotFoundError: No module named 'fakes'; every node needs nas, "
        "and the modules that the search uses"
    )
    assert {r.state for r in s.records()} == {"running"}


@pytest.mark.slow
def test_a_dead_node_fails_no_trial(tmp_path):
    """A head without CPUs for trials and two nodes; the raylet of trial 3 is killed while it trains."""
    from nas.execution.ray_executor import Resources, run

    s, heard = start(tmp_path, trials=8)
    fake = Fake(tmp_path / "log", {3: "node dies once"}, epoch_s=0.3)
    with Cluster(tmp_path / "ray") as cluster:
        cluster.node(cpus=1)
        cluster.node(cpus=1)
        run(s, fake, DATA, heard, Resources(address=cluster.address, max_failures=1), epochs=EPOCHS)
    assert s.counts.complete == 8
    assert set(heard.kept) == set(range(8))
    assert fake.starts().count(3) == 2


@pytest.mark.slow
def test_a_cluster_with_another_token_refuses(tmp_path, monkeypatch):
    from nas.execution.ray_executor import Resources, run

    with Cluster(tmp_path / "ray") as cluster:
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
        s, heard = start(tmp_path, trials=1)
        with pytest.raises(InputError) as error:
            run(s, Fake(tmp_path / "log"), DATA, heard, Resources(address=cluster.address), epochs=EPOCHS)
    assert str(error.value) == (
        f"the Ray cluster at address '{cluster.address}' refuses this machine's token; copy "
        "~/.ray/auth_token from its head node, or set RAY_AUTH_TOKEN"
    )
