"""Pixels: image files decoded, arrays resized."""

from __future__ import annotations

import multiprocessing
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nas.errors import NasError
from nas.machine import count_cores

if TYPE_CHECKING:
    from PIL import Image

Images = NDArray[np.uint8]
Decoding = Callable[[int, int], None]
"""Told how many files are decoded, of how many."""

_MANY = 4_000
"""So many files are decoded by processes."""
_PART = 64
"""Files that a thread or process decodes at a time."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """The images that could be read, (N, C, H, W) uint8, and why others could not, by place."""

    images: Images
    broken: dict[int, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BrokenImage:
    """Reason why a file gives no image; `lasting` where it lies in the content, and not in the machine."""

    reason: str
    lasting: bool = True


def ignore_progress(done: int, total: int) -> None:
    """Ignore progress."""


def decode_files(files: Sequence[Path], resolution: int) -> Iterator[Images | BrokenImage]:
    """Yield each file in order as (3, resolution, resolution), decoded on all cores.

    Aspect ratios are not kept, so that nothing is cut off.
    """
    parts = [files[start : start + _PART] for start in range(0, len(files), _PART)]
    # An error, or Ctrl-C, cancels what has not begun.
    try:
        with warnings.catch_warnings(), _start_pool(len(files)) as pool:
            _ignore_large()
            for part in pool.map(partial(_decode_part, resolution=resolution), parts):
                yield from part
    except BrokenProcessPool:
        raise NasError(
            "a process that decodes images has died; make sure that memory is free, and that a script of "
            "your own starts below: if __name__ == '__main__'"
        ) from None


def _start_pool(files: int) -> Executor:
    """Start threads for a few files, else processes: decoding small files mostly holds Python's lock."""
    cores = count_cores()
    if files < _MANY:
        return ThreadPoolExecutor(cores)
    # Not forked: another thread may hold a lock, which the copy would wait for.
    return ProcessPoolExecutor(cores, multiprocessing.get_context("spawn"), _start_process)


def _start_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits for this one
    _ignore_large()


def _ignore_large() -> None:
    """Ignore Pillow's warning of images of more than 89 million pixels; twice as many it refuses."""
    from PIL import Image

    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def _decode_part(files: Sequence[Path], resolution: int) -> list[Images | BrokenImage]:
    return [_decode_image(file, resolution) for file in files]


def _decode_image(file: Path, resolution: int) -> Images | BrokenImage:
    """Decode the first frame of a file as RGB (3, resolution, resolution)."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            # A JPEG decoder reads at 1/2, 1/4 or 1/8 for less work; the rest is left to the filter below.
            image.draft("RGB", (2 * resolution, 2 * resolution))
            rgb = _reduce_to_8_bits(image).convert("RGB")
        pixels = np.asarray(rgb.resize((resolution, resolution), Image.Resampling.BILINEAR))
    except FileNotFoundError:
        return BrokenImage("there is no such file", lasting=False)
    except Exception as error:  # decoders have many for a damaged file
        from_machine = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno)
        text = " ".join(str(error).split()).replace(str(file), file.name)
        return BrokenImage(text or type(error).__name__, lasting=not from_machine)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _reduce_to_8_bits(image: Image.Image) -> Image.Image:
    """Return an image of 16 bits a pixel with 8; Pillow itself would clip all above 255."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError("its pixels are floating point numbers, whose range is not known")
    if not image.mode.startswith("I"):
        return image
    levels = np.asarray(image).astype(np.int64).clip(0, 65_535)
    has_eight = image.mode == "I" and levels.max() <= 255  # levels of 8 bits in 32
    return Image.fromarray((levels if has_eight else levels // 257).astype(np.uint8))


def resize_images(images: Images, resolution: int) -> Images:
    """Resize images (N, C, H, W), antialiased where that makes them smaller."""
    import torch
    import torch.nn.functional as F

    if images.shape[2:] == (resolution, resolution):
        return np.ascontiguousarray(images)
    pixels = torch.tensor(images)  # a copy: torch warns of views on read-only memory
    return F.interpolate(pixels, size=(resolution, resolution), mode="bilinear", antialias=True).numpy()
