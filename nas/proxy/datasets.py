"""Data sets for the proxy: split, read, resized once, and kept as plain uint8 arrays."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.errors import InputError
from nas.proxy import images
from nas.proxy.images import Images
from nas.proxy.sources import Labels, Source, find_source

Indices = NDArray[np.int64]

DATA_ROOT = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "nas" / "data"  # noqa: PTH111

_NAMED = 3
"""Broken files that a message names."""
_UNEVEN = 5
"""How many times the images of the smallest class the largest may have before a note says so."""


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set's training split, parted into search-train and search-validation.

    Images are uint8 (N, C, H, W), labels int64 (N,). `mean` and `std` are per channel, over search-train, on
    the scale 0 to 1. `flip` says whether a mirrored image keeps its class, which is wrong for digits. `notes`
    are for the user: what is left out, what makes scores hard to read. The arrays are never written to, so
    they may lie read-only in memory that processes share.
    """

    name: str
    classes: tuple[str, ...]
    train_images: Images
    train_labels: Labels
    val_images: Images
    val_labels: Labels
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool
    notes: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        return int(self.train_images.shape[1])

    @property
    def resolution(self) -> int:
        return int(self.train_images.shape[2])

    @property
    def num_classes(self) -> int:
        return len(self.classes)


def load(
    spec: str,
    *,
    resolution: int,
    seed: int,
    val_fraction: float = 0.2,
    root: Path = DATA_ROOT,
    max_images: int | None = None,
    max_broken: float = 0.01,
) -> ImageData:
    """Read the training split of a data set, and the validation split that it has or, by `seed`, is given.

    `spec` is one of `sources.NAMES`. Images become resolution x resolution; `max_images` keeps a subset with
    the classes in proportion. Files that cannot be read are left out, up to a share of `max_broken`. `root`
    is where downloaded data sets lie. The test split of a data set is not read.

    Raises InputError for a name, file, class or `max_images` that cannot be used, NasError when a data set is
    neither in `root` nor can be downloaded.
    """
    source, rng = find_source(spec, root), np.random.default_rng(seed)
    classes = len(source.classes)
    if max_images is not None and max_images < 2 * classes:
        raise InputError(
            f"data set '{spec}': max_images is {max_images}, too few for {classes} classes; each "
            f"needs one image to train on and one to validate on: give at least {2 * classes}"
        )
    if source.validation is None:
        _check_classes(spec, source, source.labels, 2)
        own = source
        train, val = _split(_subset(source.labels, max_images, 2, rng), source.labels, val_fraction, rng)
    else:
        own = source.validation
        most = None if max_images is None else max(classes, round((1 - val_fraction) * max_images))
        most = most if most is None or max_images is None else min(most, max_images - 1)
        train = _subset(source.labels, most, 1, rng)
        val = _subset(own.labels, None if max_images is None or most is None else max_images - most, 0, rng)
    train_images, train_labels, broken = _read(source, train, resolution)
    val_images, val_labels, more = _read(own, val, resolution)
    notes = [
        *_broken_note(spec, broken, len(train), "to train on", max_broken),
        *_broken_note(spec, more, len(val), "to validate on", max_broken),
    ]
    _check_classes(spec, source, train_labels, 1)
    if not len(val_labels):
        raise InputError(f"data set {spec}: there is no image to validate on; add some")
    mean, std = _moments(train_images)
    return ImageData(
        name=spec,
        classes=source.classes,
        train_images=train_images,
        train_labels=train_labels,
        val_images=val_images,
        val_labels=val_labels,
        mean=mean,
        std=std,
        flip=source.flip,
        notes=(*notes, *_uneven_note(source.classes, train_labels)),
    )


def resized(data: ImageData, resolution: int) -> ImageData:
    """The same data with images of another size; the data itself where the size is the same."""
    if data.resolution == resolution:
        return data
    train, val = (images.resized(part, resolution) for part in (data.train_images, data.val_images))
    return replace(data, train_images=train, val_images=val)


def _check_classes(spec: str, source: Source, labels: Labels, least: int) -> None:
    """Raises InputError for a class that has too few images."""
    for name, count in zip(source.classes, np.bincount(labels, minlength=len(source.classes)), strict=True):
        if count < least:
            needs = "one to train on and one to validate on" if least > 1 else "to train on"
            raise InputError(
                f"data set {spec}: class '{name}' has {count} image(s) and each class needs at least "
                f"{least}, {needs}; add images of it, or leave the class out"
            )


def _read(source: Source, indices: Indices, resolution: int) -> tuple[Images, Labels, list[str]]:
    """The images that can be read, their labels, and what is wrong with the others."""
    found = source.read(indices, resolution)
    whole = np.setdiff1d(np.arange(len(indices)), list(found.broken))
    pixels = found.images[whole] if found.broken else found.images
    return pixels, source.labels[indices][whole], list(found.broken.values())


def _broken_note(spec: str, broken: list[str], images: int, use: str, max_broken: float) -> list[str]:
    if not broken:
        return []
    named = ", ".join(broken[:_NAMED])
    if len(broken) > _NAMED:
        named += f" and {len(broken) - _NAMED:,} more"
    what = f"{len(broken):,} of {images:,} images {use} cannot be read"
    if len(broken) > max_broken * images:
        raise InputError(
            f"data set {spec}: {what}, more than {100 * max_broken:g} %: {named}; replace or remove them, or "
            "allow more by --max-broken"
        )
    return [f"{what} and are left out: {named}."]


def _uneven_note(classes: tuple[str, ...], labels: Labels) -> list[str]:
    counts = np.bincount(labels, minlength=len(classes))
    most, least = int(counts.argmax()), int(counts.argmin())
    if counts[most] <= _UNEVEN * counts[least]:
        return []
    return [
        f"Classes are uneven: '{classes[most]}' has {counts[most]:,} images to train on, '{classes[least]}' "
        f"has {counts[least]:,}; a score is the share of all images that is right, whatever their class."
    ]


def _subset(labels: Labels, most: int | None, each: int, rng: np.random.Generator) -> Indices:
    """At most so many indices in random order, the classes in proportion and `each` of every class first."""
    order = rng.permutation(len(labels))
    if most is None or most >= len(order):
        return order
    # Sorted by its place within its class, any first part of the images has the classes in proportion.
    place = np.empty(len(order))
    for members in _by_class(order, labels):
        rank = np.arange(len(members))
        place[members] = np.where(rank < each, rank - each, (rank + 0.5) / len(members))
    return order[np.argsort(place[order], kind="stable")[:most]]


def _split(
    indices: Indices, labels: Indices, val_fraction: float, rng: np.random.Generator
) -> tuple[Indices, Indices]:
    """Search-train and search-validation: `val_fraction` of each class, at least one image in either part."""
    train, val = [], []
    for members in _by_class(indices, labels):
        count = min(max(round(val_fraction * len(members)), 1), len(members) - 1)
        val.append(members[:count])
        train.append(members[count:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(val))


def _by_class(indices: Indices, labels: Indices) -> list[Indices]:
    """The indices of each class, in the order in which they come."""
    by_label = indices[np.argsort(labels[indices], kind="stable")]
    return np.split(by_label, np.flatnonzero(np.diff(labels[by_label])) + 1)


def _moments(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel on the scale 0 to 1, exact, without a float copy."""
    levels = np.arange(256) / 255
    means, stds = [], []
    for channel in range(images.shape[1]):
        counts = np.zeros(256)
        for start in range(0, len(images), 4096):
            counts += np.bincount(images[start : start + 4096, channel].ravel(), minlength=256)
        share = counts / counts.sum()
        mean = float(share @ levels)
        means.append(mean)
        # A channel of one colour has no deviation: one grey level keeps the division finite.
        stds.append(max(float(np.sqrt(share @ (levels - mean) ** 2)), 1 / 255))
    return tuple(means), tuple(stds)
