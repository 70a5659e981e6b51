"""Costs, budgets and the units people write them in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import read_budget

from nas.cost import Cost, Interval, format_count, parse_count, parse_interval
from nas.errors import InputError, suggest_word
from nas.measures import ACTIVATIONS, MACS, MEMORY, PARAMS, Budget
from nas.runs.budget import fill_budget


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("400M", 400_000_000),
        ("400m", 400_000_000),
        ("1.5G", 1_500_000_000),
        ("0.3k", 300),
        ("2T", 2_000_000_000_000),
        (" 5_000_000 ", 5_000_000),
        ("5,000,000", 5_000_000),
        ("4e8", 400_000_000),
        ("4E+8", 400_000_000),
        ("385814752", 385_814_752),
        ("0", 0),
        ("0.1G", 100_000_000),
    ],
)
def test_counts_are_read_exactly(text: str, value: int) -> None:
    assert parse_count(text) == value


@pytest.mark.parametrize("text", ["1.5", "1.2345K", "0.5"])
def test_a_count_that_is_not_whole_is_refused(text: str) -> None:
    with pytest.raises(InputError) as error:
        parse_count(text)
    assert str(error.value) == f"'{text}' is not a whole number; a count is one, such as 400M or 1.5G"


@pytest.mark.parametrize(
    "text",
    [
        "400Q",
        "",
        "M",
        "-4M",
        "4 0M",
        "4..5",
        "1e999",
        "nan",
        "inf",
        "4MM",
        ".5G",
        "٤M",
        "4e-3",
        "1,5G",
        "1,23",
        "12,3456",
    ],
)
def test_a_count_that_cannot_be_read_is_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(InputError) as error:
        parse_count(text)
    assert str(error.value) == (
        f"'{text}' is not a count; write a number with K, M, G or T, such as 400M or 1.5G"
    )
    assert error.value.exit_code == 2


@given(st.integers(0, 10**15))
def test_a_count_reads_back(value: int) -> None:
    assert parse_count(str(value)) == value
    assert parse_count(f"{value:,}") == value
    assert parse_count(f"{value:_}") == value


def test_an_upper_bound_and_a_band() -> None:
    assert parse_interval("400M") == Interval(0, 400_000_000)
    assert parse_interval("300M..400M") == Interval(300_000_000, 400_000_000)
    assert parse_interval("1M .. 1M") == Interval(1_000_000, 1_000_000)


def test_an_empty_band_is_refused() -> None:
    with pytest.raises(InputError) as error:
        parse_interval("400M..300M")
    assert str(error.value) == (
        "'400M..300M' is an empty band; write the smaller figure first, such as 300M..400M"
    )


def test_a_band_with_an_unreadable_end_names_that_end() -> None:
    with pytest.raises(InputError, match=r"^'400Q' is not a count"):
        parse_interval("300M..400Q")


def test_both_ends_of_an_interval_are_in() -> None:
    band = Interval(3, 5)
    assert [n in band for n in (2, 3, 4, 5, 6)] == [False, True, True, True, False]
    assert 10**18 in Interval() and 4 not in Interval(5)


def test_a_budget_is_filled() -> None:
    both = fill_budget(read_budget("1001", "5M"), 0.9)
    assert both == Budget({MACS: Interval(901, 1001), PARAMS: Interval(4_500_000, 5_000_000)})
    assert fill_budget(read_budget("400M", None), 1) == Budget({MACS: Interval(400_000_000, 400_000_000)})
    three = fill_budget(read_budget(None, None, ("memory=1000", "activations=10")), 0.5)
    assert three == Budget({MEMORY: Interval(500, 1000), ACTIVATIONS: Interval(5, 10)})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (999, "999"), (1_000, "1.00K"), (15_630, "15.6K"), (999_000, "999K"),
        (385_814_752, "386M"), (37_746_000_000, "37.7G"), (2 * 10**12, "2.00T"),
        (999_999, "1.00M"), (9_996_000, "10.0M"), (99_960_000, "100M"),
    ],
)  # fmt: skip
def test_counts_are_shown_with_three_digits(value: int, text: str) -> None:
    assert format_count(value) == text


def test_a_cost_tells_its_latency_where_it_is_known() -> None:
    assert str(Cost(6_750_016, 171_105)) == "6.75M MACs, 171K params"
    assert str(Cost(6_750_016, 171_105, latency=137_350)) == "6.75M MACs, 171K params, 0.137ms"


def test_costs_add_up_by_part() -> None:
    assert Cost(1, 2, 3) + Cost(10, 20, 30) == Cost(11, 22, 33)
    assert str(Cost(385_814_752, 5_288_548)) == "386M MACs, 5.29M params"


def test_a_near_word_is_suggested_else_what_is_allowed() -> None:
    assert suggest_word("mbcnov", ["conv", "mbconv"]) == "; did you mean 'mbconv'?"
    assert suggest_word("zzz", ["b", "a"]) == "; allowed: a, b"
    assert suggest_word("zzz", []) == ""
