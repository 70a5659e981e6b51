"""Networks that are predicted to be near a limit of latency are measured before they are trained."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest
from latency_tables import SPACE, every, made_table, of_here
from toys import asked, end, run, study

from nas.cost import Interval
from nas.errors import InputError, NasError
from nas.latency.table import SEED, LatencyTable, Whole, _sample_points, compose, find_references
from nas.measures import LATENCY, Budget
from nas.runs.folder import RunFolder
from nas.runs.measured import MeasuredLatencies
from nas.space import Choices
from nas.study.records import Candidate
from nas.study.study import Study
from nas.workflows.near_limit import Closed, NearLimit, ProcessTimer, compute_latency
from nas.workflows.observer import Observer

TIMED = replace(SPACE, clock=made_table().clock)
AMOUNTS = sorted(TIMED.amount(point, LATENCY) for point in every(TIMED))
LIMIT = AMOUNTS[len(AMOUNTS) // 2]
BUDGET = Budget({LATENCY: Interval(0, LIMIT)})
SURE = int(LIMIT / 1.2)
FAR = [point for point in every(TIMED) if TIMED.amount(point, LATENCY) <= SURE][:2]
"""Networks that need not be measured."""


@dataclass
class GivenTimer:
    """Says what each network takes, and which were asked for."""

    take: Callable[[int], int]
    is_quiet: bool = True
    asked: list[Choices] = field(default_factory=list)

    def time(self, choices: Choices) -> int:
        self.asked.append(choices)
        return self.take(TIMED.amount(choices, LATENCY))

    def close(self) -> None:
        pass


def slow(predicted: int) -> int:
    """Some networks take longer than predicted, and some as much less."""
    return round(predicted * (1.3 if AMOUNTS.index(predicted) % 2 else 0.9))


def searched(folder: Path, timer: GivenTimer, trials: int = 40, storage: Path | None = None) -> Study:
    gauge = NearLimit(LIMIT, SURE, timer, RunFolder(folder), Observer())
    return study(storage, space=TIMED, budget=BUDGET, trials=trials, gauge=gauge)


def is_near(choices: Choices) -> bool:
    return SURE < TIMED.amount(choices, LATENCY) <= LIMIT


def test_no_network_is_trained_that_is_measured_to_be_over_the_limit(tmp_path: Path) -> None:
    timer = GivenTimer(slow)
    own = searched(tmp_path, timer)
    run(own)
    near = [trial.candidate for trial in own.trials if is_near(trial.candidate.choices)]
    sure = [trial.candidate for trial in own.trials if not is_near(trial.candidate.choices)]
    assert near and sure and all(map(is_near, timer.asked))
    for candidate in near:  # what is measured is what it has
        assert candidate.amount(LATENCY) == slow(TIMED.amount(candidate.choices, LATENCY)) <= LIMIT
    for candidate in sure:
        assert candidate.amount(LATENCY) == TIMED.amount(candidate.choices, LATENCY)
    refused = [choices for choices in timer.asked if slow(TIMED.amount(choices, LATENCY)) > LIMIT]
    assert 0 < len(refused) == len(timer.asked) - len(near) <= own.counts.over_budget
    assert len({TIMED.identity(choices) for choices in timer.asked}) == len(timer.asked)
    kept = MeasuredLatencies.read(RunFolder(tmp_path))
    assert len(kept.before) == len(timer.asked) and kept.count_too_slow(BUDGET) == len(refused)


def test_a_resume_tries_the_same_and_measures_nothing_again(tmp_path: Path) -> None:
    whole, first, second = GivenTimer(slow), GivenTimer(slow), GivenTimer(slow)
    (tmp_path / "whole").mkdir()
    own = searched(tmp_path / "whole", whole)
    run(own)
    (tmp_path / "parts").mkdir()
    run(searched(tmp_path / "parts", first, storage=tmp_path / "journal"), until=len(own.trials) // 2)
    again = searched(tmp_path / "parts", second, storage=tmp_path / "journal")
    run(again)
    assert list(again.trials) == list(own.trials)
    assert first.asked and second.asked and [*first.asked, *second.asked] == whole.asked


@pytest.mark.parametrize("is_quiet", [True, False])
def test_what_was_measured_beside_trainings_is_measured_again_to_be_named(
    tmp_path: Path, is_quiet: bool
) -> None:
    own = searched(tmp_path, GivenTimer(slow, is_quiet))
    run(own)
    kept = MeasuredLatencies.read(RunFolder(tmp_path))
    for trial in own.trials:
        assert kept.has(trial) == (is_quiet and is_near(trial.candidate.choices))


@dataclass
class Slow:
    """Measures for as long as a test wants."""

    futures: list[tuple[Candidate, Future[Candidate | None]]] = field(default_factory=list)

    def measure(self, candidate: Candidate) -> Future[Candidate | None] | None:
        if not is_near(candidate.choices):
            return None
        self.futures.append((candidate, Future()))
        return self.futures[-1][1]


def test_those_that_train_do_not_wait_for_what_is_measured() -> None:
    gauge = Slow()
    own = study(None, space=TIMED, budget=BUDGET, trials=40, gauge=gauge, warm_start=FAR)
    running = [asked(own), asked(own)]
    while not gauge.futures:
        if candidate := own.ask():
            running.append(candidate)
    assert own.ask() is None and not own.exhausted and own.remaining
    end(own, running[0].number, 0.5)  # which is heard meanwhile
    assert own.ask() is None and len(gauge.futures) == 1 and own.given_up is None
    candidate, future = gauge.futures[0]
    future.set_result(candidate)
    assert own.ask() == candidate and candidate.number == len(running)


def test_a_start_is_trained_as_it_is_predicted() -> None:
    """Who names it wants it trained; it is measured before it is named."""
    near = next(point for point in every(TIMED) if is_near(point))
    gauge = Slow()
    own = study(None, space=TIMED, budget=BUDGET, trials=40, gauge=gauge, warm_start=[near])
    assert asked(own).choices == near and not gauge.futures


@dataclass
class Failing(GivenTimer):
    """Its process ends at some turns."""

    at: frozenset[int] = frozenset()

    def time(self, choices: Choices) -> int:
        latency = super().time(choices)
        if len(self.asked) - 1 in self.at:
            raise NasError("its process was ended by SIGKILL")
        return latency


@pytest.mark.parametrize(("at", "lost"), [({0}, 0), ({0, 1}, 1)])
def test_what_cannot_be_measured_at_a_second_try_is_left_out(tmp_path: Path, at: set[int], lost: int) -> None:
    timer = Failing(lambda predicted: predicted, at=frozenset(at))
    observer = Noted()
    gauge = NearLimit(LIMIT, SURE, timer, RunFolder(tmp_path), observer)
    own = study(None, space=TIMED, budget=BUDGET, trials=40, gauge=gauge)
    run(own)
    first = TIMED.identity(timer.asked[0])
    assert (first in {trial.candidate.identity for trial in own.trials}) == (not lost)
    assert [TIMED.identity(choices) for choices in timer.asked].count(first) == 2
    told = "A network near the limit of latency cannot be measured, and is left out: its process was ended"
    assert observer.noted_lines == lost * [f"{told} by SIGKILL"]


class Noted(Observer):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.noted_lines: list[str] = []

    def noted(self, text: str) -> None:
        self.noted_lines.append(text)


def test_a_failure_of_ours_leaves_nothing_waiting() -> None:
    gauge = Slow()
    own = study(None, space=TIMED, budget=BUDGET, trials=40, gauge=gauge, warm_start=FAR)
    asked(own)
    while not gauge.futures:
        own.ask()
    gauge.futures[0][1].set_exception(InputError("it has gone"))
    with pytest.raises(InputError, match="it has gone"):
        own.ask()
    assert own.ask() or gauge.futures[1:]  # it looks for another


@pytest.mark.slow
def test_a_stop_ends_what_is_measured_whenever_it_comes(tmp_path: Path) -> None:
    """While the process begins, and while it measures; nothing is said of it, and no process is left."""
    table = of_here(made_table())
    (near, *_) = (point for point in every(TIMED) if is_near(point))
    for wait_s in (0.0, 0.05, 2.0):
        observer = Noted()
        timer = ProcessTimer(TIMED, table, [], LIMIT / 1e9, is_quiet=False)
        gauge = NearLimit(LIMIT, SURE, timer, RunFolder(tmp_path), observer)
        candidate = Candidate(0, near, replace(TIMED.cost(near), latency=LIMIT), TIMED.identity(near))
        found = gauge.measure(candidate)
        time.sleep(wait_s)
        began = time.monotonic()
        gauge.close()
        assert found is not None and found.done() and time.monotonic() - began < 5
        assert isinstance(found.exception(), Closed) and not observer.noted_lines
    assert not MeasuredLatencies.read(RunFolder(tmp_path)).before
    own = (" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True))
    assert not any("nas.latency" in line for line in own)


class Most:
    """Has the network as the best that takes longest."""

    candidates = 6

    def __init__(self) -> None:
        self.scored: list[tuple[int, str]] = []

    def score(self, candidate: Candidate) -> float:
        self.scored.append((candidate.number, candidate.identity))
        return TIMED.amount(candidate.choices, LATENCY)


def test_where_a_screen_chooses_the_next_best_stands_for_one_that_is_over(tmp_path: Path) -> None:
    timer = GivenTimer(lambda predicted: 2 * LIMIT)
    gauge = NearLimit(LIMIT, SURE, timer, RunFolder(tmp_path), Observer())
    screen = Most()
    own = study(None, space=TIMED, budget=BUDGET, trials=6, gauge=gauge, screen=screen)
    run(own)
    assert len(screen.scored) == len({*screen.scored})  # of each trial a network is scored once
    assert len(own.trials) == 6 and len(timer.asked) > 0
    assert all(trial.candidate.amount(LATENCY) <= SURE for trial in own.trials)
    assert own.counts.over_budget >= len(timer.asked)


# What a measurement comes to


def test_what_others_take_longer_now_is_taken_off() -> None:
    assert compute_latency([1e-3, 1.1e-3, 0.9e-3], [], []) == 1_100_000
    assert compute_latency([1.5e-3, 1.5e-3, 1.4e-3], [3e-3, 1.5e-3, 9e-3], [2e-3, 1e-3, 3e-3]) == 1_000_000
    # where the table was made on a busier machine, what is measured holds
    assert compute_latency([1e-3, 1e-3, 1e-3], [1e-3], [2e-3]) == 1_000_000


def made_table_of_its_networks() -> LatencyTable:
    """A table whose whole networks are those that are measured for one."""
    table = made_table()
    fitted, held_out = (
        tuple(Whole(one, one.seconds, one.seconds, one.seconds) for one in compose(SPACE, table.parts, own))
        for own in _sample_points(SPACE, SEED)
    )
    return replace(table, fitted=fitted, held_out=held_out)


def test_references_are_networks_of_the_table_that_take_about_as_long() -> None:
    table = made_table_of_its_networks()
    found = find_references(replace(SPACE, clock=table.clock), table, LIMIT / 1e9)
    for point, seconds in found:
        assert [seconds] == [one.seconds for one in compose(SPACE, table.parts, [point])]
    off = sorted(abs(one.low_s - LIMIT / 1e9) for one in (*table.fitted, *table.held_out))
    assert [abs(seconds - LIMIT / 1e9) for _, seconds in found] == off


def test_networks_that_are_not_those_of_the_table_are_no_references() -> None:
    table = made_table_of_its_networks()
    other = {key: replace(part, nodes=part.nodes + 1) for key, part in table.parts.items()}
    assert find_references(TIMED, replace(table, parts=other), LIMIT / 1e9) == []


# What is kept and told


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"a": 0}', '{"before training": {"a": "1"}}', '{"before training": 1}']
)
def test_a_damaged_file_of_measured_latencies_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "measured.json").write_text(text)
    with pytest.raises(InputError, match=r"measured\.json: is damaged \(.*\); restore it, or remove it"):
        MeasuredLatencies.read(RunFolder(tmp_path))
