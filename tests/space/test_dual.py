"""What networks within one limit have at least of another measure, against all networks of a small space."""

from __future__ import annotations

import pytest
from command_line import TINY
from toys import read_budget

from nas.errors import InputError
from nas.measures import MACS, PARAMS, Measure
from nas.space import load_space, parse_space
from nas.space.counting.dual import bound_least
from nas.space.library import find_space
from nas.workflows.checks import check_budget

SPACE = parse_space(TINY, "tiny.yaml")


@pytest.fixture(scope="module")
def costs() -> list[dict[Measure, int]]:
    points = [
        {"stem.out": a, "stem.kernel": b, "s1.depth": depth, "s1.out": c}
        | {f"s1.layer{n + 1}.kernel": k for n, k in enumerate(kernels)}
        for a in (4, 6, 8)
        for b in (3, 5)
        for c in (8, 12, 16)
        for depth in (1, 2, 3)
        for kernels in _every(depth)
    ]
    assert len(points) == SPACE.count
    return [{measure: measure.of(SPACE.cost(point)) for measure in (MACS, PARAMS)} for point in points]


def _every(depth: int) -> list[tuple[int, ...]]:
    return [()] if depth == 0 else [(k, *rest) for k in (3, 5) for rest in _every(depth - 1)]


@pytest.mark.parametrize("way", [1, -1], ids=["at most", "at least"])
@pytest.mark.parametrize("sign", [1, -1], ids=["least", "most"])
@pytest.mark.parametrize(("one", "other"), [(MACS, PARAMS), (PARAMS, MACS)], ids=["macs", "params"])
def test_no_network_within_a_limit_is_beyond_the_bound(
    costs: list[dict[Measure, int]], one: Measure, other: Measure, sign: int, way: int
) -> None:
    ends = sorted(cost[one] for cost in costs)
    exact = 0
    for limit in ends[::25]:
        inside = [sign * cost[other] for cost in costs if way * cost[one] <= way * limit]
        bound = bound_least(
            SPACE, lambda cost: sign * other.of(cost), lambda cost: way * one.of(cost), way * limit
        )
        assert bound <= min(inside)
        exact += bound == min(inside)
    assert exact > 0


def test_limits_that_exclude_each_other_are_said(costs: list[dict[Measure, int]]) -> None:
    slim = min(cost[PARAMS] for cost in costs)
    most = max(cost[MACS] for cost in costs if cost[PARAMS] <= 2 * slim)
    largest = max(cost[MACS] for cost in costs)
    assert most < largest
    with pytest.raises(InputError, match=r"no network of 'tiny' with .*; such networks have at "):
        check_budget(SPACE, read_budget(f"{largest - 1}..{largest}", str(2 * slim), ()))
    assert check_budget(SPACE, read_budget(str(most), str(2 * slim), ())) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flops", "params", "why"),
    [
        ("150M", "6M..7M", "with at most 150,000,000 MACs has 6,000,000 or more parameters; such"),
        ("500M..501M", "2100K", "with 500,000,000 or more MACs has at most 2,100,000 parameters; such"),
    ],
)  # fmt: skip
def test_a_large_space_is_known_in_seconds(flops: str, params: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        check_budget(load_space(find_space("mbconv")), read_budget(flops, params, ()))


@pytest.mark.slow
def test_what_cannot_be_told_is_said_with_a_bound() -> None:
    note = check_budget(load_space(find_space("mbconv")), read_budget("300M..301M", "2100K", ()))
    assert note is not None and note.endswith(
        "was found in 4,096 samples of those inside --budget-flops: there is none, or fewer than one in "
        "1,067. Widen a limit where the search finds none."
    )
