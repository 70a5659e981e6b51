"""Who works in a run folder, as others can tell. The processes are real ones."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import pytest
from holders import held

from nas.errors import InputError
from nas.runs.folder import RunFolder
from nas.runs.holder import Holder, find_holder, holds_lock


def test_the_holder_says_who_it_is(tmp_path: Path) -> None:
    file = RunFolder(tmp_path).lock_file
    assert find_holder(file) is None
    with held(tmp_path) as process:
        holder = RunFolder(tmp_path).holder
        assert holder and (holder.pid, holder.host) == (process.pid, socket.gethostname())
        assert holder.is_here and str(holder) == f"process {process.pid}"
        assert abs((datetime.now(UTC) - holder.since).total_seconds()) < 60
        assert holds_lock(process.pid, file)
        assert not holds_lock(os.getpid(), file)
    assert find_holder(file) is None and not holds_lock(process.pid, file)
    assert file.read_text() == f"{process.pid} {socket.gethostname()}"


def test_who_only_has_the_file_open_does_not_hold_it(tmp_path: Path) -> None:
    with held(tmp_path), (tmp_path / ".lock").open() as file:
        assert not holds_lock(os.getpid(), tmp_path / ".lock") and not file.closed
        os.link(tmp_path / ".lock", tmp_path / "other")
        holder = find_holder(tmp_path / ".lock")
        assert holder and holder.pid and not holds_lock(holder.pid, tmp_path / ".lock")


def test_a_holder_of_another_machine_and_one_of_no_name(tmp_path: Path) -> None:
    with held(tmp_path):
        for mark, pid, said in (
            ("12 elsewhere", 12, "process 12 on elsewhere"),
            ("12", 12, "process 12"),
            ("", None, "another process"),
            ("\x1b[31m boo", None, "another process"),
            ("9" * 40 + " host", None, "another process"),
        ):
            (tmp_path / ".lock").write_text(mark)
            holder = find_holder(tmp_path / ".lock")
            assert holder and (holder.pid, str(holder)) == (pid, said)
            assert holder.is_here == (mark == "12")
            with (
                pytest.raises(InputError, match=f": {said} is searching in it; wait"),
                RunFolder(tmp_path).locked(),
            ):
                pass


def test_a_lock_that_its_holder_removes_holds_nothing(tmp_path: Path) -> None:
    """Who waited for it has a file that is gone, and a third would make another."""
    folder = RunFolder(tmp_path)
    taken, done = Event(), Event()

    def wait() -> None:
        with folder.locked(wait_s=20):
            taken.set()
            done.wait(20)

    waiting = Thread(target=wait)
    with folder.locked():
        waiting.start()
        while len(_open_files(folder.lock_file)) < 2:
            time.sleep(0.01)
        folder.lock_file.unlink()
    assert taken.wait(20)
    with pytest.raises(InputError, match="is searching in it"), folder.locked():
        pass
    done.set()
    waiting.join()


def _open_files(file: Path) -> list[Path]:
    """The descriptors of this process that are of a file."""
    return [entry for entry in Path("/proc/self/fd").iterdir() if os.path.realpath(entry) == str(file)]


def test_a_file_that_stands_for_the_lock(tmp_path: Path) -> None:
    """Where the file system has no locks: filelock writes its process and its host."""
    from filelock import SoftFileLock

    standing = tmp_path / ".lock.held"
    with SoftFileLock(standing):
        holder = find_holder(tmp_path / ".lock")
        assert holder and (holder.pid, holder.host) == (os.getpid(), socket.gethostname())
    assert find_holder(tmp_path / ".lock") is None
    ended = subprocess.Popen(["true"])
    ended.wait()
    for mark, there in (
        (f"{ended.pid}\n{socket.gethostname()}\n", False),
        (f"{ended.pid}\nelsewhere\n", True),
    ):
        standing.write_text(mark)
        assert (find_holder(tmp_path / ".lock") is not None) == there


def test_who_looks_is_in_nobodys_way(tmp_path: Path) -> None:
    """The lock is taken again and again while others ask who holds it."""
    folder, done = RunFolder(tmp_path), Event()
    seen: list[Holder | None] = []

    def look() -> None:
        while not done.is_set():
            seen.append(folder.holder)

    lookers = [Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(300):
            with folder.locked():
                pass
    finally:
        done.set()
        for looker in lookers:
            looker.join()
    assert None in seen
