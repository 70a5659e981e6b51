"""Image files are decoded and resized once: what comes of them is kept in the user's cache folder."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import struct
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nas.data.images import (
    BrokenImage,
    Decoding,
    DeepImage,
    Found,
    Images,
    Picture,
    Pictures,
    decode_files,
)
from nas.data.levels import ON_WHITE, Levels, Rendering
from nas.data.pixels import join_ranges
from nas.data.traits import Trait
from nas.errors import NasError
from nas.files import find_cache_folder, write_atomically
from nas.machine import read_memory_bytes

if TYPE_CHECKING:
    from nas.data.packed import Encoded
    from nas.data.stores import ImageStore

_FORMAT = 2
_UNUSED_S = 30 * 24 * 3600
"""A file that was not used for so long is removed."""
_BLOCK_BYTES = 2**30
"""Images are copied to a map in blocks of about this size."""


def read_images(
    files: ImageStore,
    indices: NDArray[np.int64],
    resolution: int,
    progress: Decoding,
    rendering: Rendering = ON_WHITE,
) -> Pictures:
    """Read some of the images, in this order, at a resolution; only those not in the cache are decoded.

    More than fits in memory lies in a file and is mapped: `Pictures.images` is a `numpy.memmap`. Raises
    NasError where there is no room for that file.
    """
    _remove_unused(find_image_folder())
    reading = _Reading(files, resolution, rendering, progress)
    # A data set has two parts, and Ray's object store takes a copy of each.
    if len(indices) * math.prod(reading.shape) <= read_memory_bytes() / 4:
        return reading.read_in_memory(indices)
    return reading.read_mapped(indices)


@dataclass(eq=False)
class _Chunk:
    """Some of the images: their pixels, but of the broken and the deep ones, and what else was found.

    `lasting`: nothing of that is the machine's, so that it will be found again.
    """

    images: Images
    traits: NDArray[np.uint8]
    broken: dict[int, str]
    deep: dict[int, DeepImage]
    notes: tuple[str, ...] = ()
    lasting: bool = True


@dataclass(frozen=True)
class _Reading:
    """Files read at a resolution.

    Rows of the cache do not depend on levels: that of a deep image says what its pixels lie between. Such an
    image has its pixels in a second file, of the levels.
    """

    files: ImageStore
    resolution: int
    rendering: Rendering
    progress: Decoding

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.rendering.channels, self.resolution, self.resolution)

    def read_in_memory(self, indices: NDArray[np.int64]) -> Pictures:
        return self._render_part(self._read(indices), indices, self.rendering.levels)

    def read_mapped(self, indices: NDArray[np.int64]) -> Pictures:
        """Write a second copy to disk, in the order of `indices`, and map it.

        Training reads an array, and a map whose rows are in another order becomes one only by a copy in
        memory.
        """
        part = hashlib.sha256(indices.tobytes() + str(self.rendering.levels).encode()).hexdigest()[:16]
        file = self._choose_file(None)
        path = file.with_name(f"{file.stem}-{part}.map")
        found = _open_map(path, self.shape)
        if found is not None:
            return found
        beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        broken: dict[int, str] = {}
        traits: Counter[Trait] = Counter()
        levels, lasting = self.rendering.levels, True
        step = max(1, _BLOCK_BYTES // math.prod(self.shape))
        blocks = [indices[start : start + step] for start in range(0, len(indices), step)]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as out:
                for number, block in enumerate(blocks):
                    read = self._read(block)
                    if read.deep and levels is None:
                        parts = [(one.deep.values(), one.lasting) for one in map(self._read, blocks)]
                        levels = _join(deep for found, _ in parts for deep in found)
                        lasting = lasting and all(found for _, found in parts)
                    rendered = self._render_part(read, block, levels)
                    lasting = lasting and read.lasting
                    broken |= {number * step + place: why for place, why in rendered.broken.items()}
                    traits.update(rendered.traits)
                    out.write(rendered.images.data)
            _get_facts_file(path).unlink(missing_ok=True)  # those of another map
            beside.replace(path)
        except OSError as error:
            raise NasError(
                f"{path.parent}: {len(indices):,} images are too many for memory, and their file cannot be "
                f"written: {error.strerror}; make room, name another folder by XDG_CACHE_HOME, or lower "
                "--max-images or --resolution"
            ) from None
        finally:
            with suppress(OSError):
                beside.unlink()
        shape = (len(indices) - len(broken), *self.shape)
        facts = {
            "images": shape[0],
            "broken": broken,
            "traits": traits,
            "levels": [levels.low, levels.high] if levels else None,
        }
        if lasting:  # without its facts a map is not opened again
            write_atomically(_get_facts_file(path), json.dumps(facts))
        return Pictures(map_images(path, shape), broken, (), dict(traits), levels)

    def _render_part(self, part: _Chunk, indices: NDArray[np.int64], levels: Levels | None) -> Pictures:
        """Return a part with its deep images at levels, found over them where there are none."""
        if part.deep:
            levels = levels or _join(part.deep.values())
            places = np.array(list(part.deep))
            deep = self._read(indices[places], levels)
            part.images[places], part.traits[places] = deep.images, deep.traits
            part.broken |= {int(places[place]): why for place, why in deep.broken.items()}
            part.notes, part.lasting = part.notes or deep.notes, part.lasting and deep.lasting
        whole = np.delete(part.images, list(part.broken), axis=0) if part.broken else part.images
        traits = {trait: int(np.count_nonzero(part.traits & trait)) for trait in Trait}
        found = {trait: count for trait, count in traits.items() if count}
        used = levels if Trait.DEEP in found else None
        return Pictures(whole, dict(sorted(part.broken.items())), part.notes, found, used)

    def _read(self, indices: NDArray[np.int64], levels: Levels | None = None) -> _Chunk:
        """Read images from the cache, and those that it has not from their files."""
        count = len(indices)
        part = _Chunk(np.empty((count, *self.shape), np.uint8), np.zeros(count, np.uint8), {}, {})

        def file_of(place: int) -> Path | Encoded:
            return self.files.find_file(int(indices[place]))

        def put(place: int, found: Found) -> None:
            if isinstance(found, Picture):
                part.images[place], part.traits[place] = found
            elif isinstance(found, BrokenImage):
                part.broken[place] = f"{file_of(place)} ({found.reason})"
                part.lasting = part.lasting and found.lasting
            else:
                part.deep[place] = found

        with closing(_RowFile(self._choose_file(levels), len(self.files), self.shape)) as rows:
            missing = []
            for place in np.argsort(indices).tolist():  # in the order of the file, which disks are fast at
                found = rows.read(indices[place])
                if found is None:
                    missing.append(place)
                else:
                    put(place, found)
            rows.make_room(len(missing))
            rendering = replace(self.rendering, levels=levels)
            new = decode_files([file_of(place) for place in missing], self.resolution, rendering)
            for done, (place, found) in enumerate(zip(missing, new, strict=True), 1):
                put(place, found)
                rows.write(indices[place], found)
                self.progress(done, len(missing))
        part.notes = rows.notes
        return part

    def _choose_file(self, levels: Levels | None) -> Path:
        import PIL

        what = f"{_FORMAT} {PIL.__version__} {self.resolution} {self.rendering.background} {levels}"
        key = hashlib.sha256(f"{what} {self.files.state}".encode())
        return find_image_folder() / f"{key.hexdigest()[:32]}.rows"


def _join(images: Iterable[DeepImage]) -> Levels:
    """Return the levels of deep images."""
    found = list(images)
    ranges = np.array([(image.low, image.high) for image in found])
    return join_ranges(ranges, all(image.is_whole for image in found))


class _RowFile:
    """A file with the pixels of each image, and after them a record of what is in each row.

    A row counts by its checksum alone: one that is half written, cut off or damaged is decoded again. So
    nothing is locked, searches that start at once write the same bytes, and a kill at any moment does no
    harm. It is read by calls and not by a map, whose holes end the process when the disk is full. What
    cannot be kept is decoded anew by every search; `notes` say why.
    """

    def __init__(self, path: Path, count: int, shape: tuple[int, ...]) -> None:
        self.notes: tuple[str, ...] = ()
        self._path = path
        self._shape = shape
        self._bytes = math.prod(shape)
        self._end = count * self._bytes
        self._file: int | None = None
        with self._note_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            # A hole takes no place; and where the file was cut short, the records are gone.
            os.ftruncate(self._file, self._end + count * _RECORD.size)
            os.utime(path)
            records = os.pread(self._file, count * _RECORD.size, self._end)
            self._records = list(_RECORD.iter_unpack(records))

    def read(self, index: int) -> Found | None:
        """Read what is in a row, if anything."""
        if self._file is None or not self._records[index][0]:
            return None
        state, checksum = self._records[index]
        content = b""
        with self._note_errors():
            content = os.pread(self._file, self._bytes, index * self._bytes)
        if zlib.crc32(content, state) != checksum:
            return None
        kind, traits = state & 0xFF, state >> 8
        if kind == _IMAGE:
            return Picture(np.frombuffer(content, np.uint8).reshape(self._shape), traits)
        if kind == _DEEP:
            return DeepImage(*_RANGE.unpack_from(content))
        return BrokenImage(content.rstrip(b"\0").decode(errors="ignore"))

    def make_room(self, count: int) -> None:
        """Write no row where so many do not fit."""
        with self._note_errors():
            if count and shutil.disk_usage(self._path.parent).free < count * self._bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(self, index: int, found: Found) -> None:
        if self._file is None or (isinstance(found, BrokenImage) and not found.lasting):
            return
        if isinstance(found, BrokenImage):
            state, content = _BROKEN, found.reason.encode()[: self._bytes].ljust(self._bytes, b"\0")
        elif isinstance(found, DeepImage):
            range_ = _RANGE.pack(found.low, found.high, found.is_whole)
            state, content = _DEEP, range_.ljust(self._bytes, b"\0")
        else:
            state, content = _IMAGE | found.traits << 8, found.pixels.tobytes()
        record = _RECORD.pack(state, zlib.crc32(content, state))
        with self._note_errors():
            try:
                os.pwrite(self._file, content, index * self._bytes)
                os.pwrite(self._file, record, self._end + index * _RECORD.size)
            except OSError:
                self._path.unlink()  # the disk has filled up: others need the place more
                raise

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @contextmanager
    def _note_errors(self) -> Iterator[None]:
        """Stop caching at the first error, and note it."""
        try:
            yield
        except OSError as error:
            self.close()
            self.notes = (
                f"The images are not kept in {self._path.parent} ({error.strerror}), so that each search "
                "decodes them again; make room, or name another folder by XDG_CACHE_HOME.",
            )


_RECORD = struct.Struct("<HI")
"""What a row holds, nothing (0) or one of these and the traits of an image, and the checksum of that and its
bytes."""
_IMAGE, _BROKEN, _DEEP = 1, 2, 3
_RANGE = struct.Struct("<dd?")
"""What a row holds of a deep image."""


def find_image_folder() -> Path:
    """Return the folder of decoded images."""
    return find_cache_folder() / "images"


def map_images(path: Path, shape: tuple[int, ...]) -> Images:
    """Map a file of images (N, C, H, W). Raises NasError where there is no such file."""
    try:
        return np.memmap(path, np.uint8, "r", shape=shape)
    except (OSError, ValueError):
        raise NasError(
            f"{path}: images too many for memory are read from this file, which is not on this machine; "
            "share the folder by XDG_CACHE_HOME, or lower --max-images or --resolution"
        ) from None


def _get_facts_file(path: Path) -> Path:
    """Return the file beside a map that says how many images it has, and which are broken."""
    return path.with_suffix(".json")


def _open_map(path: Path, image: tuple[int, ...]) -> Pictures | None:
    """Open a map that was written before, if it is whole."""
    try:
        facts = json.loads(_get_facts_file(path).read_text())
        shape = (facts["images"], *image)
        if path.stat().st_size != math.prod(shape):
            return None
        for file in (path, _get_facts_file(path)):
            os.utime(file)
        broken = {int(place): why for place, why in facts["broken"].items()}
        traits = {Trait(int(trait)): count for trait, count in facts["traits"].items()}
        levels = None if facts["levels"] is None else Levels(*facts["levels"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Pictures(map_images(path, shape), broken, (), traits, levels)


def _remove_unused(folder: Path) -> None:
    """Remove files that were not used for long; each use of a file sets its time."""
    with suppress(OSError):
        for file in folder.iterdir():
            if file.stat().st_mtime < time.time() - _UNUSED_S:
                file.unlink()
