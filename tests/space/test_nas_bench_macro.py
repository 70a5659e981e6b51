"""All of NAS-Bench-Macro in the space language: costs and distinct networks are those of its table."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import pytest

from nas.measures import PARAMS
from nas.space import Choices, Space, load_space

LAYERS = [f"s{s}.layer{i}.block" for s, depth in ((1, 2), (2, 3), (3, 3)) for i in range(1, depth + 1)]


@pytest.fixture(scope="module")
def space() -> Space:
    return load_space(Path(__file__).parents[2] / "benchmarks" / "spaces" / "nas_bench_macro.yaml")


def point(encoding: str) -> Choices:
    """Digit i of an encoding is the option of layer i."""
    return {
        layer: ("skip", "k3e3", "k5e6")[int(digit)] for layer, digit in zip(LAYERS, encoding, strict=True)
    }


def network_of(encoding: str) -> tuple[str, ...]:
    """What an encoding stands for: in each stage its first layer, then what is no identity."""
    stages = encoding[:2], encoding[2:5], encoding[5:]
    return tuple(stage[0] + stage[1:].replace("0", "") for stage in stages)


def test_every_encoding_has_the_published_cost(space: Space, published: Path) -> None:
    table = json.loads((published / "nas-bench-macro_cifar10.json").read_text())
    assert space.extent.count == len(table) == 6561
    for encoding, row in table.items():
        cost = space.cost(point(encoding))
        assert (cost.macs, cost.params) == (row["flops"], row["params"]), encoding
    macs, params = ({row[key] for row in table.values()} for key in ("flops", "params"))
    extent = space.extent
    assert (extent.smallest_cost.macs, extent.largest_cost.macs) == (min(macs), max(macs))
    assert [end.value for end in space.ends(PARAMS)] == [min(params), max(params)]


def test_encodings_of_one_network_have_one_identity(space: Space) -> None:
    rng = random.Random(0)
    encodings = ["".join(rng.choice("001") for _ in LAYERS) for _ in range(150)]
    encodings += ["".join(rng.choice("012") for _ in LAYERS) for _ in range(50)]
    identities = {encoding: space.identity(point(encoding)) for encoding in encodings}
    for a, b in itertools.combinations(identities, 2):
        assert (identities[a] == identities[b]) == (network_of(a) == network_of(b)), (a, b)
    assert len(set(identities.values())) < len(identities) - 15  # duplicates are among them


@pytest.mark.slow
def test_its_encodings_are_3969_networks(space: Space) -> None:
    encodings = map("".join, itertools.product("012", repeat=8))
    assert len({space.identity(point(encoding)) for encoding in encodings}) == 3969
