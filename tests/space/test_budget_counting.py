"""Points inside a budget, counted and drawn, against listing every point."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, product
from math import comb
from pathlib import Path

import numpy as np
import pytest
from command_line import nas
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_spaces import points, spaces
from scipy.stats import chisquare

from nas.cost import Cost, Interval, parse_interval
from nas.errors import InputError
from nas.measures import ACTIVATIONS, MACS, MEASURES, MEMORY, PARAMS, Budget, make_amounts
from nas.space import Choices, Space, SpaceError, load_space, parse_space
from nas.space.counting import exact as counting
from nas.space.counting.census import take_census
from nas.space.counting.exact import count_within, find_gap
from nas.space.counting.point_sets import ONE, After, Either, Points
from nas.space.library import find_space

MACRO = Path(__file__).parents[2] / "benchmarks" / "spaces" / "nas_bench_macro.yaml"
REDUCED = """
input: [3, 32, 32]
classes: 10
network:
  - conv: {name: stem, out: {choice: [8, 16]}, stride: 2}
  - stage:
      name: s1
      depth: {choice: [1, 2]}
      stride: 2
      block: {mbconv: {out: {choice: [16, 24]}, kernel: {choice: [3, 5], per: layer}, se: 0.25}}
  - stage:
      name: s2
      depth: {choice: [1, 2]}
      block: {mbconv: {out: {choice: [24, 40]}, expand: {choice: [3, 6], per: layer}}}
  - classifier
"""
"""mbconv.yaml with fewer stages and options: 288 points."""


def built(space: Space, limit: int) -> dict[str, tuple[Choices, Cost]] | None:
    """Every point that can be built, with its cost, by its text; None where there are more."""
    listed = points(space, limit)
    if listed is None:
        return None
    found = {}
    for point in listed:
        try:
            found[key(point)] = point, space.cost(point)
        except SpaceError:
            continue
    return found


def key(point: Choices) -> str:
    return str(sorted(point.items()))


@pytest.mark.slow
@given(spaces(), st.data())
@settings(max_examples=80)
def test_random_spaces_are_counted_inside_intervals(space: Space, data: st.DataObject) -> None:
    listed = built(space, 100)
    assume(listed)
    assert listed
    for measure in (MACS.of, PARAMS.of, ACTIVATIONS.of):
        costs = sorted(measure(cost) for _, cost in listed.values())
        low, high = sorted(data.draw(st.sampled_from([*costs, costs[0] + 1])) for _ in range(2))
        expected = sum(low <= cost <= high for cost in costs)
        assert count_within(space.points, measure, Interval(low, high)) == expected
        assert count_within(space.points, measure, Interval(low)) == sum(low <= cost for cost in costs)


@given(spaces(), st.data())
@settings(max_examples=60)
def test_random_spaces_are_drawn_inside_budgets(space: Space, data: st.DataObject) -> None:
    listed = built(space, 60)
    assume(listed)
    assert listed
    macs = sorted(cost.macs for _, cost in listed.values())
    low, high = sorted(data.draw(st.sampled_from(macs)) for _ in range(2))
    inside = {name for name, (_, cost) in listed.items() if low <= cost.macs <= high}
    drawn = space.uniform(Budget({MACS: Interval(low, high)})).sample(
        np.random.default_rng(0), 40 * len(inside)
    )
    assert len(drawn) == 40 * len(inside)
    assert {key(point) for point in drawn} == inside


def test_counts_of_the_benchmark_are_its_tables() -> None:
    space = load_space(MACRO)
    for text, number in (("60M", 4075), ("54M..60M", 1071), ("7713280", 1), ("105660928..200M", 1)):
        assert count_within(space.points, lambda cost: cost.macs, parse_interval(text)) == number


@pytest.mark.parametrize("numbers", [1 << bits for bits in (6, 7, 9, 12, 64)])
def test_a_count_is_exact_wherever_it_meets_its_tables(numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fewer points a table may hold, the sooner it ends; both halves must hold some."""
    monkeypatch.setattr(counting, "_NUMBERS", numbers)
    found = count_within(load_space(MACRO).points, lambda cost: cost.macs, parse_interval("54M..60M"))
    assert found == (1071 if numbers > 1 << 6 else None)
    listed = built(parse_space(REDUCED), 1000)
    assert listed
    middle = int(np.median([cost.params for _, cost in listed.values()]))
    assert count_within(parse_space(REDUCED).points, lambda cost: cost.params, Interval(0, middle)) == sum(
        cost.params <= middle for _, cost in listed.values()
    )


@pytest.mark.parametrize("limit", ["LENGTH", "WORK"])
def test_a_count_that_takes_too_long_is_none(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, limit, 10)
    points = load_space(MACRO).points
    assert count_within(points, lambda cost: cost.macs, parse_interval("60M")) is None
    assert find_gap(points, lambda cost: cost.macs, parse_interval("7713281..7714000")) is None


def long(layers: int) -> Space:
    """Each layer costs one unit, of 1,024 MACs, or nine."""
    body = "{choice: [{conv2d: {out: 4}}, {conv2d: {out: 4, kernel: 3}}], per: layer}"
    return parse_space(
        f"input: [4, 8, 8]\nclasses: 2\nnetwork:\n- stage: {{name: s, depth: {layers}, block: {body}}}"
    )


def test_numbers_of_points_beyond_64_bits() -> None:
    def counted(layers: int, most_large: int) -> int | None:
        macs = 1024 * (layers + 8 * most_large)
        return count_within(long(layers).points, lambda cost: cost.macs, Interval(0, macs))

    assert counted(256, 1) == 1 + 256
    assert counted(110, 54) == sum(comb(110, large) for large in range(55)) > 1 << 107
    assert counted(256, 255) is None and counted(256, 256) == 2**256
    assert count_within(long(900).points, lambda cost: cost.macs, Interval()) == 2**900


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), min_size=1))
def test_sums_of_products_are_exact(pairs: list[tuple[int, int]]) -> None:
    one, other = (np.array(column, np.uint64) for column in zip(*pairs, strict=True))
    assert counting._sum_products(one, other) == sum(a * b for a, b in pairs)


_COSTS = st.lists(st.integers(0, 3000), min_size=1, max_size=5, unique=True)


@given(st.lists(_COSTS, min_size=2, max_size=4), st.booleans(), st.data())
@settings(max_examples=100)
def test_counts_and_gaps_of_sums(parts: list[list[int]], beside: bool, data: st.DataObject) -> None:
    """Sets of costs one after the other, or beside each other, against all their sums. Gaps are wide."""
    points: Points = ONE
    for place, costs in enumerate(parts):
        before = ONE if beside else points
        options = tuple(After(before, Cost(cost), ((str(place), cost),)) for cost in costs)
        points = points.multiply(Either(options)) if beside else Either(options)
    sums = sorted(sum(point) for point in product(*parts))
    low, high = sorted(data.draw(st.tuples(*[st.integers(sums[0], sums[-1] + 1)] * 2)))
    found = count_within(points, lambda cost: cost.macs, Interval(low, high))
    assert found == sum(low <= cost <= high for cost in sums)
    below, above = [cost for cost in sums if cost < low], [cost for cost in sums if cost > high]
    gap = (below[-1], above[0]) if below and above and not found else None
    assert find_gap(points, lambda cost: cost.macs, Interval(low, high)) == gap


def test_a_gap_ends_at_the_least_cost_above_though_a_dearer_one_is_found_sooner() -> None:
    points: Points = ONE
    for place, costs in enumerate(([200, 3010, 7000], [10, 50, 4980], [3010, 6500])):
        points = Either(tuple(After(points, Cost(cost), ((str(place), cost),)) for cost in costs))
    assert find_gap(points, lambda cost: cost.macs, Interval(6751, 6752)) == (6750, 8190)


@given(spaces(), st.data())
@settings(max_examples=40)
def test_gaps_of_random_spaces(space: Space, data: st.DataObject) -> None:
    listed = built(space, 60)
    assume(listed and len({cost.macs for _, cost in listed.values()}) > 1)
    assert listed
    costs = sorted({cost.macs for _, cost in listed.values()})
    low, high = data.draw(st.sampled_from(list(pairwise(costs))))
    if high - low > 1:
        assert find_gap(space.points, lambda cost: cost.macs, Interval(low + 1, high - 1)) == (low, high)
    assert find_gap(space.points, lambda cost: cost.macs, Interval(low, high)) is None


@given(spaces(), st.data())
@settings(max_examples=40)
def test_random_spaces_are_drawn_inside_several_limits(space: Space, data: st.DataObject) -> None:
    """One limit is counted, the others are met by drawing again; what is drawn is all that is inside."""
    listed = built(space, 40)
    assume(listed)
    assert listed
    limited = data.draw(st.lists(st.sampled_from([*MEASURES.values()]), min_size=1, max_size=3, unique=True))
    limits = {}
    for measure in limited:
        amounts = sorted(space.amount(point, measure) for point, _ in listed.values())
        low, high = sorted(data.draw(st.sampled_from([*amounts, 0])) for _ in range(2))
        limits[measure] = Interval(low, high)
    budget = Budget(limits)
    inside = {
        name
        for name, (point, _) in listed.items()
        if all(space.amount(point, measure) in interval for measure, interval in limits.items())
    }
    assert {n for n, (point, _) in listed.items() if budget.admits(space.amounts(point))} == inside
    drawn = space.uniform(budget).sample(np.random.default_rng(0), 40 * len(inside), tries=1000)
    assert len(drawn) == 40 * len(inside)
    assert {key(point) for point in drawn} == inside


@pytest.mark.parametrize(
    "texts",
    [
        {"macs": "1.2M..2M"},
        {"macs": "1.5M"},
        {"params": "15K..25K"},
        {"macs": "1.2M..2M", "params": "15K..25K"},
        {"activations": "50K..70K"},
        {"activations": "70K", "params": "25K"},
        {"memory": "220K"},
        {"memory": "180K..220K", "macs": "2M"},
    ],
    ids=str,
)
def test_points_are_drawn_with_equal_chances(texts: dict[str, str]) -> None:
    """Chi-square against brute force, on a reduced copy of mbconv."""
    space = parse_space(REDUCED)
    budget = Budget.parse(texts)
    listed = built(space, 1000)
    assert listed
    inside = {name for name, (point, _) in listed.items() if budget.admits(space.amounts(point))}
    assert 20 <= len(inside) < len(listed)
    drawn = space.uniform(budget).sample(np.random.default_rng(1), 100 * len(inside))
    counts = Counter(map(key, drawn))
    assert set(counts) == inside
    assert chisquare(list(counts.values())).pvalue > 0.01


def test_a_band_of_mbconv_is_drawn_from() -> None:
    space, budget = load_space(find_space("mbconv")), Budget({MACS: parse_interval("380M..400M")})
    drawn = space.uniform(budget).sample(np.random.default_rng(0), 300)
    assert len({key(point) for point in drawn}) == 300
    assert all(budget.admits(space.amounts(point)) for point in drawn)


def test_an_interval_without_points_gives_none() -> None:
    """Between two costs: nothing inside, though the bins around it hold points."""
    space = load_space(MACRO)
    budget = Budget({MACS: Interval(7_713_281, 7_713_290)})
    assert space.uniform(budget).sample(np.random.default_rng(0), 3) == []
    assert space.uniform(Budget({MACS: Interval(1, 2)})).sample(np.random.default_rng(0), 3) == []


@pytest.mark.parametrize("budget", ["400M", "380M..400M"])
def test_an_estimate_holds_the_number(budget: str) -> None:
    space = load_space(find_space("mixed"))
    exact = take_census(space, Budget({MACS: parse_interval(budget)}))
    assert exact.is_exact
    low, high = space.uniform(Budget({MACS: parse_interval(budget)})).count(np.random.default_rng(0), 4096)
    assert low <= exact.low <= high
    assert high < 1.03 * low


def test_a_census_is_of_what_is_listed() -> None:
    space = load_space(MACRO)
    found = take_census(space, Budget({MACS: parse_interval("60M")}))
    macs = np.sort([cost.macs for _, cost in (built(space, 7000) or {}).values()])
    macs = macs[macs <= 60_000_000]
    assert (found.low, found.high) == (4075, 4075)
    for share, value in found.quantiles.items():
        assert value == pytest.approx(np.quantile(macs, share), rel=0.005)
    for start, end, share in found.rows[1:]:
        assert share == pytest.approx(np.mean((macs > start) & (macs <= end)), abs=0.01)
    assert sum(share for *_, share in found.rows) == pytest.approx(1)
    assert all(before[1] == after[0] for before, after in pairwise(found.rows))


def test_both_limits_are_counted_by_draws() -> None:
    space = load_space(MACRO)
    budget = Budget({MACS: parse_interval("60M"), PARAMS: parse_interval("1M")})
    inside = sum(budget.admits(make_amounts(cost)) for _, cost in (built(space, 7000) or {}).values())
    found = take_census(space, budget)
    assert not found.is_exact and found.low <= inside <= found.high


def test_a_limit_of_memory_is_counted_by_draws() -> None:
    space, budget = parse_space(REDUCED), Budget.parse({"memory": "220K"})
    listed = built(space, 1000)
    assert listed
    memory = np.sort([space.amount(point, MEMORY) for point, _ in listed.values()])
    inside = memory[memory <= 220_000]
    found = take_census(space, budget)
    assert found.measure == MEMORY and not found.is_exact
    assert found.low <= len(inside) <= found.high
    assert found.rows[0][0] == inside[0] and found.rows[-1][1] == inside[-1]
    for quantile, amount in found.quantiles.items():
        assert amount == pytest.approx(np.quantile(inside, quantile), rel=0.02)


def test_a_limit_of_activations_is_counted_exactly() -> None:
    space, budget = load_space(MACRO), Budget.parse({"activations": "1.2M"})
    inside = sum(cost.activations <= 1_200_000 for _, cost in (built(space, 7000) or {}).values())
    found = take_census(space, budget)
    assert found.is_exact and found.low == inside > 0 and found.measure == ACTIVATIONS


def test_show_counts_limits_of_any_measure(tmp_path: Path) -> None:
    file = tmp_path / "reduced.yaml"
    file.write_text(REDUCED)
    said = nas("show", str(file), "--budget", "activations=60K")
    inside = sum(cost.activations <= 60_000 for _, cost in (built(parse_space(REDUCED), 300) or {}).values())
    assert said.code == 0 and f"activations <= 60,000: {inside} networks, " in said.out
    said = nas("show", str(file), "--budget", "memory=220K", "--budget-flops", "2M")
    assert said.code == 0 and "MACs <= 2,000,000 and memory <= 220,000 B: about" in said.out
    said = nas("show", str(file), "--budget", "memory=220K")
    assert said.code == 0 and "of them have up to, in memory" in said.out and "KB" in said.out


def test_show_counts_a_budget() -> None:
    said = nas("show", str(MACRO), "--budget-flops", "60M")
    assert said.code == 0 and "MACs <= 60,000,000: 4,075 networks, 62.1 %" in said.out
    assert "40.9M" in said.out and "█" in said.out
    said = nas("show", "mbconv", "--budget-params", "4M..5M")
    assert "params 4,000,000..5,000,000: 17,247,828,878,501,411,564,457,192 networks, 22.2 %" in " ".join(
        said.out.split()
    )
    said = nas("show", str(MACRO), "--budget-flops", "60M", "--budget-params", "1M")
    assert "params <= 1,000,000: about" in said.out and "with 95 % confidence" in said.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reference/resnet18", "--budget-flops", "60M"], "reference/resnet18: is one network, and a budget "
         "is for a space; leave it out"),
        (["mbconv", "--budget-flops", "600G..900G"], "--budget-flops: 600,000,000,000 MACs is above the "
         "largest network of 'mbconv', 1,020,588,384; the smallest has 62,410,976. Ask for at most 1.02G"),
        (["mbconv", "--budget", "memory=4M"], "--budget memory: 4,000,000 bytes of memory is below "
         "8,023,656: 4 for each of the 2,005,914 parameters that networks of 'mbconv' have at least; "
         "allow more"),
        (["mbconv", "--budget-flops", "400Q"], "nas show: budget-flops: '400Q' is not a count; write a "
         "number with K, M, G or T, such as 400M or 1.5G"),
    ],
)  # fmt: skip
def test_budgets_that_show_refuses(arguments: list[str], message: str) -> None:
    said = nas("show", *arguments)
    assert (said.code, said.err.strip()) == (2, f"error: {message}")


def test_a_budget_at_the_smallest_network_takes_no_room() -> None:
    """The bins are as narrow as they get, and what is far above the budget is not kept."""
    for name in ("mbconv", "depthwise", "residual", "mixed"):
        space = load_space(find_space(name))
        uniform = space.uniform(Budget({MACS: Interval(0, space.extent.smallest_cost.macs)}))
        kept = sum(len(uniform.spread.of(part).numbers) for part in uniform.spread.order)
        assert kept < 100 * len(uniform.spread.order)
        (point,) = uniform.sample(np.random.default_rng(0), 1)
        assert space.cost(point).macs == space.extent.smallest_cost.macs


def test_more_points_than_a_float_can_count() -> None:
    layer = "{conv2d: {out: 4, kernel: {choice: [1, 3], per: layer}}}"
    stages = [f"- stage: {{name: {name}, depth: 550, block: {layer}}}" for name in "ab"]
    space = parse_space("input: [4, 8, 8]\nclasses: 2\nnetwork:\n" + "\n".join(stages))
    assert space.extent.count == 2**1100
    most = space.extent.smallest_cost.macs * 5
    drawn = space.uniform(Budget({MACS: Interval(0, most)})).sample(np.random.default_rng(0), 2)
    assert len(drawn) == 2 and all(space.cost(point).macs <= most for point in drawn)
    low, high = space.uniform(Budget()).count(np.random.default_rng(0), 64)
    assert 2**1095 < low <= high < 2**1101


def test_costs_beyond_64_bits_are_no_surprise() -> None:
    assert count_within(load_space(MACRO).points, lambda c: c.macs, Interval(1, 10**20)) == 6561
    assert count_within(load_space(MACRO).points, lambda c: c.macs * 10**12, Interval(1, 10**18)) is None
    wide = "- conv2d: {out: 1000000, kernel: 7}\n" * 4
    space = parse_space("input: [1000000, 2000, 2000]\nclasses: 2\nnetwork:\n" + wide)
    with pytest.raises(InputError, match=r"^<text>: its networks have up to [0-9,]+ MACs, more than can be"):
        space.uniform(Budget())


def test_one_cost_makes_one_row() -> None:
    space = load_space(MACRO)
    found = take_census(space, Budget({MACS: Interval(0, 7_713_280)}))
    assert (found.low, found.high) == (1, 1)
    assert found.rows == ((7_713_280, 7_713_280, 1.0),)
    nothing = take_census(space, Budget({MACS: Interval(7_713_281, 7_713_290)}))
    assert nothing.high == 0 and not nothing.rows and not nothing.quantiles


@pytest.mark.parametrize("command", [["show"], ["search", "--workers", "0"]])
def test_an_empty_band_names_the_nearest_costs(command: list[str], tmp_path: Path) -> None:
    """A search counts with the channels and classes of its data, `show` with the space's own."""
    said = nas(command[0], str(MACRO), "--budget-flops", "7713281..7714000", *command[1:])
    space = load_space(MACRO)
    listed = built(space if command == ["show"] else space.for_data(1, 10), 7000)
    assert listed
    costs = [cost.macs for _, cost in listed.values()]
    nearest = [max(c for c in costs if c <= 7_713_280), min(c for c in costs if c > 7_714_000)]
    assert (said.code, said.err) == (
        2,
        "error: --budget-flops: no network of 'nas_bench_macro' has 7,713,281 to 7,714,000 MACs; the nearest "
        f"have {nearest[0]:,} and {nearest[1]:,}\n",
    )


@pytest.mark.slow
def test_more_networks_than_can_be_drawn_from_are_counted_and_refused() -> None:
    kernel = "{choice: [1, 3, 5, 7], per: layer}"
    act = "{choice: [none, relu, relu6, leaky_relu, elu, gelu, silu, hardswish, mish, tanh], per: layer}"
    stage = f"stage: {{depth: 1000, block: {{conv: {{out: 8, kernel: {kernel}, act: {act}}}}}}}"
    networks = f"[{', '.join([stage] * 4)}]"
    space = parse_space(f"input: [3, 8, 8]\nnetwork: {networks}", "huge.yaml")
    assert space.count == 40**4000
    with pytest.raises(InputError) as error:
        space.uniform(Budget({MACS: parse_interval("100M")}))
    assert str(error.value) == (
        "huge.yaml: has 1.74 x 10^6408 networks, more than can be drawn from; leave some choices out, or "
        "make them for whole stages"
    )


def test_a_choice_of_many_options_is_counted() -> None:
    space = parse_space(
        "input: [3, 8, 8]\nclasses: 2\nnetwork:\n- conv2d: {out: {range: [1, 3000]}}\n- classifier"
    )
    assert space.extent.count == 3000
    assert count_within(space.points, lambda cost: cost.params, Interval(0, 3 * 50 + 2 * 50 + 2)) == 50
