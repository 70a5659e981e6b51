"""A training of one's own: a CNN that reads a number off an image, by its mean absolute error.

    nas search examples/regression.yaml --evaluator examples/regression.py:train --trials 8 --epochs 4

The images are drawn here: a disc on noise, whose radius is the number. An evaluator's function gets a network
of the space, trains it with whatever data and loss it likes, and yields its score after each epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

import nas

SIDE = 24


@cache  # once in each worker
def discs(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return images (N, 1, 24, 24) of noisy discs, and their radii (N, 1) as parts of the side."""
    rng = torch.Generator().manual_seed(seed)
    radius = 0.1 + 0.3 * torch.rand(count, 1, generator=rng)
    centre = 0.4 + 0.2 * torch.rand(count, 2, 1, 1, generator=rng)
    grid = torch.stack(torch.meshgrid(*[torch.linspace(0, 1, SIDE)] * 2, indexing="ij"))
    inside = ((grid - centre) ** 2).sum(1, keepdim=True) < radius[:, :, None, None] ** 2
    return inside.float() + 0.3 * torch.randn(count, 1, SIDE, SIDE, generator=rng), radius


@nas.evaluator(metric="mean absolute error", maximize=False)
def train(network: nas.Network) -> Iterator[float]:
    """Train on 512 discs, score on 256 others."""
    module, (images, radii) = network.module(), discs(512, 0)
    val_images, val_radii = discs(256, 1)
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    for _ in range(network.epochs):
        module.train()
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            F.smooth_l1_loss(module(images[batch]), radii[batch], beta=0.05).backward()
            optimizer.step()
        module.eval()
        with torch.inference_mode():
            error = float((module(val_images) - val_radii).abs().mean())
        yield error
