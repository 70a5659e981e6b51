"""The suite of pruners over those that are named, else the built-in ones."""

from __future__ import annotations

from functools import partial

import pytest

from nas.study.pruning import find_pruner
from nas.testing.options import PARTS
from nas.testing.pruners import EPOCHS, PrunerSuite


class TestPruners(PrunerSuite):
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        names = metafunc.config.stash[PARTS].pruners
        self.pruners = {name: partial(find_pruner(name), EPOCHS) for name in names}
        super().pytest_generate_tests(metafunc)
