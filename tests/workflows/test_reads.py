"""What a search reads of what it has written: files are read once, as what they say is handed on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from command_line import SHORT, nas

from nas.files import read_text
from nas.runs.config import SearchConfig
from nas.runs.folder import RunFolder
from nas.runs.manifest import Manifest
from nas.space import parse_space
from nas.study.ledger import Ledger
from nas.study.storage import open_storage

pytestmark = pytest.mark.usefixtures("tiny_folder")

Calls = dict[str, list[dict[str, Any]]]


@contextmanager
def noted(*functions: Callable[..., Any]) -> Iterator[Calls]:
    """Note the arguments of each call of some functions, by whatever name they were imported."""
    names = {function.__code__: function.__qualname__ for function in functions}
    calls: Calls = {name: [] for name in names.values()}

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code in names:
            calls[names[frame.f_code]].append(dict(frame.f_locals))

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def reads(*command: str) -> dict[str, int]:
    """Return how often a command reads and makes each thing."""
    made, read, kept = SearchConfig.__post_init__, Manifest.read, Ledger.__init__
    with noted(made, read, kept, parse_space, read_text, open_storage) as calls:
        said = nas(*command)
    assert said.code == 0, said
    ledgers = [call["name"] for call in calls["Ledger.__init__"]]
    assert ledgers == ["mine", "mine-finals"]  # each reads its trials from what was opened
    files = [call["path"].name for call in calls["read_text"]]
    return {
        "run.yaml": files.count("run.yaml"),
        "manifests": len(calls["Manifest.read"]),
        "configs": len(calls["SearchConfig.__post_init__"]),
        "storages": len(calls["open_storage"]),
        "spaces": len(calls["parse_space"]),
    }


FLAGS = ("--workers", "0", "--finalists", "1", "--final-epochs", "1", "--final-seeds", "1", *SHORT)


def test_a_search_reads_what_it_is_of_once() -> None:
    """The space is read by the search, and by the folder that gets a copy of it."""
    found = reads("search", "tiny.yaml", "--name", "mine", "--trials", "2", *FLAGS)
    assert found == {"run.yaml": 0, "manifests": 0, "configs": 1, "storages": 1, "spaces": 2}


def test_a_search_in_a_database_makes_its_config_once_too() -> None:
    storage = ("--storage", "sqlite:///study.db")
    found = reads("search", "tiny.yaml", "--name", "mine", "--trials", "2", *storage, *FLAGS)
    assert (found["run.yaml"], found["configs"]) == (0, 1)
    url = f"sqlite:///{Path('study.db').absolute()}"
    assert Manifest.read(RunFolder(Path("runs/mine"))).config.storage == url


def test_a_longer_search_reads_nothing_more() -> None:
    found = reads("search", "tiny.yaml", "--name", "mine", "--trials", "6", *FLAGS)
    assert found == {"run.yaml": 0, "manifests": 0, "configs": 1, "storages": 1, "spaces": 2}


def test_a_resume_reads_its_folder_once() -> None:
    """Its study is read before anything begins, and again by the one who writes it. The config is made as the
    folder has it, and with what is changed. The command looks for plugins before torch is loaded."""
    assert nas("search", "tiny.yaml", "--name", "mine", "--trials", "2", *FLAGS).code == 0
    found = reads("resume", "runs/mine", "--trials", "3")
    assert found == {"run.yaml": 2, "manifests": 2, "configs": 3, "storages": 2, "spaces": 1}
