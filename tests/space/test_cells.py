"""Stacks of cells: what they denote, the published cells, sizes by hand, mistakes."""

# ruff: noqa: E501 - a message is read best in one line

from __future__ import annotations

import json
import math
import random
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import bundled
from random_spaces import cell_spaces, points
from space_checks import check_counts, check_reads_back, names, ops, shape
from torch import Tensor, nn

from nas.errors import InputError
from nas.graph import Architecture
from nas.graph.module import build_module, count_macs, count_parameters
from nas.ops import Concat, Conv2d, DropPath
from nas.space import Choices, Space, SpaceError, dump_space, parse_space
from nas.space.counting.point_sets import sort_sets
from nas.space.language.tree import Cells
from nas.space.member import find_point
from nas.space.scale import Scale, scale_space

# The published cells -----------------------------------------------------------------------------------


class Genotype(NamedTuple):
    """A kind of cell: operator and input of every two operators of a node, and the values it concatenates.

    Values 0 and 1 are the outputs of the cells before, 2 is the first node. `output` is what `ends` is called.
    """

    edges: list[tuple[str, int]]
    ends: list[int]
    output: str = ""


DARTS_V2 = (
    Genotype([
        ("sep3", 0), ("sep3", 1), ("sep3", 0), ("sep3", 1), ("skip_connect", 0), ("sep3", 1),
        ("skip_connect", 0), ("dil3", 2),
    ], [2, 3, 4, 5]),
    Genotype([
        ("max_pool", 0), ("max_pool", 1), ("max_pool", 1), ("skip_connect", 2), ("max_pool", 0),
        ("skip_connect", 2), ("max_pool", 1), ("skip_connect", 2),
    ], [2, 3, 4, 5]),
)  # fmt: skip
"""Liu et al. 2019, figures 4 and 5; normal and reduction."""

NASNET_A = (
    Genotype([
        ("sep5", 1), ("sep3", 0), ("sep5", 0), ("sep3", 0), ("avg3", 1), ("skip_connect", 0),
        ("avg3", 0), ("avg3", 0), ("sep3", 1), ("skip_connect", 1),
    ], [0, 2, 3, 4, 5, 6], '["prev2", "loose"]'),
    Genotype([
        ("sep5", 1), ("sep7", 0), ("max3", 1), ("sep7", 0), ("avg3", 1), ("sep5", 0),
        ("skip_connect", 3), ("avg3", 2), ("sep3", 2), ("max3", 1),
    ], [3, 4, 5, 6], '["node2", "loose"]'),
)  # fmt: skip
"""Zoph et al. 2018, figure 4, as in the released code."""

AMOEBANET_A = (
    Genotype([
        ("avg3", 1), ("max3", 1), ("sep3", 0), ("skip_connect", 0), ("skip_connect", 1), ("avg3", 0),
        ("sep3", 1), ("sep5", 2), ("avg3", 5), ("sep3", 1),
    ], [0, 3, 4, 6], '["prev2", "loose"]'),
    Genotype([
        ("sep3", 0), ("avg3", 1), ("max3", 1), ("sep7", 2), ("max3", 0), ("max3", 1),
        ("sep3", 4), ("conv1x7", 1), ("avg3", 0), ("sep7", 1),
    ], [2, 3, 4, 5, 6], "all"),
)  # fmt: skip
"""Real et al. 2019, figure 5, as in the released code."""

NAMES = ["prev2", "prev1", *(f"node{i}" for i in range(1, 6))]


def point(cells: tuple[Genotype, Genotype], out: int) -> Choices:
    """The choices that published cells stand for, in a network of 20 cells."""
    found: Choices = {"cells.out": out, "cells.depth": 6}
    for kind, genotype in zip(("normal", "reduction"), cells, strict=True):
        is_darts = not genotype.output
        if not is_darts:
            found[f"cells.{kind}.output"] = genotype.output
        for i in range(len(genotype.edges) // 2):
            node = f"cells.{kind}.node{i + 1}"
            two = genotype.edges[2 * i : 2 * i + 2]
            sources = [NAMES[source] for _, source in two]
            if not is_darts:
                found |= {f"{node}.input{j}": source for j, source in enumerate(sources, 1)}
            elif i:  # the first node has no choice of two different inputs
                found[f"{node}.inputs"] = json.dumps(sources)
            found |= {f"{node}.op{j}.block": op for j, (op, _) in enumerate(two, 1)}
    return found


class Plain(nn.Module):
    """A network of cells as its authors wrote them: written anew here, without any part of nas."""

    def __init__(self, cells: tuple[Genotype, Genotype], out: int, stem: int, *, relu: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem))
        before = last = stem
        shrunk = False
        self.cells = nn.ModuleList()
        for reduces in [False] * 6 + ([True] + [False] * 6) * 2:
            out *= 2 if reduces else 1
            genotype = cells[reduces]
            self.cells.append(PlainCell(genotype, before, last, out, reduces, shrunk))
            before, last, shrunk = last, out * len(genotype.ends), reduces
        self.relu = relu
        self.head = nn.Linear(last, 10)

    def forward(self, x: Tensor) -> Tensor:
        before = last = self.stem(x)
        for cell in self.cells:
            before, last = last, cell(before, last)
        last = last.relu() if self.relu else last
        scores: Tensor = self.head(last.mean((2, 3)))
        return scores


class PlainCell(nn.Module):
    def __init__(
        self, genotype: Genotype, before: int, last: int, out: int, reduces: bool, shrunk: bool
    ) -> None:
        super().__init__()
        self.prepare = nn.ModuleList(
            [Halved(before, out) if shrunk else plain_conv(before, out), plain_conv(last, out)]
        )
        self.sources = [source for _, source in genotype.edges]
        self.ops = nn.ModuleList(
            plain_op(op, out, 2 if reduces and source < 2 else 1) for op, source in genotype.edges
        )
        self.ends = genotype.ends

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        values = [prepare(x) for prepare, x in zip(self.prepare, (before, last), strict=True)]
        for i in range(0, len(self.ops), 2):
            a, b = (self.ops[j](values[self.sources[j]]) for j in (i, i + 1))
            values.append(a + b)
        return torch.cat([values[end] for end in self.ends], 1)


class Halved(nn.Module):
    def __init__(self, before: int, out: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(before, out // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(before, out - out // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        x = x.relu()
        halves: Tensor = self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], 1))
        return halves


def plain_conv(before: int, out: int, size: tuple[int, int] = (1, 1), stride: int = 1) -> nn.Module:
    padding = (size[0] // 2, size[1] // 2)
    conv = nn.Conv2d(before, out, size, stride, padding, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(out))


def plain_op(name: str, c: int, stride: int) -> nn.Module:
    kind, size = name[:3], int(name[-1]) if name[-1].isdigit() else 3

    def separable(stride: int, dilation: int = 1) -> list[nn.Module]:
        padding = dilation * (size - 1) // 2
        depthwise = nn.Conv2d(c, c, size, stride, padding, dilation, groups=c, bias=False)
        return [nn.ReLU(), depthwise, nn.Conv2d(c, c, 1, bias=False), nn.BatchNorm2d(c)]

    match kind:
        case "sep":
            return nn.Sequential(*separable(stride), *separable(1))
        case "dil":
            return nn.Sequential(*separable(stride, 2))
        case "max":
            return nn.MaxPool2d(3, stride, 1)
        case "avg":
            return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
        case "con":
            thin = c // 4
            between = [plain_conv(thin, thin, (1, 7)), plain_conv(thin, thin, (7, 1), stride)]
            return nn.Sequential(plain_conv(c, thin), *between, plain_conv(thin, c))
        case _:
            return Halved(c, c) if stride == 2 else nn.Identity()


def check_equal(architecture: Architecture, plain: Plain) -> None:
    """Parameters, MACs, and outputs with the same weights, given one after the other."""
    module = build_module(architecture)
    size = architecture.input_shape
    assert architecture.cost.params == count_parameters(module) == count_parameters(plain)
    assert architecture.cost.macs == count_macs(plain, size)
    torch.manual_seed(0)
    for tensor in plain.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim == 1:
            nn.init.uniform_(tensor, 0.5, 1.5)
    ours, theirs = module.state_dict(), plain.state_dict()
    assert [t.shape for t in ours.values()] == [t.shape for t in theirs.values()]
    module.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))
    x = torch.randn(2, *size)
    with torch.no_grad():
        assert torch.allclose(module.eval()(x), plain.eval()(x), rtol=1e-4, atol=1e-4)


def test_darts_v2_is_a_member() -> None:
    network = bundled("darts").architecture(point(DARTS_V2, 36))
    check_equal(network, Plain(DARTS_V2, 36, 108, relu=False))
    assert network.cost.params == 3_349_342  # of the released network, without its auxiliary head


@pytest.mark.parametrize(
    ("cells", "out", "published"),
    [(NASNET_A, 32, "3.3M"), (AMOEBANET_A, 36, "3.2M")],  # tables 1 and 2 of the papers
    ids=["NASNet-A", "AmoebaNet-A"],
)
def test_nasnet_a_and_amoebanet_a_are_members(
    cells: tuple[Genotype, Genotype], out: int, published: str
) -> None:
    network = bundled("cell").architecture(point(cells, out))
    check_equal(network, Plain(cells, out, 96, relu=True))
    assert f"{network.cost.params / 1e6:.1f}M" == published


@pytest.mark.parametrize(
    ("name", "cells", "out"), [("darts", DARTS_V2, 36), ("cell", NASNET_A, 32), ("cell", AMOEBANET_A, 36)]
)
def test_the_file_of_a_member_is_found_in_its_space(
    name: str, cells: tuple[Genotype, Genotype], out: int
) -> None:
    space, choices = bundled(name), point(cells, out)
    assert find_point(space, parse_space(dump_space(space.resolve(choices)))) == choices


def test_the_file_of_a_network_of_other_cells_is_not() -> None:
    space = bundled("darts")
    text = dump_space(space.resolve(point(DARTS_V2, 36))).replace(
        "max_pool: {kernel: 3}", "sep_conv: {kernel: 7}"
    )
    with pytest.raises(InputError) as error:
        find_point(space, parse_space(text, "net.yaml"))
    assert str(error.value).endswith("cells.reduction.node1.op1.sep3.kernel: 7, at net.yaml:35, is not 3")
    text = dump_space(bundled("cell").resolve(point(NASNET_A, 32))).replace("out: 96", "out: 108")
    with pytest.raises(InputError) as error:
        find_point(space, parse_space(text, "net.yaml"))
    assert "net.yaml:7 has cells of 5 and 5 nodes, with 20 operators, not cells of 4 and 4 nodes" in str(
        error.value
    )


def test_the_spaces_are_as_large_as_published() -> None:
    """DARTS: per cell, C(k + 1, 2) pairs of inputs and 7^2 operators for its nodes k = 1 to 4."""
    assert (
        bundled("darts").extent.count
        == 3 * 3 * (math.prod(math.comb(k + 1, 2) * 7**2 for k in range(1, 5))) ** 2
    )
    of_a_cell = math.prod(((i + 1) * 13) ** 2 for i in range(1, 6))
    assert bundled("cell").extent.count == 3 * 3 * (2 * of_a_cell) * (3 * of_a_cell)


def test_points_of_cells_share_what_their_sources_ask_alike() -> None:
    """So that the space of so many points is counted in a second: parts were 118,000 without it."""
    assert len(sort_sets(bundled("cell").points)) < 85_000


# What a stack denotes ----------------------------------------------------------------------------------


def stack(cells: str, top: str = "input: [3, 16, 16]", **choices: Any) -> Architecture:
    space = parse_space(f"{top}\nnetwork:\n- cell: {{name: c, {cells}}}", "s.yaml")
    return space.architecture({name.replace("__", "."): option for name, option in choices.items()})


ONE = "normal: {nodes: 1, inputs: [prev1], ops: identity}"
STEP = "reduction: {nodes: 1, inputs: [prev1], ops: {max_pool: {kernel: 3}}}"


def test_groups_of_normal_cells_have_a_reduction_between() -> None:
    net = stack(f"out: 4, depth: 2, reductions: 2, {ONE}, {STEP}")
    pools = [name for name in names(net) if name.endswith("max_pool")]
    assert pools == ["c.cell3.node1.op1.max_pool", "c.cell6.node1.op1.max_pool"]
    convs = {name: op.out for name, op in ops(net).items() if isinstance(op, Conv2d)}
    assert list(convs.values()) == [4, 4, 8, 8, 8, 16, 16, 16]
    assert shape(net) == (16, 4, 4)


def test_reductions_are_two_unless_given_and_none_without_their_cell() -> None:
    assert shape(stack(f"out: 4, {ONE}, {STEP}")) == (16, 4, 4)
    assert shape(stack(f"out: 4, {ONE}")) == (4, 16, 16)


def test_a_cell_sees_the_two_cells_before_it() -> None:
    both = "normal: {nodes: 1, inputs: [prev2, prev1], ops: identity}"
    net = stack(f"out: 4, depth: 3, {both}")
    inputs = {node.name: node.inputs for node in net.nodes}
    first = [inputs[f"c.cell{i}.{name}.act"][0] for i in (1, 2, 3) for name in ("prev2", "prev1")]
    assert first == ["input", "input", "input", "c.cell1.node1.add", "c.cell1.node1.add", "c.cell2.node1.add"]


def test_the_cell_before_a_reduction_is_halved_for_the_cell_behind_it() -> None:
    two = "{nodes: 1, inputs: [prev2, prev1], ops: skip_connect}"
    net = stack(f"out: 4, reductions: 1, normal: {two}, reduction: {two}", "input: [3, 7, 5]")
    assert [name for name in names(net) if name.endswith("shift")] == [
        "c.cell2.node1.op1.shift", "c.cell2.node1.op2.shift", "c.cell3.prev2.shift",
    ]  # fmt: skip
    assert shape(net) == (8, 4, 3)


def test_outputs() -> None:
    nodes = "nodes: [{inputs: [prev1], ops: [conv]}, {inputs: [node1], ops: [conv]}, {inputs: [prev2], ops: [conv]}]"
    ends = {}
    for output in ("loose", "all", "[node3, node2]", "[prev2, loose]", "[node1, loose]"):
        net = stack(f"out: 4, normal: {{{nodes}, output: {output}}}")
        assert isinstance(net.nodes[-1].op, Concat)
        ends[output] = [name.split(".")[2] for name in net.nodes[-1].inputs]
    assert ends == {
        "loose": ["node2", "node3"],
        "all": ["node1", "node2", "node3"],
        "[node3, node2]": ["node3", "node2"],
        "[prev2, loose]": ["prev2", "node2", "node3"],
        "[node1, loose]": ["node1", "node2", "node3"],
    }
    assert stack(f"out: 4, normal: {{{nodes}}}") == stack(f"out: 4, normal: {{{nodes}, output: loose}}")


def test_an_operator_that_gives_zeros_is_an_absent_connection() -> None:
    nodes = "nodes: [{inputs: [prev1], ops: [conv]}, {inputs: [prev1, node1], ops: [identity, %s]}]"
    assert names(stack(f"out: 4, normal: {{{nodes % 'conv'}}}"))[-1] == "c.cell1.node2.add"
    for zero in ("zero", "[conv2d: {out: $out, kernel: 3}, zero]"):
        net = stack(f"out: 4, normal: {{{nodes % zero}}}")
        assert not [op for name, op in ops(net).items() if "op2" in name]
        assert shape(net) == (8, 16, 16)


TWO = "nodes: [{inputs: [prev1], ops: [%s]}, {inputs: [prev1, node1], ops: [conv, %s]}], output: %s"


@pytest.mark.parametrize(
    ("first", "second", "output", "as_if"),
    [
        ("conv", "zero", "[node2]", ("zero", "conv", "[node2]")),  # nothing reads node1: a dead end
        ("zero", "zero", "[node2]", ("zero", "conv", "[node2]")),  # node1 is absent, and so is what reads it
        ("zero", "zero", "loose", ("zero", "conv", "[node2]")),  # what is absent is no loose end
        ("sep_conv", "zero", "[node2]", ("conv", "zero", "[node2]")),
    ],
)
def test_dead_ends_are_nothing(first: str, second: str, output: str, as_if: tuple[str, str, str]) -> None:
    net, other = (stack(f"out: 4, normal: {{{TWO % one}}}") for one in ((first, second, output), as_if))
    assert net == other
    assert not [name for name in names(net) if "node1" in name or "op2" in name]


def test_a_chain_of_nodes_to_nowhere_is_a_dead_end() -> None:
    rows = [f"{{inputs: [{source}], ops: conv}}" for source in ("prev2", "node1", "prev1")]
    net = stack(nodes(*rows, output="[node3]"))
    assert {name.split(".")[2] for name in names(net)} == {"prev1", "node3"}


@pytest.mark.parametrize("output", ["loose", "all", "[node2]", "[node1, node2]"])
def test_a_cell_without_connections_gives_zeros(output: str) -> None:
    text = f"out: 4, depth: 2, normal: {{nodes: 2, inputs: [prev1], ops: zero, output: {output}}}"
    space = parse_space(f"input: [3, 8, 8]\nclasses: 10\nnetwork:\n- cell: {{name: c, {text}}}\n- classifier")
    net = space.architecture()
    assert space.cost({}) == net.cost
    assert shape(net) == (10,)
    out = build_module(net)(torch.randn(2, 3, 8, 8))
    assert torch.equal(out[0], out[1])


def test_an_absent_node_that_is_given_is_zeros() -> None:
    rows = ["{inputs: [prev1], ops: zero}", "{inputs: [prev1], ops: conv}"]
    net = stack(nodes(*rows, output="all"))
    assert shape(net) == (8, 16, 16)
    out = build_module(net)(torch.randn(2, 3, 16, 16))
    assert not out[:, :4].any() and out[:, 4:].all(dim=0).any()
    assert net.cost == stack(nodes(*rows[::-1], output="all")).cost


def test_cells_that_nothing_needs_are_left_out() -> None:
    only = "normal: {nodes: 1, inputs: [prev2], ops: identity}"
    net = stack(f"out: 4, depth: 3, {only}")
    assert {name.split(".")[1] for name in names(net)} == {"cell1", "cell3"}
    space = parse_space(f"input: [3, 16, 16]\nnetwork:\n- cell: {{out: 4, depth: 3, {only}}}")
    assert space.cost({}) == net.cost and net.cost.params == 4 * (3 + 2) + 4 * (4 + 2)


def test_operators_take_channels_and_stride_by_themselves_or_by_name() -> None:
    reduction = "reduction: {nodes: 1, inputs: [prev1], ops: %s}"
    for op in (
        "conv",
        "{conv: {out: $out, stride: $stride}}",
        "{sequence: {body: [{conv: {out: $out, stride: $stride}}]}}",
    ):
        net = stack(f"out: 4, reductions: 1, {ONE}, {reduction % op}")
        (conv,) = [op for name, op in ops(net).items() if "cell2.node1" in name and isinstance(op, Conv2d)]
        assert conv == Conv2d(8, 3, 2)


def test_a_block_of_ones_own_is_an_operator() -> None:
    top = "input: [3, 16, 16]\nblocks: {mine: {args: {out: null, stride: 1}, body: [conv: {out: $out, stride: $stride}]}}"
    net = stack(f"out: 4, reductions: 1, {ONE}, reduction: {{nodes: 1, inputs: [prev1], ops: mine}}", top)
    assert shape(net) == (8, 8, 8)


@pytest.mark.parametrize(
    "body", ["{conv2d: {out: $out}}", "{choice: [conv2d: {out: $out}, conv: {out: $out}]}"]
)
def test_a_block_of_ones_own_without_a_stride_takes_none(body: str) -> None:
    """Nor once it is written out: what cannot be built, at the stride of a reduction, cannot be then."""
    space = parse_space(
        f"input: [3, 8, 8]\nblocks: {{thin: {{args: {{out: null}}, body: {body}}}}}\nnetwork: [cell: {{name: c, "
        f"out: 4, reductions: 1, {ONE}, reduction: {{nodes: 1, inputs: [prev1], "
        "ops: {choice: [thin: {out: $out}, skip_connect]}}}]"
    )
    assert space.count == parse_space(dump_space(space)).count == 1
    check_counts(space, points(space, 10) or [])


def test_width_multiplies_the_channels_of_cells() -> None:
    net = stack(f"out: 12, {ONE}, {STEP}", "input: [3, 16, 16]\nwidth: 1.5")
    assert {node.shape[0] for node in net.nodes if ".cell" in node.name and isinstance(node.op, Conv2d)} == {
        24,
        40,
        72,
    }


@pytest.mark.parametrize(
    ("width", "form", "channels"),
    [(0.5, "fixed", 16), (0.5, "at_least", 16), (2, "fixed", 16), (2, "at_least", 32)],
)
def test_channels_of_cells_may_be_left_alone_by_the_width(width: float, form: str, channels: int) -> None:
    """Each reduction doubles them all the same."""
    space = parse_space(
        f"input: [3, 8, 8]\nwidth: {width}\nnetwork: [cell: {{name: c, out: {{{form}: 16}}, reductions: 1, "
        "normal: {nodes: 1, inputs: [prev1], ops: {conv: {kernel: {choice: [1, 3]}}}}, "
        "reduction: {nodes: 1, inputs: [prev1], ops: skip_connect}}]"
    )
    net = space.architecture(space.smallest())
    given = [net.shapes[f"c.cell{i}.node1.op1.norm"][0] for i in (1, 2, 3)]
    assert given == [channels, 2 * channels, 2 * channels]
    check_counts(space, points(space, 10) or [])
    check_reads_back(space, random.Random(0))


def test_operators_of_later_cells_are_dropped_more_often_but_identities_never() -> None:
    nodes = "normal: {nodes: 1, inputs: [prev1, prev1], ops: [conv, identity]}"
    net = stack(f"out: 4, depth: 2, reductions: 1, {nodes}, {STEP}", "input: [3, 16, 16]\ndrop_path: 0.5")
    rates = {name: op.p for name, op in ops(net).items() if isinstance(op, DropPath)}
    assert rates == pytest.approx({f"c.cell{i}.node1.op1.drop_path": 0.1 * (i - 1) for i in (2, 3, 4, 5)})


def test_how_the_choices_of_cells_are_named() -> None:
    space = parse_space(
        """
input: [3, 16, 16]
network:
- cell:
    name: c
    out: {choice: [4, 8]}
    depth: {range: [1, 2]}
    normal:
      nodes: 2
      inputs: [any, prev1]
      ops: {choice: [conv: {kernel: {choice: [1, 3]}}, identity]}
      output: {choice: [loose, all]}
    reduction:
      nodes:
      - {inputs: {any: 1}, ops: [skip_connect]}
      - {inputs: {choice: [[prev2, prev1], [prev1, node1]]}, ops: [skip_connect, skip_connect]}
"""
    )
    expected = ["c.out", "c.depth"]
    for node in ("c.normal.node1", "c.normal.node2"):
        expected += [f"{node}.input1"]
    expected += ["c.reduction.node1.inputs", "c.reduction.node2.inputs", "c.normal.output"]
    for op in (f"c.normal.node{i}.op{j}" for i in (1, 2) for j in (1, 2)):
        expected += [f"{op}.block", f"{op}.conv.kernel"]
    assert sorted(space.declared) == sorted(expected)
    assert space.declared["c.normal.node2.input1"].options == ("prev2", "prev1", "node1")
    assert space.declared["c.reduction.node1.inputs"].options == ('["prev2"]', '["prev1"]')
    check_reads_back(space, random.Random(0))


def test_a_decision_may_be_shared_between_cells() -> None:
    kind = "{nodes: [{inputs: [%s, prev1], ops: [skip_connect, {conv: {kernel: %s}}]}]}"
    normal = kind % ("{choice: [prev2, prev1]}", "{choice: [1, 3]}")
    reduction = kind % ("{same_as: c.normal.node1.input1}", "{same_as: c.normal.node1.op2.kernel}")
    space = parse_space(
        f"input: [3, 8, 8]\nnetwork:\n- cell: {{name: c, out: 4, normal: {normal}, reduction: {reduction}}}\n"
        "- conv: {out: 4, kernel: {same_as: c.normal.node1.op2.kernel}}"
    )
    assert space.extent.count == 4
    check_counts(space, points(space, 10) or [])


# Counted, written, scaled ------------------------------------------------------------------------------


@given(cell_spaces())
@settings(max_examples=60)
def test_random_stacks_are_counted_exactly(space: Space) -> None:
    listed = points(space, 60)
    assume(listed is not None)
    check_counts(space, listed or [])


@pytest.mark.slow
@pytest.mark.timeout(1200)
@given(cell_spaces(7))
@settings(max_examples=120)
def test_many_random_stacks_are_counted_exactly(space: Space) -> None:
    listed = points(space, 200)
    assume(listed is not None)
    check_counts(space, listed or [])


@given(cell_spaces(8), st.randoms(use_true_random=False))
@settings(max_examples=80)
def test_random_stacks_read_back(space: Space, rng: random.Random) -> None:
    check_reads_back(space, rng)


def test_a_network_of_cells_is_scaled() -> None:
    network = bundled("darts").resolve(point(DARTS_V2, 36))
    larger = scale_space(network, Scale(depth=1.5, width=2))
    net = larger.architecture()
    assert {name.split(".")[1] for name in names(net) if name.startswith("cells.")} == {
        f"cell{i}" for i in range(1, 30)
    }
    stack = larger.network.items[1]
    assert isinstance(stack, Cells) and stack.depth == 9
    assert shape(net) == (10,)
    assert net.nodes[-3].shape[0] == 4 * 288
    again = scale_space(bundled("darts"), Scale(depth=0.5))
    assert again.declared["cells.depth"].options == (1, 2, 3)


# Mistakes ----------------------------------------------------------------------------------------------


def nodes(*rows: str, output: str = "loose") -> str:
    return f"out: 4, normal: {{nodes: [{', '.join(rows)}], output: {output}}}"


WRONG = [
    ("out: 4", "c: cell needs 'normal'; add normal: ..."),
    (ONE, "c: cell needs 'out'; add out: ..."),
    (f"out: 4, {ONE}, cells: 3", "c: unknown key 'cells'; allowed: depth, name, normal, out, reduction, reductions"),
    (f"out: 4, reductions: 2, {ONE}", "c: reductions need a cell; add reduction: ..."),
    (f"out: 4, reductions: 11, {ONE}, reduction: {{nodes: 1, inputs: [prev1], ops: skip_connect}}",
     "c.reductions: 11 is not a number of reductions; it is a whole number from 1 to 10"),
    (f"out: 4, depth: 0, {ONE}",
     "c.depth: 0 is not a number of normal cells in a group; it is a whole number from 1 to 100"),
    ("out: 4, normal: [identity]", "c.normal: wanted the keys of a cell: nodes, inputs, ops, output, not a list"),
    ("out: 4, normal: {output: all}", "c.normal: a cell needs 'nodes'; add nodes: ..."),
    ("out: 4, normal: {nodes: []}", "c.normal: a cell has 1 to 10 nodes, not 0"),
    ("out: 4, normal: {nodes: 0, inputs: [prev1], ops: identity}",
     "c.normal.nodes: 0 is not a number of nodes; it is a whole number from 1 to 10"),
    ("out: 4, normal: {nodes: 2, inputs: [prev1]}",
     "c.normal: nodes given by their number need 'ops'; add ops: ..."),
    ("out: 4, normal: {nodes: [{inputs: [prev1], ops: identity}], ops: identity}",
     "c.normal: 'ops' is for nodes given by their number; give it in each node"),
    (nodes("identity"), "c.normal.node1: wanted 'inputs' and 'ops', not 'identity'"),
    (nodes("{inputs: [prev1]}"), "c.normal.node1: a node needs 'ops'; add ops: ..."),
    (nodes("{inputs: [], ops: []}"), "c.normal.node1: no inputs; list at least one"),
    (nodes("{inputs: prev1, ops: identity}"),
     "c.normal.node1: wanted inputs, such as [prev2, prev1], not 'prev1'"),
    (nodes("{inputs: [prev1, prev2], ops: [identity]}"),
     "c.normal.node1: 1 ops for 2 inputs; list one for each"),
    (nodes("{inputs: [node1], ops: identity}"), "c.normal.node1.input1: 'node1' is not an input of this node; "
     "a node reads cells and nodes before it: prev2, prev1"),
    (nodes("{inputs: [prev1], ops: identity}", "{inputs: [{choice: [node1, node3]}], ops: identity}"),
     "c.normal.node2.input1: 'node3' is not an input of this node; a node reads cells and nodes before it: "
     "prev2, prev1, node1"),
    (nodes("{inputs: [last], ops: identity}"), "c.normal.node1.input1: 'last' is not an input of this node; "
     "a node reads cells and nodes before it: prev2, prev1"),
    (nodes("{inputs: {any: 3}, ops: identity}"),
     "c.normal.node1.inputs: 3 is not a number of inputs here; it is a whole number from 1 to 2"),
    (nodes("{inputs: {choice: [[prev1], [prev1, prev2]]}, ops: identity}"),
     "c.normal.node1.inputs: options of several lengths; list as many inputs in each"),
    (nodes("{inputs: {choice: [[prev1], [node1]]}, ops: identity}"), "c.normal.node1.inputs: ['node1'] is not a "
     "list of some out of what this node can read: prev2, prev1"),
    (nodes("{inputs: {choice: [[prev1], [prev2]]}, ops: [identity, identity]}"), "c.normal.node1.inputs: ['prev1'] "
     "is not a list of 2 out of what this node can read: prev2, prev1"),
    (nodes("{inputs: {same_as: a.b}, ops: identity}"),
     "c.normal.node1: another choice says how many inputs there are; list the ops"),
    (nodes("{inputs: [prev1], ops: sep_convv}"), "unknown block 'sep_convv'; did you mean 'sep_conv'?"),
    (nodes("{inputs: [prev1], ops: {sep_conv: {name: a}}}"),
     "c.normal.node1.op1: 'name' is not wanted here; an operator of a cell is named by its place"),
    (nodes("{inputs: [prev1], ops: {stage: {name: a, block: conv}}}"),
     "c.normal.node1.op1: 'name' is not wanted here; an operator of a cell is named by its place"),
    (nodes("{inputs: [prev1], ops: [[stage: {name: a, block: conv}]]}"),
     "c.normal.node1.op1.a: an operator of a cell has no stages; list the layers"),
    (nodes("{inputs: [prev1], ops: {conv: {kernel: {choice: [1, 3], per: layer}}}}"),
     "c.normal.node1.op1.kernel: 'per: layer' needs a stage around it; leave it out or put the block in one"),
    (nodes("{inputs: [prev1], ops: [[conv: {out: {range: [1, 40]}}, conv: {out: {range: [1, 40]}}]]}"),
     "c.normal.node1.op1: an operator with more than 1,000 variants; offer fewer"),
    (nodes("{inputs: [prev1], ops: {conv: {kernel: $out}}}"),
     "c.normal.node1.op1.kernel: the cell's channels are not an odd kernel size; "
     "a kernel is 1, 3, 5, 7, ... or a pair of these, such as [1, 7]"),
    (nodes("{inputs: [prev1], ops: {conv: {stride: $strid}}}"),
     "c.normal.node1.op1.stride: unknown argument '$strid'; did you mean 'stride'?"),
    (nodes("{inputs: [prev1], ops: identity}", output="[node2]"), "c.normal.output: ['node2'] is not an output; "
     "it is loose, all, or a list out of loose, prev2, prev1, node1, each once"),
    (nodes("{inputs: [prev1], ops: identity}", output="some"), "c.normal.output: 'some' is not an output; "
     "it is loose, all, or a list out of loose, prev2, prev1, node1, each once"),
    (f"out: 4, {ONE}, reduction: {{nodes: 1, inputs: [prev1], ops: skip_connect, output: [prev2]}}",
     "c.reduction.output: ['prev2'] is not an output; it is loose, all, or a list out of loose, node1, each once"),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "message"), WRONG)
def test_a_wrong_stack_is_refused_in_one_message(cells: str, message: str) -> None:
    with pytest.raises(SpaceError) as error:
        parse_space(f"network:\n- cell: {{name: c, {cells}}}", "s.yaml")
    assert str(error.value) == f"s.yaml:2: {message}"


def test_cells_stand_in_no_stage_and_no_cell() -> None:
    inner = f"cell: {{name: a, out: 4, {ONE}}}"
    message = "cells cannot stand in a stage or a cell; 'depth' repeats them"
    for text, path in (
        (f"stage: {{name: s, block: [{inner}]}}", "s.a"),
        (
            f"cell: {{name: c, out: 4, normal: {{nodes: 1, inputs: [prev1], ops: [[{inner}]]}}}}",
            "c.normal.node1.op1.a",
        ),
    ):
        with pytest.raises(SpaceError) as error:
            parse_space(f"network:\n- {text}", "s.yaml")
        assert str(error.value) == f"s.yaml:2: {path}: {message}"


UNBUILDABLE = [
    (f"out: 4, reductions: 4, {ONE}, {STEP}",
     "c: reduction 4 shrinks an image of 1 x 1 below 1 x 1; use fewer reductions or a larger input"),
    (nodes("{inputs: [prev1], ops: {conv: {out: 6}}}"),
     "c.normal.node1: an operator gives 6 x 8 x 8 in a cell of 4 x 8 x 8; "
     "let it take the cell's channels, $out, and its stride, $stride"),
    (f"out: 4, {ONE}, reduction: {{nodes: 1, inputs: [prev1], ops: identity}}",
     "c.reduction.node1: an operator gives 8 x 8 x 8 in a cell of 8 x 4 x 4; "
     "let it take the cell's channels, $out, and its stride, $stride"),
    (f"out: 4, reductions: 1, {STEP}, normal: {{nodes: 1, inputs: [prev1, prev1], "
     "ops: [identity, [zero, {skip: {out: 4}}, {skip: {out: $out}}]]}",
     "c.normal.node1: an operator gives zeros in some cells only; let it be the same in all"),
    ("out: 1, normal: {nodes: 1, inputs: [prev2], ops: identity}, "
     "reduction: {nodes: 1, inputs: [prev1], ops: {factorized_reduce: {out: 1}}}",
     "c.reduction.node1.op1: a factorised reduction makes half of its channels twice; give it 2 or more"),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "message"), UNBUILDABLE)
def test_a_stack_that_cannot_be_built_is_refused_with_its_place(cells: str, message: str) -> None:
    space = parse_space(f"input: [3, 8, 8]\nnetwork:\n- cell: {{name: c, {cells}}}", "s.yaml")
    for ask in (space.architecture, lambda: space.cost({}), lambda: space.extent):
        with pytest.raises(SpaceError) as error:
            ask()
        assert str(error.value) == f"s.yaml:3: {message}"
