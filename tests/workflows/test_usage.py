"""How the time of a search is accounted for, and what is said of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from toys import asked, study

from nas.report.search_lines import describe_usage
from nas.training.base import EpochResult, Failure, FailureReason, Limit
from nas.workflows import usage as usage_module
from nas.workflows.observer import Round
from nas.workflows.usage import Meter, Usage


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [50.0]
    monkeypatch.setattr(usage_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def epoch(number: int, seconds: float, build_s: float = 0.0, start_s: float = 0.0) -> EpochResult:
    steps_s = seconds - start_s - 0.5  # the rest validates
    return EpochResult(
        number, 0.5, 0.5, seconds, images=1000, train_s=steps_s, start_s=start_s, build_s=build_s,
        limit=Limit(4000.0, "memory bandwidth"),
    )  # fmt: skip


def test_two_trials_at_a_time(clock: list[float]) -> None:
    """Ray takes 6 s to start, the last trial has its round for itself, and all of that is waiting."""
    queue, meter = study(None, trials=3), Meter()
    assert meter.usage == Usage()
    meter.round(queue, Round.SEARCH, 3, 2)
    clock[0] += 6
    first, second = asked(queue), asked(queue)
    meter.started(first)
    meter.started(second)
    clock[0] += 5
    meter.epoch(first, epoch(1, 4.0, build_s=0.5, start_s=1.5))
    meter.epoch(second, epoch(1, 4.5, build_s=0.5, start_s=2.0))
    usage = meter.usage
    assert (usage.total_s, usage.started_s, usage.trained_s, usage.waited_s) == (22.0, 4.5, 5.0, 12.5)
    assert (usage.images_s, usage.share, usage.limited_by) == (500.0, 0.125, "memory bandwidth")
    clock[0] += 3
    meter.epoch(first, epoch(2, 2.5))
    meter.finished(queue.complete(first.number, epoch(2, 2.5)))
    meter.finished(queue.fail(second.number, Failure(FailureReason.NAN_LOSS, "")))  # 3 s into its epoch
    meter.stop()
    clock[0] += 100
    usage = meter.usage
    assert (usage.total_s, usage.started_s, usage.trained_s, usage.waited_s) == (28.0, 4.5, 10.5, 13.0)
    meter.round(queue, Round.FINALISTS, 1, 2)  # one at a time
    meter.started(asked(queue))
    clock[0] += 2
    assert (meter.usage.total_s, meter.usage.trained_s) == (30.0, 12.5)


@pytest.mark.parametrize(
    ("usage", "lines"),
    [
        (Usage(), []),
        (
            Usage(total_s=200.0, started_s=10.0, trained_s=170.0),  # by code of a user's own
            ["Of their time, trials trained 85 % (2 min 50 s), started 5.0 % (10 s) and waited 10 % (20 s)."],
        ),
        (
            Usage(100.0, 0.0, 100.0, 1_000_000, 80.0, {"memory bandwidth": 20.0, "arithmetic": 12.0}),
            [
                "Of their time, trials trained 100 % (1 min 40 s), started 0 % (0 s) and waited 0 % (0 s).",
                "In training, 12,500 images/s a trial, 40 % of the limit of this device by its memory "
                "bandwidth.",
            ],
        ),
        (
            Usage(100.0, 0.0, 100.0, 1_000_000, 80.0),
            [
                "Of their time, trials trained 100 % (1 min 40 s), started 0 % (0 s) and waited 0 % (0 s).",
                "In training, 12,500 images/s a trial.",
            ],
        ),
    ],
)  # fmt: skip
def test_what_is_said_in_the_end(usage: Usage, lines: list[str]) -> None:
    assert list(describe_usage(usage)) == lines
