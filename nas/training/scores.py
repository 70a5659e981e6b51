"""Scores: one number from the accuracies, or what else a network is judged by, of a training, epoch by
epoch.

`benchmarks/scores.py` measures how well each ranks networks as their full training does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

Curve = Sequence[float]

LAST = 3
"""Epochs of `mean_last_k`."""
HORIZON = 10
"""How many times as many epochs `extrapolated` looks ahead to."""
_EXPONENTS = [0.1 * n for n in range(1, 21)]
_PRIOR = (0.05, 2.0)
"""Deviation of the accuracies around a curve that is expected, and the weight of that in epochs."""


def last(curve: Curve) -> float:
    """Return the accuracy after the last epoch."""
    return curve[-1]


def best(curve: Curve) -> float:
    """Return the highest accuracy."""
    return max(curve)


def mean_last_k(curve: Curve) -> float:
    """Return the mean accuracy of the last three epochs."""
    return fmean(curve[-LAST:])


def auc(curve: Curve) -> float:
    """Return the mean accuracy of all epochs: the area under the curve."""
    return fmean(curve)


def extrapolated(curve: Curve) -> float:
    """Return the accuracy that a power law through the curve has after `HORIZON` times as many epochs."""
    return fit_power_law(curve).mean


SCORES: dict[str, Callable[[Curve], float]] = {
    score.__name__: score for score in (last, best, mean_last_k, auc, extrapolated)
}


def compute_score(name: str, curve: Curve) -> tuple[float, float | None]:
    """Return a score by its name and, of an extrapolated one, its standard deviation.

    >>> compute_score("best", [0.5, 0.75, 0.625])
    (0.75, None)
    """
    if name == "extrapolated":
        return fit_power_law(curve)
    return SCORES[name](curve), None


class Extrapolation(NamedTuple):
    """An accuracy to come: its mean and standard deviation."""

    mean: float
    deviation: float


def fit_power_law(curve: Curve) -> Extrapolation:
    """Extrapolate accuracy by `a - b * epoch ** -c` (the power law of Domhan et al. 2015, table 1).

    For each of some exponents `c`, `a` and `b` are fitted as a Bayesian linear regression, `b` about the rise
    that was seen; the fits are averaged by how likely they make the curve. Fewer than three epochs say
    nothing of the future, so the last accuracy is given with the deviation of the prior.
    """
    import numpy as np

    n = len(curve)
    if n < 3:
        return Extrapolation(curve[-1], _PRIOR[0])
    y, epochs = np.asarray(curve, np.float64), np.arange(1, n + 1)
    # a within 0 to 1, and b the rise from the first epoch to the limit, are about this far from their means
    center, precision = np.array([y.max(), max(y.max() - y[0], 0.0)]), np.diag([1 / 0.2**2, 1 / 0.4**2])
    means, variances, evidence = [], [], []
    for exponent in _EXPONENTS:
        x = np.stack([np.ones(n), -(epochs**-exponent)], axis=1)
        noise = _PRIOR[0] ** 2
        for _ in range(3):  # the noise that the fit leaves, held near the prior's
            posterior = np.linalg.inv(precision + x.T @ x / noise)
            weights = posterior @ (precision @ center + x.T @ y / noise)
            left = y - x @ weights
            noise = (left @ left + _PRIOR[1] * _PRIOR[0] ** 2) / (n + _PRIOR[1])
        ahead = np.array([1.0, -((HORIZON * n) ** -exponent)])
        means.append(float(ahead @ weights))
        variances.append(float(ahead @ posterior @ ahead))
        spread = x @ np.linalg.inv(precision) @ x.T + noise * np.eye(n)
        off = y - x @ center
        evidence.append(-0.5 * (off @ np.linalg.solve(spread, off) + np.linalg.slogdet(spread)[1]))
    weight = np.exp(np.array(evidence) - max(evidence))
    weight /= weight.sum()
    mean = float(weight @ means)
    variance = float(weight @ (np.array(variances) + (np.array(means) - mean) ** 2))
    return Extrapolation(min(max(mean, 0.0), 1.0), variance**0.5)
