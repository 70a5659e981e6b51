"""Dropout and stochastic depth at the rates of a recipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data.datasets import ImageData
from nas.errors import InputError
from nas.graph import Architecture
from nas.graph.architecture import INPUT, Node
from nas.graph.module import build_module
from nas.ops import Act, ColumnMean, Dropout, DropPath
from nas.space import load_space, parse_space
from nas.training.drop_rates import disable_drops, set_dropout
from nas.training.evaluator import ProxyEvaluator
from nas.training.recipe import Recipe

REFERENCE = Path(__file__).parents[2] / "search_spaces" / "reference"


def rates(network: Architecture, kind: type) -> list[float]:
    return [node.op.p for node in network.nodes if isinstance(node.op, kind)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "found", "expected"),
    [
        ("efficientnet_b0", [0.2], [0.4]),
        ("alexnet", [0.5, 0.5], [0.5, 0.4]),
        ("resnet18", [], [0.4]),
        ("squeezenet1_0", [0.5], [0.4]),
    ],
)
def test_the_last_dropout_has_the_rate(name: str, found: list[float], expected: list[float]) -> None:
    network = load_space(REFERENCE / f"{name}.yaml").architecture()
    changed = set_dropout(network, 0.4)
    assert (rates(network, Dropout), rates(changed, Dropout)) == (found, expected)
    assert changed.cost == network.cost
    with torch.device("meta"):  # names alone
        modules = build_module(changed), build_module(network)
    names, before = ([name for name, _ in module.named_parameters()] for module in modules)
    assert names == before


@pytest.mark.parametrize(("name", "kind"), [("alexnet", Dropout), ("fractalnet20", ColumnMean)])
def test_all_of_a_kind_are_off(name: str, kind: type[Dropout | ColumnMean]) -> None:
    network = load_space(REFERENCE / f"{name}.yaml").architecture()
    off = disable_drops(network, (kind,))
    assert [node.name for node in off.nodes] == [node.name for node in network.nodes]
    assert any(rates(network, kind)) and not any(rates(off, kind))
    assert len(rates(off, kind)) == len(rates(network, kind))


def test_without_a_dropout_one_comes_before_the_last_layer_of_weights() -> None:
    network = load_space(REFERENCE / "resnet18.yaml").architecture()
    dropout, linear = set_dropout(network, 0.1).nodes[-2:]
    assert (dropout.inputs, dropout.shape) == (network.nodes[-1].inputs, (512,))
    assert (linear.name, linear.inputs) == (network.nodes[-1].name, (dropout.name,))


def test_a_network_without_weights() -> None:
    network = Architecture((3, 8, 8), (Node("act", Act(), (INPUT,), (3, 8, 8)),))
    with pytest.raises(InputError) as error:
        set_dropout(network, 0.4)
    assert str(error.value) == (
        "recipe: dropout is 0.4, and the network has no layer of weights to put it before; leave it out"
    )


def test_a_recipes_rates_are_those_of_what_is_trained() -> None:
    """Layer i of n has i / n of the rate of stochastic depth; the identity of the network is the space's."""
    space = parse_space(
        "{name: a, input: [3, 32, 32], classes: 10, drop_path: 0.4, network: [{conv: {out: 8}}, "
        "{stage: {depth: 4, block: {basic: {out: 8}}}}, {classifier: {dropout: 0.2}}]}"
    )
    images, labels = np.zeros((4, 3, 32, 32), np.uint8), np.array([0, 1, 0, 1])
    data = ImageData("a", ("a", "b"), images, labels, images, labels, (0.5,) * 3, (0.25,) * 3, flip=True)

    def trained(recipe: Recipe) -> Architecture:
        return ProxyEvaluator(space, recipe, data, 0).network({})

    own = trained(Recipe(drop_path=None, dropout=None))
    assert rates(own, DropPath) == pytest.approx([0.1, 0.2, 0.3]) and rates(own, Dropout) == [0.2]
    other = trained(Recipe(drop_path=0.2, dropout=0.5))
    assert rates(other, DropPath) == pytest.approx([0.05, 0.1, 0.15]) and rates(other, Dropout) == [0.5]
    none = trained(Recipe())
    assert (rates(none, DropPath), rates(none, Dropout)) == ([], [0])
