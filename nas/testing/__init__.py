"""Conformance suites: what every operator, block, sampler, pruner, exporter and evaluator keeps to.

They run over the parts of one's own that are named, or else over the built-in ones:

    pytest --pyargs nas.testing --plugin my_blocks.py
    pytest --pyargs nas.testing --sampler my_module:MySampler --pruner my_module:MyPruner
    pytest --pyargs nas.testing --evaluator my_training.py:train --space my_space.yaml

or in a test suite of one's own, by a subclass:

    from nas.testing.samplers import SamplerSuite

    class TestMySampler(SamplerSuite):
        names = ("my_module:MySampler",)

This package alone needs pytest.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    *(
        f"{__name__}.{suite}"
        for suite in ("operators", "blocks", "samplers", "pruners", "exporters", "evaluators")
    )
)
