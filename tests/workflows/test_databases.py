"""Searches whose trials are in a database that goes, is full or comes back."""

from __future__ import annotations

import gc
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shlex import quote

import pytest
from instant import Instant, config
from servers import postgres

import nas
from nas.errors import NasError
from nas.study.records import Candidate
from nas.study.stored import read_trials
from nas.workflows.observer import Observer

pytestmark = pytest.mark.usefixtures("tiny_folder")
RUN = Path("runs/mine")


class Noting(Observer):
    """Notes the trials that start, and does something when trial 2 does."""

    def __init__(self, fault: Callable[[], object] = lambda: None) -> None:
        self.started_trials: list[int] = []
        self._fault = fault

    def started(self, candidate: Candidate) -> None:
        self.started_trials.append(candidate.number)
        if candidate.number == 2:
            self._fault()


def check_fault(url: str, shown: str, fault: Callable[[], object], mend: Callable[[], object]) -> str:
    """Search until a fault, mend it, go on until it comes again, and to the end: it is no death of the trial
    that was under way, of which the second would fail it. Return what the database said."""
    with pytest.raises(NasError):
        nas.search(config(trials=5, storage=url), Noting(fault), evaluator=Instant(), name="mine")
    mend()
    with pytest.raises(NasError) as error:
        nas.resume(RUN, Noting(fault), evaluator=Instant(), changes={"storage": url})
    start = f"storage '{shown}': stopped by an error of the database: "
    end = "; see that it can be reached and written. "
    said, way_out = str(error.value).removeprefix(start).split(end)
    assert str(error.value).startswith(start) and "\n" not in said and error.value.exit_code == 1
    assert way_out == f"Nothing finished is lost. Go on with: nas resume runs/mine --storage {quote(shown)}"
    mend()
    (before,) = read_trials(url, "mine")
    assert [trial.is_running for trial in before] == [False, False, True]
    heard = Noting()
    result = nas.resume(RUN, heard, evaluator=Instant(), changes={"storage": url})
    assert isinstance(result, nas.SearchResult) and result.counts.complete == 5
    assert list(result.state.trials[:2]) == before[:2] and sorted(heard.started_trials) == [2, 3, 4]
    return said


def test_an_sqlite_file_that_is_removed() -> None:
    file, aside = Path("study.db").absolute(), Path("aside.db")
    url = f"sqlite:///{file}"
    said = check_fault(url, url, lambda: file.replace(aside), lambda: aside.replace(file))
    assert said == "attempt to write a readonly database"


def test_a_disk_that_is_full_for_an_sqlite_file() -> None:
    disk = Path("disk").absolute()
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")

    def fill() -> None:
        with suppress(OSError), (disk / "other").open("wb", buffering=0) as file:
            while file.write(b"0" * 512):
                pass

    try:
        url = f"sqlite:///{disk}/study.db"
        said = check_fault(url, url, fill, lambda: (disk / "other").unlink())
        assert said in ("database or disk is full", "disk I/O error")
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_database_that_cannot_be_read_any_more() -> None:
    url = f"sqlite:///{Path('study.db').absolute()}"
    nas.search(config(trials=1, storage=url), evaluator=Instant(), name="mine")
    content = Path("study.db").read_bytes()
    Path("study.db").write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))
    with pytest.raises(NasError) as error:
        nas.resume(RUN, evaluator=Instant(), changes={"storage": url})
    assert str(error.value).startswith(f"storage '{url}' cannot be ") and "SQL:" not in str(error.value)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")  # by SQLAlchemy's pool
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_server_that_is_killed_and_comes_back() -> None:
    with postgres() as (url, kill, start):
        said = check_fault(url, url.replace("s3cret", "***"), kill, start)
        assert "s3cret" not in said and said
        kill()
        assert refused_again(url).startswith(f"storage '{url.replace('s3cret', '***')}' cannot be opened: ")
        start()
    gc.collect()  # what warns of the pool does so here


def refused_again(url: str) -> str:
    with pytest.raises(NasError) as error:
        nas.resume(RUN, evaluator=Instant(), changes={"storage": url, "trials": 6})
    assert "s3cret" not in str(error.value)
    return str(error.value)
