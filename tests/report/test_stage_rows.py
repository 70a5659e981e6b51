"""A network as a table: rows against the paper's, costs against the whole, what parts are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from networks import GOOGLENET, RESNET50
from random_spaces import members
from rich.console import Console

from nas.cost import Cost
from nas.report.stage_rows import StageRow, list_stages
from nas.report.tables import render_architecture
from nas.space import Space, load_space, parse_space
from nas.space.library import list_spaces
from nas.space.outline import outline, walk_parts


def table(space: Space) -> list[StageRow]:
    return list_stages(space, space.architecture())


def texts(network: str, head: str = "") -> dict[str, str]:
    """What each part of a network is called, by its scope."""
    space = parse_space(f"{head}\ninput: [3, 32, 32]\nnetwork: {network}")
    return {part.scope: part.text for part in walk_parts(outline(space))}


# Rows


def test_resnet50_is_the_table_of_its_paper() -> None:
    """Output size, block, channels and layers of He et al. 2016, table 1."""
    assert [(r.name, r.block, r.depth, r.stride, r.shape) for r in table(parse_space(RESNET50))] == [
        ("stem", "conv 7x7", None, 2, (64, 112, 112)),
        ("pool", "max_pool 3x3", None, 2, (64, 56, 56)),
        ("s1", "bottleneck 3x3", 3, 1, (256, 56, 56)),
        ("s2", "bottleneck 3x3", 4, 2, (512, 28, 28)),
        ("s3", "bottleneck 3x3", 6, 2, (1024, 14, 14)),
        ("s4", "bottleneck 3x3", 3, 2, (2048, 7, 7)),
        ("classifier", "classifier", None, 1, (1000,)),
    ]


def test_efficientnet_b0_is_the_table_of_its_paper() -> None:
    """Operator, channels and layers of Tan & Le 2019, table 1, whose last stage is the last two rows."""
    rows = table(load_space(list_spaces()["reference/efficientnet_b0"]))
    assert [(r.block, r.shape[0], r.depth) for r in rows] == [
        ("conv 3x3", 32, None),
        ("mbconv 3x3, expand 1", 16, 1),
        ("mbconv 3x3", 24, 2),
        ("mbconv 5x5", 40, 2),
        ("mbconv 3x3", 80, 3),
        ("mbconv 5x5", 112, 3),
        ("mbconv 5x5", 192, 4),
        ("mbconv 3x3", 320, 1),
        ("conv 1x1", 1280, None),
        ("classifier, dropout 0.2", 1000, None),
    ]


def test_an_inception_has_the_columns_of_its_paper() -> None:
    """Szegedy et al. 2015, table 1: 256 channels at 28 x 28, 128M of `ops`, in the row of 3a."""
    row = next(row for row in table(parse_space(GOOGLENET)) if row.name == "inc3a")
    assert row.block == "inception, out1 64, reduce3 96, out3 128, reduce5 16, out5 32, pool 32"
    assert row.shape == (256, 28, 28) and row.cost.macs == pytest.approx(128e6, rel=0.01)


@given(members)
def test_the_rows_have_all_of_the_cost(space: Space) -> None:
    architecture = space.architecture()
    rows = list_stages(space, architecture)
    assert sum((row.cost for row in rows), Cost()) == architecture.cost
    assert not rows or rows[-1].shape == architecture.nodes[-1].shape
    assert len({row.name for row in rows}) == len(rows)


def test_layers_that_differ_have_rows_of_their_own() -> None:
    space = parse_space(
        "network: [{stage: {name: s, depth: 4, stride: 2, block: "
        "{mbconv: {out: 8, kernel: {layers: [3, 5, 5, 3]}}}}}, classifier]"
    )
    assert [(r.name, r.block, r.depth, r.stride) for r in table(space)[:-1]] == [
        ("s.layer1", "mbconv 3x3", 1, 2),
        ("s.layer2..3", "mbconv 5x5", 2, 1),
        ("s.layer4", "mbconv 3x3", 1, 1),
    ]


def test_a_row_has_the_product_of_its_strides() -> None:
    space = parse_space(
        "network: [{sequence: {name: a, body: [{conv: {out: 4, stride: 2}}, max_pool]}}, "
        "{residual: {name: r, body: {conv: {out: 8, stride: 2}}}}]"
    )
    assert [(r.name, r.stride, r.shape[1:]) for r in table(space)] == [("a", 4, (56, 56)), ("r", 2, (28, 28))]


# What parts are called


def test_the_text_of_a_block() -> None:
    """What the file gives, but for defaults and what shapes tell; the kernel always."""
    head = "defaults: {mbconv: {act: silu, se: 0.25}}"
    assert texts("[{mbconv: {out: 8, stride: 2, expand: 3}}]", head) == {"mbconv": "mbconv 3x3, expand 3"}
    assert texts("[{mbconv: {out: 8, se: 0.5, act: silu}}]", head) == {"mbconv": "mbconv 3x3, se 0.5"}
    assert texts("[{conv: {name: a, out: 8, kernel: [1, 7], norm: false}}]") == {"a": "conv 1x7, norm false"}
    assert texts("[{max_pool: {name: p, kernel: 3}}, flatten]") == {"p": "max_pool 3x3", "flatten": "flatten"}


def test_the_text_of_forms() -> None:
    assert texts("[{residual: {name: r, body: [{conv: {out: 3}}, {conv: {out: 3}}]}}]") == {
        "r": "residual of 2 x conv 3x3",
        "r.body": "2 x conv 3x3",
        "r.body.conv": "conv 3x3",
        "r.body.conv_2": "conv 3x3",
    }
    assert texts("[{parallel: {name: p, branches: [{conv: {out: 3, kernel: 1}}, []]}}]") == {
        "p": "conv 1x1 | nothing",
        "p.branch1": "conv 1x1",
        "p.branch2": "nothing",
    }


def test_the_text_of_a_stage() -> None:
    network = "[{stage: {name: s, depth: 3, block: {layers: [{conv: {out: 4}}, {conv: {out: 4}}, flatten]}}}]"
    assert texts(network) == {
        "s": "2 x conv 3x3 + flatten",
        "s.layer1": "conv 3x3",
        "s.layer2": "conv 3x3",
        "s.layer3": "flatten",
        "s.layer3.flatten": "flatten",
    }


@given(members)
def test_parts_are_called_as_the_operators_are(space: Space) -> None:
    """Every operator is in a part, but for the identity that a network which does nothing is."""
    scopes = {part.scope for part in walk_parts(outline(space))}
    nodes = space.architecture().nodes
    for node in nodes:
        assert node.name.partition(".")[0] in scopes or [n.name for n in nodes] == ["identity"]


def test_a_network_that_does_nothing_has_no_rows() -> None:
    space = parse_space("input: [3, 8, 8]\nnetwork: [sequence: {name: n, body: []}]")
    assert list_stages(space, space.architecture()) == []


def test_the_cells_of_a_stack_are_runs_of_their_kind() -> None:
    kind = "{nodes: 1, inputs: [prev2, prev1], ops: [skip_connect, sep_conv]}"
    space = parse_space(
        f"input: [3, 8, 8]\nnetwork: [cell: {{name: c, out: 4, depth: 2, reductions: 1, normal: {kind}, "
        f"reduction: {kind}}}]"
    )
    rows = list_stages(space, space.architecture())
    assert [(row.name, row.block, row.depth, row.stride) for row in rows] == [
        ("c.cell1..2", "normal cell", 2, 1),
        ("c.cell3", "reduction cell", 1, 2),
        ("c.cell4..5", "normal cell", 2, 1),
    ]
    parts = {part.scope: part.text for part in walk_parts(outline(space))}
    assert parts["c"] == "2 x normal cell + reduction cell + 2 x normal cell"
    assert parts["c.cell1.node1"] == "skip_connect of prev2 | sep_conv 3x3 of prev1"


# On a terminal


def shown(width: int) -> list[str]:
    console = Console(width=width, color_system=None, force_terminal=True)
    with console.capture() as capture:
        console.print(render_architecture(parse_space(GOOGLENET)))
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_a_wide_terminal_gets_exact_figures() -> None:
    row = next(line for line in shown(160) if line.startswith("inc3a"))
    assert row == (
        "inc3a inception, out1 64, reduce3 96, out3 128, reduce5 16, out5 32, pool 32 1 256 28 x 28 "
        "128,049,152 164,064"
    )


def test_a_narrow_terminal_gets_rounded_figures_and_all_of_a_block() -> None:
    lines = shown(80)
    assert max(map(len, lines)) <= 80 and not any("…" in line for line in lines)
    first = next(i for i, line in enumerate(lines) if line.startswith("inc3a"))
    assert lines[first : first + 4] == [
        "inc3a inception, out1 64, 256 28 x 28 128M 164K",
        "reduce3 96, out3 128,",
        "reduce5 16, out5 32,",
        "pool 32",
    ]


def test_strides_are_left_out_where_blocks_need_their_room() -> None:
    assert "part block depth stride channels output MACs params" in shown(94)
    assert "part block depth channels output MACs params" in shown(80)
