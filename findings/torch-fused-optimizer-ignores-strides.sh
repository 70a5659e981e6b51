#!/usr/bin/env bash
# On a CPU torch's fused optimizers pair places in memory, not elements: a change to channels_last scrambles a training.
#
# Software: torch 2.14.1 (PyPI), SGD with momentum, Adam, AdamW and Adagrad with fused=True, on a CPU.
# Expected: fused=True is quicker and otherwise the same. Where a weight lies in memory in another order than its gradient or
#   momentum, strides are heeded, as without it, or the step is refused, as on CUDA ("must have same dtype, device, and layout").
# Seen: a training that goes on in channels_last from the state of a contiguous one, or whose network is moved to
#   channels_last after its first step, adds the momentum of other elements to each weight of a kernel larger than
#   1 x 1. Nothing is said, and the loss goes on falling: five steps of AdamW bring it from 0.55 to 0.41 and not to 0.32, and
#   weights are 16 % from where they belong. A step with a gradient of another order, set by hand, is wrong too; what
#   backward() leaves in `grad` has the weight's order.
# Way out: channels_last before the optimizer's first step, and the same layout where a training goes on; or fused=False.
#
# Prints losses and how far weights are from those without fused=True; exits with 1 where they are equal, or gradients have
# another order than weights. About 5 GB are installed for the while.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > program.py <<'PYTHON'
"""Train a small network, go on in channels_last, and compare fused optimizers with others."""

import copy
import sys

import torch
from torch import nn

torch.manual_seed(0)
IMAGES = torch.randn(128, 8, 12, 12)
LABELS = torch.arange(128) % 4
IMAGES += 0.4 * torch.randn(4, 8, 12, 12)[LABELS]
MAKERS = {
    "SGD": lambda weights, fused: torch.optim.SGD(weights, 0.05, momentum=0.9, nesterov=True, fused=fused),
    "Adam": lambda weights, fused: torch.optim.Adam(weights, 0.01, fused=fused),
    "AdamW": lambda weights, fused: torch.optim.AdamW(weights, 0.01, fused=fused),
    "Adagrad": lambda weights, fused: torch.optim.Adagrad(weights, 0.01, fused=fused),
}


def train(network, optimizer, steps):
    """Return the loss after so many steps."""
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(IMAGES), LABELS).backward()
        assert all(weight.grad.stride() == weight.stride() for weight in network.parameters())
        optimizer.step()
    return nn.functional.cross_entropy(network(IMAGES), LABELS).item()


def go_on(make, fused, moves):
    """Return loss before and after five more steps, from a checkpoint, and the weights."""
    torch.manual_seed(1)
    layers = [nn.Conv2d(8, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(32, 4))
    optimizer = make(network.parameters(), fused)
    before = train(network, optimizer, 15)
    resumed = copy.deepcopy(network)
    if moves:
        resumed = resumed.to(memory_format=torch.channels_last)
    other = make(resumed.parameters(), fused)
    other.load_state_dict(optimizer.state_dict())
    after = train(resumed, other, 5)
    return before, after, torch.cat([weight.detach().flatten() for weight in resumed.parameters()])


def step_by_hand(make, fused):
    """Return a weight in channels_last after one step with a contiguous gradient."""
    torch.manual_seed(2)
    weight = nn.Parameter(torch.randn(8, 8, 3, 3).to(memory_format=torch.channels_last))
    weight.grad = torch.randn(8, 8, 3, 3)
    make([weight], fused).step()
    return weight.detach()


print(f"torch {torch.__version__}")
as_seen = True
for name, make in MAKERS.items():
    apart = (step_by_hand(make, True) - step_by_hand(make, False)).abs().max().item()
    print(f"{name:8}a gradient set by hand: weights up to {apart:.3f} apart")
    as_seen &= apart > 0.001
    for moves in (False, True):
        plain, fused = (go_on(make, fused, moves) for fused in (False, True))
        apart = ((fused[2] - plain[2]).norm() / plain[2].norm()).item()
        print(f"{name:8}{'to channels_last' if moves else 'as before':18}"
              f"loss {plain[0]:.4f}, then {plain[1]:.4f}; fused {fused[0]:.4f}, then {fused[1]:.4f}; "
              f"weights {100 * apart:.3f} % apart")
        as_seen &= (apart > 0.005) == moves
sys.exit(not as_seen)
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 numpy
venv/bin/python -W ignore program.py
