"""Where a study is kept: an Optuna storage, by default an append-only journal file."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from nas.errors import InputError, NasError
from nas.files import lock, write_atomically
from nas.passwords import HIDDEN, VARIABLE, SecretUrl


def open_storage(where: Path | str | None) -> BaseStorage:
    """The storage at a journal file's path, which is made when missing, or at a database URL; None is this
    process's memory.

    Raises NasError for a journal that cannot be read or written, InputError for a URL that cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if where is None:
        return InMemoryStorage()
    if isinstance(where, str) and "://" in where:
        return _open_url(where)
    path = Path(where)
    try:
        return _JournalStorage(_Journal(path))
    except OSError as error:
        raise _unopenable(path, error) from error
    except (ValueError, KeyError) as error:
        raise NasError(
            f"{path}: the journal is damaged ({error}); restore the file, or start a new run"
        ) from error


def claim_storage(where: Path | str | None) -> BaseStorage:
    """Open a storage as its one writer: a journal that an earlier writer tore is repaired.

    Raises as `open_storage`.
    """
    if isinstance(where, Path):
        repair_journal(where)
    return open_storage(where)


def make_absolute(url: str) -> str:
    """The URL with the path of an SQLite file made absolute, so that it is found from any folder."""
    try:
        parsed = make_url(SecretUrl(url).whole)
    except ArgumentError:
        return url  # refused with its reason when it is opened
    file = parsed.database
    if parsed.get_backend_name() != "sqlite" or not file or file == ":memory:":
        return url
    return SecretUrl(parsed.set(database=str(Path(file).absolute())).render_as_string(hide_password=False))


@contextmanager
def write_together(storage: BaseStorage) -> Iterator[None]:
    """Write what the one writer of a journal writes inside the block at once, in its end: a single flush to
    the disk, which a kill leaves whole or undone. Other storages write as they do."""
    with storage.journal.together() if isinstance(storage, _JournalStorage) else nullcontext():
        yield


class _Journal(JournalFileBackend):
    """A journal file whose writes can be held back. It is Optuna's own format."""

    def __init__(self, path: Path) -> None:
        # Optuna exports no base class for locks, only the two that it has.
        super().__init__(str(path), lock_obj=_FileLock(path))  # type: ignore[arg-type]
        self._held: list[dict[str, Any]] | None = None
        self._before: int | None = None
        """Entries in the file when the first was held back."""

    @contextmanager
    def together(self) -> Iterator[None]:
        """Hold back what is written inside the block, and write it in its end."""
        self._held, self._before = [], None
        try:
            yield
        finally:
            held, self._held = self._held, None
            if held:
                super().append_logs(held)
                # It notes where entries lie as it reads them; else the next read would begin at the first.
                for _ in super().read_logs(self._before or 0):
                    pass

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if self._held is None:
            super().append_logs(logs)
        else:
            self._held += logs

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        if self._held is None:
            yield from super().read_logs(log_number_from)
            return
        if self._before is None:
            self._before = log_number_from  # the storage has read all that is in the file
        yield from self._held[log_number_from - self._before :]


class _JournalStorage(JournalStorage):
    def __init__(self, journal: _Journal) -> None:
        super().__init__(journal)
        self.journal = journal


class _FileLock:
    """An advisory lock on the journal itself. The kernel drops it with its process, so that a killed
    writer leaves nothing behind; Optuna's own locks leave a file that the next writer waits 30 s for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def acquire(self) -> bool:
        self._descriptor = os.open(self._path, os.O_RDWR)
        lock(self._descriptor, wait=True)  # where there are no locks, that of the run folder has to do
        return True

    def release(self) -> None:
        os.close(self._descriptor)


def repair_journal(path: Path) -> None:
    """Cut off a last line that a killed writer tore. Whoever calls this must be the only writer.

    Raises NasError for a journal that cannot be read or written.
    """
    if not path.exists():
        return
    try:
        with path.open("rb+") as file:
            text = file.read()
            end = text.rfind(b"\n") + 1
            if end != len(text):
                file.truncate(end)
                os.fsync(file.fileno())
        if path.stat().st_nlink > 1:  # what is appended is not to be written into another file too
            write_atomically(path, text[:end])
    except OSError as error:
        raise _unopenable(path, error) from error


def _unopenable(path: Path, error: OSError) -> NasError:
    return NasError(f"{path}: the journal cannot be opened: {error.strerror}")


def _open_url(url: str) -> BaseStorage:
    shown = SecretUrl(url)
    try:
        whole = shown.to_open
    except KeyError:
        raise InputError(
            f"storage '{shown}': {HIDDEN} stands for the password in the environment variable {VARIABLE}, "
            "which is not set; set it, or write the password"
        ) from None
    try:
        return RDBStorage(whole)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].replace(whole, shown)
    # Outside of the block, as a traceback shows the error in whose handling another one is raised.
    raise InputError(f"storage '{shown}' cannot be opened: {reason}; write a URL such as sqlite:///study.db")
