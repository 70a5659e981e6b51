"""The suite of samplers over those that are named, else the built-in ones."""

from __future__ import annotations

import pytest

from nas.samplers import MULTI_OBJECTIVE
from nas.testing.options import PARTS
from nas.testing.samplers import SamplerSuite


class TestSamplers(SamplerSuite):
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        self.names = metafunc.config.stash[PARTS].samplers
        self.learners = [name for name in self.names if name != "random"]
        self.multi_objective = [name for name in self.names if name in MULTI_OBJECTIVE]
        super().pytest_generate_tests(metafunc)
