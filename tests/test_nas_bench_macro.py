"""All of NAS-Bench-Macro in the space language: costs and distinct networks are those of its table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.space import Choices, Space, load_space


@pytest.fixture(scope="module")
def space() -> Space:
    return load_space(Path(__file__).parents[1] / "benchmarks" / "spaces" / "nas_bench_macro.yaml")


@pytest.fixture(scope="module")
def table(published):
    return json.loads((published / "nas-bench-macro_cifar10.json").read_text())


def point(space: Space, encoding: str) -> Choices:
    """Digit i of an encoding is the option of layer i."""
    digits = iter(encoding)
    layers = [
        f"{stage}.layer{i}.block"
        for stage, depth in (("s1", 2), ("s2", 3), ("s3", 3))
        for i in range(1, depth + 1)
    ]
    options = space.declared["s1.block"].options
    return {layer: options[int(next(digits))] for layer in layers}


def test_every_encoding_has_the_published_cost(space, table):
    assert space.extent.count == len(table) == 6561
    for encoding, row in table.items():
        cost = space.cost(point(space, encoding))
        assert (cost.macs, cost.params) == (row["flops"], row["params"]), encoding


def test_its_encodings_are_3969_networks(space, table):
    assert len({space.identity(point(space, encoding)) for encoding in table}) == 3969


def test_the_extremes_are_those_of_the_table(space, table):
    macs = [row["flops"] for row in table.values()]
    params = [row["params"] for row in table.values()]
    extent = space.extent
    assert (extent.smallest_cost.macs, extent.largest_cost.macs) == (min(macs), max(macs))
    assert (extent.fewest_params, extent.most_params) == (min(params), max(params))
