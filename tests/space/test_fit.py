"""Spaces for images of another size: which strides become 1, and that all else is as it was."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import RESNET50, bundled
from random_spaces import documents

from nas.errors import InputError
from nas.graph.module import build_module, count_macs, count_parameters
from nas.space import Choices, Space, SpaceError, dump_space, load_space, parse_space
from nas.space.fit import find_last_shape, find_small_maps, fit_input
from nas.space.language.tree import Call, Stage, walk
from nas.space.library import list_spaces

SPACES = [name for name in list_spaces() if "/" not in name]


def drawn(space: Space, seed: int) -> Choices:
    rng = random.Random(seed)
    return space.sample(lambda name, options: rng.choice(options))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "cell" else []) for name in SPACES]
)
@settings(max_examples=3, suppress_health_check=[HealthCheck.differing_executors])
@given(side=st.integers(16, 256), seed=st.integers(0, 2**20))
def test_members_of_every_bundled_space_at_any_size(name: str, side: int, seed: int) -> None:
    own = bundled(name)
    space = fit_input(own, side).space
    point = drawn(space, seed)
    network = space.architecture(point)
    assert network.input_shape == (3, side, side) and network.nodes[-1].shape == (own.classes,)
    with torch.device("meta"):
        module = build_module(network)
    assert count_macs(module, network.input_shape) == space.cost(point).macs == network.cost.macs
    assert count_parameters(module) == space.cost(point).params
    # what is a network of the one is one of the other, with as many weights, an input that is open left aside
    at_own = own.cost({**point, **({"input.height": 224} if name == "depthwise" else {})})
    assert at_own.params == space.cost(point).params
    again = parse_space(dump_space(space), space.file)
    assert again == space and again.cost(point) == space.cost(point)


def stride(node: Call | Stage) -> Any:
    if isinstance(node, Stage):
        return node.stride
    return dict(node.args).get("stride", 2 if node.block == "max_pool" else 1)


@pytest.mark.parametrize("name", SPACES)
def test_strides_fall_and_nothing_else_changes(name: str) -> None:
    own = bundled(name)
    for side in (16, 32, 64, 96, 224):
        space = fit_input(own, side).space
        changed = [
            (one, other)
            for one, other in zip(walk(own.network), walk(space.network), strict=True)
            if isinstance(one, Call | Stage) and isinstance(other, Call | Stage) and one != other
        ]
        assert all(stride(one) > 1 == stride(other) for one, other in changed)
        assert {k: v for k, v in own.declared.items() if k != "input.height"} == space.declared


@pytest.mark.parametrize(
    ("name", "side", "strides", "last"),
    [
        ("mbconv", 16, ["stem", "s2", "s3", "s4"], 8),
        ("mbconv", 32, ["stem", "s2", "s3"], 8),
        ("mbconv", 64, ["stem", "s2"], 8),
        ("mbconv", 96, ["stem"], 6),
        ("mbconv", 160, [], 5),
        ("mbconv", 224, [], 7),
        ("mbconv", 448, [], 14),
        ("mbconv", 1, ["stem", "s2", "s3", "s4", "s6"], 1),
        ("residual", 32, ["stem", "max_pool", "s2"], 8),
        ("inception", 32, ["stem1", "pool1", "pool2"], 8),
        ("depthwise", 32, ["stem", "s2", "s3"], 8),
        ("mixed", 32, ["stem", "s2", "s3"], 8),
        ("cell", 32, [], 8),
        ("darts", 16, [], 4),
        ("reference/densenet121", 32, ["stem", "max_pool"], 4),
    ],
)
def test_the_last_map_is_nearest_to_that_of_its_own_input(
    name: str, side: int, strides: list[str], last: int
) -> None:
    fitted = fit_input(bundled(name), side)
    assert (list(fitted.strides), fitted.last[1:]) == (strides, (last, last))
    assert find_last_shape(fitted.space)[1:] == (last, last)
    assert fit_input(fitted.space, side).strides == ()


def test_it_is_what_a_file_can_say(tmp_path: Path) -> None:
    text = "extends: mbconv\ninput: [3, 32, 32]\nset: {stem.stride: 1, s2.stride: 1, s3.stride: 1}\n"
    fitted = fit_input(bundled("mbconv"), 32)
    assert parse_space(text, str(tmp_path / "small.yaml")).network == fitted.space.network
    assert str(fitted) == (
        "Input 32 x 32: strides of stem, s2, s3 are 1; the last map is 8 x 8, of 7 x 7 at 224 x 224."
    )
    assert fitted.space.meta == {"fitted_from": {"input": 224, "strides_of_1": ["stem", "s2", "s3"]}}
    assert fit_input(bundled("mbconv"), 224).space == bundled("mbconv")
    assert load_space("mbconv", 32) == fitted.space


def test_a_pool_without_its_stride_goes() -> None:
    """As in the networks for CIFAR-10 of He et al. 2016, which have no pool."""
    network = fit_input(parse_space(RESNET50), 32).space.architecture()
    assert not any(node.op.name == "max_pool" for node in network.nodes)
    assert network.cost.params == parse_space(RESNET50).cost({}).params


def small(*nodes: str, side: int = 64) -> Space:
    lines = "".join(f"  - {node}\n" for node in nodes)
    return parse_space(f"name: s\ninput: [3, {side}, {side}]\nclasses: 10\nnetwork:\n{lines}  - classifier\n")


def test_branches_fall_together_and_keep_their_size() -> None:
    space = small(
        "conv: {out: 8, stride: 2}",
        "parallel: {name: mix, branches: [{conv: {out: 8, stride: 2}}, {max_pool: {kernel: 3}}, max_pool]}",
    )
    fitted = fit_input(space, 16)
    assert (fitted.strides, fitted.last) == (("conv", "mix"), (24, 16, 16))


def test_a_stride_that_is_a_choice_becomes_1_and_no_choice() -> None:
    space = small(
        "stage: {name: a, stride: {choice: [1, 2]}, block: {conv: {out: 8}}}",
        "stage: {name: b, stride: {choice: [1, 2]}, block: {conv: {out: {choice: [8, 16]}}}}",
    )
    assert list(fit_input(space, 32).space.declared) == ["b.stride", "b.out"]
    assert list(fit_input(space, 16).space.declared) == ["b.out"]


def test_a_choice_that_is_named_as_a_stride_may_be_anything() -> None:
    text = "network: [conv: {out: 8, stride: 2, act: {choice: [relu, silu], name: a.stride}}, classifier]"
    assert fit_input(parse_space(text), 112).strides == ("conv",)


def test_strides_that_are_one_decision_fall_together() -> None:
    space = small(
        "stage: {name: a, stride: {choice: [1, 2]}, block: {conv: {out: 8}}}",
        "stage: {name: b, stride: {same_as: a.stride}, block: {conv: {out: 8}}}",
    )
    assert list(fit_input(space, 32).space.declared) == ["a.stride"]
    assert list(fit_input(space, 16).space.declared) == []


def test_a_size_that_is_a_choice_is_one_that_nothing_else_needs() -> None:
    text = "input: [3, {choice: [2, 4]}, 4]\nnetwork: [conv: {out: {same_as: input.height}}, classifier]\n"
    with pytest.raises(InputError) as error:
        fit_input(parse_space(text), 8)
    assert str(error.value) == (
        "--input 8: <text>:2: is the same as 'input.height', a stride or size that is no choice at another "
        "input; give one of the two a value of its own"
    )


@pytest.mark.parametrize(
    ("name", "side", "message"),
    [
        (
            "cell",
            2,
            "cell.yaml:10: cells: reduction 2 shrinks an image of 1 x 1 below 1 x 1; use fewer reductions or "
            "a larger input",
        ),
        ("reference/inception_v3", 8, "b: a window of 3 pixels does not fit into 2 pixels"),
        ("reference/densenet121", 4, "below 1 x 1; use fewer strides or a larger input"),
    ],
)
def test_what_cannot_take_an_input_says_where(name: str, side: int, message: str) -> None:
    with pytest.raises(InputError) as error:
        fit_input(bundled(name), side)
    text = str(error.value)
    assert text.startswith(f"--input {side}: ") and message in text and name.split("/")[-1] in text


@pytest.mark.parametrize("side", [0, -1, 1_000_001])
def test_what_is_no_size(side: int) -> None:
    with pytest.raises(InputError) as error:
        fit_input(bundled("mbconv"), side)
    assert str(error.value) == (
        f"--input: {side} is not an input size; it is a whole number of pixels, 1 to 1,000,000"
    )


@pytest.mark.parametrize(
    ("name", "side", "stages"),
    [
        ("mbconv", 32, ["s6", "s7"]),
        ("mbconv", 16, []),  # no network of it can be built
        ("mbconv", 33, []),
        ("residual", 32, ["s4"]),
        ("inception", 32, ["s5"]),
        ("cell", 8, []),
        ("cell", 4, ["cells"]),
        ("reference/vgg11", 32, ["max_pool_5"]),
    ],
)
def test_stages_that_see_one_pixel(name: str, side: int, stages: list[str]) -> None:
    assert find_small_maps(bundled(name), side) == stages
    if name == "mbconv":
        assert find_small_maps(fit_input(bundled(name), side).space, side) == []


def test_a_network_is_fitted_as_its_space_is() -> None:
    """At its own 128 pixels its last map is 4 x 4, that of its space at 224 pixels is 7 x 7."""
    fitted = fit_input(bundled("depthwise"), 32)
    text = dump_space(bundled("reference/mobilenet_v1"))
    start = fitted.fit(parse_space(text.replace("[3, 224, 224]", "[3, 128, 128]")))
    assert find_last_shape(start)[1:] == fitted.last[1:]
    from nas.space.member import find_point

    assert fitted.space.cost(find_point(fitted.space, start)) == start.cost({})


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(documents(), st.integers(1, 40), st.integers(0, 2**20))
def test_any_space_is_fitted_or_refused(document: dict[str, Any], side: int, seed: int) -> None:
    try:
        space = parse_space(yaml.safe_dump(document))
        _ = space.points
    except SpaceError:
        return
    try:
        fitted = fit_input(space, side)
    except InputError as error:
        assert str(error).startswith(f"--input {side}: ")
        return
    again = parse_space(dump_space(fitted.space))
    point = fitted.space.smallest()
    assert again.count == fitted.space.count and again.cost(point) == fitted.space.cost(point)
    assert fitted.space.architecture(point).input_shape == (3, side, side)
