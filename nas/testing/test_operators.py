"""The suite of operators over those of a plugin, else the built-in ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nas.exporters.writing import export_python
from nas.graph.module import build_module
from nas.ops import OPERATORS, Unary
from nas.testing.cases import operator_cases
from nas.testing.operators import OperatorSuite, network_of
from nas.testing.options import PARTS


class TestOperators(OperatorSuite):
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        parts = metafunc.config.stash[PARTS]
        if "own" in metafunc.fixturenames:
            metafunc.parametrize("own", parts.operators if parts.are_own else ())
        self.cases = [case for name in parts.operators for case in operator_cases(name)]
        super().pytest_generate_tests(metafunc)

    def test_arguments_are_found_that_fit_an_image_or_a_vector(self, own: str) -> None:
        assert operator_cases(own), f"no values of its arguments make '{own}' fit an image or a vector"

    def test_a_network_of_it_leaves(self, own: str, tmp_path: Path) -> None:
        """Its export passes the check in a fresh interpreter."""
        if not issubclass(OPERATORS[own], Unary):
            return
        torch.manual_seed(0)
        network = network_of(operator_cases(own)[0])
        state = build_module(network).state_dict()
        assert export_python(tmp_path, "network", network, state, title="T", facts={})
