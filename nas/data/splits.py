"""Which images of a source are trained on, and which are validated on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nas.data.base import Labels, Source
from nas.data.label_sets import are_sets, count_labels, find_strata
from nas.errors import InputError

Indices = NDArray[np.int64]


def select_parts(
    source: Source,
    spec: str,
    max_images: int | None,
    val_fraction: float,
    folds: int,
    rng: np.random.Generator,
) -> tuple[Indices, Indices]:
    """Return indices of search-train, and of search-validation in the source's own split if it has one."""
    classes, own = len(source.classes), source.validation
    if folds > 1 and own is not None:
        raise InputError(
            f"data set {spec}: has a validation split of its own, and --folds {folds} validates on each part "
            "of one split in turn; leave --folds out, or put all images into one split"
        )
    each = max(2, folds)
    if max_images is not None and max_images < each * classes:
        raise InputError(
            f"data set '{spec}': max_images is {max_images}, too few for {classes} classes; each "
            f"needs {_describe_need(each)}: give at least {each * classes}"
        )
    if own is None:
        check_classes(spec, source, source.labels, each)
        share = 1 / folds if folds > 1 else val_fraction
        chosen = select_subset(source.labels, max_images, each, rng)
        train, val = _split(chosen, find_strata(source.labels), share, rng)
        return _complete(train, val, source.labels) if are_sets(source.labels) else (train, val)
    if max_images is None:
        return select_subset(source.labels, None, 1, rng), select_subset(own.labels, None, 0, rng)
    most = min(max(classes, round((1 - val_fraction) * max_images)), max_images - 1)
    return select_subset(source.labels, most, 1, rng), select_subset(own.labels, max_images - most, 0, rng)


def check_classes(spec: str, source: Source, labels: Labels, least: int) -> None:
    """Raise InputError for a class that has too few images."""
    for name, count in zip(source.classes, count_labels(labels, len(source.classes)), strict=True):
        if count < least:
            raise InputError(
                f"data set {spec}: class '{name}' has {count} image(s) and each class needs at least "
                f"{least}, {_describe_need(least)}; add images of it, or leave the class out"
                + "".join(f". {note.rstrip('.')}" for note in source.notes)
            )


def _describe_need(images: int) -> str:
    """Describe what so many images of a class are for."""
    few = {1: "to train on", 2: "one image to train on and one to validate on"}
    return few.get(images, "one image in each fold")


def select_subset(labels: Labels, most: int | None, each: int, rng: np.random.Generator) -> Indices:
    """Return at most so many indices in random order, stratified, with `each` of every class first."""
    order = rng.permutation(len(labels))
    if most is None or most >= len(order):
        return order
    # Sorted by its place within its class, any first part of the images has the classes in proportion.
    place = np.empty(len(order))
    for members in _group_by_class(order, find_strata(labels)):
        rank = np.arange(len(members))
        place[members] = np.where(rank < each, rank - each, (rank + 0.5) / len(members))
    if are_sets(labels):
        for has in labels[order].T > 0:
            place[order[has][:each]] = -each - 1
    return order[np.argsort(place[order], kind="stable")[:most]]


def _split(
    indices: Indices, labels: Indices, val_fraction: float, rng: np.random.Generator
) -> tuple[Indices, Indices]:
    """Split into search-train and search-validation: `val_fraction` of each class, one image at least in
    both."""
    train, val = [], []
    for members in _group_by_class(indices, labels):
        count = min(max(round(val_fraction * len(members)), 1), len(members) - 1)
        val.append(members[:count])
        train.append(members[count:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(val))


def _complete(train: Indices, val: Indices, labels: Labels) -> tuple[Indices, Indices]:
    """Move an image to those to train on for each label that only images to validate on have."""
    for label in np.flatnonzero(labels[val].any(0) & ~labels[train].any(0)):
        if not labels[train, label].any():  # an image before may have had it too
            moved = val[labels[val, label] > 0][:1]
            train, val = np.append(train, moved), np.setdiff1d(val, moved, assume_unique=True)
    return train, val


def _group_by_class(indices: Indices, labels: Indices) -> list[Indices]:
    """Return the indices of each class, in the order in which they come."""
    by_label = indices[np.argsort(labels[indices], kind="stable")]
    return np.split(by_label, np.flatnonzero(np.diff(labels[by_label])) + 1)
