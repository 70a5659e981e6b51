"""Operators that change nothing where they stand: networks with and without them are one."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from computed import count_told_otherwise, run
from hypothesis import given, settings
from random_spaces import buildable, cell_spaces, points, spaces

from nas.blocks import Builder
from nas.cost import Cost
from nas.graph import Architecture, hash_network, simplify
from nas.ops import (
    Act,
    Add,
    AvgPool,
    BatchNorm,
    ChannelShuffle,
    ChannelSlice,
    Concat,
    Conv2d,
    Dropout,
    DropPath,
    Flatten,
    GlobalPool,
    Identity,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool,
    Multiply,
    Operator,
    PadChannels,
    Shape,
    Shift,
    Times,
    Unary,
)
from nas.ops.ranges import Range
from nas.space import Space, parse_space

SHAPE = (4, 6, 6)
PIXEL = (4, 1, 1)
CONV = Conv2d(4, 3)
RELU, RELU6, LEAKY, ELU = Act("relu"), Act("relu6"), Act("leaky_relu"), Act("elu")
SIGMOID, HARD, TANH = Act("sigmoid"), Act("hardsigmoid"), Act("tanh")
SMOOTH = AvgPool(3, 1)


Rows = list[tuple[Operator, tuple[int, ...]]]


def network(*rows: tuple[Operator, tuple[int, ...]], shape: Shape = SHAPE) -> Architecture:
    """Row i adds an operator on earlier values; value 0 is the image, value i the output of row i."""
    net = Builder(shape, 10)
    values = [net.input]
    for op, inputs in rows:
        values.append(net.add(op, *(values[i] for i in inputs), name="n"))
    return net.architecture(values[-1])


def chain(*ops: Operator, shape: Shape = SHAPE) -> Architecture:
    return network(*((op, (i,)) for i, op in enumerate(ops)), shape=shape)


def are_one(one: Architecture, other: Architecture) -> bool:
    """Whether two networks are the same; then they compute the same at the same cost, while training too."""
    if hash_network(one) != hash_network(other):
        return False
    torch.testing.assert_close(run(one), run(other))
    assert one.cost == other.cost
    return True


# One network ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("longer", "shorter"),
    [
        # never negative
        ([CONV, RELU, RELU], [CONV, RELU]),
        ([CONV, RELU6, RELU], [CONV, RELU6]),
        ([CONV, RELU, LEAKY, ELU], [CONV, RELU]),
        ([CONV, SIGMOID, RELU], [CONV, SIGMOID]),
        ([CONV, RELU, SMOOTH, RELU], [CONV, RELU, SMOOTH]),
        ([CONV, RELU, MaxPool(), RELU], [CONV, RELU, MaxPool()]),
        ([CONV, RELU, GlobalPool(), RELU], [CONV, RELU, GlobalPool()]),
        ([CONV, RELU, Act("silu"), Act("gelu"), RELU], [CONV, RELU, Act("silu"), Act("gelu")]),
        ([CONV, RELU, LocalResponseNorm(), RELU], [CONV, RELU, LocalResponseNorm()]),
        ([CONV, RELU, Flatten(), RELU], [CONV, RELU, Flatten()]),
        ([CONV, RELU, Dropout(), DropPath(), RELU], [CONV, RELU, Dropout(), DropPath()]),
        ([CONV, RELU, ChannelSlice(1, 3), RELU], [CONV, RELU, ChannelSlice(1, 3)]),
        ([CONV, RELU, PadChannels(6), RELU], [CONV, RELU, PadChannels(6)]),
        ([CONV, RELU, Shift(), Times(2), RELU], [CONV, RELU, Shift(), Times(2)]),
        # bounded
        ([CONV, RELU6, RELU6], [CONV, RELU6]),
        ([CONV, RELU6, SMOOTH, RELU6], [CONV, RELU6, SMOOTH]),
        ([CONV, HARD, Times(6), RELU6], [CONV, HARD, Times(6)]),
        ([CONV, TANH, RELU, RELU6], [CONV, TANH, RELU]),
        # clipped behind
        ([CONV, RELU, RELU6], [CONV, RELU6]),
        ([CONV, ELU, LEAKY, RELU], [CONV, RELU]),
        # of this shape
        ([CONV, MaxPool(1, 1), AvgPool(1, 1)], [CONV]),
        ([CONV, ChannelSlice(0, 4), PadChannels(4), ChannelShuffle(1), ChannelShuffle(4)], [CONV]),
        ([CONV, GlobalPool(6)], [CONV]),
        ([CONV, GlobalPool(), GlobalPool(), MaxPool(3, 1), AvgPool(3, 1, count_pad=False)],
         [CONV, GlobalPool()]),
        ([CONV, Flatten(), Flatten(), Linear(3)], [CONV, Flatten(), Linear(3)]),
        # in any case
        ([CONV, Dropout(0), DropPath(0), Times(1), Act("none")], [CONV]),
        # nothing but these
        ([MaxPool(1, 1), ChannelSlice(0, 4)], [Identity()]),
    ],
)  # fmt: skip
def test_what_changes_nothing_does_not_count(longer: list[Operator], shorter: list[Operator]) -> None:
    assert are_one(chain(*longer), chain(*shorter))


@pytest.mark.parametrize(
    ("longer", "shorter"),
    [
        ([CONV, RELU], [CONV]),
        ([RELU], [Identity()]),  # an image may be negative
        ([CONV, RELU, BatchNorm(), RELU], [CONV, RELU, BatchNorm()]),
        ([CONV, RELU, Act("hardswish")], [CONV, RELU]),
        ([CONV, LEAKY, LEAKY], [CONV, LEAKY]),
        ([CONV, RELU6, Dropout(), RELU6], [CONV, RELU6, Dropout()]),  # which scales while training
        ([CONV, RELU6, Times(2), RELU6], [CONV, RELU6, Times(2)]),
        ([CONV, TANH, RELU], [CONV, TANH]),
        ([CONV, SIGMOID, SIGMOID], [CONV, SIGMOID]),
        ([CONV, SMOOTH, SMOOTH], [CONV, SMOOTH]),
        ([CONV, MaxPool(1, 2)], [CONV, MaxPool(2, 2)]),
        ([CONV, GlobalPool(), AvgPool(3, 1)], [CONV, GlobalPool()]),  # zeros around it are counted
        ([CONV, ChannelShuffle(2)], [CONV]),
        ([CONV, CONV], [CONV]),
    ],
)
def test_what_changes_something_counts(longer: list[Operator], shorter: list[Operator]) -> None:
    assert not are_one(chain(*longer), chain(*shorter))


@pytest.mark.parametrize(
    ("join", "act", "is_idle"),
    [
        ([(Add(), (2, 3))], RELU, True),
        ([(Concat(), (2, 3))], RELU, True),
        ([(Multiply(), (2, 3))], RELU, True),
        ([(Concat(), (2, 3))], RELU6, True),
        ([(Multiply(), (2, 3))], RELU6, False),
        ([(Add(), (2, 3))], RELU6, False),
        ([(Add(), (1, 3))], RELU, False),
        ([(Concat(), (2, 1))], RELU, False),
        ([(Multiply(), (2, 1))], RELU, False),
    ],
)
def test_joins_of_what_is_never_negative_are_not_either(join: Rows, act: Act, is_idle: bool) -> None:
    rows: Rows = [(CONV, (0,)), (RELU6, (1,)), (SIGMOID, (1,)), *join]
    if join[0][0] == Multiply():
        rows[2] = (RELU6, (0,))
    assert are_one(network(*rows, (act, (4,)), (CONV, (5,))), network(*rows, (CONV, (4,)))) == is_idle


def test_a_value_that_others_read_too_is_left_as_it_is() -> None:
    read_twice: Rows = [(CONV, (0,)), (RELU, (1,)), (RELU6, (2,)), (Add(), (2, 3))]
    apart: Rows = [(CONV, (0,)), (RELU, (1,)), (RELU6, (1,)), (Add(), (2, 3))]
    assert are_one(network(*read_twice), network(*apart))
    assert not are_one(network(*apart), network((CONV, (0,)), (RELU6, (1,))))


def test_a_pooling_of_single_pixels_is_one_of_more_at_a_larger_input() -> None:
    """So it is left out of the identity alone."""
    longer, shorter = chain(GlobalPool(), shape=PIXEL), chain(Identity(), shape=PIXEL)
    assert are_one(longer, shorter)
    assert [node.op for node in simplify(longer).nodes] == [GlobalPool()]
    assert not are_one(chain(GlobalPool()), chain(Identity()))


def test_a_search_space_has_one_network_of_such_options() -> None:
    space = parse_space("""
input: [3, 8, 8]
classes: 4
network:
- conv: {out: 8}
- name: middle
  choice:
  - identity: {name: a}
  - max_pool: {name: b, kernel: 1, stride: 1}
  - activation: {name: c, kind: relu}
  - channel_slice: {name: d, start: 0, stop: 8}
  - activation: {name: e, kind: silu}
- classifier
""")
    identities = [space.identity(point) for point in points(space, 9) or []]
    assert len(identities) == 5 and len(set(identities)) == len(set(identities[:1] + identities[4:])) == 2


# A part of one's own ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Own(Unary):
    """Says nothing of itself."""

    name: ClassVar[str] = "own"

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def layer(self, shape: Shape) -> Layer:
        return Layer("nn.Hardtanh", (0, 9))


class Clip(Own):
    def output_range(self, *inputs: Range) -> Range:
        return 0, 9


class Again(Own):
    is_idempotent: ClassVar[bool] = True


class Kept(Clip):
    def is_identity_on(self, shape: Shape, values: Range) -> bool:
        return values[0] >= 0 and values[1] <= 9


class Behind(Own):
    def absorbs(self, before: Operator) -> bool:
        return before == RELU


class Dear(Behind, Kept):
    """What has a cost is never left out."""

    is_idempotent: ClassVar[bool] = True

    def cost(self, *inputs: Shape) -> Cost:
        return Cost(macs=1)


@pytest.mark.parametrize(
    ("own", "idle"),
    [
        (Own(), set()),
        (Clip(), {"relu behind"}),
        (Again(), {"twice"}),
        (Kept(), {"relu behind", "twice", "behind relu6"}),
        (Behind(), {"behind relu"}),
        (Dear(), {"relu behind", "behind relu"}),
    ],
)
def test_an_operator_of_ones_own_says_it_or_it_is_unknown(own: Own, idle: set[str]) -> None:
    once = chain(CONV, own)
    same = {
        "relu behind": are_one(chain(CONV, own, RELU), once),
        "twice": are_one(chain(CONV, own, own), once),
        "behind relu": are_one(chain(CONV, RELU, own), once),
        "behind relu6": are_one(chain(CONV, RELU6, own), chain(CONV, RELU6)),
    }
    assert {case for case, is_same in same.items() if is_same} == idle


# Against what networks compute ------------------------------------------------------------------------


def outputs(architecture: Architecture) -> bytes:
    """What it computes, as a key that differences of rounding do not change."""
    return (run(architecture) * 1e8).round().to(torch.int64).numpy().tobytes()


def compare(architectures: list[Architecture]) -> int:
    """Assert that networks have one identity just where they compute the same; return how many there are."""
    of_identity: dict[str, set[bytes]] = defaultdict(set)
    of_outputs: dict[bytes, set[str]] = defaultdict(set)
    for architecture in architectures:
        identity, computed = hash_network(architecture), outputs(architecture)
        of_identity[identity].add(computed)
        of_outputs[computed].add(identity)
    assert all(len(found) == 1 for found in of_identity.values())
    assert all(len(found) == 1 for found in of_outputs.values())
    return len(of_identity)


OPS: list[Operator] = [
    RELU, RELU6, SIGMOID, LEAKY, SMOOTH, CONV, MaxPool(1, 1), ChannelSlice(0, 4), PadChannels(4),
    ChannelShuffle(1), GlobalPool(6), Dropout(0), Times(1),
]  # fmt: skip
BENDS = OPS[:6]


@pytest.mark.slow
def test_chains_are_one_network_just_where_they_compute_the_same() -> None:
    chains = [chain(CONV, *ops) for n in range(4) for ops in itertools.product(OPS, repeat=n)]
    assert compare(chains) < len(chains) / 5


def test_joins_are_one_network_just_where_they_compute_the_same() -> None:
    """Two branches of up to two operators behind convolutions, their join, a blur and an operator."""
    rng = random.Random(0)
    architectures = []
    for _ in range(150):
        rows: Rows = []
        ends = []
        for kernel in (1, 3):
            rows.append((Conv2d(4, kernel), (0,)))
            for op in rng.choices([RELU, RELU6, LEAKY, ChannelSlice(0, 4)], k=rng.randint(1, 2)):
                rows.append((op, (len(rows),)))
            ends.append(len(rows))
        rows.append((rng.choice([Add(), Concat()]), tuple(ends)))
        rows += [(SMOOTH, (len(rows),)), (rng.choice([RELU, LEAKY, GlobalPool(6)]), (len(rows) + 1,))]
        architectures.append(network(*rows))
    assert compare(architectures) < 75


@pytest.mark.parametrize("examples", [20, pytest.param(150, marks=pytest.mark.slow)])
def test_networks_of_one_identity_compute_the_same(examples: int) -> None:
    counts: list[int] = []

    @settings(max_examples=examples)
    @given((cell_spaces(4) | spaces(4)).filter(buildable))
    def of_random_spaces(space: Space) -> None:
        counts.append(count_told_otherwise(space, points(space, 60) or []))

    of_random_spaces()
    assert sum(counts) >= examples / 20
