"""Samplers against tables: what is read, what is run, what is computed, what is shown."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean, pstdev, variance
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from command_line import nas
from hypothesis import given
from hypothesis import strategies as st

from nas.bench.contest import Contest, Outcome, run_contest, run_search
from nas.bench.plot import plot
from nas.bench.report import show_progress
from nas.bench.score_table import Table, TableEntry, enumerate_points, read_table
from nas.bench.standings import compare_pairs, compute_standings, estimate_mean, list_marks
from nas.cost import Interval
from nas.errors import InputError, NasError
from nas.measures import MACS, MEMORY, Budget
from nas.plots.chart import choose_ticks
from nas.samplers import SAMPLERS
from nas.space import Choices, Space, load_space, parse_space
from nas.space.plugins import read_plugins
from nas.study.ledger import Ledger
from nas.study.records import Counts
from nas.study.storage import open_storage
from nas.study.study import Study
from nas.training.base import EpochResult

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"
SMALL = """\
name: small
input: [1, 8, 8]
classes: 3
blocks:
  layer:
    args: {out: null}
    body:
      choice:
        - skip: {out: $out, stride: $stride}
        - conv: {out: $out, kernel: 3, stride: $stride}
      per: layer
network:
  - conv: {name: stem, out: {choice: [4, 6, 8]}}
  - stage: {name: s1, depth: {choice: [2, 3]}, block: {layer: {out: 8}}}
  - classifier
"""
"""36 points of 16 networks: a skip of what it can pass on is no layer."""


@pytest.fixture(scope="module")
def space() -> Space:
    return parse_space(SMALL)


def scored(space: Space, point: Choices, seed: int = 0) -> float:
    """A score of a network that its encoding does not change."""
    return random.Random(f"{seed} {space.identity(point)}").random()


def table_text(
    space: Space, points: Sequence[Mapping[str, Any]], columns: Mapping[str, Callable[[Any], object]]
) -> str:
    """A table with columns of scores, which are functions of a point."""
    names = sorted({name for point in points for name in point})
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*names, *columns])
    for point in points:
        writer.writerow([*(point.get(name, "") for name in names), *(f(point) for f in columns.values())])
    return text.getvalue()


@pytest.fixture(scope="module")
def path(space: Space, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All points, three seeds and a true score."""
    seeds = {f"score_{seed}": partial(scored, space, seed=seed) for seed in (1, 2, 3)}
    columns = {**seeds, "true_score": partial(scored, space)}
    file = tmp_path_factory.mktemp("tables") / "small.csv"
    file.write_text(table_text(space, list(enumerate_points(space)), columns))
    return file


@pytest.fixture(scope="module")
def table(path: Path, space: Space) -> Table:
    return read_table(path, space)


# Tables


def test_every_point_is_listed_once(space: Space) -> None:
    points = list(enumerate_points(space))
    assert len(points) == space.extent.count == 36
    assert len({str(point) for point in points}) == 36
    assert list(enumerate_points(space.resolve(space.smallest()))) == [{}]


def test_a_network_is_found_by_any_of_its_encodings(table: Table, space: Space) -> None:
    assert (table.rows, len(table.entries), table.conflicts, table.missing) == (36, 16, 0, 0)
    for point in enumerate_points(space):
        entry = table.entries[space.identity(point)]
        assert entry.true_score == pytest.approx(scored(space, point))
        assert entry.scores == pytest.approx([scored(space, point, seed) for seed in (1, 2, 3)])
        assert space.identity(entry.choices) == space.identity(point)


def test_a_row_for_each_network_is_enough(space: Space, tmp_path: Path) -> None:
    networks = {space.identity(point): point for point in enumerate_points(space)}
    file = tmp_path / "t.csv"
    file.write_text(table_text(space, list(networks.values()), {"score": lambda p: scored(space, p)}))
    found = read_table(file, space)
    assert (found.rows, found.missing) == (16, 0)
    assert all(entry.true_score == entry.scores[0] for entry in found.entries.values())


def test_options_of_any_kind_are_read(tmp_path: Path) -> None:
    space = parse_space(
        "name: kinds\ninput: [1, 8, 8]\nclasses: 3\nnetwork:\n"
        "  - conv: {name: stem, out: 8, kernel: {choice: [1, 3, [1, 3]]}, act: {choice: [relu, none]},"
        " bias: {choice: [true, false]}}\n  - classifier\n"
    )
    points = list(enumerate_points(space))
    file = tmp_path / "t.csv"
    columns = {"score": lambda point: points.index(point)}
    file.write_text(table_text(space, [{k: str(v) for k, v in p.items()} for p in points], {"score": len}))
    assert len(read_table(file, space).entries) == 12
    yaml_like = [{k: str(v).lower() for k, v in p.items()} for p in points]
    file.write_text(table_text(space, yaml_like, {"score": yaml_like.index}))
    found = read_table(file, space)
    assert all(found.entries[space.identity(p)].true_score == columns["score"](p) for p in points)


def test_what_a_search_is_told() -> None:
    entry = TableEntry({}, (1.0, 2.0, 6.0), 5.0)
    assert entry.observe("x", None) == 3.0
    told = [entry.observe("x", noise) for noise in range(300)]
    assert [entry.observe("x", noise) for noise in range(300)] == told
    # each score is told 100 times of 300 on average, with a deviation of 8
    assert all(60 < told.count(score) < 140 for score in entry.scores)
    assert [entry.observe("y", noise) for noise in range(300)] != told


COLUMNS = ("s1.depth", "s1.layer1.block", "s1.layer2.block", "s1.layer3.block", "stem.out")
HEAD = ",".join(COLUMNS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "{file}: has no rows; write one a network, below a line of column names"),
        (f"{HEAD},score\n", "{file}: has no rows; write one a network, below a line of column names"),
        (f"{HEAD}\n2,skip,skip,,4\n", "{file}: has no column of scores; add 'score', or 'score_1', 'score_2'"
         ", one a seed"),
        (f"{HEAD},score,score\n2,skip,skip,,4,1,1\n", "{file}: has two columns 'score'; leave one out"),
        (f"{HEAD},score\n2,skip,skip,,4\n", "{file}:2: has 5 cells, and there are 6 columns; write one cell "
         "a column"),
        ("stem.out,s1.layer1.block,s1.layer2.block,score\n4,skip,skip,1\n",
         "{file}: its columns are not the choices of 'small': the table lacks 's1.depth'; add these"),
        ("stem.out,s1.dpeth,s1.layer1.block,s1.layer2.block,score\n4,2,skip,skip,1\n",
         "{file}: its columns are not the choices of 'small': the table lacks 's1.depth' and has 's1.dpeth', "
         "which the space does not; did you mean 's1.depth'?"),
        (f"{HEAD},accuracy,score\n2,skip,skip,,4,9,1\n", "{file}: its columns are not the choices of 'small'"
         ": the table has 'accuracy', which the space does not; leave these out"),
        (f"{HEAD},score\n2,skip,skip,,5,1\n", "{file}:2: stem.out: '5' is not one of [4, 6, 8]"),
        (f"{HEAD},score\n2,skip,skip,,,1\n", "{file}:2: stem.out: '' is not one of [4, 6, 8]"),
        (f"{HEAD},score\n2,skip,skip,skip,4,1\n3,skip,skip,skip,4,1\n", "{file}:2: s1.layer3.block: 'skip' "
         "is given, and this point does not decide it; leave the cell empty"),
        (f"{HEAD},score\n2,skip,skip,,4,1\n2,skip,skip,,8,nan\n", "{file}:3: score: 'nan' is not a score; "
         "write a number, or leave the row out"),
        (f"{HEAD},score1,score2\n2,skip,skip,,4,1,n/a\n", "{file}:2: score2: 'n/a' is not a score; write a "
         "number, or leave the row out"),
        (f"{HEAD},score,true_score\n2,skip,skip,,4,1,\n", "{file}:2: true_score: '' is not a score; write a "
         "number, or leave the row out"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_read(text: str, message: str, space: Space, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(text)
    with pytest.raises(InputError) as error:
        read_table(file, space)
    assert str(error.value) == message.replace("{file}", str(file))


def test_a_row_that_cannot_be_built(tmp_path: Path) -> None:
    space = parse_space(
        "name: strided\ninput: [1, 4, 4]\nclasses: 3\nnetwork:\n"
        "  - conv: {name: a, out: 8, kernel: {choice: [3, 7]}, padding: 0}\n  - classifier\n"
    )
    file = tmp_path / "t.csv"
    file.write_text("a.kernel,score\n3,1\n7,1\n")
    with pytest.raises(InputError, match=rf"^{file}:3: <text>:5: a: .*; leave the row out$"):
        read_table(file, space)
    file.write_text("a.kernel,score\n3,1\n")
    assert read_table(file, space).missing == 0


def test_rows_that_disagree_are_counted_and_their_mean_counts(space: Space, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(
        f"{HEAD},score_1,score_2\n2,conv,skip,,4,1,2\n3,conv,skip,skip,4,2,4\n2,conv,skip,,4,1,2\n"
    )
    found = read_table(file, space)
    (entry,) = found.entries.values()
    assert (found.rows, found.conflicts) == (3, 1)
    assert entry.scores == pytest.approx((4 / 3, 8 / 3)) and entry.true_score == pytest.approx(2.0)


# Searches


def contest(table: Table, **settings: Any) -> Contest:
    defaults: dict[str, Any] = {"samplers": ("random",), "trials": 8, "repeats": 2, "budget": Budget()}
    return Contest(table=table, **{**defaults, **settings})


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("noisy", [False, True])
def test_the_best_is_the_true_score_of_what_the_search_would_return(
    sampler: str, noisy: bool, table: Table, space: Space
) -> None:
    """The same study again, with `Study.best` asked after each trial."""
    budget = Budget({MACS: Interval(0, 80_000)})
    outcome = run_search(contest(table, budget=budget, seed=5, noisy=noisy), sampler, 2)
    ledger = Ledger(open_storage(None), "again")
    study = Study(space, budget, ledger, trials=8, sampler=SAMPLERS[sampler], seed=7)
    best = []
    while (candidate := study.ask()) is not None:
        assert budget.admits(candidate.amount)
        seen = table.entries[candidate.identity].observe(candidate.identity, 7 if noisy else None)
        study.complete(candidate.number, EpochResult(1, seen, seen, 0.0))
        best.append(table.entries[study.best(1)[0].candidate.identity].true_score)
    assert outcome.best == tuple(best) and len(best) == 8
    assert len(outcome.asked_s) == 8 and min(outcome.asked_s) > 0
    assert outcome.counts == study.counts


def test_processes_find_what_one_finds(table: Table) -> None:
    given = contest(table, samplers=("random", "evolution"), repeats=3)
    found = [sorted(run_contest(given, jobs), key=lambda o: (o.repeat, o.sampler)) for jobs in (1, 2)]
    assert [(o.sampler, o.repeat, o.best, o.counts) for o in found[0]] == [
        (o.sampler, o.repeat, o.best, o.counts) for o in found[1]
    ]


def test_a_log_says_how_far_it_is(
    table: Table, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each search goes on until it does."""
    monkeypatch.setattr("nas.report.heartbeat.QUIET_S", 0.0)
    given = contest(table, repeats=3)
    said: list[str] = []

    def end_slowly() -> Iterator[Outcome]:
        for number, outcome in enumerate(run_contest(given, 1), 1):
            yield outcome
            while f"Searching: {number} of 3 searches ended ... " not in "".join(said):
                time.sleep(0.05)
                said.append(capsys.readouterr().err)

    assert len(show_progress(end_slowly(), given)) == 3


def test_a_space_with_points_that_cannot_be_built_travels_to_processes(tmp_path: Path) -> None:
    space = parse_space(
        "name: strided\ninput: [1, 4, 4]\nclasses: 3\nnetwork:\n"
        "  - conv: {name: a, out: {choice: [8, 16]}, kernel: {choice: [3, 7]}, padding: 0}\n  - classifier\n"
    )
    file = tmp_path / "t.csv"
    file.write_text("a.out,a.kernel,score\n8,3,1\n16,3,2\n")
    given = contest(read_table(file, space), trials=2)
    assert [o.best[-1] for o in run_contest(given, 2)] == [2.0, 2.0]


def test_a_process_that_dies(table: Table, tmp_path: Path) -> None:
    """As one does that has no memory left: here a plugin ends it when it is loaded."""
    file = tmp_path / "deadly.py"
    file.write_text("import multiprocessing, os\nif multiprocessing.parent_process():\n    os._exit(9)\n")
    with pytest.raises(NasError) as error:
        list(run_contest(contest(table), 2, read_plugins([file])))
    assert str(error.value) == "a process that ran searches has died; run fewer at a time, with --jobs"


def test_repeats_differ_and_pairs_share_their_seed(table: Table) -> None:
    given = contest(table, samplers=("random", "evolution"), repeats=4, trials=10)
    found = {(o.sampler, o.repeat): o.best for o in run_contest(given, 1)}
    assert len({found["random", repeat] for repeat in range(4)}) > 1
    assert all(found["random", r][0] == found["evolution", r][0] for r in range(4))  # both drawn


def test_networks_without_a_row_are_not_tried(space: Space, tmp_path: Path) -> None:
    points = list(enumerate_points(space))
    file = tmp_path / "t.csv"
    file.write_text(table_text(space, points[::3], {"score": lambda p: scored(space, p)}))
    found = read_table(file, space)
    assert found.missing == sum(space.identity(p) not in found.entries for p in points) > 0
    outcome = run_search(contest(found, trials=len(found.entries)), "random", 0)
    assert outcome.counts.unbuildable > 0
    assert outcome.best[-1] == max(entry.true_score for entry in found.entries.values())


def test_a_search_that_finds_no_more_stays_at_its_last(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.study.study.LAST_ATTEMPTS", 0)
    monkeypatch.setattr("nas.study.study.ATTEMPTS", 1)
    outcome = run_search(contest(table, trials=16), "random", 0)
    assert len(outcome.asked_s) < 16 == len(outcome.best)
    assert len(set(outcome.best[len(outcome.asked_s) - 1 :])) == 1


def test_a_budget_without_a_network_of_the_table(table: Table) -> None:
    with pytest.raises(InputError) as error:
        contest(table, budget=Budget({MACS: Interval(1, 2)}))
    assert str(error.value) == (
        f"{table.file}: none of its 16 networks is inside the budget MACs 1..2; widen it"
    )


def test_more_trials_than_networks(table: Table) -> None:
    with pytest.raises(InputError) as error:
        contest(table, trials=17)
    assert str(error.value) == (
        f"--trials: 17, and {table.file} has 16 networks inside the budget; ask for at most so many"
    )


def test_noise_that_is_added_is_that_of_the_network_and_the_repeat(table: Table) -> None:
    """Of 16 networks and 200 repeats: the deviation has an error of 0.025."""
    given = contest(table, noise=2.0)
    told = [[given.observe(identity, seed) for identity in table.entries] for seed in range(200)]
    assert told[7] == [given.observe(identity, 7) for identity in table.entries]
    means = [entry.observe("", None) for entry in table.entries.values()]
    added = [[seen - mean for seen, mean in zip(one, means, strict=True)] for one in told]
    every = [value for one in added for value in one]
    assert abs(fmean(every)) < 0.15 and pstdev(every) == pytest.approx(2.0, abs=0.1)
    assert given.deviation == 2.0
    seeds = [variance(entry.scores) for entry in table.entries.values()]
    assert contest(table, noisy=True, noise=2.0).deviation == pytest.approx((4 + fmean(seeds)) ** 0.5)


def test_a_search_names_what_all_scores_say_where_that_is_worth_more(table: Table) -> None:
    """Of all 16 networks of the table: beside so much noise what the others say is, and without it is not."""
    (plain,) = run_contest(contest(table, trials=16, repeats=1), 1)
    assert not plain.is_better and plain.believed == plain.best[-1]
    noisy = [*run_contest(contest(table, trials=16, repeats=5, noise=5.0), 1)]
    true = [entry.true_score for entry in table.entries.values()]
    assert all(one.is_better and one.believed in true for one in noisy)
    assert any(one.believed != one.best[-1] for one in noisy)


def test_what_named_networks_lack() -> None:
    ended = [
        replace(outcome("random", i, 0.0, best), believed=believed, is_better=believed != best)
        for i, (best, believed) in enumerate([(1.0, 3.0), (2.0, 2.0), (3.0, 4.0)])
    ]
    (found,) = compute_standings(ended, 5.0)
    assert found.naming is not None
    assert (found.naming.by_score.mean, found.naming.by_all.mean) == (3.0, 2.0)
    assert found.naming.difference.estimate.mean == 1.0 and found.naming.used == pytest.approx(2 / 3)
    assert compute_standings(ended)[0].naming is None


# Figures


def outcome(sampler: str, repeat: int, *best: float) -> Outcome:
    return Outcome(
        sampler, repeat, best, tuple(0.001 * (i + 1) for i in range(len(best))), Counts(duplicate=repeat)
    )


values = st.lists(st.integers(-20, 20).map(lambda i: i / 4), min_size=2, max_size=9)


@given(values)
def test_an_interval_is_that_of_a_t_test(sample: list[float]) -> None:
    from scipy.stats import ttest_1samp

    found = estimate_mean(sample)
    assert found.mean == pytest.approx(sum(sample) / len(sample))
    if len(set(sample)) > 1:
        interval = ttest_1samp(sample, 0).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    else:
        assert found.low == found.high == pytest.approx(sample[0])


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=8, unique=True), st.data())
def test_p_is_the_share_of_signs_that_are_at_least_as_extreme(sizes: list[int], data: st.DataObject) -> None:
    """Wilcoxon's test by hand: every sign of every difference, the sum of the positive ranks."""
    signs = [data.draw(st.sampled_from((-1, 1))) for _ in sizes]
    ranks = [sorted(sizes).index(size) + 1 for size in sizes]

    def distance(signs: Sequence[int]) -> float:
        return abs(sum(r for r, s in zip(ranks, signs, strict=True) if s > 0) - sum(ranks) / 2)

    ways = list(itertools.product((-1, 1), repeat=len(sizes)))
    share = sum(distance(way) >= distance(signs) for way in ways) / len(ways)
    theirs = [0.0] * len(sizes)
    found = compare_pairs([sign * size for sign, size in zip(signs, sizes, strict=True)], theirs)
    assert found.p == pytest.approx(share)


def test_pairs_that_are_all_equal_show_no_difference() -> None:
    found = compare_pairs([1.0, 2.0], [1.0, 2.0])
    assert (found.p, found.estimate.mean, found.estimate.low) == (1.0, 0.0, 0.0)


def test_one_repeat_has_no_interval() -> None:
    found = estimate_mean([1.5])
    assert found.mean == 1.5 and math.isnan(found.low) and math.isnan(found.high)


def test_marks() -> None:
    assert (
        list_marks(100) == [10, 20, 50, 100]
        and list_marks(7) == [7]
        and list_marks(120) == [10, 20, 50, 100, 120]
    )


def test_figures_of_samplers_pair_their_repeats_whatever_the_order() -> None:
    ended = [
        outcome("evolution", 1, 2.0, 3.0), outcome("random", 0, 0.0, 1.0),
        outcome("evolution", 0, 1.0, 5.0), outcome("random", 1, 0.0, 2.0),
    ]  # fmt: skip
    evolution, random_ = sorted(compute_standings(ended), key=lambda s: s.sampler)
    assert [e.mean for e in evolution.curve] == [1.5, 4.0] and [e.mean for e in random_.curve] == [0.0, 1.5]
    assert random_.differences == {} and list(evolution.differences) == [2]
    # 4 and 1 more than random: the mean 2.5 has the error 1.5, and t of one degree is 12.706
    found = evolution.differences[2].estimate
    assert (found.mean, found.high) == pytest.approx((2.5, 2.5 + 1.5 * 12.7062), rel=1e-4)
    assert evolution.ask_median_s == pytest.approx(0.0015)
    assert evolution.rejected == {"over_budget": 0, "duplicate": 0.5, "unbuildable": 0}


# Plot


@given(st.floats(-1e3, 1e3), st.floats(1e-6, 1e3))
def test_ticks_are_round_and_inside(low: float, size: float) -> None:
    found = choose_ticks(low, low + size)
    assert 1 <= len(found) <= 8
    assert all(low - size * 1e-6 <= tick <= low + size * (1 + 1e-6) for tick in found)


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("trials", [1, 30])
def test_the_plot_has_a_curve_a_sampler_inside_its_axes(repeats: int, trials: int) -> None:
    rng = random.Random(0)
    ended = [
        outcome(name, repeat, *sorted(rng.random() for _ in range(trials)))
        for repeat in range(repeats)
        for name in ("random", "a<b&\x00")
    ]
    svg = ET.fromstring(plot("t<itle", "sub & title", compute_standings(ended)))
    _, _, width, height = map(float, svg.get("viewBox", "").split())
    curves = {c.get("data-name"): c.get("d", "") for c in svg.iter(f"{SVG}path") if c.get("class") == "curve"}
    assert set(curves) == {"random", "a<b&\N{REPLACEMENT CHARACTER}"}
    for path in curves.values():
        for pair in path.removeprefix("M").split("L"):
            x, y = map(float, pair.split())
            assert 0 < x < width and 0 < y < height
    assert len([b for b in svg.iter(f"{SVG}path") if b.get("class") == "band"]) == (2 if repeats > 1 else 0)


def test_a_table_is_limited_by_any_measure(table: Table, space: Space) -> None:
    """Also by one that takes the graph of a network."""
    memory = sorted(space.amount(entry.choices, MEMORY) for entry in table.entries.values())
    budget = Budget({MEMORY: Interval(0, memory[11])})
    inside = sum(amount <= memory[11] for amount in memory)
    assert 0 < table.count_inside(budget) == inside < len(memory)
    (outcome,) = run_contest(contest(table, trials=inside, repeats=1, budget=budget), 1)
    assert outcome.counts.complete == inside


# The command


@pytest.fixture
def space_file(tmp_path: Path) -> str:
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    return str(file)


def test_the_command_limits_any_measure(space_file: str, path: Path) -> None:
    limited = ("bench", space_file, str(path), "--sampler", "random", "--repeats", "1", "--jobs", "1")
    said = nas(*limited, "--trials", "2", "--budget", "activations=1M", "--budget", "memory=1M")
    assert said.code == 0 and "budget activations <= 1,000,000 and memory <= 1,000,000 B," in said.out
    said = nas(*limited, "--budget", "memry=8M")
    assert (said.code, said.err) == (
        2, "error: nas bench: budget 'memry=8M': 'memry' is not a measure; did you mean 'memory'?\n"
    )  # fmt: skip


def test_the_command(space_file: str, path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    said = nas(
        "bench", space_file, str(path), "--sampler", "evolution", "--trials", "12", "--repeats", "4",
        "--jobs", "1", "-o", str(folder), "--score", "random", "--budget-flops", "1M",
    )  # fmt: skip
    assert (said.code, said.err) == (0, "")
    assert f"Table {path}: 36 rows, 16 distinct networks of 'small'.\n" in said.out
    assert (
        "4 repeats of 12 trials, budget MACs <= 1,000,000, seeds from 0; a search is told one of a network's "
        "scores at random.\n"
    ) in said.out
    assert said.out.count("evolution") == 4 and said.out.count(" ± ") == 13
    assert "\nRegret of the network named in the end, by its score, and by what all scores say " in said.out
    data = json.loads((folder / "bench.json").read_text())
    assert list(data["samplers"]) == ["random", "evolution"]
    assert data["samplers"]["evolution"]["difference_to_random"].keys() == {"10", "12"}
    with (folder / "curves.csv").open() as file:
        curves = list(csv.DictReader(file))
    assert len(curves) == 2 * 4 * 12
    last = [
        float(row["best_true_score"]) for row in curves if (row["sampler"], row["trials"]) == ("random", "12")
    ]
    assert data["samplers"]["random"]["best"]["12"]["mean"] == pytest.approx(sum(last) / 4)
    assert ET.parse(folder / "bench.svg").getroot().tag == f"{SVG}svg"


def test_figures_as_a_document(space_file: str, path: Path, tmp_path: Path) -> None:
    flags = (
        "--sampler",
        "evolution",
        "--trials",
        "4",
        "--repeats",
        "2",
        "--jobs",
        "1",
        "-o",
        str(tmp_path / "out"),
    )
    said = nas("bench", space_file, str(path), *flags, "--format", "json")
    assert said.code == 0 and json.loads(said.out) == json.loads(
        (tmp_path / "out" / "bench.json").read_text()
    )
    assert said.err.split() == [
        str(tmp_path / "out" / name) for name in ("bench.json", "curves.csv", "bench.svg")
    ]


def test_what_is_odd_about_a_table_is_said(space_file: str, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(f"{HEAD},score\n2,conv,skip,,4,1\n3,conv,skip,skip,4,2\n2,conv,conv,,4,3\n")
    said = nas(
        "bench",
        space_file,
        str(file),
        "--sampler",
        "random",
        "--trials",
        "2",
        "--repeats",
        "1",
        "--jobs",
        "1",
    )
    assert said.code == 0, said.err
    assert (
        f"Table {file}: 3 rows, 2 distinct networks of 'small'. 1 row repeats a network with other scores; "
        "the mean counts. It lacks the networks of 31 of the space's 36 points; a search that asks for one "
        "is told that it cannot be built.\n"
    ) in said.out
    assert "Difference" not in said.out and "±" not in said.out.partition("\n 2")[2].partition("Time")[0]


def test_a_large_space_is_not_listed(
    space_file: str, space: Space, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("nas.bench.score_table.LISTED", 10)
    file = tmp_path / "t.csv"
    file.write_text(f"{HEAD},score\n2,conv,skip,,4,1\n2,conv,conv,,4,3\n")
    assert read_table(file, space).missing is None
    said = nas(
        "bench",
        space_file,
        str(file),
        "--sampler",
        "random",
        "--trials",
        "1",
        "--repeats",
        "1",
        "--jobs",
        "1",
    )
    assert "The space has 36 points; a search that asks for a network without a row is told that" in said.out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--sampler", "random,evolutoin"], "unknown sampler 'evolutoin'; did you mean 'evolution'?"),
        (["--sampler", "tpe", "--score", "median"], "nas bench: score: 'median' is not what a search can be "
         "told; it is mean or random"),
        (["--sampler", "tpe", "--budget-flops", "4Q"], "nas bench: budget-flops: '4Q' is not a count; "
         "write a number with K, M, G or T, such as 400M or 1.5G"),
        (["--sampler", "tpe", "--trials", "17"], "--trials: 17, and {table} has 16 networks inside the "
         "budget; ask for at most so many"),
    ],
)  # fmt: skip
def test_flags_that_are_refused(flags: list[str], message: str, space_file: str, path: Path) -> None:
    said = nas("bench", space_file, str(path), *flags)
    assert (said.code, said.out) == (2, "")
    assert said.err == f"error: {message.replace('{table}', str(path))}\n"


def test_the_table_of_naap440(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its 440 networks is one of the space, by parameters, MACs, layers, skips and widths."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import naap440

    file = tmp_path / "naap.csv"
    monkeypatch.setattr(sys, "argv", ["naap440.py", str(published / "naap440v2.csv"), str(file)])
    naap440.main()
    found = read_table(file, load_space(naap440.SPACE))
    assert (found.rows, len(found.entries), found.conflicts, found.missing) == (440, 440, 0, 96)
    assert max(e.true_score for e in found.entries.values()) == 0.7504


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_table_of_nas_bench_macro(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import nas_bench_macro

    file = tmp_path / "macro.csv"
    data = published / "nas-bench-macro_cifar10.json"
    monkeypatch.setattr(sys, "argv", ["nas_bench_macro.py", str(data), str(file)])
    nas_bench_macro.main()
    found = read_table(file, load_space(ROOT / "benchmarks" / "spaces" / "nas_bench_macro.yaml"))
    assert (found.rows, len(found.entries), found.conflicts, found.missing) == (6561, 3969, 0, 0)
    assert max(e.true_score for e in found.entries.values()) == pytest.approx(93.127, abs=0.0005)
    cap = Budget({MACS: Interval(0, 60_000_000)})
    capped = [e.true_score for e in found.entries.values() if cap.admits(found.space.amounts(e.choices))]
    assert max(capped) == pytest.approx(92.567, abs=0.0005)
    assert found.count_inside(cap) == len(capped)
    # random search has 92.35 on average after 100 trials (500 repeats), with an error of 0.03 over 20 repeats
    given = contest(replace(found), trials=100, repeats=20, budget=cap)
    last = [outcome.best[-1] for outcome in run_contest(given, 2)]
    assert 92.25 < sum(last) / 20 < 92.45


def test_a_search_that_meets_no_row_is_said(table: Table) -> None:
    lost = replace(table, entries={"elsewhere": next(iter(table.entries.values()))})
    contest = Contest(lost, ("random",), trials=1, repeats=1, budget=Budget())
    with pytest.raises(InputError) as error:
        run_search(contest, "random", 0)
    assert str(error.value) == (
        f"{table.file}: a search by 'random' met no network that has a row; the table covers too little of "
        "the space"
    )


def test_a_table_of_another_tool_is_read(table: Table, path: Path, tmp_path: Path) -> None:
    """With a byte order mark and a line of blanks, as spreadsheets write them."""
    file = tmp_path / "marked.csv"
    file.write_text(f"\ufeff{path.read_text()} , \n", encoding="utf-8")
    assert read_table(file, table.space).entries == table.entries


def test_a_cell_without_an_end_is_refused(table: Table, path: Path, tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    file.write_text(f"{path.read_text()}{'x' * 200_000},1\n")
    with pytest.raises(InputError, match="field larger than field limit"):
        read_table(file, table.space)


def test_a_folder_that_cannot_be_is_said_before_any_search(path: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    (tmp_path / "small.yaml").write_text(SMALL)
    said = nas("bench", str(tmp_path / "small.yaml"), str(path), "--sampler", "random", "--trials", "2",
               "--repeats", "1", "--jobs", "1", "-o", str(tmp_path / "taken"))  # fmt: skip
    assert (
        said.code == 1 and "a file is where its folder would be" in said.err and "repeats of" not in said.out
    )
