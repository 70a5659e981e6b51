"""Number of points, cheapest and dearest, against listing every point."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from random_spaces import points, spaces

from nas.cost import Cost
from nas.space import Choices, Space, SpaceError


def cost_by_building(space: Space, point: Choices) -> Cost | None:
    try:
        return space.architecture(point).cost
    except SpaceError:
        return None


def cost_by_parts(space: Space, point: Choices) -> Cost | None:
    try:
        return space.cost(point)
    except SpaceError:
        return None


def check_against_listing(space: Space, most: int) -> list[Choices]:
    """Every figure of the extent and every point's cost, by building all networks. Returns the points."""
    listed = points(space, most)
    assume(listed is not None)
    assert listed is not None
    costs = [cost_by_building(space, point) for point in listed]
    assert [cost_by_parts(space, point) for point in listed] == costs
    built = [cost for cost in costs if cost is not None]
    if not built:
        with pytest.raises(SpaceError):
            _ = space.extent
        return []
    extent = space.extent
    assert extent.count == len(built)
    assert extent.smallest in listed and extent.largest in listed
    assert extent.smallest_cost == space.cost(extent.smallest)
    assert extent.largest_cost == space.cost(extent.largest)
    assert extent.smallest_cost.macs == min(cost.macs for cost in built)
    assert extent.largest_cost.macs == max(cost.macs for cost in built)
    assert extent.fewest_params == min(cost.params for cost in built)
    assert extent.most_params == max(cost.params for cost in built)
    assert bool(extent.obstacles) == (len(built) < len(costs))
    return listed


@given(spaces())
@settings(max_examples=120)
def test_random_spaces_are_counted_exactly(space: Space) -> None:
    check_against_listing(space, 100)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@given(spaces(budget=7))
@settings(max_examples=3000)
def test_many_random_spaces_are_counted_exactly(space: Space) -> None:
    check_against_listing(space, 300)
