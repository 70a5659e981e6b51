"""From the times of parts to the time of a network: what parts alone do not tell, and how well it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Features:
    """What a part, or a network as the sum of its parts, has: seconds of its parts each by itself, operators,
    its cost, and how many parts it is; 0 in tables of before they were counted."""

    seconds: float
    nodes: int
    macs: int
    params: int
    activations: int
    parts: int = 0

    def scale(self) -> list[float]:
        """Return them in units that make their weights comparable."""
        return [
            self.seconds,
            self.nodes * 1e-6,
            self.macs * 1e-9,
            self.params * 1e-8,
            self.activations * 1e-8,
            self.parts * 1e-5,
        ]

    def to_data(self) -> list[float]:
        return [self.seconds, self.nodes, self.macs, self.params, self.activations, self.parts]


@dataclass(frozen=True)
class Correction:
    """Seconds = `weights` x features + `constant`, which stays a sum over parts."""

    weights: tuple[float, ...]
    constant: float

    def estimate_part(self, part: Features) -> float:
        """Return the seconds that a part adds to a network."""
        return max(0.0, float(np.dot(self.weights, part.scale())))


def fit_correction(
    networks: Sequence[Features], seconds: Sequence[float], parts: Sequence[Features]
) -> Correction:
    """Fit to whole networks by least squares of the relative errors, so that none of the `parts` makes a
    network faster.

    A part by itself is called by itself, and may have its images brought into another layout and back: what
    is taken off for that is a negative weight.
    """
    from scipy.optimize import lsq_linear, minimize

    measured = np.array(seconds)
    rows = np.array([[*one.scale(), 1.0] for one in networks]) / measured[:, None]
    own = np.array([[*one.scale(), 0.0] for one in parts])
    found = np.zeros(rows.shape[1])
    used = rows.any(axis=0)
    found[used] = lsq_linear(rows[:, used], np.ones(len(rows)), bounds=(0.0, np.inf)).x
    if any(part.parts for part in parts):
        scale = np.sqrt((rows**2).mean(axis=0))  # each column alike, as the solver's steps are
        rows, own = rows / scale, own / scale
        own /= np.abs(own).max(axis=1, keepdims=True)
        found = (
            minimize(
                lambda weights: np.square(rows @ weights - 1).mean(),
                found * scale,
                jac=lambda weights: 2 * rows.T @ (rows @ weights - 1) / len(rows),
                method="SLSQP",
                bounds=[(None, None)] * (rows.shape[1] - 1) + [(0, None)],
                constraints={"type": "ineq", "fun": lambda weights: own @ weights, "jac": lambda _: own},
                options={"maxiter": 500, "ftol": 1e-12},
            ).x
            / scale
        )
    return Correction(tuple(found[:-1].tolist()), float(found[-1]))


def fit_costs(rows: Sequence[Sequence[float]], seconds: Sequence[float]) -> Numbers:
    """Return the weights of costs, the last a constant, that predict seconds with least relative errors."""
    measured = np.array(seconds)
    found, *_ = np.linalg.lstsq(
        np.array([[*row, 1.0] for row in rows]) / measured[:, None], np.ones(len(rows))
    )
    return np.asarray(found, np.float64)


@dataclass(frozen=True)
class Errors:
    """How well figures of networks agree with their measured seconds: the shares within 5 and within 10 %,
    Kendall's tau of both orders, and the error that 90 % are within."""

    within_5: float
    within_10: float
    tau: float
    most_90: float

    def to_data(self) -> dict[str, float]:
        """Return plain values by name."""
        return asdict(self)


def compute_errors(predicted: Sequence[float], measured: Sequence[float]) -> Errors:
    """Compare predictions of networks, two at least, with what was measured."""
    from scipy.stats import kendalltau

    truth, told = np.array(measured), np.array(predicted)
    errors = np.abs(told / truth - 1)
    tau: Any = kendalltau(told, truth).statistic
    return Errors(
        float((errors <= 0.05).mean()),
        float((errors <= 0.1).mean()),
        0.0 if np.isnan(tau) else float(tau),
        float(np.quantile(errors, 0.9)),
    )
