"""npz files: arrays as people have them, read where they are as large as they say and fit into memory."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from nas.data.arrays import ARRAY_NAMES, wrap_arrays
from nas.data.base import Source
from nas.data.grouping import make_numbering
from nas.data.layout import Layout
from nas.errors import InputError
from nas.machine import read_memory_bytes

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class Arrays:
    """The arrays of an npz file by name: none is made that its header lies about, or that does not fit."""

    def __init__(self, file: NpzFile) -> None:
        self._file = file
        self._left = read_memory_bytes() / 2
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


_ARRAYS = (
    ARRAY_NAMES,
    ("train_images", "train_labels", "val_images", "val_labels"),  # as MedMNIST has them
    ("x_train", "y_train", "x_val", "y_val"),  # as Keras has them
)
"""Names of images and labels, to train on and to validate on."""


def open_npz(path: Path, layout: Layout) -> Source:
    """Open arrays of images and labels, those to validate on where they are given, and names of the
    `classes`; what the arrays are is said where they are checked (`wrap_arrays`)."""
    place = f"data set npz:{path}"
    if path.is_file() and not zipfile.is_zipfile(path):
        raise InputError(f"{place}: is no npz file; write it by numpy.savez(FILE, images=..., labels=...)")
    if path.is_dir():
        raise InputError(f"{place}: is a folder; name the npz file in it, or write imagefolder:{path}")
    try:
        with open_arrays(path) as file:
            names = next((names for names in _ARRAYS if names[0] in file.files), ARRAY_NAMES)
            has_validation = all(name in file.files for name in names[2:])
            groups: tuple[str, ...] = ()
            if layout.group:
                groups = (layout.group, f"train_{layout.group}", f"val_{layout.group}")
            wanted = (*names[: 4 if has_validation else 2], "classes", *groups)
            arrays = {name: file[name] for name in wanted if name in file.files}
            listed = ", ".join(file.files) or "none"
    except FileNotFoundError:
        raise InputError(f"{place}: there is no such file") from None
    except Exception as error:  # numpy and zipfile have many for a damaged file
        raise InputError(
            f"{place}: the arrays cannot be read ({error}); write them by numpy.savez"
        ) from error
    for name in names[:2]:
        if name not in arrays:
            raise InputError(
                f"{place}: there is no array '{name}' among {listed}; write them by numpy.savez(FILE, "
                "images=..., labels=...), or by the names of MedMNIST or Keras"
            )
    names_given = arrays.get("classes")
    if names_given is not None and names_given.ndim != 1:
        raise InputError(f"{place}: classes have the shape {names_given.shape}; give one name for each class")
    classes = None if names_given is None else [_read_name(name) for name in names_given.tolist()]
    validation = (arrays[names[2]], arrays[names[3]]) if has_validation else None
    source = wrap_arrays(
        place, arrays[names[0]], arrays[names[1]], classes, validation=validation, names=names
    )
    number = make_numbering()

    def grouped(part: Source, *keys: str) -> Source:
        values = next((arrays[key] for key in keys if key in arrays), None)
        if values is None or values.shape not in ((len(part.labels),), (len(part.labels), 1)):
            shape = "" if values is None else f" of {len(part.labels):,} values, one for each image,"
            raise InputError(f"{place}: --group: there is no array '{keys[0]}'{shape} among {listed}")
        return replace(part, groups=number([str(value) for value in values.ravel()]))

    if layout.group is None:
        return source
    own = source.validation and grouped(source.validation, groups[2])
    return replace(grouped(source, *groups[:2]), validation=own)


def _read_name(name: Any) -> str:
    """Return the name of a class, which may be kept as bytes."""
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)
