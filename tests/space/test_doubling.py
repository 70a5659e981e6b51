"""Ways to double a network, coefficients, and the steps that are taken by them."""

from __future__ import annotations

import pytest
from networks import bundled

from nas.errors import InputError
from nas.measures import MACS
from nas.space import Space, dump_space, parse_space
from nas.space.coefficients import EFFICIENTNET, Coefficients
from nas.space.compound import take_step
from nas.space.doubling import NEAR, double
from nas.space.library import list_spaces
from nas.space.scale import has_stages, scale_space

SEARCHED = [name for name in list_spaces() if not name.startswith("reference/")]
REFERENCES = [
    "reference/resnet18",
    "reference/mobilenet_v2",
    "reference/vgg11",
    "reference/shufflenet_v2_x1_0",
]


def member(name: str) -> Space:
    """The network itself, or a small one of a space."""
    space = bundled(name)
    return space if space.is_architecture else space.resolve(space.smallest())


def check_ways(network: Space, steps: int) -> None:
    """Each has about twice the MACs, by the count of its own graph, and is another network."""
    ways = double(network, steps)
    base = network.architecture().cost.macs
    for way in ways:
        scaled = scale_space(network, way.coefficients.at(1))
        assert dump_space(scaled) == dump_space(way.network)
        assert way.growth == scaled.architecture().cost.macs / base
        assert abs(way.growth / 2 - 1) <= NEAR
    assert len({way.network.identity({}) for way in ways}) == len(ways)
    assert has_stages(network) or {way.coefficients.depth for way in ways} == {1}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SEARCHED, *REFERENCES])
def test_networks_of_every_space_are_doubled_in_several_ways(name: str) -> None:
    network = member(name)
    check_ways(network, 2)
    assert len(double(network, 2)) >= 3


NETWORK = """\
name: plain
input: [1, 32, 32]
classes: 10
network:
  - conv: {name: stem, out: 16, kernel: 3, stride: 2}
  - stage: {name: s1, depth: 4, stride: 2, block: {conv: {out: 64, kernel: 3}}}
  - classifier
"""


@pytest.mark.parametrize("steps", [1, 3])
def test_ways_of_a_small_network(steps: int) -> None:
    network = parse_space(NETWORK)
    check_ways(network, steps)
    ways = [way.coefficients for way in double(network, steps)]
    assert any(way.depth > 1.5 for way in ways) and any(way.resolution > 1.1 for way in ways)
    assert any(way.width > 1.3 for way in ways)
    published = [way.coefficients for way in double(network, steps) if way.is_published]
    assert [(way.depth, way.resolution) for way in published] == [(1.2, 1.15)]


def test_a_network_without_stages_keeps_its_depth() -> None:
    flat = parse_space(
        "name: flat\ninput: [1, 32, 32]\nnetwork: [conv: {out: 64}, conv: {name: b, out: 64}, classifier]"
    )
    check_ways(flat, 3)


def test_a_network_that_nothing_doubles() -> None:
    """At one pixel neither a second nor 8 channels more come near."""
    text = "name: dot\ninput: [1, 1, 1]\nclasses: 2\nnetwork:\n"
    text += "  [conv: {out: 8, kernel: 1}, conv: {name: b, out: 8, kernel: 1}, classifier]"
    with pytest.raises(InputError) as error:
        double(parse_space(text), 3)
    assert str(error.value) == (
        "coefficients: no depth, width and resolution make twice the 88 MACs of 'dot' to 5 %, as layers and "
        "channels move in steps; scale a wider or deeper network"
    )


def test_steps_grow_as_the_first_does() -> None:
    network = parse_space(NETWORK)
    by = double(network, 3)[1].coefficients
    costs = [take_step(network, by, step).space.amount({}, MACS) for step in range(5)]
    assert costs[0] == network.amount({}, MACS)
    assert costs[1] == scale_space(network, by.at(1)).amount({}, MACS)
    for step in range(2, 5):
        assert costs[step] == pytest.approx(costs[0] * (costs[1] / costs[0]) ** step, rel=0.03)


def test_steps_of_a_space_with_choices() -> None:
    space = parse_space(NETWORK.replace("depth: 4", "depth: {choice: [2, 4]}"))
    found = take_step(space, Coefficients(1.5, 1.2, 1), 2)
    assert found.space.declared["s1.depth"].options == (5, 9) and found.space.width == 1.44


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1.2,1.1", "coefficients: '1.2,1.1' is not three numbers; write depth, width and resolution, such "
         "as 1.2,1.1,1.15"),
        ("a,b,c", "coefficients: 'a,b,c' is not three numbers"),
        ("0.9,1.1,1.15", "coefficients: 0.9 is none; a step multiplies by a number from 1 to 4"),
        ("1.2,nan,1.15", "coefficients: nan is none; a step multiplies by a number from 1 to 4"),
        ("1,1,1", "coefficients: 1, 1, 1 leave every network as it is; make one of them larger"),
    ],
)  # fmt: skip
def test_what_are_no_coefficients(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        Coefficients.parse(text)
    assert str(error.value).startswith(message)


def test_coefficients_that_do_not_double() -> None:
    network = parse_space(NETWORK)
    with pytest.raises(InputError) as error:
        take_step(network, Coefficients(1, 1, 1.05), 3)
    assert str(error.value) == (
        "coefficients: depth x 1, width x 1, resolution x 1.05 makes 1.26 times the MACs of 'plain', and a "
        "step is to make about twice; give other coefficients"
    )


def test_the_default_is_efficientnet_s() -> None:
    assert str(Coefficients.parse("1.2, 1.1, 1.15")) == str(EFFICIENTNET)


def test_a_depth_near_the_most_of_a_file_is_not_doubled() -> None:
    """Of 100 cells; the rest of twice the MACs is the width's, or the resolution's."""
    network = parse_space(
        "input: [3, 16, 16]\nnetwork:\n- cell: {name: c, out: 256, depth: 60, "
        "normal: {nodes: 1, inputs: [prev1], ops: {conv2d: {kernel: 3}}}}\n- classifier"
    )
    found = double(network, 2)
    assert 1.5 < max(one.coefficients.depth for one in found) <= 100 / 60
