"""What tests ask of any space: counts against a list, texts that read back, and a network by its parts."""

from __future__ import annotations

import random

import pytest

from nas.cost import Cost
from nas.graph import Architecture
from nas.measures import ACTIVATIONS, MACS, PARAMS
from nas.ops import Operator, Shape
from nas.space import Choices, Space, SpaceError, dump_space, parse_space


def names(architecture: Architecture) -> list[str]:
    return [node.name for node in architecture.nodes]


def ops(architecture: Architecture) -> dict[str, Operator]:
    return {node.name: node.op for node in architecture.nodes}


def shape(architecture: Architecture) -> Shape:
    return architecture.nodes[-1].shape


def drawn(space: Space, rng: random.Random) -> Choices:
    return space.sample(lambda name, options: rng.choice(options))


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


def check_counts(space: Space, listed: list[Choices]) -> None:
    """Every figure of the extent and every point's cost, by building all networks."""
    costs = [cost_by_building(space, point) for point in listed]
    assert [cost_by_parts(space, point) for point in listed] == costs
    built = [cost for cost in costs if cost is not None]
    if not built:
        with pytest.raises(SpaceError):
            _ = space.extent
        return
    extent = space.extent
    assert extent.count == len(built)
    assert extent.smallest in listed and extent.largest in listed
    assert extent.smallest_cost == space.cost(extent.smallest)
    assert extent.largest_cost == space.cost(extent.largest)
    assert extent.smallest_cost.macs == min(cost.macs for cost in built)
    assert extent.largest_cost.macs == max(cost.macs for cost in built)
    for measure in (MACS, PARAMS, ACTIVATIONS):
        amounts = [measure.of(cost) for cost in built]
        ends = space.ends(measure)
        assert [end.value for end in ends] == [min(amounts), max(amounts)]
        assert [space.amount(end.choices, measure) for end in ends] == [min(amounts), max(amounts)]
    assert bool(extent.obstacles) == (len(built) < len(costs))


def check_reads_back(space: Space, rng: random.Random) -> None:
    """A space, and what is left of it at a point, written and read: the same choices and networks."""
    again = parse_space(dump_space(space))
    assert again.declared == space.declared
    assert dump_space(again) == dump_space(space)
    point = drawn(space, rng)
    resolved = space.resolve(point)
    assert resolved.is_architecture
    written = dump_space(resolved)
    reread = parse_space(written)
    assert dump_space(reread) == written
    try:
        architecture = space.architecture(point)
    except SpaceError:
        for other in (reread.architecture, resolved.architecture):
            with pytest.raises(SpaceError):
                other()
        return
    assert again.architecture(point) == architecture
    assert resolved.architecture() == reread.architecture() == architecture
    assert space.cost(point) == reread.cost({}) == architecture.cost
