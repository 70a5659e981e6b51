"""Searches by a table of latency: what is tried of a budget, and what is told of the table."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from command_line import nas
from latency_tables import SPACE, TEXT, every, made_table
from toys import run, study

from nas.cost import Interval, format_latency
from nas.files import write_atomically
from nas.latency.table import LatencyTable, digest_parts
from nas.measures import LATENCY, Budget
from nas.runs.state import RunState
from nas.space import Space
from nas.space.clock import list_pieces
from nas.study.study import Study
from nas.workflows.latency import name_table_file, take_fingerprint
from nas.workflows.limited import describe_room, leave_room

FACTORS = tuple(1 + 0.01 * step for step in range(-9, 10, 2))
"""By which held-out networks take longer than predicted: nine of ten at most 1.072 times as long."""


def made_table_with_errors(space: Space = SPACE, factor: float = 1.1) -> LatencyTable:
    table = made_table(space, factor)
    held_out = tuple(
        replace(one, low_s=by * one.low_s, odd_s=by * one.odd_s, even_s=0.99 * by * one.even_s)
        for one, by in zip(table.held_out, FACTORS, strict=True)
    )
    return replace(table, held_out=held_out)


def limit_at(space: Space, share: float) -> Budget:
    """A limit that this share of the networks is inside."""
    amounts = sorted(space.amount(point, LATENCY) for point in every(space))
    return Budget({LATENCY: Interval(0, amounts[int(share * len(amounts))])})


def test_few_that_are_tried_are_over_the_limit() -> None:
    """Of networks that are predicted to take just the limit, half would be."""
    table = made_table_with_errors()
    assert table.excess == pytest.approx(0.072, abs=1e-3)
    space = replace(SPACE, clock=table.clock)
    amounts = sorted(space.amount(point, LATENCY) for point in every(space))
    for limit in amounts[5:]:
        budget = Budget({LATENCY: Interval(0, limit)})
        sought = leave_room(space, budget, table)
        high = sought[LATENCY].high or 0
        assert high == int(limit / (1 + table.excess))
        assert describe_room(space, budget, table) == (
            "Latency: one in ten networks took over 7.2 % longer than predicted, so those of up to "
            f"{LATENCY.format(high)} as predicted are tried first."
        )
        slowest = max(amount for amount in amounts if amount <= high)
        assert np.mean([limit * by > limit for by in FACTORS]) == 0.5
        assert np.mean([slowest * by > limit for by in FACTORS]) <= 0.1


def test_where_none_is_so_far_inside_all_are_tried_and_it_is_said() -> None:
    table = made_table_with_errors()
    space = replace(SPACE, clock=table.clock)
    least = Budget({LATENCY: Interval(0, space.ends(LATENCY).least.value)})
    assert leave_room(space, least, table) == least
    assert describe_room(space, least, table) == (
        "Latency: one in ten networks took over 7.2 % longer than predicted, and none was found that far "
        "below the limit; all are tried."
    )
    assert leave_room(space, Budget(), table) == Budget()
    for budget, known in ((Budget(), table), (least, made_table())):
        assert describe_room(space, budget, known) is None


def test_a_study_tries_what_is_sought_and_the_starts_of_a_user() -> None:
    table = made_table_with_errors()
    space = replace(SPACE, clock=table.clock)
    budget = limit_at(space, 0.3)
    sought = leave_room(space, budget, table)
    between = next(
        point
        for point in every(space)
        if space.amount(point, LATENCY) not in sought[LATENCY]
        and space.amount(point, LATENCY) in budget[LATENCY]
    )
    for sampler in ("random", "evolution", "tpe"):
        own = study(
            None, space=space, budget=budget, sought=sought, sampler=sampler, warm_start=[between], trials=10
        )
        run(own)
        first, *others = (trial.candidate for trial in own.trials)
        assert first.choices == between and len(others) == 9
        assert all(candidate.amount(LATENCY) in sought[LATENCY] for candidate in others)


def test_where_nothing_is_left_so_far_inside_the_others_are_tried(tmp_path: Path) -> None:
    """And a resume goes the same way."""
    table = made_table_with_errors()
    space = replace(SPACE, clock=table.clock)
    budget = limit_at(space, 0.3)
    sought = leave_room(space, budget, table)
    inside = [point for point in every(space) if budget.admits(partial(space.amount, point))]
    first = [point for point in inside if sought.admits(partial(space.amount, point))]
    assert 0 < len(first) < len(inside)

    def opened(storage: Path | None) -> Study:
        return study(
            storage, space=space, budget=budget, sought=sought, sampler="random", trials=2 * len(inside)
        )

    own = opened(None)
    run(own)
    tried = [trial.candidate.choices for trial in own.trials]
    assert own.exhausted and len(tried) == len({*map(str, tried)}) == len(inside)
    assert all(point in first for point in tried[: len(first)])
    parts = tmp_path / "parts"
    run(opened(parts), until=len(first) + 1)
    again = opened(parts)
    run(again)
    assert list(again.trials) == list(own.trials)


# Whole searches, by a table that is kept for this device


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Space:
    """The space as it is counted in a search of digits; its networks are told to take seconds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    Path("few.yaml").write_text(TEXT)
    space = SPACE.for_data(1, 10)
    table = made_table_with_errors(space, factor=1000)
    here = replace(table, fingerprint=take_fingerprint("torch", 1, digest_parts(list_pieces(space))))
    file = name_table_file(here.fingerprint)
    file.parent.mkdir(parents=True)
    write_atomically(file, json.dumps(here.to_data()))
    return replace(space, clock=table.clock)


def search(*arguments: str) -> str:
    """What a search by that table says."""
    flags = ("--runtime", "torch", "--workers", "0", "--max-images", "100", "--epochs", "1", "--name", "a")
    said = nas("search", "few.yaml", *arguments, *flags)
    assert said.code == 0, said.err
    return said.out + said.err


@pytest.mark.slow
def test_a_search_leaves_room_for_what_is_not_sure(few: Space) -> None:
    budget = limit_at(few, 0.3)
    limit = budget[LATENCY].high or 0
    said = search("--budget-latency", f"{limit}ns", "--trials", "8")
    assert "Latency: one in ten networks took over 7.2 % longer than predicted, so those of up to" in said
    state = RunState.load(Path("runs/a"))
    assert len(state.trials) == 8
    for trial in state.trials:
        assert (trial.candidate.amount(LATENCY) or 0) * 1.072 <= limit * 1.001


@pytest.mark.slow
def test_a_comparison_keeps_the_limit(few: Space) -> None:
    """Known networks have no latency in the run's table: by default they are left out."""
    limit = limit_at(few, 0.5)[LATENCY].high or 0
    search("--budget-latency", f"{limit}ns", "--trials", "2")
    text = format_latency(limit)
    assert f"budget_latency: {text}" in Path("runs/a/run.yaml").read_text()
    flags = ("--epochs", "1", "--seeds", "2", "--workers", "0")
    named = nas("versus", "runs/a", "--baseline", "reference/lenet5", *flags)
    assert named.code == 2 and "--baseline reference/lenet5: latency is limited, and the run's" in named.err
    said = nas("versus", "runs/a", *flags)
    assert said.code == 0, said.err
    assert f"Budget for all: latency <= {text}." in said.out
    assert "reference/mobilenet_v2 is left out: latency is limited" in said.out
    assert "2 seeds against 1 baseline give no p" in said.out
    verdict = json.loads(Path("runs/a/versus/versus.json").read_text())
    own, other = (one["amounts"]["latency"] for one in verdict["standings"])
    best = RunState.load(Path("runs/a")).best_trial
    assert best is not None and own == [few.amount(best.candidate.choices, LATENCY)] * 2
    assert 0 < other[0] <= other[1] <= limit
    assert format_latency(own[0]) in said.out
    assert nas("report", "runs/a").code == 0


@pytest.mark.slow
def test_a_search_judges_by_latency(few: Space) -> None:
    said = search("--objective", "accuracy,latency", "--sampler", "nsga2", "--trials", "8")
    state = RunState.load(Path("runs/a"))
    assert len(state.trials) == 8
    found = [(t.score or 0, t.candidate.amount(LATENCY), t.number) for t in state.trials]
    for _, amount, number in found:
        assert amount == few.amount(state.trials[number].candidate.choices, LATENCY)
    front = {
        number
        for score, amount, number in found
        if not any(s >= score and a <= amount and (s, a) != (score, amount) for s, a, _ in found)
    }
    assert {trial.number for trial in state.front} == front and len(front) >= 1
    assert "Latencies are predicted, and none was measured: nas profile measures networks." in said
    assert not state.folder.measured_file.exists()
    shown = nas("show", "runs/a")
    assert shown.code == 0 and "Latencies are predicted, and none was measured" in shown.out
