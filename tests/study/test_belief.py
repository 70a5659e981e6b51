"""What all scores say of each network, against the truth that their noise hides."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from nas.cost import Cost
from nas.study.belief import ScoredPoint, compute_belief
from nas.study.records import LEAST_SCORED

OPTIONS, DECISIONS = 3, 8


def make_points(count: int, noise: float, seed: int) -> tuple[list[ScoredPoint], list[float]]:
    """Networks to which each decision adds something, with their scores and the truth."""
    rng = np.random.default_rng(seed)
    adds = rng.standard_normal((DECISIONS, OPTIONS)) / DECISIONS**0.5
    taken = rng.integers(0, OPTIONS, (count, DECISIONS)).tolist()
    true = [float(sum(adds[i, option] for i, option in enumerate(one))) for one in taken]
    scores = (np.array(true) + noise * rng.standard_normal(count)).tolist()
    choices = [{f"c{i}": option for i, option in enumerate(one)} for one in taken]
    costs = [Cost(sum(one) + 1, 7) for one in taken]
    return [ScoredPoint(n, *parts) for n, parts in enumerate(zip(choices, costs, scores, strict=True))], true


def test_noisy_scores_rank_worse_than_what_all_say() -> None:
    """Of 20 searches of 64 networks, whose noise is as large as what tells them apart."""
    gains = []
    for seed in range(20):
        points, true = make_points(64, 1.0, seed)
        belief = compute_belief(points, 1.0)
        assert belief is not None and belief.noise == 1.0
        believed = [belief.scores[point.number] for point in points]
        taus = [kendalltau(true, ranked).statistic for ranked in (believed, [p.score for p in points])]
        gains.append((taus[0] - taus[1], belief.is_better))
    assert np.mean([gain for gain, _ in gains]) > 0.1
    assert sum(used for _, used in gains) >= 18


def test_what_the_others_say_counts_only_where_it_says_more_than_a_score() -> None:
    """Scores of little noise, and scores that follow from nothing that a model sees."""
    points, _ = make_points(64, 0.01, 0)
    assert not compute_belief(points, 0.01).is_better  # type: ignore[union-attr]
    rng = np.random.default_rng(0)
    random = [ScoredPoint(p.number, p.choices, p.cost, float(rng.standard_normal())) for p in points]
    assert not compute_belief(random, 0.3).is_better  # type: ignore[union-attr]
    assert compute_belief(random, 1.0).is_better  # type: ignore[union-attr]  # they are noise alone


def test_none_is_formed_of_few_scores_or_without_noise() -> None:
    points, _ = make_points(LEAST_SCORED, 1.0, 0)
    assert compute_belief(points, 1.0) is not None
    assert compute_belief(points[1:], 1.0) is None and compute_belief(points, 0.0) is None


def test_scores_that_are_to_be_low_are_believed_alike() -> None:
    points, _ = make_points(40, 1.0, 1)
    losses = [ScoredPoint(p.number, p.choices, p.cost, -p.score) for p in points]
    one, other = compute_belief(points, 1.0), compute_belief(losses, 1.0, -1)
    assert one and other and one.error == pytest.approx(other.error)
    assert {n: -score for n, score in other.scores.items()} == pytest.approx(one.scores)


def test_networks_that_do_not_learn_are_not_all_that_is_seen() -> None:
    points, true = make_points(64, 0.5, 2)
    lost = [p if p.number % 9 else ScoredPoint(p.number, p.choices, p.cost, -1e6) for p in points]
    belief = compute_belief(lost, 0.5)
    assert belief is not None
    left = [p.number for p in points if p.number % 9]
    found = kendalltau([true[n] for n in left], [belief.scores[n] for n in left]).statistic
    assert found > 0.4 and max(abs(belief.scores[n]) for n in left) < 100
    assert all(belief.scores[p.number] == -1e6 for p in lost if p.number not in left)  # nothing better


def test_a_network_that_is_far_below_the_others_is_not_lifted_to_them() -> None:
    """Where half of the scores are equal, which is a width of none, and where it would win by its cost."""
    points, _ = make_points(20, 0.1, 4)
    scores = [1.0] * 12 + [0.3] * 8
    tied = [ScoredPoint(p.number, p.choices, p.cost, score) for p, score in zip(points, scores, strict=True)]
    belief = compute_belief(tied, 0.01)
    assert belief is not None
    assert all(belief.scores[n] == (0.3 if n >= 12 else pytest.approx(1.0, abs=0.05)) for n in range(20))


def test_of_very_many_networks_all_are_believed_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.study.belief._MOST", 20)
    points, _ = make_points(50, 1.0, 3)
    belief = compute_belief(points, 1.0)
    assert belief is not None and len(belief.scores) == 50
    lower = sorted(points, key=lambda point: -point.score)[20:]
    assert all(belief.scores[p.number] == p.score for p in lower)  # which nobody asks for
