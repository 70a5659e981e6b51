"""The suite of blocks over those of a plugin, else the built-in ones."""

from __future__ import annotations

import pytest

from nas.testing.blocks import BlockSuite
from nas.testing.cases import block_cases
from nas.testing.options import PARTS


class TestBlocks(BlockSuite):
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        names = metafunc.config.stash[PARTS].blocks
        if "name" in metafunc.fixturenames:
            metafunc.parametrize("name", names)
        self.cases = [case for name in names for case in block_cases(name)]
        super().pytest_generate_tests(metafunc)

    def test_arguments_are_found_that_fit_an_image_or_a_vector(self, name: str) -> None:
        assert block_cases(name), f"no values of its arguments make '{name}' fit an image or a vector"
