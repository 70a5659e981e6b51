"""Pixels: image files decoded, arrays resized."""

from __future__ import annotations

import io
import math
import multiprocessing
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas.data.levels import Levels, Rendering
from nas.data.packed import Encoded
from nas.data.pixels import compose, measure_range, to_bytes
from nas.data.traits import Trait, Traits
from nas.errors import NasError
from nas.files import check_regular
from nas.importing import without_current_folder
from nas.machine import count_cores

if TYPE_CHECKING:
    from PIL import Image

Images = NDArray[np.uint8]
Decoding = Callable[[int, int], None]
"""Told how many files are decoded, of how many."""

MOST_PIXELS = 178_956_970
"""A file of more pixels is not decoded: it is broken."""
_LARGE = 2**24
"""Of images of more pixels one is decoded at a time, as each takes up to 20 bytes a pixel."""
_MOST_BYTES = 2**28
"""A JPEG file whose end is missing is looked at again up to this size."""
_MANY = 4_000
"""So many files are decoded by processes."""
_PART = 64
"""Files that a thread or process decodes at a time."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """The images that could be read, (N, C, H, W) uint8, and why others could not, by place.

    `traits`: how many of the images have which. `levels`: those that were used, where some image is deep.
    """

    images: Images
    broken: dict[int, str]
    notes: tuple[str, ...] = ()
    traits: Traits = field(default_factory=dict)
    levels: Levels | None = None


class Picture(NamedTuple):
    """An image as it is trained on, (C, H, W). `traits`: those of `Trait`, as a number.

    It is a tuple as that travels between processes in half the time of a dataclass.
    """

    pixels: Images
    traits: int


@dataclass(frozen=True)
class DeepImage:
    """An image of more than eight bits for which no levels are given: all but few of its pixels lie between
    `low` and `high`."""

    low: float
    high: float
    is_whole: bool


@dataclass(frozen=True)
class BrokenImage:
    """Reason why a file gives no image; `lasting` where it lies in the content, and not in the machine."""

    reason: str
    lasting: bool = True


Found = Picture | DeepImage | BrokenImage
"""What a file is."""


def ignore_progress(done: int, total: int) -> None:
    """Ignore progress."""


def decode_files(files: Sequence[Path | Encoded], resolution: int, rendering: Rendering) -> Iterator[Found]:
    """Yield each file in order, resolution x resolution, decoded on all cores.

    Aspect ratios are not kept, so that nothing is cut off.
    """
    parts = [files[start : start + _PART] for start in range(0, len(files), _PART)]
    # An error, or Ctrl-C, cancels what has not begun.
    try:
        with warnings.catch_warnings(), without_current_folder(), _start_pool(len(files)) as pool:
            _ignore_large()
            decode = partial(_decode_part, resolution=resolution, rendering=rendering)
            for part in pool.map(decode, parts):
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
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(cores, spawn, _start_process, (spawn.Lock(),))


_turn: AbstractContextManager[Any] = threading.Lock()
"""Held by who decodes a large image."""


def _start_process(turn: AbstractContextManager[Any]) -> None:
    global _turn
    _turn = turn
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits for this one
    _ignore_large()


def _ignore_large() -> None:
    """Ignore Pillow's warning of images of more than 89 million pixels, and others of odd files."""
    from PIL import Image

    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def _decode_part(files: Sequence[Path | Encoded], resolution: int, rendering: Rendering) -> list[Found]:
    return [_decode_image(file, resolution, rendering) for file in files]


def _decode_image(file: Path | Encoded, resolution: int, rendering: Rendering) -> Found:
    """Decode the first frame of a file."""
    from PIL import Image

    try:
        if isinstance(file, Path):
            check_regular(file)
        opened = file if isinstance(file, Path) else io.BytesIO(file.read())
        with Image.open(opened) as image:
            try:
                return render(image, resolution, rendering)
            except OSError:
                if image.format not in ("JPEG", "MPO"):
                    raise
                found = _decode_without_end(file, resolution, rendering)
                if found is None:
                    raise
                return found
    except FileNotFoundError:
        return BrokenImage("there is no such file", lasting=False)
    except Image.DecompressionBombError:
        return BrokenImage(_TOO_MANY)
    except Exception as error:  # decoders have many for a damaged file
        from_machine = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno)
        shown = re.escape(str(file)) if isinstance(file, Path) else "<_io.BytesIO [^>]*>"
        text = re.sub(shown, lambda _: file.name, " ".join(str(error).split()))
        return BrokenImage(text or type(error).__name__, lasting=not from_machine)


_TOO_MANY = f"it has more than {MOST_PIXELS:,} pixels, the most that are decoded"


def render(image: Image.Image, resolution: int, rendering: Rendering) -> Picture | DeepImage:
    """Return an image that was opened, and not loaded, as eight bits, (3, resolution, resolution) in RGB.

    In this order, whatever the file: its first frame; of more than eight bits the levels of the rendering
    from black to white; RGB; resized by a bilinear filter, antialiased; turned as its EXIF orientation says;
    put on the background, or with alpha as a fourth channel where that is kept. Without levels, a deep image
    is measured alone.

    Raises ValueError for an image of more than `MOST_PIXELS` and for one that is no picture, and what a
    decoder raises.
    """
    pixels = math.prod(image.size)
    if pixels > MOST_PIXELS:
        raise ValueError(_TOO_MANY)
    if image.format in _PROGRAMS:
        raise ValueError(f"it is {image.format}, which is drawn by a program; save it as PNG")
    # A JPEG decoder reads at 1/2, 1/4 or 1/8 for less work; the rest is left to the filter below.
    image.draft("RGB", (2 * resolution, 2 * resolution))
    if "progressive" not in image.info:  # else it has them all in memory
        pixels = math.prod(image.size)
    size = (resolution, resolution)
    if pixels <= _LARGE:
        return _render(image, size, rendering)
    with _turn:
        return _render(image, size, rendering)


_PROGRAMS = ("EPS", "WMF")
"""Formats that are drawn by another program, or the system."""
_SEVERAL = ("GIF", "WEBP", "PNG", "TIFF", "MPO", "AVIF")
"""Formats of files with several images."""


def _render(image: Image.Image, size: tuple[int, int], rendering: Rendering) -> Picture | DeepImage:
    from PIL import Image

    traits = 0
    if image.format in _SEVERAL and getattr(image, "is_animated", False):
        traits |= Trait.FRAMES
    turned = _read_orientation(image) if image.format == "TIFF" else 1  # Pillow turns it while it is loaded
    lower = None
    if image.format in ("PNG", "TIFF") and ";16" in (raw := _find_raw_mode(image)):
        lower = _open_lower_bytes(image, raw)
        if lower is None and not image.mode.startswith("I"):
            traits |= Trait.CUT_DEPTH
    image.load()
    turn = (
        1 if image.format == "TIFF" or image.info.keys().isdisjoint(_EXIF_KEYS) else _read_orientation(image)
    )
    if turn != 1 or turned != 1:
        traits |= Trait.TURNED
    if lower is not None or image.mode == "F" or image.mode.startswith("I"):
        deep, alpha = _read_deep_values(image, lower)
        if rendering.levels is None:
            found = measure_range(deep)
            if found is None:
                raise ValueError("none of its pixels is a number")
            return DeepImage(*found, is_whole=bool(np.issubdtype(deep.dtype, np.integer)))
        traits |= Trait.DEEP
        image = Image.fromarray(to_bytes(deep, rendering.levels))
        if alpha is not None:
            image = image.convert("RGBA")
            image.putalpha(Image.fromarray(alpha))
    if image.mode == "CMYK" and image.format in ("JPEG", "MPO") and "adobe" not in image.info:
        # Pillow takes it for inverted, as Adobe's programs write it, and mark the file.
        image = image.point(lambda level: 255 - level)
        traits |= Trait.INVERTED
    has_alpha = image.has_transparency_data
    small = _convert(image, "RGBA") if has_alpha else _to_colour(image)
    if small.size != size:
        small = small.resize(size, Image.Resampling.BILINEAR)
    small = _convert(small, "RGBA" if has_alpha or rendering.keeps_alpha else "RGB")
    if turn != 1:
        small = small.transpose(_TURNS[turn])
    pixels = np.asarray(small).transpose(2, 0, 1)
    if has_alpha and pixels[-1].min() < 255:
        traits |= Trait.TRANSPARENT
    if len(pixels) > rendering.channels:
        pixels = compose(pixels[None], rendering.colour)[0]
    return Picture(np.ascontiguousarray(pixels), traits)


# Values of Image.Transpose, as the module is imported late: what makes an image of each orientation upright.
_TURNS: dict[int, Any] = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
_ORIENTATION = 0x0112


def _read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none that can be read."""
    with suppress(Exception):  # of a damaged segment; the image is whole
        found = image.getexif().get(_ORIENTATION, 1)
        return found if found in _TURNS else 1
    return 1


_EXIF_KEYS = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")


def _to_colour(image: Image.Image) -> Image.Image:
    """Return an image without transparency in grey or RGB, which can be resized."""
    if image.mode in ("1", "L"):
        return _convert(image, "L")
    if image.mode == "LAB":
        from PIL import ImageCms

        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        found = ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB")
        assert found is not None  # it is None where it is done in place
        return found
    return _convert(image, "RGB")


def _convert(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image without a copy where it has the mode; small files feel each."""
    return image if image.mode == mode else image.convert(mode)


def _find_raw_mode(image: Any) -> str:
    """Return how the decoder unpacks pixels, such as `RGB;16B`."""
    args = image.tile[0].args if image.tile else ""
    mode = args[0] if isinstance(args, tuple) and args else args
    return mode if isinstance(mode, str) else ""


_OTHER_ENDS = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def _open_lower_bytes(image: Any, raw: str) -> Any:
    """Open an image of 16 bits a colour once more, as its lower bytes; None for any other.

    Pillow has no mode for such, and reads the upper byte of each: as of the other byte order, it is the
    lower.
    """
    from PIL import Image

    kind, _, bits = raw.partition(";")
    if kind not in ("RGB", "RGBA") or kind != image.mode or bits not in ("16B", "16L", "16N"):
        return None
    other = Image.open(getattr(image, "filename", None) or image.fp)
    raw = f"{kind};16{_OTHER_ENDS[bits[-1]]}"
    other.tile = [tile._replace(args=_replace_first(tile.args, raw)) for tile in other.tile]
    return other


def _replace_first(args: Any, raw: str) -> Any:
    return (raw, *args[1:]) if isinstance(args, tuple) else raw


def _read_deep_values(image: Image.Image, lower: Image.Image | None) -> tuple[NDArray[Any], Images | None]:
    """Return the values of an image with more than eight bits, (H, W) or (H, W, 3), and its alpha."""
    if lower is not None:
        upper = np.asarray(image)
        with lower:
            values = upper[..., :3].astype(np.uint16) << 8 | np.asarray(lower)[..., :3]
        return values, upper[..., 3] if upper.shape[2] == 4 else None
    values = np.asarray(image)
    clear = image.info.get("transparency")
    return values, np.where(values == clear, 0, 255).astype(np.uint8) if isinstance(clear, int) else None


def _decode_without_end(file: Path | Encoded, resolution: int, rendering: Rendering) -> Picture | None:
    """Decode a JPEG file whose last bytes are missing, where no pixel depends on them.

    Whatever follows the bytes that are there, it is the same image.
    """
    from PIL import Image

    if isinstance(file, Path) and file.stat().st_size > _MOST_BYTES:
        return None
    content = file.read_bytes() if isinstance(file, Path) else file.read()
    content = content.rstrip(b"\xff")  # which may be the half of a marker
    one, other = (io.BytesIO(content + 64 * filler + b"\xff\xd9") for filler in (b"\x00", b"\x55"))
    with Image.open(one) as image, Image.open(other) as like:
        if not np.array_equal(np.asarray(image), np.asarray(like)):
            return None
    with Image.open(one) as image:
        found = render(image, resolution, rendering)
    assert isinstance(found, Picture)  # no JPEG is deep
    return Picture(found.pixels, found.traits | Trait.CUT_END)


def resize_images(images: Images, resolution: int) -> Images:
    """Resize images (N, C, H, W), antialiased where that makes them smaller."""
    import torch
    import torch.nn.functional as F

    if images.shape[2:] == (resolution, resolution):
        return np.ascontiguousarray(images)
    pixels = torch.tensor(images)  # a copy: torch warns of views on read-only memory
    return F.interpolate(pixels, size=(resolution, resolution), mode="bilinear", antialias=True).numpy()
