"""Number of points, cheapest and dearest, against listing every point."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from random_spaces import points, spaces
from space_checks import check_counts

from nas.space import Space, SpaceError, parse_space


@pytest.mark.slow
@given(spaces())
@settings(max_examples=80)
def test_random_spaces_are_counted_exactly(space: Space) -> None:
    listed = points(space, 100)
    assume(listed is not None)
    check_counts(space, listed or [])


@pytest.mark.slow
@pytest.mark.timeout(1200)
@given(spaces(budget=7))
@settings(max_examples=150)
def test_many_random_spaces_are_counted_exactly(space: Space) -> None:
    listed = points(space, 300)
    assume(listed is not None)
    check_counts(space, listed or [])


COUNTED = {
    "independent choices multiply": (
        """
network:
- conv: {out: {choice: [2, 4]}, kernel: {choice: [1, 3, 5]}}
- skip: {out: {choice: [2, 4]}}
""",
        2 * 3 * 2,
    ),
    "decisions in each layer, at each depth": (
        """
network:
- stage:
    depth: {choice: [1, 2, 3]}
    block: {conv: {out: 2, kernel: {choice: [1, 3, 5], per: layer}}}
""",
        3 + 9 + 27,
    ),
    "one decision for the whole stage": (
        """
network:
- stage: {depth: {choice: [1, 2, 3]}, block: {conv: {out: {choice: [2, 4]}}}}
""",
        3 * 2,
    ),
    "coupled values count once": (
        """
network:
- conv: {name: a, out: {choice: [2, 4, 8]}}
- conv: {out: {same_as: a.out}}
""",
        3,
    ),
    "a coupling may stand before the choice": (
        """
network:
- conv: {out: {same_as: b.out}}
- conv: {name: b, out: {choice: [2, 4, 8]}}
""",
        3,
    ),
    "stages of coupled depth": (
        """
network:
- stage:
    name: a
    depth: {choice: [1, 2]}
    block: {conv: {out: {choice: [2, 4], per: layer}}}
- stage:
    depth: {same_as: a.depth}
    block: {conv: {out: {choice: [2, 4, 6], per: layer}}}
""",
        2 * 3 + 4 * 9,
    ),
    "values coupled within each layer": (
        """
network:
- stage:
    name: a
    depth: {choice: [1, 2]}
    block:
    - conv: {out: {choice: [2, 4], per: layer}}
    - skip: {out: {same_as: a.conv.out}}
""",
        2 + 4,
    ),
    "a shared choice that only some layers need": (
        """
network:
- stage:
    depth: 2
    block:
      choice: [conv: {out: {choice: [2, 4]}}, skip: {out: 4}]
      per: layer
""",
        1 + 3 * 2,
    ),
    "a choice in branches": (
        """
network:
- parallel:
    branches:
    - conv: {out: {choice: [2, 4]}}
    - conv: {out: {same_as: parallel.branch1.out}, kernel: {choice: [1, 3]}}
    join: {choice: [add, concat]}
""",
        2 * 2 * 2,
    ),
    "width and resolution": (
        """
input: [3, {choice: [4, 8]}, {same_as: input.height}]
width: {choice: [0.5, 1, 2]}
network:
- conv: {out: {choice: [16, 32]}}
""",
        2 * 3 * 2,
    ),
    "choices of alternatives add up": (
        """
network:
- choice:
  - conv: {out: {choice: [2, 4]}}
  - mbconv: {out: {choice: [2, 4, 6]}}
  - identity
""",
        2 + 3 + 1,
    ),
    "a stage in a stage": (
        """
network:
- stage:
    depth: 2
    block:
    - stage: {depth: {choice: [1, 2]}, block: {conv: {out: {choice: [2, 4], per: layer}}}}
""",
        2 + 4,
    ),
    "a default that is a choice": (
        """
defaults: {conv: {act: {choice: [relu, silu]}}}
network:
- conv: {out: 2}
- conv: {out: 2}
""",
        2,
    ),
}


@pytest.mark.parametrize(("text", "count"), COUNTED.values(), ids=COUNTED)
def test_points_are_counted_as_by_hand(text: str, count: int) -> None:
    space = parse_space(text if "input" in text else f"input: [3, 8, 8]{text}")
    listed = points(space, 100) or []
    assert space.extent.count == count == len(listed)
    check_counts(space, listed)


def test_points_that_cannot_be_built_are_left_out_and_named() -> None:
    text = "input: [3, 8, 8]\nnetwork:\n- conv: {out: {choice: [4, 6]}, groups: {choice: [1, 3]}}\n"
    space = parse_space(text, "s.yaml")
    assert space.extent.count == 3
    assert [str(obstacle) for obstacle in space.extent.obstacles] == [
        "s.yaml:3: conv: 4 channels are not divisible by 3 groups; "
        "input and output channels (3, 4) must both be multiples of the groups"
    ]


def test_a_space_without_any_network_says_why() -> None:
    space = parse_space("input: [3, 4, 4]\nnetwork:\n- max_pool\n- max_pool\n- max_pool", "s.yaml")
    with pytest.raises(SpaceError) as error:
        _ = space.extent
    assert str(error.value) == (
        "s.yaml:5: max_pool_3: stride 2 shrinks an image of 1 x 1 below 1 x 1; "
        "use fewer strides or a larger input"
    )


def test_equal_parts_at_two_places_name_their_own_line() -> None:
    options = "  - conv: {name: a, out: 4, groups: 2}\n  - conv: {name: b, out: 4, groups: 2}\n"
    space = parse_space(f"input: [3, 4, 4]\nnetwork:\n- choice:\n{options}", "s.yaml")
    for option, line in (("a", 4), ("b", 5)):
        for ask in (space.cost, space.architecture):
            with pytest.raises(SpaceError, match=rf"^s\.yaml:{line}: choice\.{option}: 3 channels are not"):
                ask({"choice.block": option})


def test_the_cost_of_a_dropped_branch_is_not_counted() -> None:
    space = parse_space(
        "input: [3, 8, 8]\nnetwork:\n"
        "- parallel:\n"
        "    join: add\n"
        "    branches:\n"
        "    - conv2d: {out: 3}\n"
        "    - [{conv2d: {out: 3, kernel: 3}}, {choice: [identity, zero]}]\n"
    )
    kept, dropped = ({"parallel.branch2.choice.block": option} for option in ("identity", "zero"))
    assert space.cost(kept).macs == 8 * 8 * 3 * 3 * (1 + 9)
    assert space.cost(dropped).macs == 8 * 8 * 3 * 3
    assert space.extent.smallest == dropped and space.extent.largest == kept


def test_counting_does_not_list() -> None:
    """600 layers, 10^200 points: only composing them part by part ends at all."""
    layers = "depth: 100, block: {conv: {out: 4, kernel: {choice: [1, 3], per: layer}}}"
    stages = ", ".join(f"{{stage: {{name: s{i}, {layers}}}}}" for i in range(6))
    space = parse_space(f"input: [3, 8, 8]\nnetwork: [{stages}]")
    assert space.extent.count == 2**600
    assert set(space.extent.smallest.values()) == {1} and set(space.extent.largest.values()) == {3}
