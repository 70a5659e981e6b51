"""What tells whether files and data that settings name are as they were."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from nas.data.functions import is_function
from nas.errors import InputError
from nas.runs.provenance import digest_file


def digest_data(dataset: str) -> str | None:
    """Return a checksum of the files that a data set names: of their contents, or of a folder's the names,
    sizes and times. None for a name such as `cifar10`."""
    _, colon, path = dataset.partition(":")
    if is_function(dataset):
        return digest_named(dataset.rpartition(":")[0])
    place = Path(path if colon else dataset).expanduser()
    if not place.exists():
        if not colon:
            return None
        raise InputError(f"data set '{dataset}': there is no such file or folder; name one that is there")
    if not place.is_dir():
        return digest_named(place)
    found = hashlib.sha256()
    for line in sorted(_list_files(place)):
        found.update(os.fsencode(line))
    return found.hexdigest()


def digest_named(file: Path | str) -> str:
    """Return the sha256 of a file that a setting names. Raises InputError where it cannot be read."""
    try:
        return digest_file(Path(file).expanduser())
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None


def digest_plugins(plugins: Sequence[Path | str]) -> dict[str, str]:
    """Return the sha256 of files of blocks, by what they are."""
    return {f"plugin {Path(file).name}": digest_named(file) for file in plugins}


def _list_files(folder: Path) -> Iterator[str]:
    """Yield a line for each file, with those behind links to folders; of a folder that was seen, its name."""
    seen: set[str] = set()
    for parent, inner, names in os.walk(folder, followlinks=True):
        inner.sort()  # so that it is the same one of two links that is seen first
        own = parent.removeprefix(str(folder))
        real = os.path.realpath(parent)
        if real in seen:
            inner.clear()
            yield f"{own}/\n"
            continue
        seen.add(real)
        for name in names:
            try:
                about = os.stat(os.path.join(parent, name))  # noqa: PTH116, PTH118 - of a million images
            except OSError:  # a link that leads nowhere
                continue
            yield f"{own}/{name}\0{about.st_size} {about.st_mtime_ns}\n"
