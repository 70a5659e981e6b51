"""Libraries that are slow to import."""

from __future__ import annotations

import gc

from nas.importing import without_collection


def test_cycles_are_searched_for_again_after_an_import() -> None:
    with without_collection():
        with without_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
