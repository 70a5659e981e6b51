"""Reading text that anyone may have written; writing so that a kill at any moment leaves the old file or the
new one, never a part."""

from __future__ import annotations

import atexit
import errno
import io
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from shlex import quote

from nas.errors import InputError, NasError

MOST_BYTES = 4_000_000
"""Of a text file that a person writes: a space, a config, a Python file."""

MOST_TABLE_BYTES = 500_000_000
"""Of a text file that a program writes: a table, a list of results."""


def find_home() -> Path | None:
    """Return where the user's files lie; None where neither HOME nor the system's list of users says so."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  # Path.home raises
    return home if home.is_absolute() else None


def find_cache_folder() -> Path:
    """Return where the user's files lie that can be made anew: of a user without a home, until this process
    ends."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if named.partition("/")[0] == "~":  # as a file of settings has it, which no shell has read
        home = find_home()
        named = str(home / named[2:]) if home else ""
    if named:
        return Path(named) / "nas"
    home = find_home()
    return home / ".cache" / "nas" if home else _name_temporary_folder()


@cache
def _name_temporary_folder() -> Path:
    """Return a folder, which is made by whoever needs it, of a name that no one else knows."""
    from tempfile import gettempdir

    folder = Path(gettempdir()) / f"nas-cache-{os.urandom(8).hex()}"
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """Read a text file of up to `most` bytes. A pipe or a device, which may have no end, is not opened.

    Raises InputError where it cannot be read as UTF-8, or has more. No message has a word of the file.
    """

    def open_at_once(name: str, flags: int) -> int:
        return os.open(name, flags | _AT_ONCE)

    def read() -> str:
        check_regular(path)
        with open(path, "rb", buffering=0, opener=open_at_once) as file:
            _check_mode(path, os.fstat(file.fileno()))
            return _read_up_to(file, path, most)

    return _read_or_say(path, read)


def read_given_text(path: Path, most: int = MOST_BYTES) -> str:
    """Read a text file that the user named, as `read_text` does; it may be a pipe, such as /dev/stdin."""

    def read() -> str:
        with path.open("rb", buffering=0) as file:
            return _read_up_to(file, path, most)

    return _read_or_say(path, read)


def check_replaceable(path: Path, is_own: Callable[[str], bool]) -> None:
    """Raise InputError where a text file that no user has named would take the place of one that nas has not
    written, as `is_own` says of its text."""
    if not path.exists():
        return
    text = ""  # of what is no text
    with suppress(InputError):
        text = read_text(path)
    if not is_own(text):
        raise InputError(
            f"{path}: is there already, and nas has not written it; choose another name with -o, or replace "
            f"it with -o {quote(str(path))}"
        )


_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
"""Open without waiting for one who writes. Windows has neither."""


def check_regular(path: Path) -> None:
    """Raise InputError where there is a pipe or a device, which may have no end, without opening it."""
    with suppress(OSError):
        _check_mode(path, path.stat())


def _check_mode(path: Path, about: os.stat_result) -> None:
    if not stat.S_ISREG(about.st_mode) and not stat.S_ISDIR(about.st_mode):
        raise InputError(f"{path}: is a pipe or a device; name a regular file")


def _read_up_to(file: io.FileIO, path: Path, most: int) -> str:
    content = bytearray()
    if os.fstat(file.fileno()).st_size <= most:
        while (more := file.read(most + 1 - len(content))) and len(content) <= most:
            content += more
        if len(content) <= most:
            return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8").read()
    raise InputError(f"{path}: has more than {most:,} bytes, the most that is read of such a file")


def _read_or_say(path: Path, read: Callable[[], str]) -> str:
    try:
        return read()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: cannot be read: it is not UTF-8 text") from None
    except ValueError:
        raise InputError(f"{path}: no file can have this name") from None


def find_way_out(error: OSError, elsewhere: str | None = None) -> str:
    """Return what a person can do about a file that cannot be written, which is not always `elsewhere`."""
    check = "check the folder's permissions and free space"
    match error.errno:
        case errno.ENOSPC:
            return "make room"
        case errno.EDQUOT:
            return "make room within your quota, or have it raised"
        case errno.EIO:
            return "check the disk"
        case errno.ENAMETOOLONG:
            return "choose a shorter name"
        case errno.EMFILE | errno.ENFILE:
            return "allow more open files, by ulimit -n"
        case errno.EROFS:
            return "have its file system mounted for writing, or choose a folder of another"
        case errno.ENOENT:
            return elsewhere or f"its folder is gone; {check}"
        case _:
            return elsewhere or check


@contextmanager
def scratch_folder(folder: Path, prefix: str, suffix: str = "", left: Iterable[Path] = ()) -> Iterator[Path]:
    """Make a folder of a name of its own in another one; in the end it is gone, unless it was renamed.

    `left`: folders that this has made, which are removed where their process was killed. Raises OSError.
    """
    for other in left:
        with suppress(OSError), ExitStack() as held:
            if not other.is_symlink() and _hold(other, held):
                shutil.rmtree(other, ignore_errors=True)
    with ExitStack() as held:
        while True:
            made = folder / f"{prefix}{os.getpid()}-{os.urandom(4).hex()}{suffix}"
            made.mkdir()
            with suppress(BlockingIOError, FileNotFoundError):  # as another process takes it for a left one
                _hold(made, held)
                if made.exists():
                    break
        held.callback(shutil.rmtree, made, ignore_errors=True)
        yield made


def place_beside(path: Path) -> AbstractContextManager[Path]:
    """Make a folder beside what is to be `path`, as `scratch_folder` does; those of before, whose process was
    killed, are removed."""
    own = re.compile(rf"\.{re.escape(path.name)}-[0-9]+-[0-9a-f]{{8}}\.tmp")
    left = [other for other in path.parent.iterdir() if own.fullmatch(other.name)]
    return scratch_folder(path.parent, f".{path.name}-", ".tmp", left)


def _hold(folder: Path, held: ExitStack) -> bool:
    """Lock a folder until the end of `held`, and return whether that can be done here.

    Raises OSError where another process holds it, and where it is gone.
    """
    if not hasattr(os, "O_DIRECTORY"):  # on Windows
        return False
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    held.callback(os.close, descriptor)
    return lock(descriptor)


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
        raise NasError(f"{path}: cannot be written: {error.strerror}; {find_way_out(error)}") from None
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


def is_locked(descriptor: int) -> bool:
    """Return whether a process holds the lock of an open file, by asking for a share of it for a moment.

    False where there are no such locks.
    """
    try:
        import fcntl
    except ImportError:  # on Windows
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EAGAIN, errno.EACCES)
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def write_output(path: Path, content: bytes | str) -> None:
    """Write a file that the user named, making its folder. Raises NasError where that cannot be done."""
    make_folder(path.parent, path)
    write_atomically(path, content)


def check_no_folder(path: Path | None, flag: str) -> None:
    """Raise InputError where the file that a user named to be written is a folder."""
    if path is not None and path.is_dir():
        raise InputError(f"{flag}: {path} is a folder; name a file")


def make_folder(folder: Path, wanted: Path | None = None) -> None:
    """Make a folder that the user named, or that a file `wanted` needs. Raises NasError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        is_file = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "a file is where its folder would be" if is_file else error.strerror
        way = find_way_out(error, "choose another -o")
        raise NasError(f"{wanted or folder}: cannot be written: {reason}; {way}") from None
