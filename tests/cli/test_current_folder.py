"""A file of the current folder is not imported in place of a library of its name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import SHORT, apart, command
from optuna.samplers import BaseSampler, TPESampler

from nas.importing import import_class, release_children, without_current_folder

NAMES = ("nas", "torch", "ray", "numpy", "optuna", "yaml", "json", "multiprocessing", "pyarrow")


@pytest.fixture
def trapped(tiny_folder: Path) -> Path:
    """The file that lists which of these were imported, when there is one."""
    noticed = tiny_folder / "noticed"
    for name in NAMES:
        Path(f"{name}.py").write_text(
            f"with open({str(noticed)!r}, 'a') as file: file.write('{name} ')\nraise ImportError('theirs')\n"
        )
    return noticed


def test_the_command_imports_what_is_installed(trapped: Path) -> None:
    said = apart("show", "tiny.yaml")
    assert said.code == 0 and "252 networks" in said.out and not trapped.exists()


def test_the_module_does_too(trapped: Path) -> None:
    """But for `nas.py`, which Python itself finds before us, unless it is told -P."""
    run = [sys.executable, "-P", "-m", "nas", "show", "tiny.yaml"]
    assert "252 networks" in subprocess.run(run, capture_output=True, text=True, check=True).stdout
    Path("nas.py").unlink()
    run.remove("-P")
    assert "252 networks" in subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert not trapped.exists()


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_search_and_its_workers_do(trapped: Path, workers: str) -> None:
    said = apart("search", "tiny.yaml", "--name", "mine", "--trials", "1", "--workers", workers, *SHORT)
    assert said.code == 0 and "Best network: runs/mine/best.py" in said.out, said
    assert not trapped.exists()


def test_processes_that_are_started_do(trapped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    run = [sys.executable, "-c", "import json"]
    with without_current_folder():
        assert subprocess.run(run, check=False).returncode == 0
    assert not trapped.exists() and "PYTHONSAFEPATH" not in os.environ
    with without_current_folder():
        release_children()
        assert "PYTHONSAFEPATH" not in os.environ
        os.environ["PYTHONSAFEPATH"] = "theirs"
        release_children()
        assert os.environ["PYTHONSAFEPATH"] == "theirs"
    assert subprocess.run(run, capture_output=True, check=False).returncode == 1 and trapped.exists()


def test_blocks_of_threads_end_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where Ray starts in a thread while something else is started."""
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    one, two = without_current_folder(), without_current_folder()
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert os.environ["PYTHONSAFEPATH"]
    two.__exit__(None, None, None)
    assert "PYTHONSAFEPATH" not in os.environ


def test_a_class_of_the_current_folder_is_imported_where_it_is_named(
    trapped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("my_sampler.py").write_text(
        "import my_part\nimport optuna\nclass Own(optuna.samplers.RandomSampler):\n    part = my_part.PART\n"
    )
    Path("my_part.py").write_text("PART = 3\n")
    before = [*sys.path]
    found = import_class(
        "my_sampler:Own", BaseSampler, "sampler", "optuna.samplers:TPESampler", lambda c: c()
    )
    assert found.part == 3 and sys.path == before
    assert import_class("optuna.samplers:TPESampler", BaseSampler, "sampler", "", lambda c: c()) is TPESampler
    assert not trapped.exists()
    for name in ("my_sampler", "my_part"):
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.slow
def test_the_command_takes_it(trapped: Path) -> None:
    Path("my_sampler.py").write_text("import optuna\nclass Own(optuna.samplers.RandomSampler): pass\n")
    done = subprocess.run(
        command("search", "tiny.yaml", "--sampler", "my_sampler:Own", "--budget-flops", "1"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "--budget-flops: 1 MACs is below the smallest network" in done.stderr  # found after the sampler
    assert not trapped.exists()
