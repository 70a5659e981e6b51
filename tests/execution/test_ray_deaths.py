"""What Ray's memory monitor reports of the workers that it ends, in the words of several of its versions, and
when their trials begin anew."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes import Fake, Heard, start

from nas.deadline import TimeIsUp
from nas.study.records import Candidate, Trial, TrialState
from nas.training.base import Parent

if TYPE_CHECKING:
    from nas.execution.ray_trials import Trials

ONE, TWO = "40a637cd90670fe7c9029e2701000000", "e63fc9d4f9092f1b7239e68801000000"
"""Actors, whose processes are 101 and 102."""
FULL = "Ray ended its process, as the memory of its machine was nearly full"


REPORTS = {
    "2.50": """\
Task was killed due to the node running low on memory.
Memory on the node (IP: ::1, ID: 59) where the lease (lease ID: 01, name=Worker.__init__, pid=101, \
memory used=0.35GB) was running was 51.33GB / 54.00GB (0.950537), which exceeds the memory usage threshold \
of 0.95. Ray killed this worker (ID: ad) because it was the most recently scheduled task; to see more \
information about memory usage on this node, use `ray logs raylet.out -ip ::1`. Top 10 memory users:
{table}
Refer to the documentation""",
    "one line": """\
1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: ::1, ID: 59) was \
51.33GB / 54.00GB (0.950537), which exceeds the memory usage threshold of 0.950000; Ray killed 1 worker(s) \
based on the killing policy: [{workers}]; To see more information about memory usage on this node, use `ray \
logs raylet.out -ip ::1`; Top 10 memory users: {table}, Refer to the documentation""",
    "2.60": """\
1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: ::1, ID: 59) was \
51.33GB used / 54.00GB limit (0.950537)
OOM kill reason: Memory usage 55114990387B exceeded threshold of 55083022746B (95.0% of 57982058496B limit)
Ray killed 1 worker(s) based on the killing policy
Considered workers: [
{workers}
]
To see more information about memory usage on this node, use `ray logs raylet.out -ip ::1`
Top 10 memory users: {table}
Refer to the documentation""",
}
_KILLED = (
    "({what}: job ID=01, required resources={{CPU: 1}}, pid={pid}, actual memory used=0.35GB, worker ID=b)"
)
KILLED = {
    "none": [_KILLED.format(what="Task", pid=101)],
    "one": [_KILLED.format(what=f"Actor({ONE})", pid=101)],
    "two": [_KILLED.format(what=f"Actor({name})", pid=pid) for name, pid in ((TWO, 102), (ONE, 101))],
}


def report(form: str, used: str, killed: str = "one", actor: str = ONE) -> str:
    """What Tune writes of an actor. `used`: the processes of a machine as `PID GB COMMAND, ...`."""
    by = ", " if form == "one line" else "\n"
    rows = ["\t".join(row.split(maxsplit=2)) for row in used.split(", ")]
    before = "" if form == "one line" else "Selected to kill: "
    told = REPORTS[form].format(
        table=by.join(["PID\tMEM(GB)\tCOMMAND", *rows]),
        workers=by.join(before + worker for worker in KILLED[killed]),
    )
    name = f"actor_id: {actor}\n" if actor else ""
    return f"Failure # 1 (occurred at 2026-12-01_03-18-56)\n{name}{told}"


GREATEST = "101 3.93 ray::mine/0000 6.00K epoch 1, 102 0.35 ray::mine/0001 6.00K epoch 1"
SMALLER = "102 3.93 ray::mine/0001 6.00K epoch 1, 101 0.35 ray::mine/0000 6.00K epoch 1"


@pytest.mark.parametrize("form", ["2.50", "one line", "2.60"])
@pytest.mark.parametrize(
    ("used", "killed", "is_crowded"),
    [
        (GREATEST, "one", False),
        (SMALLER, "one", True),
        (GREATEST, "two", False),
        (SMALLER, "two", True),
        (f"7 9.50 postgres, 8 4.01 python -m nas search, {GREATEST}", "one", False),
        (f"7 9.50 postgres, {SMALLER}", "one", True),
        ("7 9.50 postgres, 102 3.93 ray::mine/0001", "one", True),  # it is not among the first ten
        ("7 9.50 postgres, 101 3.93 ray::mine/0000", "one", False),
    ],
)
def test_the_worker_that_had_the_most_is_to_blame(
    form: str, used: str, killed: str, is_crowded: bool
) -> None:
    from nas.execution.ray_deaths import describe_death, is_crowded_out

    told = report(form, used, killed)
    assert is_crowded_out(told, has_begun=True) == is_crowded
    assert is_crowded_out(told, has_begun=False)  # whoever has trained nothing has not allocated it
    limit = "51.33GB used / 54.00GB limit" if form == "2.60" else "51.33GB / 54.00GB"
    assert describe_death(told) == f"{FULL}, {limit}, and Ray allows 95.0% of it"


@pytest.mark.parametrize("form", ["one line", "2.60"])
def test_one_of_two_that_were_ended_at_once_is_to_blame(form: str) -> None:
    from nas.execution.ray_deaths import is_crowded_out

    assert is_crowded_out(report(form, GREATEST, "two", actor=TWO), has_begun=True)
    assert not is_crowded_out(report(form, SMALLER, "two", actor=TWO), has_begun=True)


@pytest.mark.parametrize(
    "told",
    [
        report("2.60", GREATEST, "none", actor=""),
        report("one line", GREATEST, "none"),
        "actor_id: 40a6\nOutOfMemoryError: in words of another version",
    ],
)
def test_a_report_that_does_not_tell_who_it_was_blames_nobody(told: str) -> None:
    from nas.execution.ray_deaths import describe_death, is_crowded_out

    assert is_crowded_out(told, has_begun=True)
    assert describe_death(told).startswith(FULL)


def test_what_is_no_end_by_the_monitor() -> None:
    from nas.execution.ray_deaths import is_crowded_out

    assert not is_crowded_out(
        f"actor_id: {ONE}\nThe actor died: its worker process has died.", has_begun=False
    )


def test_a_training_in_several_processes_tells_of_it_in_the_same_words() -> None:
    """Its other workers fail by it too, and the last line of Ray's report is none of the reason."""
    from nas.execution.ray_train import _name_cause

    # isort: split
    from ray.exceptions import OutOfMemoryError
    from ray.train import WorkerGroupError
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

    full = OutOfMemoryError(report("2.60", GREATEST, actor=""))  # type: ignore[no-untyped-call]
    failures = {
        0: RuntimeError("Connection closed by peer"),
        1: WorkerHealthCheckFailedError("A worker health check failed.", full),
    }
    words = FULL.replace("its process", "a process")
    told = f"{words}, 51.33GB used / 54.00GB limit, and Ray allows 95.0% of it"
    assert _name_cause(WorkerGroupError("[Rank 0]: ...\nSee the logs", failures)) == told
    assert _name_cause(full) == told  # of what is on the driver's node
    del failures[1]
    assert _name_cause(WorkerGroupError("torch.OutOfMemoryError: CUDA\nSee the logs", failures)) == (
        "See the logs"
    )


class Handle:
    """Takes an attribute, as the handle of an actor does."""


def open_trials(tmp_path: Path, slots: int, trials: int, **options: Any) -> tuple[Trials, Heard]:
    from nas.execution.ray_metrics import MeteredObserver
    from nas.execution.ray_trials import Trials
    from nas.execution.ray_watch import Watch

    s, heard = start(tmp_path, trials=trials, **options)
    metered = MeteredObserver(heard, s, {"run": "mine", "sampler": ""}, "192.0.2.2")
    watch = Watch("192.0.2.2:1", "192.0.2.2:2", "", lambda: None)
    return Trials(s, metered, lambda: slots, Fake(tmp_path / "log"), watch), heard


def ask(trials: Trials, trial_id: str) -> int | None:
    """The number of the trial that is begun by this name now, if one is."""
    candidate = trials.ask(trial_id)
    if candidate is None:
        return None
    trials.start(trial_id, Handle())
    return candidate.number


def test_a_trial_that_is_crowded_out_waits_until_another_ends(tmp_path: Path) -> None:
    """Ray ends first what began last: begun at once it would be the next, and so would a new one."""
    trials, heard = open_trials(tmp_path, slots=3, trials=5)
    assert [ask(trials, name) for name in "abc"] == [0, 1, 2]
    trials.take_death("c", report("2.60", SMALLER))
    assert [ask(trials, "d"), trials.has_more, trials.finished] == [None, False, False]
    trials.take_death("b", report("2.60", SMALLER))
    assert ask(trials, "d") is None
    trials.take_death("a", report("2.60", GREATEST))  # which is to blame, and has room again
    assert trials.has_more
    assert [ask(trials, name) for name in "def"] == [1, 2, 0]  # it is the first to go now
    trials.take_death("f", report("2.60", GREATEST))
    assert heard.of(0)[-1] == "failed" and heard.study.trials[0].state is TrialState.FAILED
    assert dict(heard.study.count_deaths(1)) == dict(heard.study.count_deaths(2)) == {"machine": 1}
    assert [ask(trials, name) for name in "gh"] == [3, None]


def test_a_trial_that_is_crowded_out_alone_begins_anew_ever_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other will end, as with one worker: it fails in the end."""
    monkeypatch.setattr("nas.execution.ray_trials._ROOM_S", 0.05)
    trials, heard = open_trials(tmp_path, slots=1, trials=2)
    said: list[str] = []
    monkeypatch.setattr(heard, "doing", said.append)
    waited = []
    for number in range(5):
        began = time.monotonic()
        assert ask(trials, f"{number}") == 0
        waited.append(time.monotonic() - began)
        assert heard.study.trials[0].state is TrialState.RUNNING
        trials.take_death(f"{number}", report("2.60", SMALLER))
        assert not trials.finished
    assert str(heard.study.trials[0].failure).startswith(f"worker_died: 5 times; {FULL}")
    assert ask(trials, "5") == 1
    waits = [0.05, 0.1, 0.2, 0.4]
    assert said == [f"Waiting {wait:g} s for memory, which was nearly full" for wait in waits]
    assert all(took >= wait for took, wait in zip(waited[1:], waits, strict=True)), waited


@pytest.mark.parametrize("stop", ["Ctrl-C", "time limit"])
def test_a_stop_ends_the_wait_for_memory(tmp_path: Path, stop: str) -> None:
    from nas.execution.ray_trials import Abort

    ends: list[TimeIsUp] = []
    trials, heard = open_trials(tmp_path, slots=1, trials=1, find_end=lambda: next(iter(ends), None))
    assert ask(trials, "a") == 0
    trials.take_death("a", report("2.60", SMALLER))
    if stop == "Ctrl-C":
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    else:
        timer = threading.Timer(0.2, ends.append, (TimeIsUp(),))
    began = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt if stop == "Ctrl-C" else Abort):
        trials.ask("b")
    assert time.monotonic() - began < 1.5  # of 2 s
    assert heard.study.trials[0].is_running


def test_a_worker_that_is_ended_between_two_trials_is_no_death_of_the_next(tmp_path: Path) -> None:
    trials, heard = open_trials(tmp_path, slots=1, trials=1)
    assert trials.ask("a") is not None  # and its worker, of another trial before, is never ready for it
    trials.take_death("a", report("2.60", GREATEST))
    assert dict(heard.study.count_deaths(0)) == {"machine": 1}


def test_a_trial_whose_parent_is_lost_on_the_way_begins_anew(tmp_path: Path) -> None:
    from nas.execution.ray_worker import WorkerPlace

    trials, heard = open_trials(tmp_path, slots=2, trials=2)
    assert [ask(trials, name) for name in "ab"] == [0, 1]
    assert not trials.take_step("b", None, WorkerPlace("192.0.2.2", None))
    assert not trials.take_step("b", None, WorkerPlace("192.0.2.2", None))  # as Tune calls it complete
    assert dict(heard.study.count_deaths(1)) == {"machine": 1} and ask(trials, "c") is None
    trials.take_death("a", report("2.60", GREATEST))
    assert ask(trials, "c") == 1


def test_a_trial_whose_parent_is_lost_each_time_fails_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.execution.ray_worker import WorkerPlace

    monkeypatch.setattr("nas.execution.ray_trials._ROOM_S", 0.05)
    trials, heard = open_trials(tmp_path, slots=1, trials=1)
    for number in range(5):
        assert ask(trials, f"{number}") == 0
        assert not trials.take_step(f"{number}", None, WorkerPlace("192.0.2.2", None))
    why = "the weights that it was to start from were lost with a process of Ray"
    assert str(heard.study.trials[0].failure) == f"worker_died: 5 times; {why}"


def test_a_trial_whose_parent_cannot_be_sent_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where memory is so full that a new mailbox is ended too."""
    from ray.exceptions import OutOfMemoryError

    from nas.execution.ray_mailbox import Post

    def fail(post: Post, number: int, letter: Any) -> str:
        raise OutOfMemoryError(report("2.60", SMALLER, actor=""))  # type: ignore[no-untyped-call]

    def inherit(candidate: Candidate, trials: Sequence[Trial]) -> Parent | None:
        return Parent(0, candidate.choices, b"") if candidate.number == 3 else None

    monkeypatch.setattr(Post, "send", fail)
    trials, heard = open_trials(tmp_path, slots=4, trials=4, inherit=inherit)
    assert [ask(trials, name) for name in "abcd"] == [0, 1, 2, 3]
    assert [trials.send_parent("a"), trials.send_parent("d")] == ["", None]
    assert dict(heard.study.count_deaths(3)) == {"machine": 1} and ask(trials, "e") is None
    trials.take_death("a", report("2.60", GREATEST))
    assert [ask(trials, "e"), ask(trials, "f")] == [3, 0]
