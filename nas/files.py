"""Writing files so that a kill at any moment leaves the old one or the new one, never a part."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from nas.errors import NasError


def cache_folder() -> Path:
    """Where the user's files lie that can be made anew."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111  # names no one
    return Path(home) / "nas"


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write beside, flush to disk, rename. Raises NasError where the folder cannot be written."""
    data = content.encode() if isinstance(content, str) else content
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.unlink(missing_ok=True)
        with beside.open("xb") as file:  # no link that waits there is followed
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise NasError(
            f"{path}: cannot be written: {error.strerror}; check the folder's permissions and free space"
        ) from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


_NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK}
"""What file systems without locks say: Lustre by default, NFS without its daemon, some of FUSE."""


def lock(descriptor: int, *, wait: bool = False) -> bool:
    """Lock an open file; the system drops the lock with its process, however that ends.

    Return False where its file system, or this system, has no such locks. Raises BlockingIOError where
    another process holds it, unless that is to be waited for.
    """
    try:
        import fcntl
    except ImportError:  # on Windows
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        if error.errno == errno.EACCES:  # as NFS says that it is held
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        raise
    return True


def write_output(path: Path, content: bytes | str) -> None:
    """Write a file that the user named, making its folder. Raises NasError where that cannot be done."""
    make_folder(path.parent, path)
    write_atomically(path, content)


def make_folder(folder: Path, wanted: Path | None = None) -> None:
    """Make a folder that the user named, or that a file `wanted` needs. Raises NasError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        is_file = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "a file is where its folder would be" if is_file else error.strerror
        raise NasError(f"{wanted or folder}: cannot be written: {reason}; choose another -o") from None
