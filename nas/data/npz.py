"""npz files, whose arrays are read only where they are as large as they say and fit into memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from nas.machine import memory_bytes

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class Arrays:
    """The arrays of an npz file by name: none is made that its header lies about, or that does not fit."""

    def __init__(self, file: NpzFile) -> None:
        self._file = file
        self._left = memory_bytes() / 2
        self.files: list[str] = list(file.files)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Read an array. Raises ValueError where it is not what its header says, or larger than half of this
        machine's memory with those that were read before; KeyError where there is none."""
        self._check(name)
        found: NDArray[Any] = self._file[name]
        return found

    def _check(self, name: str) -> None:
        zipped = self._file.zip
        assert zipped is not None  # the file is open
        member = f"{name}.npy" if f"{name}.npy" in zipped.NameToInfo else name
        with zipped.open(member) as content:
            read_header = _HEADERS.get(npy.read_magic(content))
            if read_header is None:
                raise ValueError(f"'{name}' is of a version of npy that holds no images")
            shape, _, dtype = read_header(content)
            held = zipped.getinfo(member).file_size - content.tell()
        if dtype.hasobject:
            return  # which numpy refuses
        size = math.prod(shape) * dtype.itemsize
        if size != held:
            raise ValueError(
                f"'{name}' is {dtype} of shape {shape}, {size:,} bytes, and the file has {held:,}"
            )
        if size > self._left:
            raise ValueError(
                f"'{name}' is {dtype} of shape {shape}, {size / 1e9:,.1f} GB, more than half of this "
                "machine's memory; keep such images as files, and name them by csv:FILE or imagefolder:PATH"
            )
        self._left -= size


@contextmanager
def open_arrays(path: Path) -> Iterator[Arrays]:
    """Open an npz file. Raises what numpy does where it is none."""
    with np.load(path, allow_pickle=False) as file:
        if not isinstance(file, NpzFile):
            raise ValueError("it is a single array")
        yield Arrays(file)
