"""An exact Gaussian process over choices and costs, with a fitted noise term."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]

_REACHES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Part of the decisions that differ at which networks are correlated by 1/e."""
_COST_LENGTHS = (np.inf, 3.0, 1.0)
"""In standard deviations of the log costs; infinite leaves costs out."""
_NOISES = np.geomspace(1e-4, 1.0, 9)
"""Variance of the noise, in parts of the signal's."""
_JITTER = 1e-8


@dataclass(frozen=True, slots=True)
class Inputs:
    """Networks as the model sees them.

    `choices`: (networks, options), 1 where an option is taken. `costs`: (networks, measures), logarithms.
    """

    choices: Array
    costs: Array


@dataclass(frozen=True, slots=True)
class Posterior:
    """What is believed of some networks' scores without noise: means and standard deviations, both (n,)."""

    mean: Array
    deviation: Array

    def improvement(self, beyond: float) -> Array:
        """Expected improvement beyond a score (Jones, Schonlau & Welch 1998, equation 15): (n,)."""
        distance = (self.mean - beyond) / self.deviation
        density = np.exp(-(distance**2) / 2) / np.sqrt(2 * np.pi)
        gain: Array = self.deviation * (distance * ndtr(distance) + density)
        return gain


class GaussianProcess:
    """Gaussian process regression (Rasmussen & Williams 2006, algorithm 2.1).

    The covariance of two networks is exp(-d / reach) exp(-c^2 / 2), times a variance, where d is the part of
    decisions that differ and c the distance of costs in a length. Reach, length and noise are those of the
    greatest marginal likelihood on a grid, the variance is the likeliest for them (one eigendecomposition
    gives all noises). Scores enter by their ranks, as quantiles of a normal distribution: a few networks that
    do not learn at all would otherwise be all that the model sees (Salinas, Shen & Perrone 2020).
    """

    def __init__(self, inputs: Inputs, scores: Array) -> None:
        self._inputs = inputs
        self._mean, self._deviation = inputs.costs.mean(axis=0), inputs.costs.std(axis=0) + 1e-12
        self._decisions = max(1.0, float(inputs.choices.sum(axis=1).mean()))
        targets = quantiles(scores)
        best = -np.inf
        for reach, length in product(_REACHES, _COST_LENGTHS):
            values, vectors = np.linalg.eigh(self._correlation(inputs, inputs, reach, length))
            projected = vectors.T @ targets
            noisy = np.maximum(values, 0)[:, None] + _NOISES
            # 0 where all scores are equal
            variances = np.maximum((projected[:, None] ** 2 / noisy).mean(axis=0), 1e-12)
            likelihoods = -len(targets) * np.log(variances) - np.log(noisy).sum(axis=0)
            chosen = int(likelihoods.argmax())
            if likelihoods[chosen] > best:
                best = likelihoods[chosen]
                self.reach, self.length = reach, length
                self.variance, self.noise = float(variances[chosen]), float(_NOISES[chosen])
                self._inverse = vectors / noisy[:, chosen] @ vectors.T
        self._weights = self._inverse @ targets

    def posterior(self, inputs: Inputs) -> Posterior:
        """The belief about networks."""
        cross = self._correlation(inputs, self._inputs, self.reach, self.length)
        known = ((cross @ self._inverse) * cross).sum(axis=1)
        return Posterior(cross @ self._weights, np.sqrt(self.variance * np.maximum(1 - known, _JITTER)))

    def _correlation(self, one: Inputs, other: Inputs, reach: float, length: float) -> Array:
        """Of shape (networks of one, networks of the other)."""
        differing = _squares(one.choices, other.choices) / 2 / self._decisions
        scaled = [(i.costs - self._mean) / self._deviation / length for i in (one, other)]
        correlation: Array = np.exp(-differing / reach - _squares(*scaled) / 2)
        return correlation


def quantiles(scores: Array) -> Array:
    """Standard normal quantiles of the scores' ranks; equal scores have equal ones."""
    ordered = np.sort(scores)
    below, upto = (np.searchsorted(ordered, scores, side=side) for side in ("left", "right"))
    normal = NormalDist()
    return np.array([normal.inv_cdf(part) for part in (below + upto) / 2 / len(scores)])


def _squares(one: Array, other: Array) -> Array:
    """Squared Euclidean distances of shape (rows of one, rows of the other)."""
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    nonnegative: Array = np.maximum(squares, 0)
    return nonnegative
