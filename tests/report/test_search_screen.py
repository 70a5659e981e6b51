"""What is shown while a search runs."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console
from toys import after, asked, study

from nas.report.search_screen import SearchScreen
from nas.training.base import Failure, FailureReason
from nas.workflows.observer import Round


def test_a_trial_that_ends_before_any_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker died before."""
    said = io.StringIO()
    for name in ("say_beginning", "say_round"):
        monkeypatch.setattr(f"nas.report.search_screen.{name}", lambda *_: None)
    queue = study(None, trials=4)
    screen = SearchScreen(Console(file=said, width=200))
    screen.began(cast(Any, "a session"))
    screen.round(queue, Round.SEARCH, 4, 4)
    failure = Failure(FailureReason.WORKER_DIED, "4 times; its machine has gone, or Ray on it")
    screen.finished(queue.fail(asked(queue).number, failure))
    assert said.getvalue().startswith("[1/4, 1 failed] trial 0: failed: worker_died: 4 times; its")


def test_the_time_left_is_of_the_epochs_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four trials of four epochs, two at a time: as the first ends, the second has trained three epochs."""
    clock, said = [100.0], io.StringIO()
    monkeypatch.setattr("nas.report.search_screen.time", SimpleNamespace(monotonic=lambda: clock[0]))
    for name in ("say_beginning", "say_round"):
        monkeypatch.setattr(f"nas.report.search_screen.{name}", lambda *_: None)
    queue = study(None, trials=4)
    screen = SearchScreen(Console(file=said, width=200))
    screen.began(cast(Any, "a session"))
    screen.round(queue, Round.SEARCH, 4, 4)
    first, second = asked(queue), asked(queue)
    screen.started(first)
    screen.started(second)
    for epoch in (1, 2, 3):
        screen.epoch(first, after(epoch, 0.5))
        screen.epoch(second, after(epoch, 0.5))
    clock[0] += 14  # seven epochs, of which nine are left
    screen.finished(queue.complete(first.number, after(4, 0.5)))
    assert said.getvalue().startswith("[1/4] trial 0: score 0.5000, ")
    assert said.getvalue().endswith(", 18 s left\n")
