"""Peak memory against torch's own storages, against a closed formula for chains, and by hand."""

from __future__ import annotations

import random
from collections import Counter
from math import prod

import pytest
import torch
from hypothesis import assume, given, settings
from networks import bundled
from random_spaces import points, spaces
from torch import Tensor

from nas.graph import Architecture, Node
from nas.graph.architecture import INPUT
from nas.graph.memory import compute_peak_memory
from nas.measures import MEMORY
from nas.ops import (
    Act,
    Add,
    ChannelSlice,
    Conv2d,
    Dropout,
    DropPath,
    Flatten,
    Identity,
    Join,
    Operator,
    Unary,
)
from nas.space import Space, SpaceError, parse_space
from nas.space.library import list_spaces


def chain(*ops: Operator, input_shape: tuple[int, ...] = (3, 8, 8)) -> Architecture:
    """One operator after the other."""
    nodes: list[Node] = []
    shape, name = input_shape, INPUT
    for i, op in enumerate(ops):
        shape = op.output_shape(shape)
        nodes.append(Node(f"n{i}", op, (name,), shape))
        name = f"n{i}"
    return Architecture(input_shape, tuple(nodes))


def peak_of_storages(architecture: Architecture) -> int:
    """Run the network operator by operator, keep what is still to be read, and look at what torch holds."""
    left = Counter(name for node in architecture.nodes for name in node.inputs)
    left[architecture.output] += 1
    values: dict[str, Tensor] = {INPUT: torch.zeros(1, *architecture.input_shape)}
    params = peak = 0
    for node in architecture.nodes:
        inputs = [values[name] for name in node.inputs]
        if isinstance(node.op, Join):
            values[node.name] = node.op.apply(inputs)
        else:
            assert isinstance(node.op, Unary)
            layer = node.op.layer(architecture.shapes[node.inputs[0]]).build().eval()
            params += sum(parameter.numel() for parameter in layer.parameters())
            values[node.name] = layer(inputs[0])
        storages = {value.untyped_storage().data_ptr(): value.untyped_storage() for value in values.values()}
        peak = max(peak, sum(storage.nbytes() for storage in storages.values()))
        left.subtract(node.inputs)
        values = {name: value for name, value in values.items() if left[name]}
    return 4 * params + peak


@given(spaces())
@settings(max_examples=60, deadline=None)
def test_random_networks_take_what_torch_holds(space: Space) -> None:
    listed = points(space, 200)
    assume(listed)
    for point in random.Random(0).sample(listed or [], min(3, len(listed or []))):
        try:
            architecture = space.architecture(point)
        except SpaceError:
            continue
        with torch.no_grad():
            assert compute_peak_memory(architecture) == peak_of_storages(architecture)


SEARCHED = [name for name in list_spaces() if "/" not in name]


@pytest.mark.parametrize("name", SEARCHED)
def test_members_of_the_bundled_spaces_take_what_torch_holds(name: str) -> None:
    space = bundled(name).adapt(3, 32, 10)
    rng = random.Random(name)
    for point in (space.smallest(), space.sample(lambda _, options: rng.choice(options))):
        with torch.no_grad():
            assert space.amount(point, MEMORY) == peak_of_storages(space.architecture(point))


def test_a_chain_has_a_closed_formula() -> None:
    """The weights, and of each operator its input and its output."""
    network = chain(Conv2d(8, 3), Act("relu"), Conv2d(16, 3, stride=2), Act("relu"), Conv2d(4, 1))
    sizes = [prod(shape) for shape in network.shapes.values()]
    assert sizes == [3 * 64, 8 * 64, 8 * 64, 16 * 16, 16 * 16, 4 * 16]
    assert compute_peak_memory(network) == 4 * (network.cost.params + 2 * 8 * 64)


def test_views_take_nothing_and_keep_what_they_are_of() -> None:
    plain = chain(Conv2d(8, 3), Act("relu"))
    assert compute_peak_memory(
        chain(Conv2d(8, 3), Dropout(0.5), DropPath(0.5), Act("relu"))
    ) == compute_peak_memory(plain)
    assert compute_peak_memory(chain(Identity(), input_shape=(3, 8, 8))) == 4 * 3 * 64
    assert compute_peak_memory(chain(Flatten(), input_shape=(3, 8, 8))) == 4 * 3 * 64
    # the convolution's 8 channels stay while 2 of them are read
    sliced = chain(Conv2d(8, 3), ChannelSlice(0, 2), Act("relu"), Act("relu"))
    assert compute_peak_memory(sliced) == 4 * (plain.cost.params + (8 + 3) * 64)


def test_a_shortcut_stays_until_it_is_added() -> None:
    """While the second convolution runs there are the image, its input and its output."""
    shape = (3, 8, 8)
    inner = chain(Conv2d(9, 1), Conv2d(3, 1)).nodes
    residual = Architecture(shape, (*inner, Node("sum", Add(), (INPUT, "n1"), shape)))
    assert compute_peak_memory(residual) == 4 * (residual.cost.params + (3 + 9 + 3) * 64)
    assert compute_peak_memory(Architecture(shape, inner)) == 4 * (residual.cost.params + (3 + 9) * 64)


def test_the_order_is_that_of_the_nodes() -> None:
    """Two branches that come one after the other need less than two that are begun together."""
    shape = (1, 8, 8)
    wide, narrow = Conv2d(64, 1), Conv2d(1, 1)
    a, b = (Node(name, wide, (INPUT,), (64, 8, 8)) for name in "ab")
    c, d = (Node(name, narrow, (source,), shape) for name, source in (("c", "a"), ("d", "b")))
    last = Node("sum", Add(), ("c", "d"), shape)
    deep, broad = Architecture(shape, (a, c, b, d, last)), Architecture(shape, (a, b, c, d, last))
    assert compute_peak_memory(deep) == 4 * (deep.cost.params + (64 + 1 + 1) * 64)
    assert compute_peak_memory(broad) == 4 * (deep.cost.params + (64 + 64 + 1) * 64)


def test_what_nothing_reads_is_freed_at_once() -> None:
    shape = (1, 8, 8)
    unread = Node("unread", Conv2d(5, 1), (INPUT,), (5, 8, 8))
    last = Node("last", Conv2d(2, 1), (INPUT,), (2, 8, 8))
    network = Architecture(shape, (unread, last))
    assert compute_peak_memory(network) == 4 * (network.cost.params + (1 + 5) * 64)


@given(spaces())
@settings(max_examples=40, deadline=None)
def test_memory_has_room_for_each_operator_and_none_beyond_all_values(space: Space) -> None:
    listed = points(space, 50)
    assume(listed)
    try:
        network = space.architecture((listed or [])[0])
    except SpaceError:
        assume(False)
    sizes = {name: prod(shape) for name, shape in network.shapes.items()}
    views = {node.name for node in network.nodes if node.op.is_view or node.op.is_identity}
    least = max(sum(sizes[name] for name in {*node.inputs} - views) for node in network.nodes)
    most = sum(size for name, size in sizes.items() if name not in views)
    assert network.cost.params + least <= compute_peak_memory(network) / 4 <= network.cost.params + most


def test_a_larger_image_and_wider_layers_take_more() -> None:
    text = "input: [3, {side}, {side}]\nclasses: 5\nnetwork:\n- conv: {{out: {out}}}\n- classifier\n"

    def memory(side: int, out: int) -> int:
        return parse_space(text.format(side=side, out=out)).amount({}, MEMORY)

    assert memory(16, 8) < memory(24, 8) < memory(32, 8) and memory(16, 8) < memory(16, 16)
