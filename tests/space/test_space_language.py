"""Every form of the space language: what it denotes, how its choices are named, how it is written again."""

from __future__ import annotations

import itertools
import random
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from random_spaces import spaces
from space_checks import check_reads_back, drawn, names, ops, shape
from torch import nn

from nas.blocks import get_block_arguments, list_blocks
from nas.cost import Cost
from nas.errors import InputError
from nas.graph import Architecture
from nas.graph.module import build_module, count_macs, count_parameters
from nas.measures import PARAMS
from nas.ops import Act, Add, AvgPool, BatchNorm, Concat, Conv2d, DropPath, Operator, PadChannels
from nas.ops.arguments import ACTIVATIONS
from nas.space import Space, SpaceError, dump_space, load_space, parse_space
from nas.space.language.extends import KEYS
from nas.space.language.parse_nodes import FORMS, JOINS, SHORTCUTS

FOLDER = Path(__file__).parents[2] / "search_spaces"
SPACES = [*sorted(FOLDER.glob("*.yaml")), FOLDER / "reference" / "efficientnet_b0.yaml"]
every_space = pytest.mark.parametrize("path", SPACES, ids=[path.stem for path in SPACES])
QUICK = ("mbconv", "inception", "residual")


def space_of(*lines: str, top: str = "input: [3, 16, 16]") -> Space:
    return parse_space("\n".join([top, "network:", *lines]), "s.yaml")


def built(*lines: str, top: str = "input: [3, 16, 16]", **choices: Any) -> Architecture:
    """The network of these lines, at a point or without choices."""
    named = {name.replace("__", "."): option for name, option in choices.items()}
    return space_of(*lines, top=top).architecture(named)


# Nodes ------------------------------------------------------------------------------------------------


def test_a_call_of_a_block_with_and_without_arguments() -> None:
    net = built("- conv: {out: 8, kernel: 1, stride: 2}", "- max_pool", "- classifier:")
    assert names(net) == [
        "conv.conv", "conv.norm", "conv.act", "max_pool",
        "classifier.pool", "classifier.flatten", "classifier.linear",
    ]  # fmt: skip
    assert net.shapes["max_pool"] == (8, 4, 4)
    assert shape(net) == (1000,)


def test_an_operator_stands_at_its_name_and_a_block_below_it() -> None:
    assert names(built("- conv2d: {name: a, out: 8}", "- conv: {name: b, out: 8}")) == [
        "a", "b.conv", "b.norm", "b.act",
    ]  # fmt: skip


def test_sequences_are_numbered_where_blocks_repeat_and_lists_in_lists_are_flat() -> None:
    net = built(
        "- conv2d: {out: 4}",
        "- [{conv2d: {out: 5}}, [{conv2d: {name: conv2d_3, out: 6}}]]",
        "- conv2d: {out: 7}",
    )
    assert names(net) == ["conv2d", "conv2d_2", "conv2d_3", "conv2d_4"]


def test_a_named_sequence_is_a_group() -> None:
    net = built("- sequence:", "    name: g", "    body: [{conv2d: {out: 4}}, {conv2d: {out: 5}}]")
    assert names(net) == ["g.conv2d", "g.conv2d_2"]


def test_a_network_of_one_node_needs_no_list() -> None:
    assert names(parse_space("network: {conv2d: {out: 4}}").architecture()) == ["conv2d"]


def test_a_stage_repeats_its_block_and_strides_once() -> None:
    net = built("- stage: {name: s, depth: 3, stride: 2, block: {conv: {out: 8}}}")
    convs = [op for op in ops(net).values() if isinstance(op, Conv2d)]
    assert [conv.stride for conv in convs] == [2, 1, 1]
    assert names(net)[::3] == ["s.layer1.conv", "s.layer2.conv", "s.layer3.conv"]
    assert shape(net) == (8, 8, 8)


def test_a_stage_hands_its_stride_where_it_is_asked_for() -> None:
    net = built(
        "- stage:",
        "    stride: 2",
        "    depth: 2",
        "    block: [{conv2d: {name: a, out: 4}}, {conv2d: {name: b, out: 4, stride: $stride}}]",
    )
    strides = {name: op.stride for name, op in ops(net).items() if isinstance(op, Conv2d)}
    assert strides == {"stage.layer1.a": 1, "stage.layer1.b": 2, "stage.layer2.a": 1, "stage.layer2.b": 1}


def test_a_stage_in_a_stage_takes_the_outer_stride() -> None:
    net = built(
        "- stage:",
        "    name: s",
        "    depth: 2",
        "    stride: 2",
        "    block: [stage: {name: t, depth: 2, stride: $stride, block: {conv2d: {out: 4}}}]",
    )
    strides = [op.stride for op in ops(net).values() if isinstance(op, Conv2d)]
    assert strides == [2, 1, 1, 1]
    assert names(net)[1] == "s.layer1.t.layer2.conv2d"


@pytest.mark.parametrize(
    ("shortcut", "body", "expected"),
    [
        ("auto", "{out: 3}", []),
        ("auto", "{out: 4, stride: 2}", [Conv2d(4, stride=2), BatchNorm()]),
        ("identity", "{out: 3}", []),
        ("projection", "{out: 3}", [Conv2d(3), BatchNorm()]),
        ("projection", "{out: 4, stride: 2}", [Conv2d(4, stride=2), BatchNorm()]),
        (
            "pooled",
            "{out: 4, stride: 2}",
            [AvgPool(2, 2, 0, ceil=True, count_pad=False), Conv2d(4), BatchNorm()],
        ),
        ("pooled", "{out: 3, stride: 2}", [AvgPool(2, 2, 0, ceil=True, count_pad=False)]),
        ("pooled", "{out: 4}", [Conv2d(4), BatchNorm()]),
        ("padded", "{out: 4, stride: 2}", [AvgPool(2, 2, 0, ceil=True, count_pad=False), PadChannels(4)]),
        ("padded", "{out: 3}", []),
    ],
)
def test_every_shortcut_of_a_residual(shortcut: str, body: str, expected: list[Operator]) -> None:
    net = built(f"- residual: {{body: {{conv2d: {body}}}, shortcut: {shortcut}, act: relu}}")
    shown = list(ops(net).values())
    assert isinstance(shown[0], Conv2d) and shown[-2:] == [Add(), Act("relu")]
    assert shown[1:-2] == expected
    assert names(net)[0] == "residual.body.conv2d"


def test_a_residual_shortens_by_itself_and_without_activation() -> None:
    assert list(ops(built("- residual: {body: {conv2d: {out: 3}}}")).values()) == [Conv2d(3), Add()]


def test_odd_images_meet_again_behind_a_stride() -> None:
    for shortcut in ("auto", "projection", "pooled", "padded"):
        net = built(
            f"- residual: {{body: {{conv: {{out: 4, stride: 2}}}}, shortcut: {shortcut}}}",
            top="input: [3, 9, 7]",
        )
        assert shape(net) == (4, 5, 4)


def test_branches_join_by_concat_or_add() -> None:
    branches = "branches: [[conv2d: {out: 3}], {conv2d: {out: 3, kernel: 3}}, []]"
    wide = built(f"- parallel: {{{branches}}}")
    assert shape(wide) == (9, 16, 16) and ops(wide)["parallel.concat"] == Concat()
    assert wide.nodes[-1].inputs == ("parallel.branch1.conv2d", "parallel.branch2.conv2d", "input")
    assert shape(built(f"- parallel: {{{branches}, join: add}}")) == (3, 16, 16)


def test_a_named_branch_keeps_its_name() -> None:
    net = built("- parallel: {branches: [{conv2d: {name: a, out: 3}}, {name: b, choice: [identity, zero]}]}",
                parallel__branch2__b__block="zero")  # fmt: skip
    assert names(net) == ["parallel.branch1.a", "parallel.branch2.b", "parallel.concat"]


def test_a_choice_between_nodes() -> None:
    lines = ["- choice: [{conv2d: {out: 4}}, {conv2d: {out: 5}}, [max_pool, {conv2d: {out: 6}}], identity]"]
    assert space_of(*lines).declared["choice.block"].options == ("conv2d", "conv2d_2", "sequence", "identity")
    assert shape(built(*lines, choice__block="conv2d_2")) == (5, 16, 16)
    net = built(*lines, choice__block="sequence")
    assert names(net) == ["choice.max_pool", "choice.conv2d"]


def test_a_choice_between_nodes_may_be_named_and_made_in_each_layer() -> None:
    lines = [
        "- stage:",
        "    name: s",
        "    depth: 2",
        "    block:",
        "      choice: [{conv2d: {name: small, out: 3}}, {conv2d: {name: large, out: 3, kernel: 5}}]",
        "      per: layer",
    ]
    net = built(*lines, s__layer1__block="large", s__layer2__block="small")
    assert list(ops(net).values()) == [Conv2d(3, 5), Conv2d(3)]
    assert set(space_of(*lines).declared) == {"s.block"}
    named = built("- {name: c, choice: [{conv2d: {out: 4}}, identity]}", c__block="conv2d")
    assert names(named) == ["c"]


def test_stages_chosen_in_each_layer_keep_their_names() -> None:
    lines = [
        "- stage:",
        "    name: s",
        "    depth: 2",
        "    block:",
        "      choice: [{stage: {name: a, block: {conv2d: {out: 4}}}}, {stage: {name: b, block: identity}}]",
        "      per: layer",
        "- conv2d: {out: 4}",
    ]
    net = built(*lines, s__layer1__block="b", s__layer2__block="a")
    assert names(net) == ["s.layer2.a.layer1.conv2d", "conv2d"]
    check_reads_back(space_of(*lines), random.Random(1))


def test_a_list_of_layers_names_each_node() -> None:
    lines = [
        "- stage: {name: s, depth: 2, stride: 2, block: {layers: [{conv2d: {out: 4}}, {mbconv: {out: 4}}]}}"
    ]
    net = built(*lines)
    assert names(net)[:2] == ["s.layer1.conv2d", "s.layer2.expand.conv"]
    assert shape(net) == (4, 8, 8)


# Values -----------------------------------------------------------------------------------------------


def test_a_value_choice_belongs_to_the_stage_or_to_each_layer() -> None:
    lines = [
        "- stage:",
        "    name: s",
        "    depth: {choice: [1, 2]}",
        "    block: {conv2d: {out: {choice: [4, 8]}, kernel: {choice: [1, 3], per: layer}}}",
    ]
    asked: list[str] = []
    point = space_of(*lines).sample(lambda name, options: asked.append(name) or options[-1])  # type: ignore[func-returns-value]
    assert asked == ["s.depth", "s.out", "s.layer1.kernel", "s.layer2.kernel"]
    assert point == {"s.depth": 2, "s.out": 8, "s.layer1.kernel": 3, "s.layer2.kernel": 3}
    point |= {"s.layer1.kernel": 1}
    assert list(ops(space_of(*lines).architecture(point)).values()) == [Conv2d(8), Conv2d(8, 3)]


def test_a_pair_is_offered_as_its_text() -> None:
    space = space_of("- conv2d: {out: 4, kernel: {choice: [3, [1, 7]]}}")
    assert space.declared["conv2d.kernel"].options == (3, "[1, 7]")
    assert ops(space.architecture({"conv2d.kernel": "[1, 7]"})) == {"conv2d": Conv2d(4, (1, 7))}


@pytest.mark.parametrize(
    ("text", "options"), [("[2, 5]", (2, 3, 4, 5)), ("[8, 24, 8]", (8, 16, 24)), ("[4, 4]", (4,))]
)
def test_a_range_has_both_ends(text: str, options: tuple[int, ...]) -> None:
    assert space_of(f"- conv2d: {{out: {{range: {text}}}}}").declared["conv2d.out"].options == options


def test_a_range_may_be_decided_in_each_layer() -> None:
    space = space_of("- stage: {name: s, depth: 2, block: {conv2d: {out: {range: [1, 2], per: layer}}}}")
    assert set(space.extent.largest) == {"s.layer1.out", "s.layer2.out"}


def test_one_value_for_each_layer() -> None:
    space = space_of("- stage: {name: s, depth: 2, block: {conv2d: {out: {layers: [4, {choice: [6, 8]}]}}}}")
    assert list(space.declared) == ["s.layer2.out"]
    assert shape(space.architecture({"s.layer2.out": 6})) == (6, 16, 16)


def test_a_value_of_a_layer_may_be_any_value() -> None:
    """The stage's stride, channels that the width leaves alone, what an argument has in that layer."""
    net = built(
        "- stage:",
        "    name: s",
        "    depth: 2",
        "    stride: 2",
        "    block: [conv2d: {out: {layers: [{fixed: 4}, 8]}, stride: {layers: [$stride, 2]}}]",
        top="input: [3, 16, 16]\nwidth: 2",
    )
    assert [node.shape for node in net.nodes] == [(4, 8, 8), (16, 4, 4)]
    space = space_of(
        "- stage: {name: s, depth: 2, block: {end: {kernel: {layers: [3, {choice: [1, 5]}]}, "
        "out: {layers: [{fixed: 6}, 7]}}}}",
        top="input: [3, 16, 16]\nblocks: {end: {args: {out: null, kernel: null}, "
        "body: {conv2d: {out: $out, kernel: {layers: [$kernel, $kernel]}}}}}",
    )
    assert list(space.declared) == ["s.layer2.kernel"] and space.count == 2
    net = space.architecture({"s.layer2.kernel": 5})
    assert list(ops(net).values()) == [Conv2d(6, 3), Conv2d(7, 5)]
    assert space.cost({"s.layer2.kernel": 5}) == net.cost
    check_reads_back(space, random.Random(0))


@pytest.mark.parametrize(
    ("value", "argument"),
    [("{layers: [1, 3]}", "kernel"), ("{choice: [1, 3], per: layer}", "kernel"), ("$stride", "stride")],
)
def test_what_is_of_an_outer_stage_is_not_used_in_an_inner_one(value: str, argument: str) -> None:
    """A file has no way to say it once the block is written out."""
    inner = f"stage: {{name: t, depth: 2, block: {{conv: {{out: 8, {argument}: $x}}}}}}"
    top = f"blocks: {{b: {{args: {{x: 1}}, body: [{inner}]}}}}"
    with pytest.raises(SpaceError) as error:
        space_of("- stage:", "    name: s", "    depth: 2", f"    block: {{b: {{x: {value}}}}}", top=top)
    assert str(error.value) == (
        f"s.yaml:1: s.t.{argument}: '$x' is another in each layer of stage 's', and this node is repeated by "
        "stage 's.t' in it; give a value that is the same in all layers, or use it outside of the inner stage"
    )


def test_a_choice_of_an_outer_stage_may_be_shared_with_an_inner_one() -> None:
    space = space_of(
        "- stage: {name: s, depth: 2, block: {b: {out: {choice: [4, 8], per: layer}}}}",
        top="input: [3, 16, 16]\nblocks: {b: {args: {out: 1}, "
        "body: [{conv2d: {out: $out}}, {stage: {name: t, depth: 2, block: {conv2d: {out: $out}}}}]}}",
    )
    net = space.architecture({"s.layer1.out": 4, "s.layer2.out": 8})
    assert [node.shape[0] for node in net.nodes] == [4, 4, 4, 8, 8, 8]
    check_reads_back(space, random.Random(0))


def test_coupled_values_are_one_decision_even_before_it_is_declared() -> None:
    space = space_of("- conv2d: {out: {same_as: b.out}}", "- conv2d: {name: b, out: {choice: [4, 8]}}")
    assert list(space.declared) == ["b.out"]
    assert [node.shape[0] for node in space.architecture({"b.out": 8}).nodes] == [8, 8]


def test_values_are_coupled_layer_by_layer() -> None:
    lines = [
        "- stage:",
        "    name: s",
        "    depth: 2",
        "    block:",
        "    - conv2d: {name: a, out: {choice: [4, 8], per: layer}}",
        "    - conv2d: {name: b, out: {same_as: s.a.out}}",
    ]
    net = built(*lines, s__layer1__a__out=4, s__layer2__a__out=8)
    assert [node.shape[0] for node in net.nodes] == [4, 4, 8, 8]


def test_a_choice_may_be_given_a_name() -> None:
    space = space_of(
        "- conv2d: {out: {choice: [4, 8], name: shared.width}}", "- conv2d: {out: {same_as: shared.width}}"
    )
    assert list(space.declared) == ["shared.width"]


def test_stride_shortcut_act_and_join_may_be_choices() -> None:
    space = space_of(
        "- stage: {stride: {choice: [1, 2]}, block: {conv2d: {out: 3}}}",
        "- residual:",
        "    body: {conv2d: {out: 3}}",
        "    shortcut: {choice: [identity, projection]}",
        "    act: {choice: [none, relu]}",
        "- parallel: {branches: [identity, identity], join: {choice: [concat, add]}}",
    )
    assert list(space.declared) == ["stage.stride", "residual.shortcut", "residual.act", "parallel.join"]
    smallest = space.architecture(space.smallest())
    assert shape(smallest) == (6, 8, 8)
    assert space.extent.count == 16


# The keys at the top ----------------------------------------------------------------------------------


def test_what_is_left_out_has_a_default() -> None:
    space = parse_space("network: [max_pool]", "folder/tiny.yaml")
    assert (space.name, space.about, space.input, space.classes) == ("tiny", "", (3, 224, 224), 1000)
    assert (space.width, space.drop_path, space.meta) == (1, 0, {})
    assert space.is_architecture


def test_defaults_hold_unless_given() -> None:
    top = "input: [3, 16, 16]\ndefaults: {conv: {act: silu, kernel: 5}, mine: {size: 7}}\n"
    top += "blocks: {mine: {args: {size: 3}, body: [conv2d: {out: 4, kernel: $size}]}}"
    net = ops(built("- conv: {out: 4}", "- conv: {name: other, out: 4, kernel: 1}", "- mine", top=top))
    assert net["conv.conv"] == Conv2d(4, 5) and net["conv.act"] == Act("silu")
    assert net["other.conv"] == Conv2d(4, 1)
    assert net["mine.conv2d"] == Conv2d(4, 7)


def test_a_default_that_is_a_choice_is_one_decision_everywhere() -> None:
    top = "input: [3, 16, 16]\ndefaults: {conv: {act: {choice: [relu, silu]}}}"
    space = space_of(
        "- conv: {out: 4}", "- conv: {out: 4}", "- activation: {kind: {same_as: defaults.conv.act}}", top=top
    )
    assert list(space.declared) == ["defaults.conv.act"]
    net = space.architecture({"defaults.conv.act": "silu"})
    assert [op for op in ops(net).values() if isinstance(op, Act)] == [Act("silu")] * 3


def test_a_default_that_nothing_uses_is_no_choice() -> None:
    top = "input: [3, 16, 16]\ndefaults: {mbconv: {se: {choice: [0, 0.25]}}}"
    assert space_of("- conv: {out: 4}", top=top).is_architecture


MINE = """
input: [3, 16, 16]
blocks:
  pair:
    args: {out: null, kernel: 3, stride: 1}
    body:
    - conv2d: {out: $out, kernel: $kernel, stride: $stride}
    - residual: {body: {conv2d: {out: $out, kernel: $kernel}}}
  two: {args: {out: null}, body: [pair: {out: $out}, pair: {out: $out, kernel: 1}]}
"""


def test_a_block_of_ones_own() -> None:
    net = built("- pair: {out: 4, stride: 2}", top=MINE)
    assert names(net) == ["pair.conv2d", "pair.residual.body.conv2d", "pair.residual.add"]
    assert ops(net)["pair.conv2d"] == Conv2d(4, 3, 2)


def test_a_block_of_ones_own_takes_the_stride_of_its_stage() -> None:
    net = built("- stage: {name: s, depth: 2, stride: 2, block: {pair: {out: 4}}}", top=MINE)
    assert [op.stride for op in ops(net).values() if isinstance(op, Conv2d)] == [2, 1, 1, 1]


def test_a_choice_given_to_ones_own_block_is_one_decision_named_by_the_argument() -> None:
    space = space_of("- two: {name: t, out: {choice: [4, 8]}}", top=MINE)
    assert list(space.declared) == ["t.out"]
    assert {node.shape[0] for node in space.architecture({"t.out": 8}).nodes} == {8}
    per_layer = space_of(
        "- stage: {name: s, depth: 2, block: {pair: {out: {choice: [4, 8], per: layer}}}}", top=MINE
    )
    assert per_layer.extent.count == 4


def test_a_block_of_ones_own_may_be_one_node() -> None:
    top = "input: [3, 16, 16]\nblocks: {thin: {args: {out: 4}, body: {conv2d: {out: $out}}}}"
    assert names(built("- thin", "- thin: {name: x, out: 5}", top=top)) == ["thin.conv2d", "x.conv2d"]


@pytest.mark.parametrize(
    ("body", "decision"),
    [
        ("{conv2d: {out: $out, kernel: {choice: [1, 3]}}}", "a.conv2d.kernel"),
        ("{residual: {body: {choice: [conv2d: {out: $out}, skip: {out: $out}]}}}", "a.residual.body.block"),
        ("{stage: {depth: 1, block: {conv2d: {out: $out, kernel: {choice: [1, 3], per: layer}}}}}",
         "a.stage.layer1.kernel"),
        ("{inner: {out: $out}}", "a.conv2d.kernel"),
    ],
)  # fmt: skip
def test_choices_in_a_block_of_one_node_are_named_by_their_place(body: str, decision: str) -> None:
    space = space_of(
        "- thin: {name: a, out: {choice: [4, 8]}}",
        "- conv2d: {name: c, out: {same_as: a.out}}",
        top="input: [3, 16, 16]\nblocks:\n"
        "  inner: {args: {out: null}, body: {conv2d: {out: $out, kernel: {choice: [1, 3]}}}}\n"
        f"  thin: {{args: {{out: null}}, body: {body}}}",
    )
    assert set(space.largest()) == {"a.out", decision}
    check_reads_back(space, random.Random(0))


def test_input_and_width_may_be_choices() -> None:
    top = "input: [3, {choice: [16, 32]}, {same_as: input.height}]\nwidth: {choice: [0.5, 1.0, 1.4]}"
    space = space_of("- conv: {out: 20}", "- conv: {out: 4}", top=top)
    assert list(space.declared) == ["input.height", "width"]
    shapes = {
        w: [n.shape for n in space.architecture({"input.height": 32, "width": w}).nodes[::3]]
        for w in (0.5, 1.0, 1.4)
    }
    assert shapes == {
        0.5: [(16, 32, 32), (8, 32, 32)],  # 8 is less than 90 % of 10
        1.0: [(20, 32, 32), (4, 32, 32)],
        1.4: [(32, 32, 32), (8, 32, 32)],
    }


def test_stochastic_depth_grows_with_the_layer() -> None:
    top = "input: [3, 16, 16]\ndrop_path: 0.2"
    stage = "stage: {{name: {}, depth: 2, block: {{residual: {{body: {{conv2d: {{out: 3}}}}}}}}}}"
    net = built(
        f"- {stage.format('a')}",
        f"- parallel: {{branches: [[{stage.format('b')}], identity], join: add}}",
        top=top,
    )
    rates = {name: op.p for name, op in ops(net).items() if isinstance(op, DropPath)}
    assert rates == pytest.approx(
        {"a.layer2.drop_path": 0.05, "parallel.branch1.b.layer1.drop_path": 0.1,
         "parallel.branch1.b.layer2.drop_path": 0.15}
    )  # fmt: skip
    assert not [
        op
        for op in ops(built("- residual: {body: {conv2d: {out: 3}}}", top=top)).values()
        if isinstance(op, DropPath)
    ]


def test_meta_is_free_and_travels() -> None:
    top = "input: [3, 16, 16]\nmeta: {score: 0.5, notes: [a, {b: null}], date: '2024-01-01'}"
    space = space_of("- max_pool", top=top)
    assert space.meta == {"score": 0.5, "notes": ["a", {"b": None}], "date": "2024-01-01"}
    assert parse_space(dump_space(space)).meta == space.meta


def test_an_alias_stands_for_what_it_names() -> None:
    net = built("- conv2d: &c {out: 4, kernel: 3}", "- conv2d: *c")
    assert list(ops(net).values()) == [Conv2d(4, 3), Conv2d(4, 3)]


# Points -----------------------------------------------------------------------------------------------


@pytest.fixture
def small() -> Space:
    return space_of(
        "- stage:",
        "    name: s",
        "    depth: {choice: [1, 2]}",
        "    block: {conv2d: {out: 4, kernel: {choice: [1, 3], per: layer}}}",
    )


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({}, "s.yaml: the choices lack 's.depth'; it is one of [1, 2]"),
        ({"s.depth": 2, "s.layer1.kernel": 1},
         "s.yaml: the choices lack 's.layer2.kernel'; it is one of [1, 3]"),
        ({"s.depth": 3}, "s.yaml: s.depth: 3 is not one of [1, 2]"),
        ({"s.depth": 1, "s.layer1.kernel": 1, "s.layer2.kernel": 1},
         "s.yaml: 's.layer2.kernel' is not a decision of this point; did you mean 's.layer1.kernel'?"),
        ({"s.depth": 1, "s.layer1.kernel": 1, "zzz": 1},
         "s.yaml: 'zzz' is not a decision of this point; allowed: s.depth, s.layer1.kernel"),
    ],
)  # fmt: skip
def test_choices_that_are_no_point_are_refused(small: Space, choices: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        small.resolve(choices)
    assert str(error.value) == message
    with pytest.raises(InputError):
        small.architecture(choices)


def test_a_space_with_choices_left_is_no_architecture(small: Space) -> None:
    assert not small.is_architecture
    with pytest.raises(InputError, match=r"^s\.yaml: the choices lack 's\.depth'"):
        small.architecture()


def test_points_that_are_one_network_have_one_identity() -> None:
    space = space_of("- choice: [{skip: {out: 3}}, identity, {conv2d: {out: 3}}]", "- max_pool")
    same, twin, other = (
        space.identity({"choice.block": option}) for option in ("skip", "identity", "conv2d")
    )
    assert same == twin != other


def test_the_same_family_for_other_data() -> None:
    space = parse_space("input: [3, {choice: [32, 64]}, {same_as: input.height}]\nnetwork: [classifier]")
    assert space.adapt(1, 8, 10).input == (1, 8, 8) and space.adapt(1, 8, 10).classes == 10
    assert shape(space.adapt(1, 8, 10).architecture()) == (10,)
    assert space.for_data(1, 10).input[0] == 1 and set(space.for_data(1, 10).declared) == {"input.height"}
    assert space.input_sizes == [32, 64]
    assert parse_space("input: [3, 9, 7]\nnetwork: [classifier]").input_sizes == [7, 9]


# Written and read again -------------------------------------------------------------------------------


@pytest.mark.slow
@given(spaces(budget=8), st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_random_spaces_read_back(space: Space, rng: random.Random) -> None:
    check_reads_back(space, rng)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@given(spaces(budget=12), st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_many_random_spaces_read_back(space: Space, rng: random.Random) -> None:
    check_reads_back(space, rng)


@every_space
def test_bundled_spaces_read_back(path: Path) -> None:
    check_reads_back(load_space(path), random.Random(0))


def test_defaults_of_ones_own_block_are_written_where_they_hold() -> None:
    """The block is gone then, and a file that gave it arguments could not be read."""
    space = space_of(
        "- pair: {name: a, kernel: 5}",
        "- pair: {name: b, out: 16}",
        "- conv2d: {name: c, out: {same_as: defaults.pair.out}, kernel: {same_as: defaults.pair.kernel}}",
        top=f"{MINE}defaults: {{pair: {{out: {{choice: [4, 8]}}, kernel: {{choice: [1, 3]}}, stride: 2}}}}",
    )
    assert list(space.declared) == ["defaults.pair.out", "defaults.pair.kernel"]
    again = parse_space(dump_space(space))
    for out, kernel in itertools.product((4, 8), (1, 3)):
        point = {"defaults.pair.out": out, "defaults.pair.kernel": kernel}
        assert again.architecture(point) == space.architecture(point)
    check_reads_back(space, random.Random(0))


def test_a_default_of_ones_own_block_that_is_only_coupled_with() -> None:
    space = space_of(
        *(f"- conv2d: {{name: {name}, out: {{same_as: defaults.pair.out}}}}" for name in "ab"),
        top=f"{MINE}defaults: {{pair: {{out: {{choice: [4, 8]}}}}}}",
    )
    assert space.count == 2
    check_reads_back(space, random.Random(0))


def test_a_space_without_choices_reads_back_equal() -> None:
    space = space_of(
        "- conv: {out: 8, kernel: [1, 7]}",
        "- stage: {name: s, depth: 2, stride: 2, block: {mbconv: {out: 8, kernel: {layers: [3, 5]}}}}",
        "- classifier",
        top="name: n\nabout: of this\ninput: [3, 16, 16]\nwidth: 1.5\ndrop_path: 0.1\n"
        "defaults: {mbconv: {se: 0.25}}",
    )
    assert parse_space(dump_space(space)) == space


# The spaces that come with it -------------------------------------------------------------------------


def check_members(path: Path, count: int, with_norms: bool = True) -> None:
    """Random members: the fast cost is the graph's cost, which is what the module has.

    `count` members, or as many as have 250 operators for each of these. Without norms, which cost no MACs,
    these are counted in half the time.
    """
    space = load_space(path)
    rng = random.Random(0)
    left = 250 * count
    while left > 0 and count:
        point = drawn(space, rng)
        architecture = space.architecture(point)
        with torch.device("meta"):
            module = build_module(architecture)
        cost = space.cost(point)
        assert cost == architecture.cost
        assert cost.params == count_parameters(module)
        if not with_norms:
            for name, child in [*module.named_modules()]:
                if isinstance(child, nn.BatchNorm2d):
                    module.set_submodule(name, nn.Identity())
        assert cost.macs == count_macs(module, architecture.input_shape)
        assert shape(architecture) == (space.classes,)
        left, count = left - len(architecture.nodes), count - 1


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(p, marks=[pytest.mark.slow] if p.stem in ("cell", "darts", "efficientnet_b0") else [])
        for p in SPACES
    ],
    ids=lambda path: path.stem,
)
def test_cost_of_random_members_is_the_modules(path: Path) -> None:
    check_members(path, 8)


@pytest.mark.slow
@pytest.mark.timeout(600)
@every_space
def test_cost_of_many_random_members_is_the_modules(path: Path) -> None:
    """100; of cells, with a thousand operators each, 30."""
    members = 30 if path.stem in ("cell", "darts") else 100
    check_members(path, min(members, load_space(path).extent.count), with_norms=False)


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.yaml")), ids=lambda path: path.stem)
def test_bundled_spaces_say_where_they_are_from(path: Path) -> None:
    space = load_space(path)
    assert space.name == path.stem
    header = "".join(line for line in path.read_text().splitlines() if line.startswith("# "))
    assert re.search(r"(et al\.|&.*?|\([A-Z]\w+) \d{4}", header + space.about)
    assert space.about


@every_space
def test_every_member_of_a_bundled_space_can_be_built(path: Path) -> None:
    space = load_space(path)
    extent, (fewest, most) = space.extent, space.ends(PARAMS)
    assert extent.obstacles == ()
    assert (extent.smallest_cost.macs < extent.largest_cost.macs) == (path.parent.name != "reference")
    assert fewest.value <= extent.smallest_cost.params <= most.value


def test_mbconv_is_large() -> None:
    mbconv = next(path for path in SPACES if path.stem == "mbconv")
    assert load_space(mbconv).extent.count >= 10**15


def test_cost_is_zero_of_what_has_no_weights() -> None:
    assert built("- max_pool").cost == Cost()


# The reference for users ------------------------------------------------------------------------------

REFERENCE = (Path(__file__).parents[2] / "docs" / "space-format.md").read_text(encoding="utf-8")
FENCED = re.findall(r"^```(.*?)\n(.*?)^```$", REFERENCE, re.MULTILINE | re.DOTALL)
EXAMPLES = [text for kind, text in FENCED if kind == "yaml"]
MISTAKES = [(wrong, message) for (kind, wrong), (_, message) in pairwise(FENCED) if kind == "yaml error"]


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_of_the_reference_are_spaces_that_can_be_built(text: str) -> None:
    space = parse_space(text)
    assert space.extent.obstacles == ()
    check_reads_back(space, random.Random(0))


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_mistakes_of_the_reference_have_the_message_shown(text: str, message: str) -> None:
    with pytest.raises(SpaceError) as error:
        parse_space(text, "mine.yaml").architecture()
    assert f"{error.value}\n" == message


@pytest.mark.parametrize("name", list_blocks())
def test_the_reference_has_every_block_with_its_arguments_and_defaults(name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}` \|.*\| (.*) \|$", REFERENCE, re.MULTILINE)
    shown = {
        key if argument.required else f"{key}: {yaml.safe_dump(argument.default).splitlines()[0]}"
        for key, argument in get_block_arguments(name).items()
    }
    assert set(re.findall(r"`(.*?)`", row)) == shown
    assert shown or row == "none"


def test_the_reference_names_what_there_is() -> None:
    words = set(re.findall(r"`([\w-]+)`", REFERENCE))
    assert {*ACTIVATIONS, *SHORTCUTS, *JOINS, *FORMS} <= words
    assert {f"`{key}`" for key in KEYS} <= set(re.findall(r"`\w+`", REFERENCE))


def test_names_of_choices_are_those_of_the_reference() -> None:
    space = parse_space(next(text for text in EXAMPLES if "s1.wide.out" in text))
    assert list(space.declared) == ["s1.depth", "s1.wide.out", "s1.wide.kernel", "s2.out"]
    assert set(space.extent.smallest) == {"s1.depth", "s1.layer1.wide.out", "s1.wide.kernel", "s2.out"}
