"""The statistics of paired scores, against enumeration, published figures and their own error rate."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.workflows.versus.pairs import (
    DISTINCT,
    EXACT,
    bootstrap,
    compare,
    compute_swap_p,
    correct_holm,
    count_enough_pairs,
    find_interval,
    find_least_p,
)

hundredths = st.lists(st.integers(-9, 9).map(lambda whole: whole / 100), min_size=2, max_size=8)
chances = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def enumerate_swaps(differences: list[float]) -> float:
    """p from every way to swap, in whole hundredths, so that equal sums are equal."""
    whole = [round(100 * one) for one in differences]
    sums = [
        sum(s * d for s, d in zip(signs, whole, strict=True)) for signs in product((1, -1), repeat=len(whole))
    ]
    return sum(abs(one) >= abs(sum(whole)) for one in sums) / len(sums)


@given(hundredths)
def test_p_is_that_of_all_ways_to_swap(differences: list[float]) -> None:
    assert compute_swap_p(np.array(differences)) == pytest.approx(enumerate_swaps(differences))


@pytest.mark.parametrize("pairs", [2, 5, 7, EXACT])
def test_the_least_p_is_that_of_a_network_that_is_always_ahead(pairs: int) -> None:
    rng = np.random.default_rng(pairs)
    assert compute_swap_p(rng.uniform(0.01, 0.02, pairs)) == 2 / 2**pairs == find_least_p(pairs, 1)


def test_p_of_many_pairs_is_drawn() -> None:
    """The distribution of the sum of 20 signs is binomial; 100,000 draws are within 4.5 standard errors."""
    from scipy.stats import binom

    differences = np.array([0.01] * 15 + [-0.01] * 5)
    exact = 2 * binom.sf(14, 20, 0.5)
    found = compute_swap_p(differences, seed=3)
    assert found == compute_swap_p(differences, seed=3)
    assert abs(found - exact) < 4.5 * (exact / 100_000) ** 0.5


@given(hundredths, st.integers(0, 3))
def test_what_changes_no_claim(differences: list[float], seed: int) -> None:
    """The other way about it is the same p; so is another order, or another unit."""
    own = np.array(differences)
    p = compute_swap_p(own, seed)
    assert 0 < p <= 1
    assert (
        compute_swap_p(-own, seed) == compute_swap_p(own[::-1], seed) == compute_swap_p(1000 * own, seed) == p
    )


@given(st.lists(st.floats(-0.01, 0.02), min_size=6, max_size=10, unique=True))
def test_the_interval_has_what_the_test_does_not_tell_apart(differences: list[float]) -> None:
    """Of any shift, and so of none: the two never contradict each other."""
    own = np.array(differences) + np.random.default_rng(0).normal(0, 1e-4, len(differences))  # no ties
    ends = find_interval(own)
    assert ends is not None
    for end, inwards in zip(ends, (1e-9, -1e-9), strict=True):
        assert compute_swap_p(own - end - inwards) >= 0.05 > compute_swap_p(own - end + 10 * inwards)
    assert ends[0] <= own.mean() <= ends[1]


def test_the_interval_of_six_and_of_fewer() -> None:
    """Of six pairs 1 in 32 is outside that from the least to the greatest; of five 1 in 16 would be."""
    six = np.array([0.01, 0.02, 0.03, 0.05, 0.04, 0.06])
    assert find_interval(six) == (0.01, 0.06)
    assert find_interval(six[:5]) is None


def test_the_interval_has_the_truth_in_95_of_100() -> None:
    """As often as that, whatever the number of seeds. A bootstrap has it in 82 of 100 for five of them."""
    rng = np.random.default_rng(3)
    for pairs, level in ((6, 1 - 2 / 2**6), (8, 1 - 12 / 2**8)):
        found = [find_interval(rng.normal(0.01, 0.02, pairs)) for _ in range(2_000)]
        share = np.mean([low <= 0.01 <= high for low, high in filter(None, found)])
        assert abs(share - level) < 4 * (level * (1 - level) / 2_000) ** 0.5


def test_the_interval_of_many_is_that_of_all_resamples() -> None:
    differences = np.array([0.012, -0.004, 0.031, 0.02, 0.007])
    means = [np.mean(one) for one in product(differences, repeat=5)]
    low, high = bootstrap(differences, seed=1)
    assert (low, high) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.0008)
    assert low < differences.mean() < high
    assert bootstrap(differences, seed=1) == (low, high)
    assert bootstrap(np.array([0.01, 0.01])) == pytest.approx((0.01, 0.01))
    many = np.random.default_rng(1).normal(size=EXACT + 1)
    assert find_interval(many, seed=4) == bootstrap(many, seed=4)


def test_holm_by_hand() -> None:
    assert correct_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert correct_holm([0.9, 0.5]) == [1.0, 1.0]
    assert correct_holm([]) == []


@given(chances)
def test_holm_is_between_none_and_bonferroni(ps: list[float]) -> None:
    found = correct_holm(ps)
    assert all(p <= q <= min(1, len(ps) * p) + 1e-12 for p, q in zip(ps, found, strict=True))
    order = np.argsort(ps, kind="stable")
    assert all(np.diff(np.array(found)[order]) >= 0)


@pytest.mark.parametrize("count", range(1, 9))
def test_from_how_many_seeds_something_can_be_told_apart(count: int) -> None:
    seeds = count_enough_pairs(count)
    assert find_least_p(seeds, count) < DISTINCT <= find_least_p(seeds - 1, count)
    ahead = [np.linspace(0.01, 0.02, seeds)] * count
    assert all(one.is_distinct for one in compare(ahead))
    assert not any(one.is_distinct for one in compare([one[1:] for one in ahead]))


def test_networks_that_are_alike_are_told_apart_in_one_of_twenty_at_most() -> None:
    """Of 1,000 comparisons with three baselines that differ by nothing, 50 are expected at most to name any;
    more than 75 would be by chance in one of a thousand."""
    rng = np.random.default_rng(5)
    claims = 0
    for _ in range(1_000):
        own, others = rng.normal(0.9, 0.01, 8), rng.normal(0.9, 0.01, (3, 8))
        ps = correct_holm([compute_swap_p(own - other) for other in others])
        claims += min(ps) < DISTINCT
    assert claims <= 75


def test_a_difference_has_its_figures() -> None:
    (found,) = compare([[0.02, 0.04]])
    assert (found.pairs, found.p, found.corrected) == (2, 0.5, 0.5)
    assert found.mean == pytest.approx(0.03)
    assert found.interval is None
    (found,) = compare([[0.02, 0.04, 0.03, 0.05, 0.02, 0.06]])
    assert found.interval == (found.low, found.high) == (0.02, 0.06)
