"""The cell of NAS-Bench-201 (Dong & Yang 2020): every point can be built, and equal networks are one."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Sequence

import pytest
from computed import count_told_otherwise

from nas.cost import Cost
from nas.space import parse_space

OPS = (
    "zero, skip_connect, {act_conv: {name: conv1}}, {act_conv: {name: conv3, kernel: 3}}, "
    "{avg_pool: {kernel: 3, stride: 1}}"
)
SPACE = parse_space(f"""
input: [3, 8, 8]
classes: 10
network:
- conv: {{name: stem, out: 8, act: none}}
- cell:
    name: c
    out: 8
    normal:
      nodes:
      - {{inputs: [prev1], ops: {{choice: [{OPS}]}}}}
      - {{inputs: [prev1, node1], ops: {{choice: [{OPS}]}}}}
      - {{inputs: [prev1, node1, node2], ops: {{choice: [{OPS}]}}}}
      output: [node3]
- classifier
""")
EDGES = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
POINTS = list(itertools.product(next(iter(SPACE.declared.values())).options, repeat=6))
Terms = tuple[int, ...]


def choices(point: tuple[object, ...]) -> dict[str, object]:
    names = [f"c.normal.node{to}.op{source + 1}.block" for source, to in EDGES]
    return dict(zip(names, point, strict=True))


def written(point: tuple[object, ...]) -> object:
    """The cell as sums of operators on sums: the least of all ways to number the operators."""
    kinds = dict(zip(EDGES, point, strict=True))
    operators: list[tuple[object, Terms]] = [("input", ())]
    sums: list[Terms] = [(0,)]
    for node in (1, 2, 3):
        terms: list[int] = []
        for source in range(node):
            kind = kinds[source, node]
            if kind == "skip_connect":
                terms += sums[source]
            elif kind != "zero" and sums[source]:
                terms.append(len(operators))
                operators.append((kind, sums[source]))
        sums.append(tuple(terms))
    needed, waiting = set[int](), list(sums[3])
    while waiting:
        needed.add(one := waiting.pop())
        waiting += operators[one][1]
    found = []
    for order in itertools.permutations(range(1, len(needed)) if needed else ()):
        number = {0: 0, **dict(zip(sorted(needed - {0}), order, strict=True))}
        told = sorted(
            (number[i], str(operators[i][0]), sorted(number[j] for j in operators[i][1])) for i in needed
        )
        found.append((sorted(number[i] for i in sums[3]), told))
    return repr(min(found)) if needed else "zeros"


def check(points: Sequence[tuple[object, ...]]) -> int:
    ways: dict[str, set[object]] = defaultdict(set)
    costs: dict[str, set[Cost]] = defaultdict(set)
    for point in points:
        identity = SPACE.identity(choices(point))  # type: ignore[arg-type]
        ways[identity].add(written(point))
        costs[identity].add(SPACE.cost(choices(point)))  # type: ignore[arg-type]
    assert all(len(told) == 1 for told in ways.values())
    assert all(len(cost) == 1 for cost in costs.values())
    assert len(set().union(*ways.values())) == len(ways)
    return len(ways)


def test_all_points_are_built() -> None:
    assert SPACE.count == len(POINTS) == 15_625
    assert not SPACE.extent.obstacles


def test_some_points_are_one_network_just_where_they_are_written_alike() -> None:
    check(random.Random(0).sample(POINTS, 400))


def test_networks_of_one_identity_compute_the_same() -> None:
    sample = random.Random(1).sample(POINTS, 250)
    assert count_told_otherwise(SPACE, map(choices, sample)) > 5  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_all_points_are_5425_networks() -> None:
    assert check(POINTS) == 5_425
