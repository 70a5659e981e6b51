"""What a trained classifier gets right and wrong on labelled images: figures of many kinds, and the one
number that networks are judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import InputError
from nas.training.multi_label import compute_mean_average_precision, divide_counts
from nas.training.recipe import SAMPLING

if TYPE_CHECKING:
    from torch import Tensor

    from nas.data.datasets import ImageData

_BINS = 15
"""Of confidence, as Guo et al. 2017 have it."""
_TOP = 5

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Metrics:
    """Figures of a classifier on labelled images.

    `confusion` (classes, classes): how many images of a class, by row, were taken for which, by column.
    `precision`, `recall` and `f1` (classes,), 0 to 1: NaN where a class was never predicted, or has no image.
    `top5`: None of five classes or less; `auc`: None but of two classes that both have images.
    `calibration_error`: expected calibration error over 15 bins of confidence (Guo et al. 2017). `loss`: mean
    cross entropy.
    """

    confusion: Counts
    precision: Floats
    recall: Floats
    f1: Floats
    accuracy: float
    top5: float | None
    auc: float | None
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

    @property
    def figures(self) -> dict[str, Any]:
        """What figures.json has of it."""
        names = ("accuracy", "balanced_accuracy", "macro_f1", "top5", "auc", "loss", "calibration_error")
        return {name: getattr(self, name) for name in names}

    def of(self, metric: str) -> float | None:
        """Return what networks are judged by, one of `JUDGES`."""
        found: float | None = getattr(self, FIELDS[metric])
        return found


FIELDS = {
    "accuracy": "accuracy",
    "balanced-accuracy": "balanced_accuracy",
    "macro-f1": "macro_f1",
    "top-5": "top5",
    "auc": "auc",
    "map": "mean_average_precision",
}
"""What the figures call each of `JUDGES`."""


def describe_value(metric: str, value: float | None) -> str:
    """Return a metric with its value, of which there may be none."""
    return f"{metric} {'unknown' if value is None else f'{value:.4f}'}"


def compute_metrics(labels: Counts, probabilities: NDArray[np.floating]) -> Metrics:
    """Return the figures of probabilities (N, classes) for images with these labels (N,).

    >>> found = compute_metrics(np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]))
    >>> found.confusion.tolist(), round(found.accuracy, 4), found.recall.tolist()
    ([[1, 1], [0, 1]], 0.6667, [0.5, 1.0])
    """
    shares = np.asarray(probabilities, dtype=np.float64)
    classes = shares.shape[1]
    predicted = shares.argmax(1)
    confusion = np.bincount(classes * labels + predicted, minlength=classes**2).reshape(classes, classes)
    right, given, taken = _count_classes(predicted, labels, classes)
    own = shares[np.arange(len(labels)), labels]
    top5 = None
    if classes > _TOP:
        top5 = float(((shares > own[:, None]).sum(1) < _TOP).mean())
    return Metrics(
        confusion=confusion,
        precision=divide_counts(right, taken),
        recall=divide_counts(right, given),
        f1=divide_counts(2 * right, given + taken),
        accuracy=float((predicted == labels).mean()),
        top5=top5,
        auc=_compute_area(shares[:, 1] - shares[:, 0], labels) if classes == 2 and given.all() else None,
        loss=float(-np.log(np.maximum(own, np.finfo(np.float32).tiny)).mean()),
        calibration_error=_compute_calibration_error(shares.max(1), predicted == labels),
    )


def _count_classes(predicted: Counts, labels: Counts, classes: int) -> tuple[Counts, Counts, Counts]:
    """Return of each class the images that are predicted rightly, that it has, and that are predicted."""
    some = (labels[predicted == labels], labels, predicted)
    right, given, taken = (np.bincount(part, minlength=classes) for part in some)
    return right, given, taken


def _compute_calibration_error(confidence: Floats, is_right: NDArray[np.bool_]) -> float:
    """Return the mean distance of confidence and accuracy over bins of confidence, by their images."""
    places = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gap = np.bincount(places, weights=confidence - is_right, minlength=_BINS)
    return float(np.abs(gap).sum() / len(confidence))


# What networks are judged by


@dataclass(frozen=True)
class Judge:
    """One number of all images that are validated on, 0 to 1, the more the better.

    `observe` gives what counts of each image (N, ...), of the logits (N, classes) of a batch and its labels
    (N,), where the network is: no float64, which Apple's devices do not have.
    `compute` makes the number of that for all images, their labels and how many classes there are. `classes`:
    the fewest and the most that it is defined for. `multi_label`: it is of images with several labels, (N,
    classes) in place of (N,), and then observes the same.
    """

    observe: Callable[[Tensor, Tensor], Tensor]
    compute: Callable[[NDArray[np.generic], Counts, int], float]
    classes: tuple[int, float] = (2, float("inf"))
    multi_label: bool = False


def _predict(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.argmax(1)


def _find_among_five(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits > logits.gather(1, labels[:, None])).sum(1) < _TOP


def _keep(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.float()


def _compute_map(logits: NDArray[np.generic], labels: Counts, classes: int) -> float:
    return compute_mean_average_precision(logits.astype(np.float64), labels)


def _compute_accuracy(predicted: NDArray[np.generic], labels: Counts, classes: int) -> float:
    return int((predicted == labels).sum()) / len(labels)


def _compute_balanced_accuracy(predicted: NDArray[np.generic], labels: Counts, classes: int) -> float:
    right, given, _ = _count_classes(predicted.astype(np.int64), labels, classes)
    return float(np.nanmean(divide_counts(right, given)))


def _compute_macro_f1(predicted: NDArray[np.generic], labels: Counts, classes: int) -> float:
    right, given, taken = _count_classes(predicted.astype(np.int64), labels, classes)
    return float(np.nanmean(divide_counts(2 * right, given + taken)))


def _compute_share(is_right: NDArray[np.generic], labels: Counts, classes: int) -> float:
    return int(is_right.sum()) / len(labels)


def _compute_area_under_roc(logits: NDArray[np.generic], labels: Counts, classes: int) -> float:
    """Return the area by how far the second class is ahead, which puts images in the order of its probability
    and has no ties where that is rounded to 1."""
    exact = logits.astype(np.float64)
    return _compute_area(exact[:, 1] - exact[:, 0], labels)


def _compute_area(lead: Floats, labels: Counts) -> float:
    """Return the share of pairs, an image of either class, in which the one of the second class is ahead; an
    equal pair counts half (Mann & Whitney 1947). Raises InputError where there is no pair."""
    _, place, counts = np.unique(lead, return_inverse=True, return_counts=True)
    second = np.bincount(place[labels == 1], minlength=len(counts))
    first = counts - second
    pairs = int(first.sum()) * int(second.sum())
    if not pairs:
        raise InputError(
            "--metric auc: all images that are validated on are of one class; add some of the other, or give "
            "--metric accuracy"
        )
    halves = 2 * np.cumsum(first) - first  # an image behind counts two, an equal one counts one
    return int((second * halves).sum()) / (2 * pairs)


JUDGES = {
    "accuracy": Judge(_predict, _compute_accuracy),
    "balanced-accuracy": Judge(_predict, _compute_balanced_accuracy),
    "macro-f1": Judge(_predict, _compute_macro_f1),
    "top-5": Judge(_find_among_five, _compute_share, (_TOP + 1, float("inf"))),
    "auc": Judge(_keep, _compute_area_under_roc, (2, 2)),
    "map": Judge(_keep, _compute_map, multi_label=True),
}


def check_metric(metric: str, data: ImageData) -> None:
    """Raise InputError where networks cannot be judged by a metric on such labels."""
    if JUDGES[metric].multi_label != data.is_multi_label:
        each, fit = (
            ("several labels", "map, or leave it out")
            if data.is_multi_label
            else ("one label", "accuracy, balanced-accuracy or macro-f1")
        )
        other = "one label" if data.is_multi_label else "several labels"
        raise InputError(
            f"--metric {metric}: is of images with {other} each, and those of data set {data.name} have "
            f"{each}; give {fit}"
        )
    if data.is_multi_label:
        compute_mean_average_precision(data.val_labels.astype(float), data.val_labels)  # of some label
        return
    least, most = JUDGES[metric].classes
    if not least <= data.num_classes <= most:
        needs = "two classes" if most == least else f"more than {least - 1} classes"
        raise InputError(
            f"--metric {metric}: needs {needs}, and data set {data.name} has {data.num_classes}; give "
            "accuracy, balanced-accuracy or macro-f1"
        )
    if metric == "auc" and len(np.unique(data.val_labels)) < 2:
        raise InputError(
            f"--metric auc: data set {data.name} has images of one class alone to validate on; add some of "
            "the other, or give balanced-accuracy"
        )


def check_balance(balance: str, data: ImageData) -> None:
    """Raise InputError where classes cannot be evened out so."""
    if data.is_multi_label and balance == SAMPLING:
        raise InputError(
            f"--balance {balance}: draws as many images of each class, and an image of data set {data.name} "
            "has several labels; give --balance weights"
        )
