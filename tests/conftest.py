"""Shared by all tests: hypothesis, threads, caches, and where the data of published benchmarks lie."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest
from command_line import SHORT, TINY, nas
from forks import FORKS, check_by_fork
from hypothesis import settings
from trainings import write_training

from nas.runs.folder import RunFolder

settings.register_profile("nas", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("nas")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Networks of tests are too small to share among threads, here and in processes that tests start."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def small_heap() -> None:
    """What was imported is not searched for cycles before each training, which took longer than to train."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def as_in_a_terminal() -> Iterator[None]:
    """Have the signals of a terminal heard: nohup has SIGHUP ignored, a shell's `&` Ctrl-C."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def forks() -> Iterator[None]:
    """Exports of this process are checked by forks; those of commands in processes of their own are not."""
    with (
        patch("nas.exporters.fresh.start_checker", lambda: nullcontext(check_by_fork)),
        patch("nas.exporters.parity.run_script", partial(FORKS.run, "-B")),
    ):
        yield
    FORKS.end()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is decoded and compiled by tests, in this process and others, does not go to the user's caches."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path_factory.mktemp("inductor"))


@pytest.fixture
def tiny_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a space that trains in no time in `tiny.yaml`."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    return tmp_path


@pytest.fixture
def small_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working folder, with a network and images that it is trained on in a second."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_training()


@pytest.fixture(scope="session")
def tiny_search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search of three trials, of which two are kept."""
    folder = tmp_path_factory.mktemp("searched")
    with contextlib.chdir(folder):
        Path("tiny.yaml").write_text(TINY)
        options = ("--workers", "0", "--trials", "3", "--keep", "2")
        said = nas("search", "tiny.yaml", "--name", "mine", *SHORT, *options)
    assert said.code == 0, said
    return folder


@pytest.fixture
def tiny_run(tiny_folder: Path, tiny_search: Path) -> RunFolder:
    """A copy of that search in the working folder."""
    shutil.copytree(tiny_search, tiny_folder, dirs_exist_ok=True)
    return RunFolder.open(Path("runs/mine"))


@pytest.fixture(scope="session")
def published_folder() -> Path:
    """Where published data lie, if they are here."""
    return Path(os.environ.get("NAS_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def published(published_folder: Path) -> Path:
    """The folder of published benchmarks; the test is skipped where it is absent."""
    if not published_folder.is_dir():
        pytest.skip(f"no benchmark data in {published_folder}; name their folder in NAS_TEST_DATA")
    return published_folder
