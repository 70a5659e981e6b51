"""A task of another kind: a searched backbone under a head of one's own, scored by mean IoU.

    nas search examples/backbone.yaml --evaluator examples/segmentation.py:train --trials 8 --epochs 4

The space has no classifier: its networks end in a map of features. The head is not searched, and not kept;
what is exported is the backbone, with its weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nas

SIDE = 24


@cache  # once in each worker
def squares(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return noisy images (N, 1, 24, 24) of one square each, and its mask (N, 24, 24) of 0 and 1."""
    rng = torch.Generator().manual_seed(seed)
    corner = torch.randint(2, 12, (count, 2, 1), generator=rng)
    size = torch.randint(5, 10, (count, 1, 1), generator=rng)
    inside = (torch.arange(SIDE) >= corner) & (torch.arange(SIDE) < corner + size)
    mask = (inside[:, 0, :, None] & inside[:, 1, None, :]).long()
    return mask[:, None] + 0.5 * torch.randn(count, 1, SIDE, SIDE, generator=rng), mask


def mean_iou(predicted: Tensor, mask: Tensor) -> float:
    """Return the intersection over union of both classes, on average."""
    pairs = [((predicted == kind), (mask == kind)) for kind in (0, 1)]
    return sum(float((a & b).sum() / (a | b).sum()) for a, b in pairs) / len(pairs)


@nas.evaluator(metric="mean IoU")
def train(network: nas.Network) -> Iterator[float]:
    """Train backbone and head on 384 squares, score on 128 others."""
    channels = network.architecture.nodes[-1].shape[0]
    head = nn.Conv2d(channels, 2, 1), nn.Upsample((SIDE, SIDE), mode="bilinear")
    model = nn.Sequential(network.module(), *head)
    (images, masks), (val_images, val_masks) = squares(384, 0), squares(128, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(network.epochs):
        model.train()
        for batch in torch.randperm(len(images)).split(32):
            optimizer.zero_grad()
            F.cross_entropy(model(images[batch]), masks[batch]).backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            score = mean_iou(model(val_images).argmax(1), val_masks)
        yield score
