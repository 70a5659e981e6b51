"""Arrays of a user's own as a data set, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.data.base import Source
from nas.data.images import Decoding, Pictures, resize_images
from nas.data.levels import ON_WHITE, Rendering
from nas.data.pixels import render_arrays
from nas.data.traits import Trait
from nas.errors import InputError


def wrap_pixels(classes: tuple[str, ...], labels: NDArray[Any], pixels: NDArray[Any], flip: bool) -> Source:
    """Return a source of images (N, C, H, W) in memory, of any type and with alpha or without."""

    def read(
        indices: NDArray[np.int64],
        resolution: int,
        progress: Decoding,
        rendering: Rendering = ON_WHITE,
    ) -> Pictures:
        some = pixels[indices]
        images, levels = render_arrays(some, rendering)
        traits = {Trait.DEEP: len(images) if levels else 0}
        if some.shape[1] in (2, 4):
            traits[Trait.TRANSPARENT] = int((some[:, -1].min(axis=(1, 2)) < some[:, -1].max()).sum())
        return Pictures(resize_images(images, resolution), {}, (), traits, levels)

    return Source(classes, labels.astype(np.int64), flip, read)


ARRAY_NAMES = ("images", "labels", "val_images", "val_labels")
"""What the arrays of a data set are called in messages: those to train on, those to validate on."""


def wrap_arrays(
    place: str,
    images: NDArray[Any],
    labels: NDArray[Any],
    classes: Sequence[str] | None = None,
    *,
    validation: tuple[NDArray[Any], NDArray[Any]] | None = None,
    flip: bool = True,
    names: Sequence[str] = ARRAY_NAMES,
) -> Source:
    """Return the source of `images`, (N, H, W, C), (N, C, H, W) or (N, H, W), and `labels`.

    Images are grey, RGB or RGB with alpha, of eight bits or more, or floating point. Labels are whole numbers
    from 0 or from 1 on, (N,) or (N, 1), or a row for each image with a one in the place of its class.
    `classes` are their names, by default the numbers. `validation`: images and labels to validate on, of the
    same kind. `names` are those of the arrays in messages. Raises InputError where they do not fit; `place`
    begins its message.
    """
    pixels = to_nchw(images, f"{place}: {names[0]}")
    numbers, first = _read_labels(labels, len(pixels), f"{place}: {names[1]}")
    found = np.unique(numbers)
    most = len(found) if classes is None else len(classes)
    if first is None:
        first = int(found[0] == 1 and found[-1] == most)
    _check_labels(numbers, first, most, f"{place}: {names[1]}")
    if most < 2:
        raise InputError(f"{place}: there is one class, and at least 2 are needed; add images of another")
    called = range(first, first + most) if classes is None else classes
    source = replace(
        wrap_pixels(tuple(map(str, called)), numbers - first, pixels, flip),
        name_of=f"{names[0]}[{{}}]".format,
    )
    if validation is None:
        return source
    val_pixels = to_nchw(validation[0], f"{place}: {names[2]}")
    val_numbers, _ = _read_labels(validation[1], len(val_pixels), f"{place}: {names[3]}")
    _check_labels(val_numbers, first, most, f"{place}: {names[3]}")
    if pixels.shape[1] != val_pixels.shape[1]:
        raise InputError(
            f"{place}: {names[0]} have {pixels.shape[1]} channels and {names[2]} {val_pixels.shape[1]}; give "
            "both as many"
        )
    if pixels.dtype != val_pixels.dtype:
        raise InputError(
            f"{place}: {names[0]} are {pixels.dtype} and {names[2]} {val_pixels.dtype}; give both alike"
        )
    own = wrap_pixels(source.classes, val_numbers - first, val_pixels, flip)
    return replace(source, validation=replace(own, name_of=f"{names[2]}[{{}}]".format))


def _read_labels(labels: NDArray[Any], count: int, place: str) -> tuple[NDArray[np.int64], int | None]:
    """Return labels as numbers (N,), and the first that there may be where their shape says so."""
    rule = f"they must be {count:,} whole numbers, one for each image"
    if labels.ndim == 2 and labels.shape[0] == count and labels.shape[1] > 1 and labels.dtype.kind in "biuf":
        is_zero_or_one = bool(((labels == 0) | (labels == 1)).all())
        if is_zero_or_one and (labels.sum(axis=1) == 1).all():
            return labels.argmax(axis=1), 0
        what = "have several classes, or none, for an image" if is_zero_or_one else "are no classes"
        raise InputError(
            f"{place} of shape {labels.shape} {what}; {rule}, or a row with a single 1 for each; for "
            "anything else train by an --evaluator of your own"
        )
    if labels.shape not in ((count,), (count, 1)) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{place} are {labels.dtype} of shape {labels.shape}; {rule}")
    return labels.reshape(-1), None


def _check_labels(labels: NDArray[np.int64], first: int, most: int, place: str) -> None:
    """Raise InputError for a label that is of no class."""
    outside = (labels < first) | (labels >= first + most)
    if outside.any():
        bad = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"{place.removesuffix('s')} {labels[bad]} of image {bad} is not one of {first} to "
            f"{first + most - 1}, as there are {most} classes; number the labels from 0 or 1 on, without gaps"
        )


def to_nchw(images: NDArray[Any], place: str) -> NDArray[Any]:
    """Return images as (N, C, H, W). Raises InputError where they are none; `place` begins its message."""
    rule = (
        "they must be numbers of shape (N, H, W, C), (N, C, H, W) or (N, H, W), with 1, 3 or, with alpha, 4 "
        "channels"
    )
    if images.dtype.kind not in "biuf" or images.ndim not in (3, 4) or not images.size:
        raise InputError(f"{place} are {images.dtype} of shape {images.shape}; {rule}")
    if images.ndim == 3:
        return images[:, None]
    for channels in ((1, 3), (4,)):
        if images.shape[3] in channels:
            return images.transpose(0, 3, 1, 2)
        if images.shape[1] in channels:
            return images
    raise InputError(f"{place} have the shape {images.shape}; {rule}")
