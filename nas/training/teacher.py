"""A trained network that another one learns from: knowledge distillation (Hinton et al. 2015)."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

_BATCH = 128


@dataclass(frozen=True, eq=False)
class Teacher:
    """A classifier (N, C, side, side) to (N, classes), with the mean and deviation of its images' channels.

    `share` of the loss is how far the network is from it, at a `temperature` that softens both; it sees the
    images that the network sees, enlarged or reduced to its side.
    """

    module: nn.Module
    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    share: float
    temperature: float

    def to(self, device: torch.device) -> Teacher:
        """Return it on a device, ready to be asked."""
        module = deepcopy(self.module).eval().requires_grad_(False)
        where = module.to(device).to(memory_format=torch.channels_last)
        return Teacher(where, self.side, self.mean, self.std, self.share, self.temperature)

    def teach(self, pixels: Tensor, labels: Tensor, classes: int) -> Tensor:
        """Return labels (N,), or shares (N, classes), as shares with the teacher's beside them, (N, 2 *
        classes), for pixels (N, C, H, W) from 0 to 255."""
        own = labels if labels.ndim > 1 else F.one_hot(labels, classes).float()
        return torch.cat([own, (self.ask(pixels) / self.temperature).softmax(1)], dim=1)

    def compare(self, logits: Tensor, taught: Tensor) -> Tensor:
        """Return the divergence of the teacher's shares (N, classes) from a network's, times the square of
        the temperature, which keeps the size of gradients."""
        own = F.log_softmax(logits / self.temperature, dim=1)
        return F.kl_div(own, taught, reduction="batchmean") * self.temperature**2

    @torch.no_grad()
    def ask(self, pixels: Tensor) -> Tensor:
        """Return its logits (N, classes) for pixels (N, C, H, W) from 0 to 255."""
        images = pixels.float()
        if images.shape[-1] != self.side:
            images = F.interpolate(images, size=(self.side, self.side), mode="bilinear", antialias=True)
        mean, std = (
            torch.tensor(values, device=images.device)[:, None, None] for values in (self.mean, self.std)
        )
        images = ((images / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=images.device.type == "cuda"):
            logits: Tensor = self.module(images)
        return logits.float()

    def measure_accuracy(self, images: NDArray[np.uint8], labels: NDArray[np.int64], device: str) -> float:
        """Return its accuracy on images (N, C, H, W) uint8."""
        place = torch.device(device)
        asked = self.to(place)
        batches = torch.split(torch.arange(len(labels)), _BATCH)
        found = torch.cat(
            [asked.ask(torch.tensor(images[index.numpy()]).to(place)).argmax(1).cpu() for index in batches]
        )
        return float((found.numpy() == labels).mean())
