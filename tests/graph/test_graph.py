"""Architectures: text round trip, networkx view, simplest form, canonical identity."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
from collections import Counter, defaultdict
from typing import Any

import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nas.graph.regroup as regrouping
from nas.blocks import Builder, Ref
from nas.graph import Architecture, Node, hash_network, simplify
from nas.graph.module import build_module
from nas.ops import (
    Act,
    Add,
    BatchNorm,
    ChannelShuffle,
    ChannelSlice,
    Concat,
    Conv2d,
    Dropout,
    GlobalPool,
    Identity,
    Join,
    MaxPool,
    Multiply,
    Operator,
    Times,
    Zero,
)

SHAPE = (4, 6, 6)


def network(*rows: tuple[Operator, tuple[int, ...]], shape: tuple[int, ...] = SHAPE) -> Architecture:
    """Row i adds an operator on earlier values; value 0 is the image, value i the output of row i."""
    net = Builder(shape, 10)
    values = [net.input]
    for op, inputs in rows:
        values.append(net.add(op, *(values[i] for i in inputs), name="n"))
    return net.architecture(values[-1])


Rows = list[tuple[Operator, tuple[int, ...]]]


@st.composite
def row_lists(draw: Any, zeros: bool = True) -> Rows:
    """Random networks of convolutions, sums, concatenations, identities and zeros, in which much is alike."""
    shapes: list[tuple[int, ...]] = [SHAPE]
    rows: Rows = []
    single: list[Operator] = [Conv2d(4), Conv2d(4, 3), Conv2d(2), Act("relu"), Identity(), BatchNorm()]
    if zeros:
        single += [Zero(), Conv2d(4, bias=True)]
    for _ in range(draw(st.integers(1, 9))):
        kind = draw(st.sampled_from(["single", "single", "add", "concat"]))
        first = draw(st.integers(0, len(shapes) - 1))
        more = st.lists(st.integers(0, len(shapes) - 1), min_size=1, max_size=2)
        inputs: tuple[int, ...] = (first,)
        op: Operator = draw(st.sampled_from(single))
        if kind == "add":
            alike = [i for i, shape in enumerate(shapes) if shape == shapes[first]]
            inputs = (first, *draw(st.lists(st.sampled_from(alike), min_size=1, max_size=2)))
            op = Add()
        elif kind == "concat":
            inputs, op = (first, *draw(more)), Concat()
        rows.append((op, inputs))
        shapes.append(op.output_shape(*(shapes[i] for i in inputs)))
    return rows


def transformed(architecture: Architecture, rng: random.Random) -> Architecture:
    """The same network told otherwise: other names, order of nodes and of joins, what is idle in between."""
    order = list(nx.topological_sort(_shuffled(architecture.graph, rng)))
    order.remove(architecture.output)
    nodes = {node.name: node for node in architecture.nodes}
    fresh = (f"m{i}" for i in itertools.count())
    names = {"input": "input"}
    told: list[Node] = []
    for name in [n for n in order if n != "input"] + [architecture.output]:
        node = nodes[name]
        inputs = [names[i] for i in node.inputs]
        if isinstance(node.op, Join) and node.op != Concat():
            rng.shuffle(inputs)
        if isinstance(node.op, Add | Concat) and len(inputs) > 2 and rng.random() < 0.5:
            first, second, *others = inputs
            inputs = [next(fresh), *others]
            shapes = {"input": architecture.input_shape} | {n.name: n.shape for n in told}
            shape = node.op.output_shape(shapes[first], shapes[second])
            told.append(Node(inputs[0], node.op, (first, second), shape))
        for slot, source in enumerate(inputs):
            if rng.random() < 0.3:
                op = rng.choice([Identity(), Act("none"), Dropout(0), MaxPool(1, 1), ChannelShuffle(1)])
                inputs[slot] = next(fresh)
                shape = {n.name: n.shape for n in told}.get(source, architecture.input_shape)
                told.append(Node(inputs[slot], op, (source,), shape))
        names[name] = next(fresh)
        told.append(Node(names[name], node.op, tuple(inputs), node.shape))
    return Architecture(architecture.input_shape, tuple(told))


def _shuffled(graph: nx.DiGraph[str], rng: random.Random) -> nx.DiGraph[str]:
    """The same graph, told in another order, of what the output does or does not need."""
    nodes, edges = list(graph.nodes), list(graph.edges)
    rng.shuffle(nodes)
    rng.shuffle(edges)
    result: nx.DiGraph[str] = nx.DiGraph()
    result.add_nodes_from(nodes)
    result.add_edges_from(edges)
    return result


def isomorphic(a: Architecture, b: Architecture) -> bool:
    """networkx's answer to what `hash_network` answers, of networks of sums and operators alone."""
    return nx.is_isomorphic(
        sums_of(a),
        sums_of(b),
        node_match=lambda m, n: m["op"] == n["op"],
        edge_match=lambda m, n: m["times"] == n["times"],
    )


def sums_of(architecture: Architecture) -> nx.DiGraph[Any]:
    """A network in which a sum is the multiset of the values that it adds up, whatever their grouping."""
    graph: nx.DiGraph[Any] = nx.DiGraph()
    graph.add_node("input", op=None)
    sums: dict[str, Counter[str]] = {"input": Counter(["input"])}

    def read(name: str) -> object:
        terms = frozenset(sums[name].items())
        if sums[name].total() == 1:
            return next(iter(sums[name]))
        graph.add_node(terms, op="sum")
        graph.add_edges_from([(term, terms, {"times": times}) for term, times in terms])
        return terms

    simple = simplify(architecture)
    for node in simple.nodes:
        if node.op == Add():
            sums[node.name] = sum((sums[name] for name in node.inputs), Counter[str]())
        else:
            sums[node.name] = Counter([node.name])
            graph.add_node(node.name, op=(node.op, node.shape))
            graph.add_edge(read(node.inputs[0]), node.name, times=1)
    graph.add_node("output", op="output")
    graph.add_edge(read(simple.output), "output", times=1)
    return graph


# Text and networkx ------------------------------------------------------------------------------------


@given(row_lists())
def test_json_reads_back(rows: Rows) -> None:
    architecture = network(*rows)
    assert Architecture.from_json(architecture.to_json()) == architecture


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("input"),
        lambda d: d.update(input="abc"),
        lambda d: d.update(input=[3, -1, 2]),
        lambda d: d.update(nodes=[]),
        lambda d: d.update(nodes=None),
        lambda d: d["nodes"][1].__setitem__(0, "a"),
        lambda d: d["nodes"][1].__setitem__(0, "input"),
        lambda d: d["nodes"][0].__setitem__(1, "conv3d"),
        lambda d: d["nodes"][0].__setitem__(2, []),
        lambda d: d["nodes"][0][2].update(kernel=4),
        lambda d: d["nodes"][0][2].update(os="rm"),
        lambda d: d["nodes"][0][2].pop("out"),
        lambda d: d["nodes"][0].__setitem__(3, []),
        lambda d: d["nodes"][0].__setitem__(3, ["b"]),
        lambda d: d["nodes"][1].__setitem__(3, ["input", "a"]),
        lambda d: d["nodes"][0].pop(),
    ],
)
def test_json_that_was_not_written_here_is_refused(change: Any) -> None:
    net = Builder(SHAPE, 10)
    x = net.add(Conv2d(4), net.input, name="a")
    document = json.loads(net.architecture(net.add(BatchNorm(), x, name="b")).to_json())
    change(document)
    with pytest.raises(ValueError, match=r"."):
        Architecture.from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null"])
def test_text_that_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Architecture.from_json(text)


def test_the_graph_has_operators_shapes_and_slots() -> None:
    net = Builder(SHAPE, 10)
    a = net.add(Conv2d(4), net.input, name="a")
    b = net.add(Conv2d(4, 3), a, name="b")
    graph = net.architecture(net.add(Concat(), a, b, a, name="c")).graph
    assert graph.nodes["input"] == {"op": None, "shape": SHAPE}
    assert graph.nodes["b"] == {"op": Conv2d(4, 3), "shape": SHAPE}
    assert graph.nodes["c"]["shape"] == (12, 6, 6)
    assert dict(graph.edges) == {
        ("input", "a"): {"slots": (0,)},
        ("a", "b"): {"slots": (0,)},
        ("a", "c"): {"slots": (0, 2)},
        ("b", "c"): {"slots": (1,)},
    }
    with pytest.raises(nx.NetworkXError):
        graph.add_node("d")


def test_names_follow_scopes_and_never_repeat() -> None:
    net = Builder(SHAPE, 10)
    x = net.input
    for _ in range(2):
        with net.scope("s"):
            for _ in range(2):
                x = net.add(Act(), x, name="act")
    x = net.add(Act(), x, name="input")
    names = [node.name for node in net.architecture(x).nodes]
    assert names == ["s.act", "s.act_2", "s_2.act", "s_2.act_2", "input_2"]


def test_an_architecture_ends_in_the_value_asked_for() -> None:
    net = Builder(SHAPE, 10)
    a = net.add(Conv2d(4), net.input, name="a")
    net.add(Conv2d(8), a, name="unused")
    assert net.architecture(a).output == "a"
    assert [n.op for n in Builder(SHAPE, 10).architecture(Builder(SHAPE, 10).input).nodes] == [Identity()]


# Simplest form ----------------------------------------------------------------------------------------


@given(row_lists(), st.randoms(use_true_random=False))
def test_simplify_computes_the_same_from_the_same_weights(rows: Rows, rng: random.Random) -> None:
    full = transformed(network(*rows), rng)
    simple = simplify(full)
    torch.manual_seed(0)
    module = build_module(full).eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    smaller = build_module(simple).eval()
    smaller.load_state_dict({key: module.state_dict()[key] for key in smaller.state_dict()})
    x = torch.randn(2, *SHAPE)
    assert torch.allclose(module(x), smaller(x), rtol=1e-5, atol=1e-4)
    assert simplify(simple) == simple
    assert simple.cost.macs <= full.cost.macs and simple.cost.params <= full.cost.params


def ops(architecture: Architecture) -> list[Operator]:
    return [node.op for node in architecture.nodes]


def test_identities_are_bypassed() -> None:
    full = network((Identity(), (0,)), (Conv2d(4), (1,)), (Act("none"), (2,)), (Dropout(0), (3,)))
    assert ops(simplify(full)) == [Conv2d(4)]


def test_a_network_of_identities_is_one_identity() -> None:
    assert ops(simplify(network((Identity(), (0,)), (Act("none"), (1,))))) == [Identity()]


def test_zero_drops_out_of_a_sum_with_all_that_led_to_it() -> None:
    full = network((Conv2d(4), (0,)), (Conv2d(4, 3), (0,)), (Zero(), (2,)), (Add(), (1, 3)))
    assert ops(simplify(full)) == [Conv2d(4)]


def test_a_sum_of_zeros_is_one_of_them() -> None:
    full = network((Zero(), (0,)), (Conv2d(4), (0,)), (Zero(), (2,)), (Add(), (1, 3)))
    assert ops(simplify(full)) == [Zero()]


def test_what_keeps_zeros_falls_with_them_and_what_does_not_stays() -> None:
    kept = network((Zero(), (0,)), (Conv2d(4, bias=True), (1,)), (Conv2d(4, 3), (0,)), (Add(), (2, 3)))
    assert ops(simplify(kept)) == [Zero(), Conv2d(4, bias=True), Conv2d(4, 3), Add()]
    fallen = network(
        (Zero(), (0,)), (Conv2d(4), (1,)), (Act("relu"), (2,)), (Conv2d(4, 3), (0,)), (Add(), (3, 4))
    )
    assert ops(simplify(fallen)) == [Conv2d(4, 3)]
    gate = network(
        (Zero(), (0,)), (GlobalPool(), (1,)), (Multiply(), (0, 2)), (Add(), (0, 3)), (MaxPool(), (4,))
    )
    assert ops(simplify(gate)) == [MaxPool()]


def test_zeros_stay_in_a_concatenation() -> None:
    full = network((Zero(), (0,)), (Conv2d(4), (0,)), (Concat(), (1, 2)))
    assert ops(simplify(full)) == [Zero(), Conv2d(4), Concat()]


def test_nodes_that_nothing_uses_go_and_names_stay() -> None:
    net = Builder(SHAPE, 10)
    net.add(Conv2d(8), net.input, name="unused")
    with net.scope("s"):
        x = net.add(Add(), net.input, name="alone")
        x = net.add(Conv2d(4), x, name="used")
    assert simplify(net.architecture(x)).nodes == (Node("s.used", Conv2d(4), ("input",), (4, 6, 6)),)


# Identity ---------------------------------------------------------------------------------------------


@given(row_lists(), st.randoms(use_true_random=False))
def test_hash_is_of_the_network_not_of_how_it_is_told(rows: Rows, rng: random.Random) -> None:
    told = network(*rows)
    assert hash_network(transformed(told, rng)) == hash_network(told)


@given(row_lists(zeros=False), st.data())
def test_any_operator_argument_changes_the_hash(rows: Rows, data: st.DataObject) -> None:
    simple = simplify(network(*rows))
    weighted = [i for i, node in enumerate(simple.nodes) if isinstance(node.op, Conv2d | BatchNorm | Act)]
    if not weighted:
        return
    i = data.draw(st.sampled_from(weighted))
    op = simple.nodes[i].op
    changes: list[dict[str, Any]] = [{"kind": "silu"}]
    if isinstance(op, BatchNorm):
        changes = [{"eps": 1e-3}, {"momentum": 0.2}]
    elif isinstance(op, Conv2d):
        wide = {"kernel": 5, "padding": 2}
        changes = [wide, {"groups": 2}, {"bias": True}, {"kernel": 3, "dilation": 2, "padding": 2}]
    other = dataclasses.replace(op, **data.draw(st.sampled_from(changes)))
    nodes = (*simple.nodes[:i], dataclasses.replace(simple.nodes[i], op=other), *simple.nodes[i + 1 :])
    changed = Architecture(simple.input_shape, nodes)
    assert (
        changed.nodes[i].op.output_shape(*(changed.shapes[s] for s in changed.nodes[i].inputs))
        == changed.nodes[i].shape
    )
    assert hash_network(changed) != hash_network(simple)


@pytest.mark.parametrize("one", [BatchNorm(gamma=1), Times(2)], ids=["norm", "times"])
def test_a_whole_number_and_its_float_are_one_whatever_was_hashed_before(one: Operator) -> None:
    """As `basic` says of its last norm, and a file of a constant."""
    other = dataclasses.replace(one, **{key: float(value) for key, value in one.arguments().items()})
    assert one == other and repr(one) != repr(other)
    hashes = set()
    for op in (one, other):
        regrouping._label.cache_clear()  # as in another process
        hashes.add(hash_network(network((op, (0,)))))
    assert len(hashes) == 1


@given(row_lists())
def test_the_input_shape_changes_the_hash(rows: Rows) -> None:
    assert hash_network(network(*rows)) != hash_network(network(*rows, shape=(4, 6, 7)))


A, B, C = Conv2d(4), Conv2d(4, 3), Conv2d(4, 5)
THREE: Rows = [(A, (0,)), (B, (0,)), (C, (0,))]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([(Add(), (1, 2)), (Add(), (4, 3))], [(Add(), (3, 2)), (Add(), (1, 4))]),
        ([(Add(), (1, 2, 3))], [(Add(), (3, 2)), (Add(), (1, 4))]),
        # a sum that is read elsewhere too: within another sum, or its values added again
        ([(Add(), (1, 2)), (A, (4,)), (Add(), (4, 5))], [(Add(), (2, 1)), (A, (4,)), (Add(), (1, 2, 5))]),
        # the same sum twice, also where a concatenation reads both
        (
            [(Add(), (1, 2)), (Concat(), (4, 4)), (Concat(), (4, 4)), (Add(), (5, 6))],
            [(Add(), (1, 2)), (Add(), (2, 1)), (Concat(), (4, 5)), (Concat(), (5, 4)), (Add(), (6, 7))],
        ),
        (
            [(Add(), (1, 1)), (Concat(), (4, 4, 4)), (Add(), (4, 4)), (Concat(), (6, 6, 4)), (Add(), (5, 7))],
            [
                (Add(), (1, 1)),
                (Add(), (1, 1)),
                (Concat(), (4, 5, 4)),
                (Add(), (5, 4)),
                (Concat(), (7, 7, 5)),
                (Add(), (6, 8)),
            ],
        ),
        (
            [(Add(), (1, 2)), (A, (4,)), (B, (4,)), (Add(), (5, 6))],
            [(Add(), (1, 2)), (Add(), (2, 1)), (A, (4,)), (B, (5,)), (Add(), (6, 7))],
        ),
        ([(Add(), (1, 1)), (Add(), (4, 2))], [(Add(), (1, 2)), (Add(), (4, 1))]),
        ([(Multiply(), (1, 2)), (Multiply(), (4, 3))], [(Multiply(), (2, 3)), (Multiply(), (1, 4))]),
        ([(Concat(), (1, 2)), (Concat(), (4, 3))], [(Concat(), (2, 3)), (Concat(), (1, 4))]),
    ],
)
def test_how_joins_are_grouped_does_not_count(one: Rows, other: Rows) -> None:
    a, b = network(*THREE, *one), network(*THREE, *other)
    assert hash_network(a) == hash_network(b)
    assert a.cost == b.cost
    torch.manual_seed(0)
    ours, theirs = build_module(a), build_module(b)
    weights = list(ours.state_dict()), list(theirs.state_dict())
    theirs.load_state_dict({to: ours.state_dict()[name] for name, to in zip(*weights, strict=True)})
    x = torch.randn(2, *SHAPE)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-4)


def test_sums_that_share_a_value_without_one_within_the_other_are_told_apart() -> None:
    pairs = [(Add(), (1, 2)), (Add(), (2, 3)), (Act(), (4,)), (Act(), (5,))]
    one = network(*THREE, *pairs, (Add(), (6, 7, 1, 2, 3)))
    other = network(*THREE, *pairs, (Add(), (4, 3)), (Add(), (6, 7, 8)))
    apart = network(*THREE, *pairs, (Add(), (6, 7, 1, 2, 2)))
    assert hash_network(one) == hash_network(other) != hash_network(apart)


def test_the_order_of_channels_counts_unless_weights_make_up_for_it() -> None:
    def both(*behind: tuple[Operator, tuple[int, ...]]) -> set[str]:
        stacks = [(Concat(), (1, 2)), (Concat(), (2, 1))]
        return {hash_network(network(*THREE, stack, *behind)) for stack in stacks}

    assert len(both((Conv2d(4), (4,)))) == 1
    assert len(both((BatchNorm(), (4,)), (Act(), (5,)), (Conv2d(4), (6,)))) == 1
    assert len(both((Concat(), (4, 3)), (Conv2d(4), (5,)))) == 1
    assert len(both()) == 2
    assert len(both((ChannelSlice(0, 4), (4,)), (Conv2d(4), (5,)))) == 2
    assert len(both((Conv2d(4, groups=2), (4,)), (Conv2d(4), (5,)))) == 2
    assert len(both((Concat(), (3, 1)), (Add(), (4, 5)), (Conv2d(4), (6,)))) == 2


def test_a_sum_of_concatenations_is_one_of_the_channels_that_meet() -> None:
    """As many networks as outputs: each convolution fills its output with a number of its own."""
    hashes, outputs = set(), set()
    for left, right in itertools.product(itertools.permutations((1, 2)), repeat=2):
        rows: Rows = [*THREE, (Concat(), left), (Concat(), tuple(right)), (Add(), (4, 5))]
        told = network(*rows, (Act(), (6,)), (Conv2d(1), (7,)))
        hashes.add(hash_network(told))
        outputs.add(frozenset(zip(left, right, strict=True)))
    assert len(hashes) >= len(outputs) == 2


@pytest.mark.timeout(60)
def test_a_value_doubled_a_hundred_times_is_hashed_in_time() -> None:
    def doubled(times: int) -> str:
        return hash_network(network(*((Add(), (i, i)) for i in range(times)), (A, (times,))))

    assert doubled(100) != doubled(99)


def test_the_number_of_times_a_value_is_used_counts() -> None:
    once, twice = network((Add(), (0, 0))), network((Add(), (0, 0, 0)))
    assert hash_network(once) != hash_network(twice)


def test_hashes_agree_with_networkx_on_small_networks() -> None:
    rng = random.Random(0)
    by_labels: dict[object, list[Architecture]] = defaultdict(list)
    for _ in range(3000):
        rows: Rows = []
        for i in range(rng.randint(3, 5)):
            if rng.random() < 0.5:
                rows.append((Conv2d(4, rng.choice([1, 1, 3])), (rng.randint(0, i),)))
            else:
                rows.append((Add(), tuple(rng.randint(0, i) for _ in range(rng.randint(2, 3)))))
        simple = simplify(network(*rows))
        if len(simple.nodes) > 2:
            by_labels[frozenset(Counter(node.op for node in simple.nodes).items())].append(simple)
    answers: Counter[bool] = Counter()
    for alike in by_labels.values():
        for a, b in itertools.islice(itertools.combinations(alike, 2), 100):
            same = isomorphic(a, b)
            assert (hash_network(a) == hash_network(b)) == same
            answers[same] += 1
    assert min(answers.values()) >= 150  # both answers are tried


@pytest.mark.timeout(60)
def test_many_equal_branches_without_a_cut_are_hashed_in_time() -> None:
    def streams(order: random.Random, odd_one: int | None = None) -> Architecture:
        net = Builder((4, 8, 8), 10)
        ends: list[Ref] = [net.input, net.input]
        for layer in range(20):
            for stream in (0, 1):
                kernels = [1, 1, 3 if layer == odd_one and stream else 1]
                order.shuffle(kernels)
                branches = [net.add(Conv2d(4, k), ends[stream], name="c") for k in kernels]
                ends[stream] = net.add(Add(), *branches, name="a")
            order.shuffle(ends)
        return net.architecture(net.add(Add(), *ends, name="o"))

    rng = random.Random(0)
    assert hash_network(streams(rng)) == hash_network(streams(rng))
    assert hash_network(streams(rng, 7)) != hash_network(streams(rng))


def test_many_equal_branches_into_one_sum_are_hashed_in_time() -> None:
    fan = [(Conv2d(4), (0,)) for _ in range(24)]
    wide = network(*fan, (Add(), tuple(range(1, 25))))
    fewer = network(*fan, (Add(), tuple(range(1, 24))))
    assert hash_network(wide) != hash_network(fewer)


def rings(*lengths: int) -> Architecture:
    """Sums of neighbours in rings of equal convolutions, all of them activated and joined in the end."""
    rows: Rows = [(Conv2d(4), (0,)) for _ in range(sum(lengths))]
    first = 1
    for length in lengths:
        rows += [(Add(), (first + i, first + (i + 1) % length)) for i in range(length)]
        first += length
    count = sum(lengths)
    rows += [(Act(), (first + i,)) for i in range(count)]
    return network(*rows, (Add(), tuple(range(first + count, len(rows) + 1))))


def test_networks_that_look_alike_from_every_node_are_told_apart() -> None:
    assert not nx.is_isomorphic(rings(6).graph, rings(3, 3).graph)
    assert hash_network(rings(6)) != hash_network(rings(3, 3))
    for made_of in ((6,), (3, 3), (3, 4), (4, 3, 3), (5, 5)):
        told = rings(*made_of)
        assert hash_network(transformed(told, random.Random(0))) == hash_network(told)
    assert hash_network(rings(3, 4)) == hash_network(rings(4, 3))


@pytest.mark.timeout(60)
def test_layers_joined_all_to_all_are_hashed_in_time() -> None:
    def layers(order: random.Random, kernel: int) -> Architecture:
        net = Builder((4, 8, 8), 10)
        values = [net.add(Conv2d(4), net.input, name="c") for _ in range(3)]
        for layer in range(5):
            kernels = [[kernel if layer == j == 2 else 1 for _ in values] for j in range(3)]
            values = [
                net.add(
                    Add(),
                    *(net.add(Conv2d(4, k), v, name="c") for k, v in zip(row, values, strict=True)),
                    name="a",
                )
                for row in kernels
            ]
            order.shuffle(values)
        return net.architecture(net.add(Add(), *values, name="o"))

    rng = random.Random(0)
    assert hash_network(layers(rng, 1)) == hash_network(layers(rng, 1))
    assert hash_network(layers(rng, 3)) == hash_network(layers(rng, 3)) != hash_network(layers(rng, 1))
