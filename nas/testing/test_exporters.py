"""The suite of formats over those that are named, else all."""

from __future__ import annotations

import pytest

from nas.testing.exporters import ExporterSuite
from nas.testing.options import PARTS


class TestExporters(ExporterSuite):
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        self.formats = metafunc.config.stash[PARTS].exporters
        super().pytest_generate_tests(metafunc)
