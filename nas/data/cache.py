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
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.data.images import BrokenImage, Decoding, Images, Pictures, decode_files
from nas.errors import NasError
from nas.files import cache_folder, write_atomically
from nas.machine import memory_bytes

_FORMAT = 1
_UNUSED_S = 30 * 24 * 3600
"""A file that was not used for so long is removed."""
_BLOCK_BYTES = 2**30
"""Images are copied to a map in blocks of about this size."""


@dataclass(frozen=True)
class ImageFiles:
    """The image files `names` below the folder `root`."""

    root: Path
    names: Sequence[str]

    def read(self, indices: NDArray[np.int64], resolution: int, progress: Decoding) -> Pictures:
        """Read some of the images, in this order, at a resolution; only those not in the cache are decoded.

        More than fits in memory lies in a file and is mapped: `Pictures.images` is a `numpy.memmap`. Raises
        NasError where there is no room for that file.
        """
        import PIL

        folder = image_folder()
        _remove_unused(folder)
        key = hashlib.sha256(f"{_FORMAT} {PIL.__version__} {resolution} {self._state}".encode())
        file = folder / f"{key.hexdigest()[:32]}.rows"
        # A data set has two parts, and Ray's object store takes a copy of each.
        if len(indices) * _row_bytes(resolution) <= memory_bytes() / 4:
            return self._read_in_memory(file, indices, resolution, progress)
        return self._read_mapped(file, indices, resolution, progress)

    @cached_property
    def _state(self) -> str:
        """A checksum that is another when any file is.

        Contents are not read: whatever changes one changes the file's ctime, which the system keeps, and
        which no program sets back as it may set the mtime.
        """
        found = hashlib.sha256()
        root = str(self.root)
        for name in self.names:
            try:
                state = os.stat(os.path.join(root, name))  # noqa: PTH116, PTH118  # ten times as fast
                stamp = f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}"
            except (OSError, ValueError) as error:  # the latter for a name that no file can have
                stamp = f"error {error}"
            found.update(os.fsencode(name) + f"\0{stamp}\n".encode())
        return found.hexdigest()

    def _read_in_memory(
        self, file: Path, indices: NDArray[np.int64], resolution: int, progress: Decoding
    ) -> Pictures:
        images = np.empty((len(indices), 3, resolution, resolution), dtype=np.uint8)
        broken: dict[int, str] = {}

        def file_of(place: int) -> Path:
            return Path(self.root, self.names[indices[place]])

        def put(place: int, found: Images | BrokenImage) -> None:
            if isinstance(found, BrokenImage):
                broken[place] = f"{file_of(place)} ({found.reason})"
            else:
                images[place] = found

        with closing(_Rows(file, len(self.names), resolution)) as rows:
            missing = []
            for place in np.argsort(indices).tolist():  # in the order of the file, which disks are fast at
                found = rows.read(indices[place])
                if found is None:
                    missing.append(place)
                else:
                    put(place, found)
            rows.make_room(len(missing))
            new = decode_files([file_of(place) for place in missing], resolution)
            for done, (place, image) in enumerate(zip(missing, new, strict=True), 1):
                put(place, image)
                rows.write(indices[place], image)
                progress(done, len(missing))
        whole = np.delete(images, list(broken), axis=0) if broken else images
        return Pictures(whole, dict(sorted(broken.items())), rows.notes)

    def _read_mapped(
        self, file: Path, indices: NDArray[np.int64], resolution: int, progress: Decoding
    ) -> Pictures:
        """Write a second copy to disk, in the order of `indices`, and map it.

        Training reads an array, and a map whose rows are in another order becomes one only by a copy in
        memory.
        """
        part = hashlib.sha256(indices.tobytes()).hexdigest()[:16]
        path = file.with_name(f"{file.stem}-{part}.map")
        found = _open_map(path, resolution)
        if found is not None:
            return found
        beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        broken: dict[int, str] = {}
        step = max(1, _BLOCK_BYTES // _row_bytes(resolution))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as out:
                for start in range(0, len(indices), step):
                    block = self._read_in_memory(file, indices[start : start + step], resolution, progress)
                    broken |= {start + place: why for place, why in block.broken.items()}
                    out.write(block.images.data)
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
        write_atomically(
            _get_facts_file(path), json.dumps({"images": len(indices) - len(broken), "broken": broken})
        )
        return Pictures(map_images(path, (len(indices) - len(broken), 3, resolution, resolution)), broken)


class _Rows:
    """A file with the pixels of each image, and after them a record of what is in each row.

    A row counts by its checksum alone: one that is half written, cut off or damaged is decoded again. So
    nothing is locked, searches that start at once write the same bytes, and a kill at any moment does no
    harm. It is read by calls and not by a map, whose holes end the process when the disk is full. What
    cannot be kept is decoded anew by every search; `notes` say why.
    """

    def __init__(self, path: Path, count: int, resolution: int) -> None:
        self.notes: tuple[str, ...] = ()
        self._path = path
        self._shape = (3, resolution, resolution)
        self._bytes = _row_bytes(resolution)
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

    def read(self, index: int) -> Images | BrokenImage | None:
        """Read what is in a row, if anything."""
        if self._file is None or not self._records[index][0]:
            return None
        kind, checksum = self._records[index]
        content = b""
        with self._note_errors():
            content = os.pread(self._file, self._bytes, index * self._bytes)
        if zlib.crc32(content, kind) != checksum:
            return None
        if kind == _BROKEN:
            return BrokenImage(content.rstrip(b"\0").decode(errors="ignore"))
        return np.frombuffer(content, np.uint8).reshape(self._shape)

    def make_room(self, count: int) -> None:
        """Write no row where so many do not fit."""
        with self._note_errors():
            if count and shutil.disk_usage(self._path.parent).free < count * self._bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(self, index: int, found: Images | BrokenImage) -> None:
        if self._file is None or (isinstance(found, BrokenImage) and not found.lasting):
            return
        if isinstance(found, BrokenImage):
            kind, content = _BROKEN, found.reason.encode()[: self._bytes].ljust(self._bytes, b"\0")
        else:
            kind, content = _IMAGE, found.tobytes()
        record = _RECORD.pack(kind, zlib.crc32(content, kind))
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


_RECORD = struct.Struct("<BI")
"""What a row holds, nothing (0) or one of these, and the checksum of that and its bytes."""
_IMAGE, _BROKEN = 1, 2


def image_folder() -> Path:
    """Return the folder of decoded images."""
    return cache_folder() / "images"


def map_images(path: Path, shape: tuple[int, ...]) -> Images:
    """Map a file of images (N, C, H, W). Raises NasError where there is no such file."""
    try:
        return np.memmap(path, np.uint8, "r", shape=shape)
    except (OSError, ValueError):
        raise NasError(
            f"{path}: images too many for memory are read from this file, which is not on this machine; "
            "share the folder by XDG_CACHE_HOME, or lower --max-images or --resolution"
        ) from None


def _row_bytes(resolution: int) -> int:
    return 3 * resolution**2


def _get_facts_file(path: Path) -> Path:
    """Return the file beside a map that says how many images it has, and which are broken."""
    return path.with_suffix(".json")


def _open_map(path: Path, resolution: int) -> Pictures | None:
    """Open a map that was written before, if it is whole."""
    try:
        facts = json.loads(_get_facts_file(path).read_text())
        shape = (facts["images"], 3, resolution, resolution)
        if path.stat().st_size != math.prod(shape):
            return None
        for file in (path, _get_facts_file(path)):
            os.utime(file)
        broken = {int(place): why for place, why in facts["broken"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Pictures(map_images(path, shape), broken)


def _remove_unused(folder: Path) -> None:
    """Remove files that were not used for long; each use of a file sets its time."""
    with suppress(OSError):
        for file in folder.iterdir():
            if file.stat().st_mtime < time.time() - _UNUSED_S:
                file.unlink()
