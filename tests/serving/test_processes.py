"""The door with several processes in it at once, and with processes that are killed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import apart, command
from doors import begin, check_kept

import nas
from nas.study.records import TrialState

pytestmark = pytest.mark.slow


@contextmanager
def served(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that serves a run; it has ended after the block."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    server = subprocess.Popen(command("serve", str(folder)), text=True, **pipes)  # type: ignore[call-overload]
    with server:
        try:
            yield server
        finally:
            server.kill()


def send(server: subprocess.Popen[str], *requests: Any) -> None:
    assert server.stdin is not None
    for request in requests:
        server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()


def answers(server: subprocess.Popen[str], count: int) -> list[dict[str, Any]]:
    assert server.stdout is not None
    return [json.loads(server.stdout.readline()) for _ in range(count)]


def test_processes_that_ask_at_once_never_get_the_same_network(tmp_path: Path) -> None:
    run = begin(tmp_path)
    with served(run.folder.path) as one, served(run.folder.path) as other:
        for server in (one, other):
            send(server, *[{"ask": {}}] * 15)
        found = [answer["number"] for server in (one, other) for answer in answers(server, 15)]
        beside = json.loads(apart("ask", str(run.folder.path)).out)
    assert sorted(found) == list(range(30)) and beside["number"] == 30
    check_kept(run)


@pytest.mark.parametrize("count", [1, 6, 11])
def test_what_was_answered_survives_a_kill(tmp_path: Path, count: int) -> None:
    run = begin(tmp_path)
    pairs: list[Any] = [({"ask": {}}, {"tell": {"number": n, "score": n / 8}}) for n in range(12)]
    with served(run.folder.path) as server:
        send(server, *(request for pair in pairs for request in pair))
        answered = answers(server, count)
        server.kill()
    told = {answer["number"] for answer in answered if answer.get("state") == "complete"}
    again = nas.open_run(run.folder.path)
    trials = again.state.trials
    assert len(trials) >= (count + 1) // 2
    assert all(trials[number].state is TrialState.COMPLETE for number in told)
    assert all(trial.score == trial.number / 8 for trial in trials if trial.score is not None)
    best = max((trial.number for trial in trials if trial.score is not None), default=None)
    assert again.folder.best_file.exists() is (best is not None)
    for trial in again.running():
        again.tell(trial.number, 0.5)
    assert again.ask().number == len(trials)
    check_kept(again)
