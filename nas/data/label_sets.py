"""Images of several labels each: how the labels are written in arrays, and what stands for them where one
number an image is needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.data.base import Labels

SEVERAL = (
    "Images have several labels, or none: each label has a probability of its own, by a sigmoid, and "
    "networks are judged by map, the mean average precision of the labels, in place of accuracy."
)
"""What is said of such data."""


def are_sets(labels: Labels) -> bool:
    """Return whether images have several labels, (N, classes) of 0 and 1, and not one each, (N,)."""
    return labels.ndim == 2


def encode_sets(sets: Sequence[Sequence[int]], classes: int) -> Labels:
    """Return the labels (N, classes), 0 and 1, of images that have these.

    >>> encode_sets([[0, 2], []], 3).tolist()
    [[1, 0, 1], [0, 0, 0]]
    """
    found = np.zeros((len(sets), classes), dtype=np.int64)
    for row, own in zip(found, sets, strict=True):
        row[list(own)] = 1
    return found


def count_labels(labels: Labels, classes: int) -> Labels:
    """Return how many images have each label (classes,)."""
    if are_sets(labels):
        return np.asarray(labels.sum(0), dtype=np.int64)
    return np.bincount(labels, minlength=classes)


def find_strata(labels: Labels) -> Labels:
    """Return what images are drawn alike by (N,): their label; of several, the one that the fewest images
    have, and one number more for images of none.

    >>> find_strata(np.array([[1, 0], [1, 1], [0, 0]])).tolist()
    [0, 1, 2]
    """
    if not are_sets(labels):
        return labels
    rank = np.argsort(np.argsort(labels.sum(0), kind="stable"), kind="stable")
    place = np.where(labels > 0, rank, labels.shape[1]).argmin(1)
    found: Labels = np.where(labels.any(1), place, labels.shape[1]).astype(np.int64)
    return found


def name_sets(labels: Labels, classes: Sequence[str]) -> tuple[Labels, tuple[str, ...]]:
    """Return a number of each image (N,), alike for those of the same labels, and what each is called.

    >>> name_sets(np.array([[1, 1], [0, 0], [1, 1]]), ("cat", "dog"))
    (array([1, 0, 1]), ('no label', 'cat and dog'))
    """
    if not are_sets(labels):
        return labels, tuple(classes)
    kinds, numbers = np.unique(labels, axis=0, return_inverse=True)
    names = [
        " and ".join(classes[place] for place in np.flatnonzero(kind).tolist()) or "no label"
        for kind in kinds
    ]
    return numbers.reshape(-1).astype(np.int64), tuple(names)
