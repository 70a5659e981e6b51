"""Arrays of a user's own as a data set, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.data.base import Source
from nas.data.images import Decoding, Images, Pictures, resize_images
from nas.data.levels import ON_WHITE, Rendering, render_arrays
from nas.data.traits import Trait
from nas.errors import InputError


def source_of_pixels(
    classes: tuple[str, ...], labels: NDArray[Any], pixels: NDArray[Any], flip: bool
) -> Source:
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


def source_of_arrays(
    place: str,
    images: NDArray[Any],
    labels: NDArray[Any],
    classes: Sequence[str] | None = None,
    *,
    flip: bool = True,
    part: str = "",
) -> Source:
    """Return the source of `images`, uint8 (N, H, W, C), (N, C, H, W) or (N, H, W), and `labels` (N,) from 0.

    `classes` are their names, by default the numbers. `part` is what the names of the arrays begin with in
    messages. Raises InputError where they do not fit; `place` begins its message.
    """
    pixels = nchw(images, f"{place}: {part}images")
    if labels.shape != (len(pixels),) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"{place}: {part}labels are {labels.dtype} of shape {labels.shape}; they must be {len(pixels):,} "
            "whole numbers, one for each image"
        )
    found = np.unique(labels)
    most = len(found) if classes is None else len(classes)
    if labels.min(initial=0) < 0 or labels.max(initial=0) >= most:
        bad = int(np.flatnonzero((labels < 0) | (labels >= most))[0])
        raise InputError(
            f"{place}: {part}label {labels[bad]} of image {bad} is not one of 0 to {most - 1}, as there are "
            f"{most} classes; number the labels from 0 on, without gaps"
        )
    if most < 2:
        raise InputError(f"{place}: there is one class, and at least 2 are needed; add images of another")
    names = tuple(str(name) for name in (range(most) if classes is None else classes))
    return source_of_pixels(names, labels, pixels, flip)


def nchw(images: NDArray[Any], place: str) -> Images:
    """Return images as (N, C, H, W). Raises InputError where they are none; `place` begins its message."""
    rule = "they must be uint8 of shape (N, H, W, C), (N, C, H, W) or (N, H, W), with 1 or 3 channels"
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not images.size:
        raise InputError(f"{place} are {images.dtype} of shape {images.shape}; {rule}")
    if images.ndim == 3:
        return images[:, None]
    if images.shape[3] in (1, 3):
        return images.transpose(0, 3, 1, 2)
    if images.shape[1] in (1, 3):
        return images
    raise InputError(f"{place} have the shape {images.shape}; {rule}")
