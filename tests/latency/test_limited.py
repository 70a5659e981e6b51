"""Searches by a table of latency: what is tried of a budget, and what is told of the table."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from command_line import nas
from latency_tables import SPACE, TEXT, every, made_table, of_here
from toys import run, study

from nas.cost import Interval, format_latency
from nas.files import write_atomically
from nas.latency import RUNTIMES
from nas.latency.table import LatencyTable, digest_parts
from nas.measures import LATENCY, Budget
from nas.runs.config import SearchConfig
from nas.runs.folder import RunFolder
from nas.runs.measured import MeasuredLatencies
from nas.runs.runtime import RuntimeConfig
from nas.runs.state import RunState
from nas.space import Space
from nas.space.clock import list_pieces
from nas.study.records import Candidate
from nas.study.study import Study
from nas.workflows.latency import name_table_file, take_fingerprint
from nas.workflows.limited import leave_room, watch_limit
from nas.workflows.near_limit import NearLimit

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


def configure(budget: Budget, threads: int = 1, workers: int = 0) -> SearchConfig:
    """A search of the space within a budget."""
    config = SearchConfig.from_data({"space": "few", "workers": workers})
    return replace(config, budget=budget, latency=RuntimeConfig("torch", threads))


def watch(
    folder: Path, budget: Budget, table: LatencyTable, threads: int = 1, workers: int = 0
) -> tuple[NearLimit | None, Budget, list[str]]:
    """What `watch_limit` returns for a run in a folder, and what it says."""
    run, config = RunFolder(folder), configure(budget, threads, workers)
    write_atomically(run.table_file, json.dumps(table.to_data()))
    space = replace(SPACE, clock=table.clock)
    session: Any = SimpleNamespace(space=space, folder=run, config=config, plugins=())
    said: list[str] = []
    observer: Any = SimpleNamespace(noted=said.append, doing=said.append)
    return *watch_limit(session, observer), said


def test_few_that_are_sure_are_over_the_limit(tmp_path: Path) -> None:
    """Of networks that are predicted to take just the limit, half would be."""
    table = of_here(made_table_with_errors())
    assert table.excess == pytest.approx(0.072, abs=1e-3)
    space = replace(SPACE, clock=table.clock)
    amounts = sorted(space.amount(point, LATENCY) for point in every(space))
    for limit in amounts[5:]:
        budget = Budget({LATENCY: Interval(0, limit)})
        sought = leave_room(space, budget, table)
        high = sought[LATENCY].high or 0
        assert high == int(limit / (1 + table.excess))
        near, whole, said = watch(tmp_path, budget, table)
        assert near is not None and whole == budget
        assert said == [
            "Latency: one in ten networks took over 7.2 % longer than predicted, so those of over "
            f"{LATENCY.format(high)} as predicted are measured before they are trained."
        ]
        slowest = max(amount for amount in amounts if amount <= high)
        assert np.mean([limit * by > limit for by in FACTORS]) == 0.5
        assert np.mean([slowest * by > limit for by in FACTORS]) <= 0.1


def test_where_none_is_so_far_inside_all_are_tried(tmp_path: Path) -> None:
    table = made_table_with_errors()
    space = replace(SPACE, clock=table.clock)
    least = Budget({LATENCY: Interval(0, space.ends(LATENCY).least.value)})
    assert leave_room(space, least, table) == least
    assert leave_room(space, Budget(), table) == Budget()
    for budget, known in ((Budget(), table), (least, made_table())):
        assert watch(tmp_path, budget, of_here(known))[2] == []


@pytest.mark.parametrize(
    ("threads", "workers", "is_measured"), [(1, 0, True), (2, 0, True), (1, 2, True), (2, 2, False)]
)
def test_beside_trainings_several_threads_are_not_measured(
    tmp_path: Path, threads: int, workers: int, is_measured: bool
) -> None:
    """They are told what they wait for a core."""
    table, budget = made_table_with_errors(), limit_at(replace(SPACE, clock=made_table().clock), 0.5)
    *_, (said,) = watch(tmp_path, budget, of_here(table, threads), threads, workers)
    assert said.endswith("are measured before they are trained.") == is_measured


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


@pytest.mark.parametrize("threads", [1, 2])
def test_where_nothing_can_be_measured_that_is_said_and_room_is_left(tmp_path: Path, threads: int) -> None:
    """What was measured before still counts."""
    table = made_table_with_errors()
    if threads > 1:
        table = of_here(table, threads)
    space = replace(SPACE, clock=table.clock)
    budget = limit_at(space, 0.5)
    most = budget[LATENCY].high or 0
    slow, other = (
        Candidate(0, point, replace(space.cost(point), latency=most), space.identity(point))
        for point in every(space)[:2]
    )
    MeasuredLatencies({}, {slow.identity: most + 1}).write(RunFolder(tmp_path))
    near, sought, said = watch(tmp_path, budget, table, threads, workers=2)
    assert near is not None and sought == leave_room(space, budget, table)
    known = near.measure(slow)
    assert known is not None and known.result() is None and near.measure(other) is None
    here = take_fingerprint("torch", threads, "").device
    why = (
        "beside trainings one thread alone is told its own time, and --workers 0 trains none meanwhile"
        if threads > 1
        else f"the table of latencies is of a processor, torch 1.0, 1 thread, and this is {here}"
    )
    assert said == [
        "Networks near the limit of latency are not measured before they are trained, and those far inside "
        f"are tried first: {why}."
    ]


# Whole searches, by a table that is kept for this device


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Space:
    """The space as it is counted in a search of digits; its networks are told to take seconds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    Path("few.yaml").write_text(TEXT)
    space = SPACE.for_data(1, 10)
    keep_table(space, "torch")
    return replace(space, clock=made_table_with_errors(space, factor=1000).clock)


def keep_table(space: Space, runtime: str) -> None:
    """Keep that table for this device."""
    pieces = digest_parts(list_pieces(space))
    here = replace(
        made_table_with_errors(space, factor=1000), fingerprint=take_fingerprint(runtime, 1, pieces)
    )
    file = name_table_file(here.fingerprint)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(here.to_data()))


def search(*arguments: str, runtime: str = "torch") -> str:
    """What a search by that table says."""
    flags = ("--runtime", runtime, "--workers", "0", "--max-images", "100", "--epochs", "1", "--name", "a")
    said = nas("search", "few.yaml", *arguments, *flags)
    assert said.code == 0, said.err
    return said.out + said.err


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_a_search_measures_what_is_near_its_limit_before_it_trains_it(few: Space, runtime: str) -> None:
    for library in RUNTIMES[runtime].needs:
        pytest.importorskip(library)
    keep_table(few, runtime)
    budget = limit_at(few, 0.3)
    limit = budget[LATENCY].high or 0
    said = search("--budget-latency", f"{limit}ns", "--trials", "6", runtime=runtime)
    assert "Latency: one in ten networks took over 7.2 % longer than predicted, so those of over" in said
    state = RunState.load(Path("runs/a"))
    near = [trial for trial in state.trials if few.amount(trial.candidate.choices, LATENCY) * 1.072 > limit]
    assert len(state.trials) == 6 and near
    before = state.measured.before
    assert before.keys() == {trial.candidate.identity for trial in near} <= state.measured.latencies.keys()
    for trial in state.trials:  # which are told to take seconds
        own = trial.candidate
        assert own.amount(LATENCY) == before.get(own.identity, few.amount(own.choices, LATENCY))
        assert own.identity not in before or own.amount(LATENCY) < 0.1 * limit
    networks = "1 network" if len(near) == 1 else f"{len(near)} networks"
    assert (
        f"Measured before training, as they are near the limit of latency: {networks}, 0 of them over it "
        "and left out."
    ) in said


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
