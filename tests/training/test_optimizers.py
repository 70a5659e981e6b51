"""The optimizers are torch's, without what torch imports for them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from nas.ops.layers import ScaledConv2d
from nas.training.optimizers import make_optimizer
from nas.training.recipe import Recipe
from nas.training.tuning import Tuning

THEIRS = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop}


@pytest.mark.parametrize("name", THEIRS)
def test_steps_and_states_are_those_of_torch(name: str) -> None:
    ours, theirs = (nn.Linear(3, 2) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    own = make_optimizer(ours, Recipe(optimizer=name), Tuning())
    parts = zip(own.param_groups, (theirs.weight, theirs.bias), strict=True)
    torchs = THEIRS[name]([{**group, "params": [part]} for group, part in parts])
    for _ in range(3):
        for module, optimizer in ((ours, own), (theirs, torchs)):
            optimizer.zero_grad()
            module(torch.ones(4, 3)).square().sum().backward()
            optimizer.step()
        own.load_state_dict(own.state_dict())
    assert torch.equal(ours.weight, theirs.weight) and torch.equal(ours.bias, theirs.bias)


@pytest.mark.parametrize("mode", [Tuning(), Tuning("2", 0.1)], ids=["scratch", "finetune"])
def test_what_scales_does_not_decay(mode: Tuning) -> None:
    """Norms, biases, and the gains of standardised filters, which are of four dimensions."""
    layers = nn.Sequential(ScaledConv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1))
    groups = make_optimizer(layers, Recipe(weight_decay=0.1), mode).param_groups
    decay = {parameter: group["weight_decay"] for group in groups for parameter in group["params"]}
    assert {name: decay[parameter] for name, parameter in layers.named_parameters()} == {
        "0.weight": 0.1, "0.bias": 0, "0.gain": 0, "1.weight": 0, "1.bias": 0, "2.weight": 0.1, "2.bias": 0,
    }  # fmt: skip


@pytest.mark.slow
def test_training_does_without_the_compiler() -> None:
    """Its import takes 1.5 s, in every worker."""
    program = """
import sys
from nas.data.config import DataConfig
from nas.data.datasets import load_dataset
from nas.space import load_space
from nas.training.evaluator import ProxyEvaluator
from nas.training.recipe import Recipe

space = load_space("search_spaces/mbconv.yaml")
data = load_dataset(DataConfig("digits", 32, max_images=64), seed=0)
choices = space.sample(lambda name, options: options[0])
training = ProxyEvaluator(space, Recipe(epochs=1), data, seed=0)(choices, 0)
assert training.epoch().epoch == 1
assert "torch._dynamo" not in sys.modules, "imported"
"""
    subprocess.run([sys.executable, "-c", program], check=True)
