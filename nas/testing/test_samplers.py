"""The suite of samplers over those that are named, else the built-in ones."""

from __future__ import annotations

import pytest

from nas.samplers import find_sampler
from nas.testing.options import PARTS
from nas.testing.samplers import SamplerSuite


class TestSamplers(SamplerSuite):
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        self.names = metafunc.config.stash[PARTS].samplers
        self.learners = [name for name in self.names if name != "random"]
        self.multi_objective = [name for name in self.names if find_sampler(name).is_multi_objective]
        super().pytest_generate_tests(metafunc)
