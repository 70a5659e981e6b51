"""Libraries that are slow to import, and exceptions as they are told."""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from pathlib import Path

import pytest

from nas.importing import format_error, without_collection


def test_cycles_are_searched_for_again_after_an_import() -> None:
    with without_collection():
        with without_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("no\nrung"), "ValueError: no rung"),
        (KeyError("a"), "KeyError: 'a'"),
        (ValueError(), "ValueError"),
        (SyntaxError("no", ("a.py", 3, 1, "x")), "SyntaxError: no"),
    ],
)
def test_an_exception_is_told_without_its_notes(error: Exception, said: str) -> None:
    assert format_error(error) == said
    error.add_note("See the manual.")
    error.add_note("Of two\nlines.")
    assert format_error(error) == said
    assert error.__notes__ == ["See the manual.", "Of two\nlines."]


def test_what_an_import_has_made_is_left_out_of_later_searches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where nothing is imported, nothing else is: it may be a cycle that is to be found."""
    (tmp_path / "many_values.py").write_text("values = [[] for _ in range(100_000)]\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("nas.importing.is_claimed", lambda: True)
    before = gc.get_freeze_count()
    with without_collection():
        made: list[list[int]] = [[] for _ in range(100_000)]
    assert gc.get_freeze_count() - before < len(made)
    with without_collection():
        import_module("many_values")
    assert gc.get_freeze_count() - before > len(made)
    del sys.modules["many_values"]


def test_a_users_own_objects_are_still_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that is called from Python imports too, where models of the user's may be cycles."""
    (tmp_path / "few_values.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("nas.importing.is_claimed", lambda: False)
    before = gc.get_freeze_count()
    with without_collection():
        import_module("few_values")
    assert gc.get_freeze_count() == before
    del sys.modules["few_values"]
