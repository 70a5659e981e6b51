"""Networks that start as their shortcuts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data.datasets import ImageData
from nas.graph import Architecture
from nas.graph.module import build_module
from nas.ops import Add, BatchNorm
from nas.space import load_space, parse_space
from nas.training.evaluator import ProxyEvaluator
from nas.training.recipe import Recipe
from nas.training.zero_init import zero_init_residuals

REFERENCE = Path(__file__).parents[2] / "search_spaces" / "reference"


def network(body: str) -> Architecture:
    return parse_space(
        f"{{name: a, input: [3, 16, 16], classes: 10, network: [{{conv: {{name: stem, out: 8}}}}, {body}, "
        "classifier]}"
    ).architecture()


def zeros(before: Architecture) -> list[str]:
    """The norms that start at zero; nothing else is changed."""
    after = zero_init_residuals(before)
    changed = [new for old, new in zip(before.nodes, after.nodes, strict=True) if old != new]
    assert all(isinstance(node.op, BatchNorm) and node.op.gamma == 0 for node in changed)
    assert (after.cost, after.input_shape) == (before.cost, before.input_shape)
    return [node.name for node in changed]


@pytest.mark.parametrize(
    ("name", "norm", "count"),
    [
        ("mobilenet_v2", "project.norm", 10),
        ("efficientnet_b0", "project.norm", 9),
        ("resnet18", "conv2.norm", 5),  # three of eight blocks have a shortcut with weights
        ("resnet50", "expand.norm", 12),
        ("densenet121", "", 0),
        ("preresnet164", "", 0),  # branches end in a convolution
    ],
)
def test_the_last_norm_of_each_residual_branch(name: str, norm: str, count: int) -> None:
    found = zeros(load_space(REFERENCE / f"{name}.yaml").architecture())
    assert len(found) == count and all(place.endswith(norm) for place in found)


@pytest.mark.parametrize("block", ["mbconv: {out: 8, expand: 2}", "mbconv: {out: 8, expand: 2, se: 0.25}",
                                   "basic: {out: 8, se: 0.5}", "bottleneck: {out: 8}"])  # fmt: skip
def test_a_block_starts_as_its_shortcut_and_learns(block: str) -> None:
    """Whatever its other weights are; the zeros have gradients."""
    module = build_module(zero_init_residuals(network(f"stage: {{name: s, depth: 2, block: {{{block}}}}}")))
    inside = {name: p for name, p in module.named_parameters() if name.startswith("s.")}
    (last,) = (
        name
        for name, p in inside.items()
        if name.startswith("s.layer2.") and not p.any() and "norm.weight" in name
    )
    x = torch.randn(4, 3, 16, 16)
    before = module(x)
    before.square().sum().backward()
    gradient = inside[last].grad
    assert gradient is not None and gradient.all()
    for name, p in inside.items():
        if p.ndim > 1 and name.startswith("s.layer2."):
            torch.nn.init.normal_(p)
    assert torch.equal(module(x), before)


def test_a_sum_of_two_branches_keeps_both() -> None:
    """Neither is computed from the other: at zero, nothing would pass."""
    body = "parallel: {join: add, branches: [[conv: {out: 8}], [conv: {out: 8, kernel: 1}]]}"
    before = network(body)
    assert any(isinstance(node.op, Add) for node in before.nodes) and not zeros(before)


def test_it_is_how_a_training_starts_and_no_score_without_training() -> None:
    space = load_space(REFERENCE / "mobilenet_v2.yaml")
    images, labels = np.zeros((4, 3, 32, 32), np.uint8), np.array([0, 1, 0, 1])
    data = ImageData("a", ("a", "b"), images, labels, images, labels, (0.5,) * 3, (0.25,) * 3, flip=True)
    for recipe, count in ((Recipe(), 10), (Recipe(zero_init_residual=False), 0)):
        task = ProxyEvaluator(space, recipe, data, 0)
        state = task({}, 0).state_dict()
        scales = [v for name, v in state.items() if name.endswith("norm.weight")]
        assert sum(not scale.any() for scale in scales) == count
        assert all(n.op.gamma for n in task.network({}).nodes if isinstance(n.op, BatchNorm))
