"""Database servers of a test's own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest


@contextmanager
def postgres() -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """A server of its own: its URL, what kills it and what starts it."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin"), Path(shutil.which("initdb") or "/none").parent]
    programs = next((folder for folder in found if (folder / "initdb").exists()), None)
    if programs is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    user = "postgres" if os.geteuid() == 0 else None  # as root it does not run
    folder = Path(tempfile.mkdtemp(prefix="nas-postgres-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "password").write_text("s3cret")
    if user:
        for path in (folder, folder / "password"):
            shutil.chown(path, user)
    data, secret = folder / "data", f"--pwfile={folder}/password"
    made = [
        str(programs / "initdb"),
        "-D",
        str(data),
        "-U",
        "me",
        "--auth=scram-sha-256",
        secret,
        "--no-sync",
    ]
    subprocess.run(made, check=True, capture_output=True, user=user, cwd=folder)
    server: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        control = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder)]
        with (folder / "log").open("ab") as log:
            server.append(
                subprocess.Popen([*control, "-c", "fsync=off"], stdout=log, stderr=log, user=user, cwd=folder)
            )
        ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port), "-t", "1"]
        while subprocess.run(ready, check=False).returncode:
            assert server[-1].poll() is None, (folder / "log").read_text()
            time.sleep(0.05)

    def kill() -> None:
        server[-1].send_signal(signal.SIGQUIT)
        server[-1].wait()

    start()
    try:
        yield f"postgresql+psycopg://me:s3cret@127.0.0.1:{port}/postgres", kill, start
    finally:
        kill()
        shutil.rmtree(folder)


@contextmanager
def mariadb() -> Iterator[str]:
    """A MariaDB of its own: its URL."""
    program, install = shutil.which("mariadbd", path="/usr/sbin:/usr/bin"), shutil.which("mariadb-install-db")
    if program is None or install is None or not find_spec("pymysql"):
        pytest.skip("needs MariaDB: apt-get install mariadb-server; pip install pymysql")
    folder = Path(tempfile.mkdtemp(prefix="nas-mariadb-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "init.sql").write_text(
        "CREATE DATABASE studies;\nCREATE USER me@'127.0.0.1' IDENTIFIED BY 's3cret';\n"
        "GRANT ALL ON studies.* TO me@'127.0.0.1';\n"
    )
    user = ["--user=mysql"] if os.geteuid() == 0 else []  # as root it does not run
    made = [install, "--no-defaults", f"--datadir={folder}/data", "--auth-root-authentication-method=normal"]
    if user:
        for path in (folder, folder / "init.sql"):
            shutil.chown(path, "mysql")
    environment = os.environ | {"TMPDIR": str(folder)}  # another user may not write here
    subprocess.run([*made, *user, "--skip-test-db"], check=True, capture_output=True, env=environment)
    served = [program, "--no-defaults", f"--datadir={folder}/data", f"--port={port}", *user]
    served += [f"--socket={folder}/socket", f"--pid-file={folder}/pid", f"--init-file={folder}/init.sql"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*served, "--bind-address=127.0.0.1", "--skip-name-resolve"],
            stdout=log,
            stderr=log,
            env=environment,
        )
    try:
        while b"ready for connections" not in (folder / "log").read_bytes():
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        yield f"mysql+pymysql://me:s3cret@127.0.0.1:{port}/studies"
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder)
