"""Pixels of any depth as eight bits: the range that they have, and what is behind transparent ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.data.levels import Levels, Rendering

_BLOCK = 2**20
"""Values that are worked on at a time, in double precision."""
_MOST_SEEN = 1_000
"""Images of an array that its levels are found over."""
_OPAQUE = 255


def to_bytes(values: NDArray[Any], levels: Levels) -> NDArray[np.uint8]:
    """Return values of any shape and type as levels from 0 to 255 of theirs; what is no number is black."""
    flat = values.reshape(-1)
    found = np.empty(flat.shape, np.uint8)
    for start in range(0, len(flat), _BLOCK):
        block = flat[start : start + _BLOCK].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            block = (block - levels.low) * (255 / (levels.high - levels.low))
        found[start : start + _BLOCK] = np.nan_to_num(block).clip(0, 255).round()
    return found.reshape(values.shape)


def measure_range(values: NDArray[Any]) -> tuple[float, float] | None:
    """Return the values between which all but 0.1 % of an image's pixels lie at either end, of a million at
    most; None where none is a number."""
    flat = values.reshape(-1)
    some = flat[:: max(1, len(flat) // _BLOCK)].astype(np.float64)
    some = some[np.isfinite(some)]
    if not len(some):
        return None
    low, high = (np.quantile(some, q, method=m) for q, m in ((0.001, "lower"), (0.999, "higher")))  # type: ignore[call-overload]
    return float(low), float(high)


def join_ranges(ranges: NDArray[np.float64], is_whole: bool) -> Levels:
    """Return the levels of images with these ranges, (N, 2), 1 % of the images at either end left out.

    Whole numbers of eight bits keep their values: `is_whole`, and within 0 to 255.
    """
    low = float(np.quantile(ranges[:, 0], 0.01, method="lower"))
    high = float(np.quantile(ranges[:, 1], 0.99, method="higher"))
    if is_whole and low >= 0 and high <= 255:
        return Levels(0, 255)
    return Levels(low, high if high > low else low + 1)


def find_levels(images: NDArray[Any]) -> Levels:
    """Return the levels of images (N, ...) of any type, found over a thousand of them at most."""
    if images.dtype == np.bool_:
        return Levels(0, 1)
    some = images[:: max(1, math.ceil(len(images) / _MOST_SEEN))]
    ranges = [found for image in some if (found := measure_range(image)) is not None]
    return join_ranges(np.array(ranges or [(0.0, 1.0)]), bool(np.issubdtype(images.dtype, np.integer)))


def compose(images: NDArray[np.uint8], colour: tuple[int, ...]) -> NDArray[np.uint8]:
    """Put images (N, C + 1, H, W), whose last channel is alpha, on a colour of C channels: (N, C, H, W)."""
    found = np.empty((len(images), images.shape[1] - 1, *images.shape[2:]), np.uint8)
    behind = np.array(colour, np.uint32)[:, None, None]
    for part in _list_slices(images):
        pixels, alpha = images[part, :-1].astype(np.uint32), images[part, -1:].astype(np.uint32)
        found[part] = (pixels * alpha + behind * (_OPAQUE - alpha) + _OPAQUE // 2) // _OPAQUE
    return found


def _list_slices(images: NDArray[Any]) -> Iterator[slice]:
    """List slices of about a block of values each."""
    step = max(1, _BLOCK // max(1, math.prod(images.shape[1:])))
    for start in range(0, len(images), step):
        yield slice(start, start + step)


def render_arrays(images: NDArray[Any], rendering: Rendering) -> tuple[NDArray[np.uint8], Levels | None]:
    """Return images (N, C, H, W) of any type as eight bits, and the levels that were used, if any: those of
    the rendering, or found over the images where it has none.

    Two and four channels are grey and RGB with alpha, which is put on the background unless that is kept.
    """
    levels = None
    has_alpha = images.shape[1] in (2, 4)
    if images.dtype == np.uint8:
        pixels = images
    else:
        colours = images[:, :-1] if has_alpha else images
        levels = rendering.levels or find_levels(colours)
        pixels = to_bytes(colours, levels)
        if has_alpha:
            most = _find_opaque(images.dtype, levels)
            pixels = np.concatenate([pixels, to_bytes(images[:, -1:], Levels(0, most))], axis=1)
    if has_alpha and not rendering.keeps_alpha:
        red, green, blue = rendering.colour
        grey = round(0.299 * red + 0.587 * green + 0.114 * blue)
        pixels = compose(pixels, (grey,) if images.shape[1] == 2 else rendering.colour)
    return pixels, levels


def _find_opaque(dtype: np.dtype[Any], levels: Levels) -> float:
    """Return the alpha of what is not transparent: 1 of floating point; of whole numbers the most that eight
    or sixteen bits hold, where the colours' levels are within these, and no more than the type holds."""
    if not np.issubdtype(dtype, np.integer):
        return 1.0
    most = np.iinfo(dtype).max
    return float(min(most, next((deep for deep in (_OPAQUE, 2**16 - 1) if levels.high <= deep), most)))
