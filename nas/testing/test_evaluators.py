"""The suite of evaluators over those that are named."""

from __future__ import annotations

from functools import partial

import pytest

from nas.testing.evaluators import EvaluatorSuite, case_of_file
from nas.testing.options import PARTS


class TestEvaluators(EvaluatorSuite):
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        parts = metafunc.config.stash[PARTS]
        self.cases = {name: partial(case_of_file, name, parts.space) for name in parts.evaluators}
        super().pytest_generate_tests(metafunc)
