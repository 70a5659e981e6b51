"""The examples in docstrings give what they say. Those that train for minutes are marked to be left out."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "nas").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


def test_the_public_functions_have_examples() -> None:
    assert {"nas", "nas.workflows.search", "nas.workflows.export", "nas.workflows.scaling"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("search_spaces").symlink_to(ROOT / "search_spaces")
    found = doctest.testmod(import_module(module), verbose=False)
    assert found.attempted > 1 and not found.failed
