"""Where a study is kept: an Optuna storage, by default an append-only journal file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from errno import ENOENT
from itertools import count
from pathlib import Path
from sys import intern
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._storage import JournalStorageReplayResult
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from nas.errors import InputError, NasError
from nas.files import lock, write_atomically
from nas.importing import without_collection
from nas.passwords import HIDDEN, VARIABLE, SecretUrl
from nas.study.database import Database
from nas.study.journal import CREATE_TRIAL, Checker, DamagedJournal, find_free_name
from nas.study.shared_options import SharedOptions

DATABASE_ERRORS = (SQLAlchemyError, StorageInternalError)
"""What is raised where a database has gone or is full; `describe_database_error` tells it in a line."""


def open_storage(where: Path | str | None) -> BaseStorage:
    """Return the storage at a journal file's path, which is made when missing, or at a database URL; None is
    this process's memory.

    The last line of a journal is passed over where it is damaged, as one is that is being written. Raises
    NasError for a journal that cannot be read or written, DamagedJournal for one with another line that is
    damaged, InputError for a URL that cannot be opened.
    """
    if where is None:
        return InMemoryStorage()
    if isinstance(where, str) and "://" in where:
        return _open_url(where)
    path = Path(where)
    try:
        journal = _Journal(path)
        with without_collection():  # of trials, which are many
            return _JournalStorage(journal)
    except OSError as error:
        raise _explain_error(path, error) from error
    except NasError:
        raise
    except Exception as error:  # of a line that is as Optuna writes them and that Optuna refuses
        raise DamagedJournal(path, journal.lines, f"{type(error).__name__}: {error}"[:200]) from error


def claim_storage(where: Path | str | None, tell: Callable[[str], None] = lambda note: None) -> BaseStorage:
    """Open a storage as its one writer: a last line that an earlier writer tore, or that is damaged, is moved
    aside, and `tell` hears of it.

    Raises as `open_storage`.
    """
    if isinstance(where, Path) and where.is_file() and where.stat().st_nlink > 1:
        write_atomically(where, where.read_bytes())  # what is appended is not for another file too
    storage = open_storage(where)
    if isinstance(storage, _JournalStorage):
        try:
            aside = storage.journal.move_tail_aside()
        except OSError as error:
            raise _explain_error(storage.journal.path, error) from error
        if aside:
            tell(f"The last line of {storage.journal.path} was damaged; it is now in {aside}.")
    return storage


def describe_database_error(error: Exception) -> str:
    """Return in one line what a database said, without the statement and its values that SQLAlchemy adds."""
    if isinstance(error, StorageInternalError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # Optuna guesses at invalid data
    return " ".join(str(getattr(error, "orig", None) or error).split("\n[SQL:")[0].split())


def close_storage(storage: BaseStorage) -> None:
    """Close a database; other storages have nothing to close."""
    if isinstance(storage, Database):
        storage.close()


@contextmanager
def write_together(storage: BaseStorage) -> Iterator[None]:
    """Write what the one writer of a journal writes inside the block at once, in its end: a single flush to
    the disk, which a kill leaves whole or undone. Other storages write as they do."""
    with storage.journal.together() if isinstance(storage, _JournalStorage) else nullcontext():
        yield


class _Journal(JournalFileBackend):
    """A journal file whose lines are checked, and whose writes can be held back, in Optuna's own format."""

    def __init__(self, path: Path) -> None:
        # Optuna exports no base class for locks, only the two that it has.
        self._lock_file = _FileLock(path)
        super().__init__(str(path), lock_obj=self._lock_file)  # type: ignore[arg-type]
        self.path = path
        self._file = _make_key(path.stat())
        self._checker = Checker()
        self._starts = [0]
        """The byte at which each line that was read begins, and the next one will."""
        self._held: list[dict[str, Any]] | None = None
        self._before: int | None = None
        """Entries in the file when the first was held back."""

    @property
    def lines(self) -> int:
        """How many lines were read."""
        return len(self._starts) - 1

    @contextmanager
    def together(self) -> Iterator[None]:
        """Hold back what is written inside the block, and write it in its end."""
        self._held, self._before = [], None
        try:
            yield
        finally:
            held, self._held = self._held, None
            if held:
                self._append(held)
                for _ in self._read(self._before or 0):  # its lines are known from here on
                    pass

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if self._held is None:
            self._append(logs)
        else:
            self._held += logs

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        if self._held is None:
            yield from self._read(log_number_from)
            return
        if self._before is None:
            self._before = log_number_from  # the storage has read all that is in the file
        yield from self._held[log_number_from - self._before :]

    def move_tail_aside(self) -> Path | None:
        """Move what is behind the last line that was read to a file of its own. Return that, if there is one.

        Raises OSError.
        """
        with self.path.open("rb+") as file:
            file.seek(self._starts[-1])
            tail = file.read()
            if not tail:
                return None
            write_atomically(aside := find_free_name(self.path), tail)
            file.truncate(self._starts[-1])
            os.fsync(file.fileno())
        return aside

    def _append(self, logs: list[dict[str, Any]]) -> None:
        if _make_key(self.path.stat()) != self._file:  # the folder was moved, and another is in its place
            raise FileNotFoundError(ENOENT, "another file is in its place", str(self.path))
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self._lock_file.held(), self.path.open("ab") as file:
            file.write(lines.encode())
            file.flush()
            # A trial that begins is on the disk with the next line of another kind: where power fails before
            # that, it begins again.
            if any(log["op_code"] != CREATE_TRIAL for log in logs):
                os.fsync(file.fileno())

    def _read(self, first: int) -> Iterator[dict[str, Any]]:
        """Read the lines from one on, counted from 0, of those that are there now."""
        with self.path.open("rb") as file:
            end = os.fstat(file.fileno()).st_size
            position = file.seek(self._starts[first])
            wrong = None
            for number in count(first):
                line = file.readline(_LONGEST)
                position += len(line)
                if not line or position > end:
                    return
                if wrong:  # and not the last line
                    raise DamagedJournal(self.path, number, wrong)
                if number < self.lines:
                    yield json.loads(line)
                    continue
                try:
                    entry = self._checker.read(line)
                except ValueError as error:
                    wrong = str(error)
                else:
                    self._starts.append(position)
                    yield entry


_LONGEST = 2**26
"""Bytes of a line, of which a trial of a thousand decisions has a hundredth part."""


def _make_key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


class _JournalStorage(JournalStorage):
    def __init__(self, journal: _Journal) -> None:
        self._options = SharedOptions()
        super().__init__(journal)
        self.journal = journal

    def _sync_with_backend(self) -> None:
        if not isinstance(self._replay_result, _Replay):  # of Optuna, which has read nothing yet
            self._replay_result = _Replay(self._worker_id_prefix, self._options)
        super()._sync_with_backend()


class _Replay(JournalStorageReplayResult):
    """What the lines of a journal come to. Optuna's own makes an object of each of a trial's distributions
    from its text, which is most of the time and of the memory of a long search."""

    def __init__(self, worker_id_prefix: str, options: SharedOptions) -> None:
        super().__init__(worker_id_prefix)
        self._options = options

    def _apply_create_trial(self, log: dict[str, Any]) -> None:
        before = len(self._trials)
        super()._apply_create_trial({**log, "distributions": {}, "params": {}})
        if len(self._trials) > before:
            trial = self._trials[before]
            known = self._options.read(log.get("distributions", {}))
            chosen = log.get("params", {}).items()
            trial.distributions = known
            trial.params = {intern(name): known[name].to_external_repr(value) for name, value in chosen}


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

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock inside the block."""
        self.acquire()
        try:
            yield
        finally:
            self.release()


def _explain_error(path: Path, error: OSError) -> NasError:
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
        return Database(whole)
    except (*DATABASE_ERRORS, ImportError, ValueError, RuntimeError) as error:  # the last, of a version
        reason, way_out = describe_database_error(error).replace(whole, shown), _find_way_out(error, url)
    # Outside of the block, as a traceback shows the error in whose handling another one is raised.
    raise InputError(f"storage '{shown}' cannot be opened: {reason}; {way_out}")


def _find_way_out(error: Exception, url: str) -> str:
    if isinstance(error, ImportError):
        return (
            "pip install 'nas[postgresql]' and write postgresql+psycopg://..., or 'nas[mysql]' and "
            "mysql+pymysql://..."
        )
    if isinstance(error, OperationalError) and not url.startswith("sqlite"):
        return "see that its server runs there and lets you in"
    return "write a URL such as sqlite:///study.db"
