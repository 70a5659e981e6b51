"""Where image files lie: in a folder, or in other files."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.data.cache import read_images
from nas.data.images import Decoding, Pictures
from nas.data.levels import ON_WHITE, Rendering
from nas.data.packed import Encoded


class ImageStore(ABC):
    """Image files, wherever they lie, that are read through the cache."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def find_file(self, index: int) -> Path | Encoded:
        """Return one of the files."""

    @abstractmethod
    def _describe(self) -> Iterator[bytes]:
        """Yield what is another when any file is."""

    def read(
        self,
        indices: NDArray[np.int64],
        resolution: int,
        progress: Decoding,
        rendering: Rendering = ON_WHITE,
    ) -> Pictures:
        """Read some of the images through the cache, as `read_images`."""
        return read_images(self, indices, resolution, progress, rendering)

    @cached_property
    def state(self) -> str:
        """A checksum that is another when any file is.

        Contents are not read: whatever changes one changes the file's ctime, which the system keeps, and
        which no program sets back as it may set the mtime.
        """
        found = hashlib.sha256()
        for part in self._describe():
            found.update(part)
        return found.hexdigest()


def _read_stamp(file: str) -> str:
    """Return what is another when a file is."""
    try:
        state = os.stat(file)  # noqa: PTH116  # as fast
        return f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}"
    except (OSError, ValueError) as error:  # the latter for a name that no file can have
        return f"error {error}"


@dataclass(frozen=True)
class ImageFiles(ImageStore):
    """The image files `names` below the folder `root`."""

    root: Path
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    def find_file(self, index: int) -> Path:
        return Path(self.root, self.names[index])

    def _describe(self) -> Iterator[bytes]:
        root = f"{self.root}/"
        for name in self.names:
            stamp = _read_stamp(name if name.startswith("/") else root + name)
            yield os.fsencode(name) + f"\0{stamp}\n".encode()


@dataclass(frozen=True)
class ImageParts(ImageStore):
    """Image files that lie in others."""

    parts: Sequence[Encoded]

    def __len__(self) -> int:
        return len(self.parts)

    def find_file(self, index: int) -> Encoded:
        return self.parts[index]

    def _describe(self) -> Iterator[bytes]:
        stamps = {file: _read_stamp(str(file)) for file in dict.fromkeys(part.file for part in self.parts)}
        for part in self.parts:
            yield f"{part.file.name} {part.place}\0{stamps[part.file]}\n".encode()
