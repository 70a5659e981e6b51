"""How far each of several is behind the best, by scores under the same seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_rel

from nas.workflows.coefficients.seed_blocks import find_margin, rank_blocks


def test_of_two_it_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        scores = rng.normal(0.9, 0.01, (2, 6))
        found = max(rank_blocks(scores), key=lambda one: one.mean)
        theirs = ttest_rel(*scores)
        assert found.p == pytest.approx(theirs.pvalue, rel=1e-4)
        interval = theirs.confidence_interval(0.95)
        assert sorted(map(abs, (found.low, found.high))) == pytest.approx(
            sorted(map(abs, (interval.low, interval.high))), rel=1e-4
        )


def test_what_seeds_have_in_common_does_not_count() -> None:
    scores = np.random.default_rng(1).normal(0.8, 0.01, (5, 3))
    shifted = scores + np.array([0.1, -0.2, 0.05])
    for one, other in zip(rank_blocks(scores), rank_blocks(shifted), strict=True):
        assert (one.mean, one.low, one.p) == pytest.approx((other.mean, other.low, other.p))


def test_intervals_and_p_say_the_same() -> None:
    scores = (
        np.random.default_rng(2).normal(0.8, 0.01, (6, 4)) + np.array([[0.08, 0.05, 0.03, 0.02, 0.01, 0]]).T
    )
    found = rank_blocks(scores)
    means = scores.mean(axis=1)
    margin = find_margin(found)
    for one, mean in zip(found, means, strict=True):
        assert one.is_distinct == (one.low > 0) == (mean + margin < means.max() - margin)
    assert found[0].mean == 0 and found[0].p == 1 and found[-1].is_distinct


def test_equal_scores_are_not_told_apart() -> None:
    assert [one.p for one in rank_blocks(np.full((3, 2), 0.5))] == [1, 1, 1]


@pytest.mark.slow
def test_the_best_of_equals_is_rarely_told_apart_from_any() -> None:
    """Of 40 searches in which all networks are equal, about 5 % claim a difference: of more than 8 the chance
    is below 0.001."""
    rng = np.random.default_rng(3)
    claims = 0
    for _ in range(40):
        claims += any(one.is_distinct for one in rank_blocks(rng.normal(0.9, 0.01, (6, 3))))
    assert claims <= 8
