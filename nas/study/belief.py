"""What the scores of all trained networks say of each of them, beside its own score, which has noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from nas.cost import Cost
from nas.samplers.gaussian import Array, GaussianProcess, encode_networks
from nas.space import Choices
from nas.study.records import LEAST_SCORED

RANKED = 16
"""Networks that are ranked by what all say: the best by their own scores."""
_MOST = 1_000
"""Networks that a model is fitted to, the best: it takes a second for so many."""
_BELOW = 1.5
"""Scores that are farther below the median, in distances from that to the upper decile, count as so far while
the model is fitted: networks that do not learn would be all that it sees."""


@dataclass(frozen=True)
class Belief:
    """The `scores` that networks are believed to have, by number of trial: the posterior mean of a Gaussian
    process, and for those far below the others their own.

    `error`: root mean square of what the others predict of a network less its score without noise, of the
    half that they predict the best. `noise`: standard deviation of one score.
    """

    scores: Mapping[int, float]
    error: float
    noise: float

    @property
    def is_better(self) -> bool:
        """Whether what the others say of a network is worth more than its own score."""
        return self.error < self.noise


@dataclass(frozen=True, slots=True)
class ScoredPoint:
    """A trained network: the number of its trial, its choices, its cost, its score."""

    number: int
    choices: Choices
    cost: Cost
    score: float


def compute_belief(points: Sequence[ScoredPoint], noise: float, sign: int = 1) -> Belief | None:
    """Return what is believed of trained networks whose scores have a known noise, the higher the better or,
    by a `sign` of -1, the lower; None of too few, or without noise.

    A network left out is compared with its score, which has the noise too: that is taken off its error.
    """
    if noise <= 0 or len(points) < LEAST_SCORED:
        return None
    points = sorted(points, key=lambda point: -sign * point.score)
    seen = points[:_MOST]
    inputs = encode_networks([point.choices for point in seen], [point.cost for point in seen])
    own = sign * np.array([point.score for point in seen])
    lowest = _find_lowest(own, noise)
    scores = np.maximum(own, lowest)
    centre = float(scores.mean())
    with threadpool_limits(1, user_api="blas"):  # matrices are too small to share among threads
        model = GaussianProcess(inputs, scores - centre, noise)
        means, others = model.predict(inputs).mean + centre, model.leave_one_out() + centre
    best = others >= np.median(others)
    squared = float(((others - scores)[best] ** 2).mean())
    means = np.where(own < lowest, own, means)
    believed = {point.number: point.score for point in points}
    believed |= {point.number: sign * float(mean) for point, mean in zip(seen, means, strict=True)}
    return Belief(believed, math.sqrt(max(0.0, squared - noise**2)), noise)


def _find_lowest(scores: Array, noise: float) -> float:
    """Return the score below which all count as so low."""
    median, high = np.quantile(scores, [0.5, 0.9])
    return float(median - _BELOW * max(high - median, noise))
