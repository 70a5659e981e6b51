"""Databases that go away while a search keeps its study in them: one message, and the search goes on."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import TINY, apart, command, rows

pytestmark = pytest.mark.slow


class Postgres:
    """A PostgreSQL of its own, on a free port of this machine."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._data = folder / "data"
        self._user = "postgres" if os.getuid() == 0 else None  # it refuses to be root's
        if self._user:
            shutil.chown(folder, self._user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._run("initdb", "--auth=trust", "--username=me", "--no-sync", "-D", str(self._data))
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self._options = ("-w", "-D", str(self._data), "-o", options, "-l", str(folder / "log"))

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://me:s3cret@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        self._run("pg_ctl", *self._options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "-D", str(self._data), "stop")

    def _run(self, program: str, *arguments: str) -> None:
        line = [str(self._programs / program), *arguments]
        subprocess.run(line, check=True, user=self._user, cwd="/", stdout=subprocess.DEVNULL)


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    found = [*Path("/usr/lib/postgresql").glob("*/bin"), Path(shutil.which("initdb") or "").parent]
    programs = next((folder for folder in found if (folder / "initdb").exists()), None)
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = Postgres(programs, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


SEARCH = (
    "search",
    "tiny.yaml",
    "--trials",
    "40",
    "--sampler",
    "random",
    "--epochs",
    "2",
    "--max-images",
    "400",
)


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_database_that_goes_away(workers: str, postgres: Postgres, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    storage = ("--storage", postgres.url)
    line = command(*SEARCH, *storage, "--workers", workers, "--name", "run")
    search = subprocess.Popen(line, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert search.stdout is not None
    for text in search.stdout:  # until some trials are finished
        if text.startswith("[3/40]"):
            break
    postgres.stop()
    _, error = search.communicate(timeout=60)

    shown = postgres.url.replace("s3cret", "***")
    assert search.returncode == 1
    assert error.startswith(f"error: storage '{shown}': ") and error.count("\n") == 1
    assert error.endswith(
        f"; bring it back. Nothing finished is lost. Go on with: nas resume runs/run --storage '{shown}'\n"
    )

    postgres.start()
    done = apart("resume", "runs/run", *storage, "--trials", "8", cwd=tmp_path)
    assert done.code == 0, done.err
    table = rows(tmp_path / "runs/run/trials.csv")
    assert len(table) >= 8 and {row["state"] for row in table} == {"complete"}
    assert len({row["trial"] for row in table}) == len(table)
