"""Libraries that are slow to import, and exceptions as they are told."""

from __future__ import annotations

import gc

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
