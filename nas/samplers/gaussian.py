"""An exact Gaussian process over choices and costs, with a fitted noise term."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import ndtr

from nas.cost import Cost
from nas.space import Choices

Array = NDArray[np.float64]

_REACHES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Part of the decisions that differ at which networks are correlated by 1/e."""
_COST_LENGTHS = (np.inf, 3.0, 1.0)
"""In standard deviations of the log costs; infinite leaves costs out."""
_NOISES = tuple(10 ** (power / 2) for power in range(-8, 1))
"""Variance of the noise, in parts of the signal's."""
_JITTER = 1e-8


@dataclass(frozen=True, slots=True)
class Inputs:
    """Networks as the model sees them.

    `choices`: (networks, options), 1 where an option is taken. `costs`: (networks, measures), logarithms.
    """

    choices: Array
    costs: Array


def encode_networks(points: Sequence[Choices], costs: Sequence[Cost]) -> Inputs:
    """Return networks as the model sees them."""
    columns: dict[object, int] = {}
    for point in points:
        for pair in point.items():
            columns.setdefault(pair, len(columns))
    choices = np.zeros((len(points), len(columns)))
    for row, point in enumerate(points):
        choices[row, [columns[pair] for pair in point.items()]] = 1
    return Inputs(choices, np.log1p(np.array([(c.macs, c.params) for c in costs], dtype=float)))


@dataclass(frozen=True, slots=True)
class Posterior:
    """What is believed of some networks' scores without noise: means and standard deviations, both (n,)."""

    mean: Array
    deviation: Array

    def compute_improvement(self, beyond: float) -> Array:
        """Return expected improvement beyond a score (Jones, Schonlau & Welch 1998, equation 15): (n,)."""
        distance = (self.mean - beyond) / self.deviation
        density = np.exp(-(distance**2) / 2) / np.sqrt(2 * np.pi)
        gain: Array = self.deviation * (distance * ndtr(distance) + density)
        return gain


class GaussianProcess:
    """Gaussian process regression (Rasmussen & Williams 2006, algorithm 2.1).

    The covariance of two networks is exp(-d / reach) exp(-c^2 / 2), times a variance, where d is the part of
    decisions that differ and c the distance of costs in a length. Reach, length and noise are those of the
    greatest marginal likelihood on a grid, the variance is the likeliest for them, or where the deviation
    `noise` of a target is known what follows from that.
    """

    def __init__(self, inputs: Inputs, targets: Array, noise: float | None = None) -> None:
        self._inputs, self._targets = inputs, targets
        self._deviation = inputs.costs.std(axis=0) + 1e-12
        self._decisions = max(1.0, float(inputs.choices.sum(axis=1).mean()))
        apart = self._measure_distances(inputs)
        fits: list[_Fit] = []
        for reach, length in product(_REACHES, _COST_LENGTHS):
            correlation = _correlate(apart, reach, length)
            place = _NOISES.index(fits[-1].noise) if fits else len(_NOISES) // 2
            fits.append(_fit_likeliest(correlation, targets, place, noise))
        best = max(range(len(fits)), key=lambda i: fits[i].likelihood)
        self.reach, self.length = [*product(_REACHES, _COST_LENGTHS)][best]
        self.noise, self.variance = fits[best].noise, fits[best].variance
        self._factor, self._weights = fits[best].factor, fits[best].weights

    def predict(self, inputs: Inputs) -> Posterior:
        """Return the belief about networks."""
        cross = _correlate(self._measure_distances(inputs), self.reach, self.length)
        known = (cross * cho_solve(self._factor, cross.T, check_finite=False).T).sum(axis=1)
        return Posterior(cross @ self._weights, np.sqrt(self.variance * np.maximum(1 - known, _JITTER)))

    def leave_one_out(self) -> Array:
        """Return what each target would be expected to be by all others (the same, equation 5.12): (n,)."""
        inverse = cho_solve(self._factor, np.eye(len(self._targets)), check_finite=False)
        expected: Array = self._targets - self._weights / inverse.diagonal()
        return expected

    def _measure_distances(self, inputs: Inputs) -> _Apart:
        choices = _compute_squares(inputs.choices, self._inputs.choices) / 2 / self._decisions
        scaled = [i.costs - self._inputs.costs.mean(axis=0) for i in (inputs, self._inputs)]
        return _Apart(choices, _compute_squares(*(costs / self._deviation for costs in scaled)))


class _Apart(NamedTuple):
    """How far networks are from those of the model, both (networks, networks of the model).

    `choices`: the part of the decisions that differ. `costs`: the squared distance in standard deviations.
    """

    choices: Array
    costs: Array


class _Fit(NamedTuple):
    """What follows from a correlation and a noise.

    `factor` is as of `cho_factor`, `variance` the likeliest, or of a known noise, and `likelihood` the
    logarithm of the likelihood with that, doubled and without constants.
    """

    noise: float
    factor: tuple[Array, bool]
    weights: Array
    variance: float
    likelihood: float


def _fit_likeliest(correlation: Array, targets: Array, start: int, known: float | None) -> _Fit:
    """Return the fit of the noise of the greatest likelihood. Along the noises it has one peak, looked for
    from the noise at `start`. `known`: the deviation of the noise itself."""
    best = _fit(correlation, targets, _NOISES[start], known)
    for side in (_NOISES[start + 1 :], _NOISES[:start][::-1]):
        for noise in side:
            fit = _fit(correlation, targets, noise, known)
            if fit.likelihood <= best.likelihood:
                break
            best = fit
        if best.noise != _NOISES[start]:
            break
    return best


def _fit(correlation: Array, targets: Array, noise: float, known: float | None) -> _Fit:
    noisy = correlation.copy()
    noisy.flat[:: len(noisy) + 1] += noise
    factor = cho_factor(noisy, lower=True, overwrite_a=True, check_finite=False)
    weights = cho_solve(factor, targets, check_finite=False)
    likeliest = max(float(targets @ weights) / len(targets), 1e-12)  # 0 where all scores are equal
    variance = likeliest if known is None else known**2 / noise
    spread = 2 * float(np.log(factor[0].diagonal()).sum())
    likelihood = -len(targets) * (math.log(variance) + likeliest / variance) - spread
    return _Fit(noise, factor, weights, variance, likelihood)


def _correlate(apart: _Apart, reach: float, length: float) -> Array:
    correlation: Array = np.exp(-apart.choices / reach - apart.costs / (2 * length**2))
    return correlation


def compute_quantiles(scores: Array) -> Array:
    """Return standard normal quantiles of the scores' ranks; equal scores have equal ones.

    As targets they are told apart where a few networks that do not learn at all would otherwise be all that
    a model sees (Salinas, Shen & Perrone 2020).
    """
    ordered = np.sort(scores)
    below, upto = (np.searchsorted(ordered, scores, side=side) for side in ("left", "right"))
    normal = NormalDist()
    return np.array([normal.inv_cdf(part) for part in (below + upto) / 2 / len(scores)])


def _compute_squares(one: Array, other: Array) -> Array:
    """Return squared Euclidean distances of shape (rows of one, rows of the other)."""
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    nonnegative: Array = np.maximum(squares, 0)
    return nonnegative
