"""What a network gets right on images of several labels each: figures label by label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import InputError

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

DECIDED = 0.5
"""The probability from which on an image is taken to have a label."""


def compute_average_precisions(scores: NDArray[np.floating], labels: Counts) -> Floats:
    """Return the average precision of each label (classes,), of scores and labels (N, classes), NaN where no
    image has it: the sum over all thresholds of the precision there, times the rise of recall (Zhu 2004), as
    scikit-learn has it. Equal scores are one threshold.

    >>> scores, labels = np.array([[0.9], [0.8], [0.7]]), np.array([[1], [0], [1]])
    >>> compute_average_precisions(scores, labels).round(4).tolist()
    [0.8333]
    """
    return np.array([_compute_average_precision(*pair) for pair in zip(scores.T, labels.T, strict=True)])


def _compute_average_precision(scores: NDArray[np.floating], labels: Counts) -> float:
    total = int(labels.sum())
    if not total:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # of runs of equal scores
    hits = labels[order].cumsum()[ends]
    rises = np.diff(hits, prepend=0) / total
    return float(rises @ (hits / (ends + 1)))


def compute_mean_average_precision(scores: NDArray[np.floating], labels: Counts) -> float:
    """Return the mean average precision of the labels that some image has. Raises InputError where there is
    none."""
    if not labels.any():
        raise InputError(
            "--metric map: no image that is judged has a label, of those to validate or to test on; add some "
            "that have"
        )
    return float(np.nanmean(compute_average_precisions(scores, labels)))


@dataclass(frozen=True, eq=False)
class LabelMetrics:
    """Figures of a network on images of several labels each.

    Of each label (classes,): how many `images` have it, its `average_precision`, and `precision`, `recall`
    and `f1` of what has a probability of `DECIDED` or more, NaN where they are not defined. `micro_f1` is of
    all decisions together. `loss`: cross entropy, summed over the labels, its mean over the images.
    """

    images: Counts
    average_precision: Floats
    precision: Floats
    recall: Floats
    f1: Floats
    micro_f1: float
    loss: float

    @property
    def mean_average_precision(self) -> float:
        """The mean average precision of the labels that some image has."""
        return float(np.nanmean(self.average_precision))

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the labels that some image has or was given."""
        return float(np.nanmean(self.f1))

    @property
    def figures(self) -> dict[str, Any]:
        """What figures.json has of it."""
        return {
            "mean_average_precision": self.mean_average_precision,
            "micro_f1": self.micro_f1,
            "macro_f1": self.macro_f1,
            "loss": self.loss,
        }


def compute_label_metrics(labels: Counts, probabilities: NDArray[np.floating]) -> LabelMetrics:
    """Return the figures of probabilities (N, classes) for images with these labels (N, classes)."""
    shares = np.asarray(probabilities, dtype=np.float64)
    taken = shares >= DECIDED
    right, given, all_taken = ((part > 0).sum(0) for part in (labels * taken, labels, taken))
    sure = np.clip(np.where(labels > 0, shares, 1 - shares), np.finfo(np.float32).tiny, None)
    decided = int(given.sum() + all_taken.sum())
    return LabelMetrics(
        images=given,
        average_precision=compute_average_precisions(shares, labels),
        precision=divide_counts(right, all_taken),
        recall=divide_counts(right, given),
        f1=divide_counts(2 * right, given + all_taken),
        micro_f1=2 * int(right.sum()) / decided if decided else float("nan"),
        loss=float(-np.log(sure).sum(1).mean()),
    )


def divide_counts(part: Counts, whole: Counts) -> Floats:
    """Return the share of each class or label, NaN where the whole is nothing."""
    share: Floats = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return share
