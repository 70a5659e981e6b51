"""Pixels: image files decoded, arrays resized."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

Images = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images (N, C, H, W) uint8, and why some of them could not be read, by index; these are black."""

    images: Images
    broken: dict[int, str]


def decoded(files: Sequence[Path], resolution: int) -> Pictures:
    """The files as (N, 3, resolution, resolution); aspect ratios are not kept, so that nothing is cut off."""
    images = np.zeros((len(files), 3, resolution, resolution), dtype=np.uint8)
    broken: dict[int, str] = {}

    def decode(index: int) -> None:
        try:
            images[index] = _image(files[index], resolution).transpose(2, 0, 1)
        except _Unreadable as error:
            broken[index] = f"{files[index]} ({error})"

    # Pillow decodes and resizes outside of the interpreter's lock. An error cancels what has not begun.
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(decode, range(len(files))):
            pass
    return Pictures(images, dict(sorted(broken.items())))


class _Unreadable(Exception):
    pass


def _image(file: Path, resolution: int) -> Images:
    """The first frame of a file in RGB (resolution, resolution, 3)."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            # A JPEG decoder reads at 1/2, 1/4 or 1/8 for less work; the rest is left to the filter below.
            image.draft("RGB", (2 * resolution, 2 * resolution))
            rgb = _eight_bits(image).convert("RGB")
    except FileNotFoundError as error:
        raise _Unreadable("there is no such file") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _Unreadable(" ".join(str(error).split())) from error
    return np.asarray(rgb.resize((resolution, resolution), Image.Resampling.BILINEAR))


def _eight_bits(image: Image.Image) -> Image.Image:
    """An image of 16 bits a pixel with 8; Pillow itself would cut off all above 255."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError("its pixels are floating point numbers, whose range is not known")
    if not image.mode.startswith("I"):
        return image
    levels = np.asarray(image).astype(np.int64).clip(0, 65_535)
    return Image.fromarray((levels // 257).astype(np.uint8))


def resized(images: Images, resolution: int) -> Images:
    """Images (N, C, H, W) at another size, smoothed where that is smaller."""
    import torch
    import torch.nn.functional as F

    if images.shape[2:] == (resolution, resolution):
        return np.ascontiguousarray(images)
    pixels = torch.tensor(images)  # a copy: torch warns of views on read-only memory
    return F.interpolate(pixels, size=(resolution, resolution), mode="bilinear", antialias=True).numpy()
