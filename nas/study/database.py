"""A study in a database that several drivers work on: who is at work, and whose turn it is.

Both are locks that end with the process that holds them, however it ends: those of a session of PostgreSQL
or MySQL, and of files beside an SQLite file. They are held by one connection, so that a driver that has lost
it can write no end of a trial either: another driver may have begun that trial anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from optuna.storages import RDBStorage
from sqlalchemy import URL, Connection, make_url, text
from sqlalchemy.exc import OperationalError

from nas.files import lock, write_atomically

CONNECT_S = 5
"""Seconds that a server has to answer."""


class Database(RDBStorage):
    """Optuna's storage in a database. The first use of `turn` or `is_at_work` makes this process a driver,
    until `close`."""

    def __init__(self, url: str) -> None:
        backend = url.split(":")[0].split("+")[0]
        limited = backend in ("postgresql", "mysql", "mariadb") and "connect_timeout" not in url
        options = {"connect_args": {"connect_timeout": CONNECT_S}} if limited else None
        if limited and backend != "postgresql":
            _check_greeting(make_url(url))
        try:
            super().__init__(url, engine_kwargs=options)
        except Exception:
            if engine := getattr(self, "engine", None):  # of a database that it cannot use
                engine.dispose()
            raise
        self.driver = uuid4().hex[:16]
        """Names this driver: a key of its own, then where its files are."""
        self._locks: _Locks | None = None
        self._aside: Path | None = None

    def work_in(self, folder: Path) -> None:
        """Note the folder of this driver's files."""
        self.driver = f"{self.driver.split()[0]} {socket.gethostname()}:{folder.absolute()}"
        self._aside = folder.absolute() / ".deaths.json"

    def keep_deaths(self, trial: Sequence[Any], deaths: Mapping[str, int]) -> None:
        """Keep in the driver's folder what a database that has gone is to say of a trial, as it is there."""
        if self._aside:
            write_atomically(self._aside, json.dumps([list(trial), dict(deaths)]))

    def find_deaths(self, trial: Sequence[Any]) -> Mapping[str, int] | None:
        """Return what was kept of a trial as it is in the database, None where nothing was: another driver
        may have begun it since."""
        with suppress(OSError, ValueError, TypeError, AttributeError):
            if self._aside:
                kept, deaths = json.loads(self._aside.read_text())
                return {what: int(deaths[what]) for what in deaths} if kept == list(trial) else None
        return None

    def forget_deaths(self) -> None:
        """Forget what was kept: the database is there again."""
        if self._aside:
            self._aside.unlink(missing_ok=True)

    @contextmanager
    def turn(self, study: str) -> Iterator[None]:
        """Be the only driver that works on the study inside the block."""
        with self._open().held(f"study {study}"):
            yield

    def is_at_work(self, driver: str) -> bool:
        """Return whether a driver has not ended. Ask in a turn."""
        return driver == self.driver or self._open().is_held(_make_key(driver))

    def close(self) -> None:
        """End as a driver, and leave the database."""
        if self._locks:
            self._locks.close()
            self._locks = None
        self.remove_session()
        self.engine.dispose()

    def _open(self) -> _Locks:
        if self._locks is None:
            self._locks = self._connect()
            self._locks.take(_make_key(self.driver))
        return self._locks

    def _connect(self) -> _Locks:
        url = self.engine.url
        match url.get_backend_name():
            case "postgresql":
                return _Postgres(self.engine.connect())
            case "mysql" | "mariadb":
                return _MySQL(self.engine.connect())
            case "sqlite" if url.database not in (None, "", ":memory:"):
                return _Files(Path(str(url.database)))
            case _:
                return _Files(None)  # of which no second driver is known


def _check_greeting(url: URL) -> None:
    """Raise OperationalError where something listens at the address of a MySQL server and says nothing: a
    server greets who connects, for which its libraries wait without end."""
    if "unix_socket" in url.query:
        return
    address = (url.host or "localhost", url.port or _MYSQL_PORT)
    with suppress(OSError):  # of which the library tells
        try:
            with socket.create_connection(address, CONNECT_S) as server:
                server.recv(1)
        except TimeoutError:
            raise OperationalError("", None, TimeoutError(f"no answer in {CONNECT_S} s")) from None


_MYSQL_PORT = 3306


def _make_key(driver: str) -> str:
    return f"driver {driver.split()[0]}"


class _Locks(Protocol):
    """Locks by name."""

    def take(self, name: str) -> None:
        """Hold a lock that nobody else wants, until the end."""
        ...

    def held(self, name: str) -> AbstractContextManager[None]:
        """Wait for a lock and hold it inside the block."""
        ...

    def is_held(self, name: str) -> bool:
        """Return whether another one holds it."""
        ...

    def close(self) -> None:
        """Let go of all."""
        ...


class _Files:
    """Locks of files in a folder beside an SQLite file; without one there is nobody else."""

    def __init__(self, file: Path | None) -> None:
        self._folder = file and file.with_name(f"{file.name}.drivers")
        self._own: list[tuple[Path, int]] = []
        if self._folder:
            self._folder.mkdir(exist_ok=True)

    def take(self, name: str) -> None:
        if self._folder:
            path = self._name_path(name)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            lock(descriptor)
            self._own.append((path, descriptor))

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        with ExitStack() as stack:
            if self._folder:
                descriptor = os.open(self._name_path(name), os.O_RDWR | os.O_CREAT, 0o666)
                stack.callback(os.close, descriptor)
                lock(descriptor, wait=True)
            yield

    def is_held(self, name: str) -> bool:
        try:
            descriptor = os.open(self._name_path(name), os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            lock(descriptor)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        self._name_path(name).unlink(missing_ok=True)
        return False

    def close(self) -> None:
        for path, descriptor in self._own:
            path.unlink(missing_ok=True)
            os.close(descriptor)
        self._own = []

    def _name_path(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / hashlib.sha256(name.encode()).hexdigest()[:16]


class _ServerLocks(ABC):
    """Locks of a server, which drops them when the connection ends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection.execution_options(isolation_level="AUTOCOMMIT")

    def close(self) -> None:
        with suppress(Exception):  # it may be gone
            self._connection.invalidate()
            self._connection.close()

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        self.take(name)
        try:
            yield
        finally:
            self._release(name)

    @abstractmethod
    def take(self, name: str) -> None: ...

    @abstractmethod
    def _release(self, name: str) -> None: ...

    def _ask(self, statement: str, **values: Any) -> Any:
        return self._connection.execute(text(statement), values).scalar()


class _Postgres(_ServerLocks):
    def __init__(self, connection: Connection) -> None:
        """Have the server find out soon that this machine has gone, too."""
        super().__init__(connection)
        for name, value in (("idle", 30), ("interval", 10), ("count", 3)):
            self._ask(
                "SELECT set_config(:name, :value, false)", name=f"tcp_keepalives_{name}", value=str(value)
            )

    def take(self, name: str) -> None:
        self._ask("SELECT pg_advisory_lock(:key)", key=_make_number(name))

    def _release(self, name: str) -> None:
        self._ask("SELECT pg_advisory_unlock(:key)", key=_make_number(name))

    def is_held(self, name: str) -> bool:
        free = self._ask("SELECT pg_try_advisory_lock(:key)", key=_make_number(name))
        if free:
            self._release(name)
        return not free


class _MySQL(_ServerLocks):
    def take(self, name: str) -> None:
        self._ask("SELECT GET_LOCK(:name, 1000000)", name=_make_name(name))

    def _release(self, name: str) -> None:
        self._ask("SELECT RELEASE_LOCK(:name)", name=_make_name(name))

    def is_held(self, name: str) -> bool:
        return not self._ask("SELECT IS_FREE_LOCK(:name)", name=_make_name(name))


def _make_number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"nas {name}".encode()).digest()[:8], signed=True)


def _make_name(name: str) -> str:
    return "nas " + hashlib.sha256(name.encode()).hexdigest()[:40]
