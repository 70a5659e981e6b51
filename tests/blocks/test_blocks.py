"""Every block as a module, what is special about each, and what the decorator promises."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from nas.blocks import (
    BLOCKS,
    Builder,
    Ref,
    block,
    get_block_arguments,
    is_bundled,
    is_operator,
    list_blocks,
    make_operator,
)
from nas.blocks.builder import Parts
from nas.errors import NasError
from nas.graph import Architecture, hash_network, simplify
from nas.ops import BatchNorm, Conv2d, DropPath, Identity, ShapeError
from nas.ops.arguments import Channels, Kernel, Stride
from nas.space import load_space, parse_space
from nas.space.elaborate import elaborate
from nas.space.library import find_space
from nas.testing.blocks import BlockSuite
from nas.testing.cases import BlockCase, block_cases

SHAPE = (16, 12, 12)
INCEPTION = {"out1": 8, "reduce3": 4, "out3": 8, "reduce5": 4, "out5": 4, "pool": 4}
CASES: dict[str, list[dict[str, Any]]] = {
    "conv": [
        {"out": 8},
        {"out": 8, "kernel": 1, "norm": False, "act": "none"},
        {"out": 8, "kernel": [1, 7], "padding": [0, 3], "bias": True, "norm": False, "act": "gelu"},
        {"out": 32, "kernel": 5, "stride": 2, "groups": 16, "dilation": 2, "act": "hardswish"},
    ],
    "skip": [{"out": 8}, {"out": 16, "stride": 2}, {"out": 24, "stride": 2}],
    "classifier": [{}, {"dropout": 0.5}],
    "basic": [
        {"out": 16},
        {"out": 24, "stride": 2, "se": 0.25},
        {"out": 16, "kernel": 5, "groups": 4, "act": "silu", "zero_gamma": True},
    ],
    "bottleneck": [
        {"out": 16},
        {"out": 32, "stride": 2, "groups": 4, "width": 0.5, "se": 0.0625},
        {"out": 4, "width": 0.1, "act": "leaky_relu"},
        {"out": 32, "stride": 2, "shortcut": "pooled", "zero_gamma": True},
    ],
    "preact": [{"out": 16}, {"out": 24, "stride": 2, "dropout": 0.3, "kernel": 5}],
    "preact_bottleneck": [{"out": 16}, {"out": 24, "stride": 2, "width": 0.5, "act": "silu"}],
    "logits": [{}, {"bias": False}],
    "conv_classifier": [{}, {"dropout": 0.5, "act": "none"}],
    "regnet": [{"out": 16}, {"out": 24, "stride": 2, "se": 0.25, "group_width": 4}],
    "inception_a": [{}, {"pool": 8, "out1": 8, "reduce5": 4, "out5": 8, "reduce3": 4, "out3": 8}],
    "inception_b": [{}, {"out": 8, "reduce": 4, "out3": 8}],
    "inception_c": [{"middle": 8}, {"middle": 8, "out": 16, "act": "silu"}],
    "inception_d": [{}, {"reduce": 8, "out3": 8, "out7": 8}],
    "inception_e": [{}, {"out1": 8, "out3": 8, "reduce": 4, "pool": 4}],
    "dense": [{"growth": 8}, {"growth": 4, "bottleneck": 2, "dropout": 0.2, "kernel": 5}],
    "transition": [{}, {"compression": 0.1}],
    "fire": [{"squeeze": 4, "expand": 8}, {"squeeze": 4, "expand": 8, "kernel": 5}],
    "fractal": [{"out": 8}, {"out": 8, "columns": 1, "dropout": 0.2}, {"out": 8, "columns": 4, "kernel": 1}],
    "shuffle_v1": [
        {"out": 16, "groups": 4},
        {"out": 48, "groups": 4, "stride": 2, "group_first": False},
        {"out": 32, "groups": 2},
    ],
    "shuffle_v2": [{"out": 16}, {"out": 32}, {"out": 24, "stride": 2, "kernel": 5}],
    "separable": [{"out": 16}, {"out": 24, "stride": 2, "kernel": 5, "act": "none"}],
    "ghost": [{"out": 16}, {"out": 24, "stride": 2, "se": 0.25, "kernel": 5}, {"out": 15, "expand": 2.3}],
    "uib": [
        {"out": 16},
        {"out": 24, "stride": 2, "start": 5, "middle": 0},
        {"out": 24, "start": 3, "middle": 5, "stride": 2, "expand": 2},
        {"out": 16, "middle": 0},
    ],
    "star": [{}, {"kernel": 5, "expand": 2, "act": "gelu"}],
    "nfnet": [{"out": 16}, {"out": 32, "stride": 2, "group_width": 8, "variance": 1.04, "se": 0}],
    "depthwise": [
        {"out": 16},
        {"out": 16, "residual": True, "se": 1, "kernel": 5},
        {"out": 24, "stride": 2, "residual": True, "act": "relu6"},
    ],
    "mbconv": [
        {"out": 16},
        {"out": 16, "expand": 1, "se": 0.25, "act": "silu"},
        {"out": 24, "expand": 1.5, "stride": 2, "kernel": 7},
        {"out": 24, "expand": 0.01},
        {"out": 24, "se": 0.25, "se_of": "hidden", "se_act": "relu", "gate": "hardsigmoid"},
    ],
    "fused_mbconv": [
        {"out": 16},
        {"out": 16, "expand": 1},
        {"out": 24, "expand": 0.01, "stride": 2, "act": "relu"},
    ],
    "act_conv": [{"out": 16}, {"out": 24, "kernel": 3, "stride": 2, "act": "silu"}],
    "factored_conv": [{"out": 16}, {"out": 24, "kernel": 3, "stride": 2, "width": 0.25}],
    "sep_conv": [{"out": 16}, {"out": 24, "kernel": 7, "stride": 2}],
    "dil_conv": [{"out": 16}, {"out": 24, "kernel": 5, "stride": 2, "dilation": 3}],
    "factorized_reduce": [{"out": 16}, {"out": 7}],
    "skip_connect": [{"out": 24}, {"out": 16, "stride": 2}, {"out": 16, "stride": 3}],
    "inception": [
        INCEPTION,
        *({**INCEPTION, "wide": wide} for wide in ("3x3", "3x3-3x3", "1x5-5x1")),
    ],
}
SHAPES: dict[str, list[tuple[int, ...]]] = {
    "classifier": [(10,)],
    "conv_classifier": [(10,)],
    "logits": [(10,)],
    "inception": [(24, 12, 12)],
    "inception_a": [(64 + 64 + 96 + 64, 12, 12), (8 + 8 + 8 + 8, 12, 12)],
    "inception_b": [(384 + 96 + 16, 5, 5), (8 + 8 + 16, 5, 5)],
    "inception_c": [(4 * 192, 12, 12), (4 * 16, 12, 12)],
    "inception_d": [(320 + 192 + 16, 5, 5), (8 + 8 + 16, 5, 5)],
    "inception_e": [(320 + 4 * 384 + 192, 12, 12), (8 + 4 * 8 + 4, 12, 12)],
    "dense": [(16 + 8, 12, 12), (16 + 4, 12, 12)],
    "transition": [(8, 6, 6), (1, 6, 6)],
    "fire": [(16, 12, 12)],
    "star": [(16, 12, 12)],
}
"""Of blocks whose output is not `out` wide."""

EVERY = [
    BlockCase(name, arguments, (16,) if name == "logits" else SHAPE)
    for name, cases in CASES.items()
    for arguments in cases
]


class TestBlocks(BlockSuite):
    cases = EVERY


def network(name: str, arguments: dict[str, Any], drop_path: float = 0.0) -> Architecture:
    return BlockCase(name, arguments, SHAPE).network(drop_path)


def test_every_block_has_a_case() -> None:
    assert set(CASES) == set(BLOCKS)


@pytest.mark.parametrize("name", BLOCKS)
def test_cases_are_found_for_every_block_from_the_kinds_of_its_arguments(name: str) -> None:
    assert [case.name for case in block_cases(name)].count(name) >= 2


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_output_has_the_channels_asked_for_and_stride_halves_the_image(case: BlockCase) -> None:
    size = 12 // case.arguments.get("stride", 2 if case.name == "factorized_reduce" else 1)
    expected = SHAPES.get(case.name) or [(case.arguments["out"], size, size)]
    assert case.network().nodes[-1].shape in expected


@pytest.mark.parametrize("name", ["basic", "bottleneck", "mbconv", "fused_mbconv", "depthwise"])
def test_residual_branches_are_dropped_at_the_layers_rate(name: str) -> None:
    arguments = {"out": 16} | ({"residual": True} if name == "depthwise" else {})
    drops = [node.op for node in network(name, arguments, drop_path=0.25).nodes if node.name == "drop_path"]
    assert drops == [DropPath(0.25)]
    assert not [node for node in network(name, arguments).nodes if isinstance(node.op, DropPath)]


def test_skip_adds_nothing_where_the_shape_may_stay() -> None:
    assert [node.op for node in network("skip", {"out": 16}).nodes] == [Identity()]
    assert [node.op for node in network("skip", {"out": 16, "stride": 2}).nodes] == [
        Conv2d(16, 1, 2),
        BatchNorm(),
    ]


def test_mbconv_without_expansion_is_depthwise_but_for_the_last_activation() -> None:
    mobile = network("mbconv", {"out": 24, "expand": 1, "act": "relu"})
    plain = network("depthwise", {"out": 24, "act": "relu"})
    assert [n.op for n in mobile.nodes] == [n.op for n in plain.nodes][:-1]


def test_blocks_that_are_one_network_have_one_hash() -> None:
    plain, no_gate = network("basic", {"out": 16}), network("basic", {"out": 16, "se": 0})
    assert hash_network(plain) == hash_network(no_gate)
    fused = network("fused_mbconv", {"out": 24, "expand": 1, "stride": 2})
    conv = network("conv", {"out": 24, "stride": 2, "act": "silu"})
    assert hash_network(fused) == hash_network(conv)


def test_names_read_as_places() -> None:
    names = [node.name for node in network("mbconv", {"out": 16, "se": 0.25}).nodes]
    assert names == [
        "expand.conv", "expand.norm", "expand.act", "dw.conv", "dw.norm", "dw.act",
        "se.pool", "se.reduce", "se.act", "se.expand", "se.gate", "se.scale",
        "project.conv", "project.norm", "add",
    ]  # fmt: skip


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"^16 channels are not divisible by 3 groups; "):
        network("basic", {"out": 24, "groups": 3})
    net = Builder((4,), 10)
    with pytest.raises(ShapeError, match=r"^needs an image \(C, H, W\), got a vector of 4 features"):
        BLOCKS["conv"](net, net.input, out=8)


# Registration -----------------------------------------------------------------------------------------


def test_a_block_of_ones_own_is_registered_by_a_decorator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.blocks.registry.BLOCKS", dict(BLOCKS))

    @block
    def twice(net: Builder, x: Ref, *, out: Channels, kernel: Kernel = 3, stride: Stride = 1) -> Ref:
        x = net.conv_norm_act(x, out, kernel, stride, name="first")
        return net.conv_norm_act(x, out, kernel, name="second")

    assert "twice" in list_blocks() and not is_operator("twice")
    assert {key: argument.required for key, argument in get_block_arguments("twice").items()} == {
        "out": True, "kernel": False, "stride": False,
    }  # fmt: skip
    with pytest.raises(NasError) as error:
        block(twice)
    assert str(error.value) == "a block named 'twice' is registered already; give yours another name"


def test_a_name_of_an_operator_is_taken() -> None:
    def conv2d(net: Builder, x: Ref) -> Ref:
        return x

    with pytest.raises(NasError, match=r"^a block named 'conv2d' is registered already"):
        block(conv2d)


def test_operators_with_one_input_can_be_called_by_name() -> None:
    assert {"conv2d", "max_pool", "zero", "identity"} <= set(list_blocks())
    assert not {"add", "multiply", "concat"} & set(list_blocks())
    assert make_operator("conv2d", {"out": 8, "stride": 2}) == Conv2d(8, stride=2)
    assert is_operator("conv2d") and not is_operator("conv")


# Parts that are known


def test_a_part_that_is_known_is_added_as_one_that_is_built() -> None:
    """With the names, the drop rate and the input of the place where it stands."""

    def block(net: Builder, x: Ref) -> Ref:
        with net.scope("one"):
            y = net.conv_norm_act(x, 8, 3, name="conv")
        return net.add_residual(y, x)

    def build(known: Parts | None) -> Architecture:
        net = Builder((8, 4, 4), 10, known=known)
        x = net.input
        for layer, rate in enumerate((0.0, 0.1, 0.2)):
            net.drop_path = rate
            with net.scope(f"layer{layer}"):
                x = net.add_part("block", block, x)
        return net.architecture(net.add_part("block", block, net.add_part("block", block, x)))

    known: Parts = {}
    assert build(known) == build(None) == build(known)
    assert len(known) == 2 and None not in known.values()


@pytest.mark.parametrize("case", [c for name in BLOCKS for c in block_cases(name)], ids=str)
def test_a_bundled_block_drops_at_the_rate_of_its_layer(case: BlockCase) -> None:
    """And is the same at any other, but for that: a part that is known is added again at another rate."""
    one, other = (case.network(drop_path=rate).nodes for rate in (0.25, 0.125))
    drops = [node for node in one if isinstance(node.op, DropPath)]
    assert {node.op for node in drops} <= {DropPath(0.25)}
    assert other == tuple(replace(n, op=DropPath(0.125)) if n in drops else n for n in one)


def test_a_block_of_a_users_own_is_built_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may depend on more than its arguments, as here on the drop rate."""

    def halved(net: Builder, x: Ref) -> Ref:
        return net.add(DropPath(net.drop_path / 2), x, name="drop_path")

    monkeypatch.setitem(BLOCKS, "halved", halved)
    stage = "{name: s, depth: 2, stride: 1, block: halved}"
    space = parse_space(
        f"name: own\ninput: [3, 8, 8]\nclasses: 10\ndrop_path: 0.4\nnetwork:\n  - stage: {stage}\n",
        "own.yaml",
    )
    assert not is_bundled("halved") and is_bundled("conv")
    for _ in range(2):
        nodes = space.architecture({}).nodes
        assert [node.op.p for node in nodes if isinstance(node.op, DropPath)] == [0.1]


def test_parts_that_are_known_share_the_texts_of_their_names() -> None:
    """Of a thousand parts these would be a third of the memory."""

    def block(net: Builder, x: Ref) -> Ref:
        with net.scope("one"):
            return net.conv_norm_act(x, 8, name="conv")

    known: Parts = {}
    net = Builder((8, 4, 4), 10, known=known)
    for name in ("block 1", "block 2"):
        net.add_part(name, block, net.input)
    names = [{*map(id, part.names), *(id(n.name) for n in part.nodes)} for part in known.values() if part]
    assert len(names) == 2 and names[0] == names[1]


def test_a_part_that_cannot_be_built_says_why_each_time() -> None:
    def wide(net: Builder, x: Ref) -> Ref:
        return net.add(Conv2d(8, groups=3), x, name="conv")

    net = Builder((8, 4, 4), 10, known={})
    for _ in range(2):
        with pytest.raises(ShapeError, match="not divisible by 3 groups"):
            net.add_part("wide", wide, net.input)
    assert net.nodes == ()


@pytest.mark.parametrize("name", ["mbconv", "residual", "mixed", "inception"])
def test_networks_of_known_parts_are_those_that_are_built(name: str) -> None:
    space, rng = load_space(find_space(name)), random.Random(0)
    for _ in range(12):
        point = space.sample(lambda _, options: rng.choice(options))
        one = space.resolve(point)
        shape = tuple(map(int, one.input))
        built = elaborate(one.network, shape, one.classes, one.width, one.drop_path, one.details)
        assert space.architecture(point) == simplify(built)
