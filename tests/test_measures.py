"""Measures and budgets: names, texts, what is admitted, and that nothing else knows a measure by its name."""

from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import read_budget

from nas.cost import Cost, Interval, parse_bytes, parse_interval
from nas.errors import InputError
from nas.graph import Architecture
from nas.measures import (
    ACTIVATIONS,
    LATENCY,
    MACS,
    MEASURES,
    MEMORY,
    PARAMS,
    Budget,
    Measure,
    find_measure,
    make_amounts,
)
from nas.runs.budget import fill_budget, name_option

ROOT = Path(__file__).parents[1]
ALLOWED = ", ".join(sorted({w for m in (*MEASURES.values(), LATENCY) for w in (m.name, *m.aliases)}))
every_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)

intervals = st.tuples(st.integers(0, 10**12), st.integers(1, 10**12)).map(
    lambda ends: Interval(*sorted(ends)) if ends[0] != ends[1] else Interval(0, ends[1])
)
budgets = st.dictionaries(st.sampled_from([*MEASURES.values()]), intervals).map(Budget)


def length(architecture: Architecture) -> int:
    return len(architecture.nodes)


LENGTH = Measure("length", "length", "operators", "operators in all", of_architecture=length)


# Measures


@every_measure
def test_a_measure_is_found_by_its_names(measure: Measure) -> None:
    for name in (measure.name, *measure.aliases, f" {measure.name.upper()} "):
        assert find_measure(name) is measure
    assert MEASURES[measure.name] is measure


def test_names_and_aliases_are_of_one_measure_each() -> None:
    words = [word for measure in MEASURES.values() for word in (measure.name, *measure.aliases)]
    assert len(set(words)) == len(words) and all(re.fullmatch("[a-z_]+", word) for word in words)
    assert {measure: measure.is_additive for measure in (MACS, PARAMS, ACTIVATIONS, MEMORY)} == {
        MACS: True, PARAMS: True, ACTIVATIONS: True, MEMORY: False
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("memry", "'memry' is not a measure; did you mean 'memory'?"),
        (
            "watts",
            f"'watts' is not a measure; allowed: {ALLOWED}",
        ),
    ],
)
def test_an_unknown_measure_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        find_measure(text)
    assert str(error.value) == message


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 5))
def test_what_adds_up_adds_up(macs: int, params: int, activations: int, times: int) -> None:
    one, other = Cost(macs, params, activations), Cost(params, activations, macs)
    for measure in MEASURES.values():
        if measure.is_additive:
            assert measure.of(one + other * times) == measure.of(one) + times * measure.of(other)
            assert make_amounts(one)(measure) == measure.of(one)
    assert [measure.of(one) for measure in (MACS, PARAMS, ACTIVATIONS)] == [macs, params, activations]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8M", 8_000_000), ("8MB", 8_000_000), ("8 mib", 8 * 2**20), ("1.5GiB", 3 * 2**29), ("0.5K", 500),
        ("64_000", 64_000), ("64,000 B", 64_000), ("2TiB", 2**41), ("1KiB", 1024),
    ],
)  # fmt: skip
def test_bytes_are_read_exactly(text: str, value: int) -> None:
    assert parse_bytes(text) == value


@pytest.mark.parametrize("text", ["8Q", "", "MiB", "8MiMi", "8iB", "-1K", "8M..9M"])
def test_bytes_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(InputError) as error:
        parse_bytes(text)
    assert str(error.value) == (
        f"'{text}' is not a number of bytes; write one with K, M or G, or with KiB, MiB or GiB, such as 8M "
        "or 1.5GiB"
    )


def test_a_part_of_a_byte_is_refused() -> None:
    with pytest.raises(InputError) as error:
        parse_bytes("1.3")
    assert str(error.value) == "'1.3' is not a whole number of bytes; write one, such as 8M or 1.5GiB"


def test_amounts_are_shown_with_three_digits_and_their_unit() -> None:
    assert MACS.format(385_814_752) == "386M" and MEMORY.format(8_207_064) == "8.21MB"


# Budgets


def test_a_budget_bounds_macs_and_params_together() -> None:
    budget = Budget({MACS: Interval(0, 100), PARAMS: Interval(10, 20)})

    def admitted(macs: int, params: int, budget: Budget = budget) -> bool:
        return budget.admits(make_amounts(Cost(macs, params)))

    assert admitted(100, 20) and admitted(0, 10)
    assert not (admitted(101, 20) or admitted(100, 21) or admitted(100, 9))
    assert admitted(10**15, 10**15, Budget())


@given(budgets, st.dictionaries(st.sampled_from([*MEASURES]), st.integers(0, 10**12)))
def test_a_budget_admits_what_is_in_every_interval(budget: Budget, given_amounts: dict[str, int]) -> None:
    amounts = {measure: given_amounts.get(measure.name, 10**6) for measure in MEASURES.values()}
    amounts[MEMORY] = max(amounts[MEMORY], 4 * amounts[PARAMS])  # as the weights are in it
    expected = all(amounts[measure] in interval for measure, interval in budget.items())
    assert budget.admits(amounts.__getitem__) == expected


@pytest.mark.parametrize("limits", [{MEMORY: 100, MACS: 10}, {MEMORY: 40, MACS: 1000}])
def test_memory_is_worked_out_only_where_all_else_is_inside(limits: dict[Measure, int]) -> None:
    """In the second case 11 parameters take 44 bytes by themselves."""

    def amount(measure: Measure) -> int:
        assert measure != MEMORY
        return 11

    assert not Budget({measure: Interval(0, most) for measure, most in limits.items()}).admits(amount)


@given(budgets)
def test_a_budget_reads_back_and_is_a_value(budget: Budget) -> None:
    again = Budget.parse(budget.texts)
    turned = Budget(dict(reversed([*budget.items()])))
    sent = pickle.loads(pickle.dumps(budget))
    for other in (again, turned, sent):
        assert other == budget and hash(other) == hash(budget) and str(other) == str(budget)
        assert [*other] == [*budget]
    assert [*budget] == [measure for measure in MEASURES.values() if measure in budget]


def test_intervals_without_ends_limit_nothing() -> None:
    assert Budget({MACS: Interval()}) == Budget() == {} and not Budget({MACS: Interval()})


def test_budgets_are_written_for_reading() -> None:
    assert str(Budget()) == "no budget" and repr(Budget()) == "<Budget no budget>"
    assert str(Budget({MACS: parse_interval("400M")})) == "MACs <= 400,000,000"
    both = Budget({PARAMS: Interval(5), MACS: parse_interval("3M..4M")})
    assert str(both) == "MACs 3,000,000..4,000,000 and params >= 5"
    assert str(Budget.parse({"memory": "8MiB", "activations": "1..2K"})) == (
        "activations 1..2,000 and memory <= 8,388,608 B"
    )


@pytest.mark.parametrize(
    ("limited", "counted", "others"),
    [
        ([], MACS, ()),
        ([PARAMS, MACS], MACS, (PARAMS,)),
        ([ACTIVATIONS, PARAMS], PARAMS, (ACTIVATIONS,)),
        ([MEMORY, ACTIVATIONS], ACTIVATIONS, (MEMORY,)),
        ([MEMORY], PARAMS, (MEMORY,)),
        ([LENGTH], MACS, (LENGTH,)),
    ],
)
def test_networks_are_counted_by_the_first_that_adds_up(
    limited: list[Measure], counted: Measure, others: tuple[Measure, ...]
) -> None:
    budget = Budget({measure: Interval(0, 1000) for measure in limited})
    assert (budget.counted, budget.others) == (counted, others)


def test_weights_have_to_fit_into_the_memory() -> None:
    assert Budget({MEMORY: Interval(0, 403)}).counted_limit == Interval(0, 100)
    assert Budget({MEMORY: Interval(7)}).counted_limit == Interval()
    both = Budget({MEMORY: Interval(0, 403), PARAMS: Interval(5, 200)})
    assert both.counted_limit == Interval(5, 100) and both[PARAMS] == Interval(5, 200)
    assert Budget({MEMORY: Interval(0, 800), PARAMS: Interval(0, 50)}).counted_limit == Interval(0, 50)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"macs": "4Q"}, "macs: '4Q' is not a count; write a number with K, M, G or T, such as 400M or 1.5G"),
        ({"macs": "4M", "flops": "3M"}, "flops: MACs are limited twice; keep one limit"),
        ({"speed": "4"}, f"'speed' is not a measure; allowed: {ALLOWED}"),
        ({"memory": "3M..2M"}, "memory: '3M..2M' is an empty band; write the smaller figure first, such as "
         "300M..400M"),
        ({"params": 5_000_000}, "params: 5000000 is not a limit; write it as text, such as '400M'"),
    ],
)  # fmt: skip
def test_a_budget_that_cannot_be_read(texts: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        Budget.parse(texts)
    assert str(error.value) == message


# What a user writes


def test_options_and_names_make_one_budget() -> None:
    budget = read_budget("400M", None, ["memory=8M..16M", " activations = 5M"])
    assert budget == Budget(
        {
            MACS: Interval(0, 400_000_000),
            MEMORY: Interval(8_000_000, 16_000_000),
            ACTIVATIONS: Interval(0, 5_000_000),
        }
    )
    assert read_budget(None, "5M") == read_budget(None, None, ["parameters=5M"])
    assert read_budget(None, None) == Budget()
    assert [*map(name_option, (MACS, PARAMS, ACTIVATIONS, MEMORY))] == [
        "budget-flops", "budget-params", "budget activations", "budget memory"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (["memory"], "budget: 'memory' is not a limit; write NAME=INTERVAL, such as memory=8M"),
        (["=8M"], "budget: '=8M' is not a limit; write NAME=INTERVAL, such as memory=8M"),
        (["memory="], "budget: 'memory=' is not a limit; write NAME=INTERVAL, such as memory=8M"),
        (["memry=8M"], "budget 'memry=8M': 'memry' is not a measure; did you mean 'memory'?"),
        (["flops=3M"], "budget 'flops=3M': MACs are limited by --budget-flops already; keep one"),
        (["memory=3M", "memory=4M"],
         "budget 'memory=4M': bytes of memory are limited by --budget memory=3M already; keep one"),
        (["memory=3Q"], "budget memory: '3Q' is not a number of bytes; write one with K, M or G, or with "
         "KiB, MiB or GiB, such as 8M or 1.5GiB"),
        (["activations=..3"], "budget activations: '..3' is not a band; write both ends, such as 300M..400M, "
         "or 400M for at most"),
    ],
)  # fmt: skip
def test_limits_that_are_none(others: list[str], message: str) -> None:
    with pytest.raises(InputError) as error:
        read_budget("400M", None, others)
    assert str(error.value) == message


def test_every_limit_is_filled() -> None:
    assert fill_budget(Budget.parse({"macs": "1001", "memory": "400"}), 0.9) == Budget(
        {MACS: Interval(901, 1001), MEMORY: Interval(360, 400)}
    )


@pytest.mark.parametrize(
    ("texts", "what"), [({}, "there is no budget to fill"), ({"macs": "3..4"}, "3..4 is a band already")]
)
def test_what_cannot_be_filled(texts: dict[str, str], what: str) -> None:
    with pytest.raises(InputError) as error:
        fill_budget(Budget.parse(texts), 0.9)
    assert str(error.value) == f"budget-fill: {what}; give it with one figure, such as --budget-flops 400M"


# One place


def test_the_documentation_has_a_row_for_each_measure() -> None:
    text = (ROOT / "docs" / "measures.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \| (.*?) \| (.*?) \|", text, re.MULTILINE)
    assert [(names, about, adds) for names, about, adds in rows] == [
        (
            ", ".join(f"`{name}`" for name in (measure.name, *measure.aliases)),
            measure.about,
            "yes" if measure.is_additive else "no",
        )
        for measure in (*MEASURES.values(), LATENCY)
    ]


ELSEWHERE = {
    "training/optimizers.py": "torch's own word",
    "exporters/writing.py": "facts of a module that is built",
    "exporters/check.py": "the same, checked",
    "study/journal.py": "Optuna's word for choices",
    "study/storage.py": "the same",
}


def test_no_other_module_knows_a_measure_by_its_name() -> None:
    names = {name for measure in MEASURES.values() for name in (measure.name, *measure.aliases)}
    found: dict[str, Any] = {}
    for path in sorted((ROOT / "nas").rglob("*.py")):
        module = path.relative_to(ROOT / "nas").as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in names:
                found.setdefault(module, []).append((node.lineno, node.value))
    assert found.keys() - ELSEWHERE.keys() == {"measures.py"}, found
