"""What a trained classifier gets right and wrong on labelled images, beyond its accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BINS = 15
"""Of confidence, as Guo et al. 2017 have it."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Metrics:
    """Figures of a classifier on labelled images.

    `confusion` (classes, classes): how many images of a class, by row, were taken for which, by column.
    `precision`, `recall` and `f1` (classes,), 0 to 1: NaN where a class was never predicted, or has no image.
    `calibration_error`: expected calibration error over 15 bins of confidence (Guo et al. 2017). `loss`: mean
    cross entropy.
    """

    confusion: NDArray[np.int64]
    precision: Floats
    recall: Floats
    f1: Floats
    accuracy: float
    top5: float | None
    loss: float
    calibration_error: float

    @property
    def images(self) -> int:
        return int(self.confusion.sum())

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that have images."""
        return float(np.nanmean(self.recall))

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the classes that have images or were predicted."""
        return float(np.nanmean(self.f1))


def compute_metrics(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> Metrics:
    """Return the figures of probabilities (N, classes) for images with these labels (N,).

    >>> found = compute_metrics(np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]))
    >>> found.confusion.tolist(), round(found.accuracy, 4), found.recall.tolist()
    ([[1, 1], [0, 1]], 0.6667, [0.5, 1.0])
    """
    shares = np.asarray(probabilities, dtype=np.float64)
    classes = shares.shape[1]
    predicted = shares.argmax(1)
    confusion = np.bincount(classes * labels + predicted, minlength=classes**2).reshape(classes, classes)
    right, given, taken = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    own = shares[np.arange(len(labels)), labels]
    top5 = None
    if classes > 5:
        top5 = float(((shares > own[:, None]).sum(1) < 5).mean())
    return Metrics(
        confusion=confusion,
        precision=_divide(right, taken),
        recall=_divide(right, given),
        f1=_divide(2 * right, given + taken),
        accuracy=float((predicted == labels).mean()),
        top5=top5,
        loss=float(-np.log(np.maximum(own, np.finfo(np.float32).tiny)).mean()),
        calibration_error=_calibration_error(shares.max(1), predicted == labels),
    )


def _divide(part: NDArray[np.int64], whole: NDArray[np.int64]) -> Floats:
    share: Floats = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return share


def _calibration_error(confidence: Floats, is_right: NDArray[np.bool_]) -> float:
    """Return the mean distance of confidence and accuracy over bins of confidence, by their images."""
    places = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gap = np.bincount(places, weights=confidence - is_right, minlength=_BINS)
    return float(np.abs(gap).sum() / len(confidence))
