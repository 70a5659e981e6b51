"""The suite of pruners over those that are named."""

from __future__ import annotations

import pytest

from nas.testing.options import PARTS
from nas.testing.pruners import PrunerSuite, imported_pruner


class TestPruners(PrunerSuite):
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        self.pruners = {name: imported_pruner(name) for name in metafunc.config.stash[PARTS].pruners}
        super().pytest_generate_tests(metafunc)
