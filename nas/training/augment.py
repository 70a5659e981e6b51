"""Random changes of the images of a batch, drawn for each of them and made for all at once on their device.

Functions take pixels (N, C, H, W) on the scale 0 to 255, uint8 or float, and what was drawn. In distribution
they equal torchvision's transforms of the same names; `cutout` is that of DeVries & Taylor 2017.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.data.datasets import ImageData
from nas.training.recipe import Recipe
from nas.training.replicas import Replicas

_WITH_ALPHA = 4
"""Channels of RGB with alpha."""
_ATTEMPTS = 10
"""Boxes that are tried before a random resized crop takes the whole image, as torchvision has it."""


class Augmentation:
    """Augmentation of a batch, in this order: crop, flip, policy, colours, cutout, mixup or cutmix.

    Draws come from `generator`, which is on the images' device, and from a generator of numpy with its seed;
    a policy is torchvision's and draws from torch's global generator. Where `mixup` and `cutmix` are both
    given, either is taken for half of the batches. Of `replicas` each draws for the whole batch, and has what
    is of its part.
    """

    def __init__(
        self, recipe: Recipe, data: ImageData, generator: torch.Generator, replicas: Replicas | None = None
    ) -> None:
        self._recipe = recipe
        self._size = data.resolution
        self._flip = recipe.flip and data.flip
        self._classes = data.num_classes
        self._generator = generator
        self._replicas = replicas or Replicas()
        self._rng = np.random.default_rng(generator.initial_seed())
        self._fill = 255 * torch.tensor(data.mean, device=generator.device)[:, None, None]
        self._policy = _make_policy(recipe.policy) if recipe.policy else None
        self._mixes = [
            (mix, alpha)
            for mix, alpha in ((_apply_mixup, recipe.mixup), (_apply_cutmix, recipe.cutmix))
            if alpha
        ]

    def __call__(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Augment pixels (N, C, H, W) uint8 and labels (N,), or (N, classes) of 0 and 1; mixed labels are
        shares (N, classes)."""
        pixels = self._crop(pixels)
        if self._policy:
            pixels = torch.stack([self._policy(image) for image in pixels])
        if self._recipe.color_jitter:
            pixels = self._jitter(pixels)
        if self._recipe.cutout:
            y, x = (self._sample_integers(len(pixels), self._size) for _ in range(2))
            pixels = cutout(pixels, y, x, round(self._recipe.cutout * self._size), self._fill)
        if not self._mixes:
            return pixels, labels
        mix, alpha = self._mixes[self._rng.integers(len(self._mixes))]
        pixels, share = mix(pixels, self._rng.beta(alpha, alpha), self._rng)
        shares = labels if labels.ndim == 2 else F.one_hot(labels, self._classes)
        return pixels, mixup(shares.float(), share)

    def dump_state(self) -> dict[str, Any]:
        """Return the state of the draws that are not of `generator`."""
        return dict(self._rng.bit_generator.state)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        self._rng.bit_generator.state = dict(state)

    def _crop(self, pixels: Tensor) -> Tensor:
        n, least = len(pixels), self._recipe.random_resized_crop
        if least is None:
            shift = round(self._recipe.crop * self._size)
            dy, dx = (self._sample_integers(n, 2 * shift + 1) - shift for _ in range(2))
            return shift_and_flip(pixels, dy, dx, self._sample_flips(n))
        boxes = sample_boxes(
            self._size, least, [self._sample_uniform(n, k) for k in (_ATTEMPTS, _ATTEMPTS, 1, 1)]
        )
        pixels, still = crop_resized(pixels, *boxes), torch.zeros_like(boxes[0], dtype=torch.int64)
        return shift_and_flip(pixels, still, still, self._sample_flips(n))

    def _jitter(self, pixels: Tensor) -> Tensor:
        strength = self._recipe.color_jitter
        low = max(0.0, 1 - strength)
        factors = low + (1 + strength - low) * self._sample_uniform(len(pixels), 3)
        return color_jitter(pixels, factors, self._sample_uniform(len(pixels), 3).argsort(1))

    def _sample_flips(self, n: int) -> Tensor | None:
        return self._sample_uniform(n, 1) < 0.5 if self._flip else None

    def _sample_integers(self, n: int, below: int) -> Tensor:
        return (self._sample_uniform(n, 1) * below).long()

    def _sample_uniform(self, n: int, each: int) -> Tensor:
        count = n * self._replicas.count
        drawn = torch.rand(count, each, generator=self._generator, device=self._generator.device)
        return self._replicas.take_part(drawn)


def shift_and_flip(pixels: Tensor, dy: Tensor, dx: Tensor, flip: Tensor | None) -> Tensor:
    """Shift images by dy, dx (N, 1) pixels, then mirror left to right those where flip (N, 1) is true.

    Pixels shifted in are the reflection at the edge.
    """
    n, channels, height, width = pixels.shape
    rows, columns = torch.arange(height, device=pixels.device), torch.arange(width, device=pixels.device)
    if flip is not None:
        columns = torch.where(flip, columns.flip(0), columns)
    y, x = _reflect(rows + dy, height), _reflect(columns + dx, width)
    # One gather over flat images is three times as fast as indexing by y and x.
    flat = (y[:, :, None] * width + x[:, None, :]).view(n, 1, -1).expand(-1, channels, -1)
    return pixels.view(n, channels, -1).gather(2, flat).view(pixels.shape)


def sample_boxes(size: int, least: float, draws: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return top, left, height and width (N, 1) of random boxes, at least a share of the area, sides 3:4 to
    4:3.

    `draws`: uniform, of the areas and the ratios (N, attempts), of the tops and the lefts (N, 1). The first
    attempt that fits into an image of size x size is taken, else the whole image (Szegedy et al. 2015).
    """
    area = size**2 * (least + (1 - least) * draws[0])
    ratio = torch.exp(math.log(4 / 3) * (2 * draws[1] - 1))
    sides = (area / ratio).sqrt().round(), (area * ratio).sqrt().round()
    fits = torch.stack([(side >= 1) & (side <= size) for side in sides]).all(0)
    first = fits.long().argmax(1, keepdim=True)
    height, width = (
        torch.where(fits.any(1, keepdim=True), side.gather(1, first), float(size)) for side in sides
    )
    top, left = ((u * (size - side + 1)).floor() for u, side in zip(draws[2:], (height, width), strict=True))
    return top, left, height, width


def crop_resized(pixels: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Crop boxes (N, 1) of the images and enlarge them to the images' size, bilinear, to uint8."""

    def places(start: Tensor, side: Tensor, size: int) -> Tensor:
        at = (torch.arange(size, device=pixels.device) + 0.5) * side / size - 0.5
        at = start + torch.minimum(at.clamp_min(0), side - 1)
        return (2 * at + 1) / size - 1  # -1 to 1 from edge to edge, as grid_sample counts

    n, _, rows, columns = pixels.shape
    y, x = places(top, height, rows), places(left, width, columns)
    grid = torch.stack([x[:, None, :].expand(n, rows, -1), y[:, :, None].expand(n, -1, columns)], dim=3)
    enlarged = F.grid_sample(pixels.float(), grid, padding_mode="border", align_corners=False)
    return enlarged.round().to(torch.uint8)


def color_jitter(pixels: Tensor, factors: Tensor, order: Tensor) -> Tensor:
    """Multiply brightness, contrast and saturation by factors (N, 3), in each image's own order (N, 3).

    Each is a blend of the image: with black, with its mean grey, with its grey version. Alpha, a fourth
    channel, stays.
    """
    if pixels.shape[1] == _WITH_ALPHA:
        return torch.cat([color_jitter(pixels[:, :3], factors, order), pixels[:, 3:]], dim=1)
    pixels = pixels.float()
    for which in order.unbind(1):
        grey, kind = _to_grey(pixels), which[:, None, None, None]
        other = torch.where(kind == 0, 0.0, torch.where(kind == 1, grey.mean((1, 2, 3), keepdim=True), grey))
        factor = factors.gather(1, which[:, None])[..., None, None]
        pixels = (factor * pixels + (1 - factor) * other).clamp(0, 255)
    return pixels


def cutout(pixels: Tensor, y: Tensor, x: Tensor, side: int, fill: Tensor) -> Tensor:
    """Fill squares around y, x (N, 1), cut off at the edges, with the colour `fill` (C, 1, 1)."""

    def within(center: Tensor, size: int) -> Tensor:
        offset = torch.arange(size, device=pixels.device) - (center - side // 2)
        return (offset >= 0) & (offset < side)

    rows, columns = within(y, pixels.shape[2]), within(x, pixels.shape[3])
    return torch.where((rows[:, :, None] & columns[:, None, :])[:, None], fill, pixels)


def mixup(values: Tensor, share: float) -> Tensor:
    """Blend each value with the one before it in the batch, by a share (Zhang et al. 2018)."""
    return share * values + (1 - share) * values.roll(1, 0)


def cutmix(pixels: Tensor, share: float, y: int, x: int) -> tuple[Tensor, float]:
    """Replace a box around y, x by that of the image before in the batch (Yun et al. 2019, equation 1).

    Gives the share of the pixels that stay, which is more than `share` where the edge cuts the box off.
    """
    height, width = pixels.shape[2:]
    half = 0.5 * math.sqrt(1 - share)
    top, bottom = max(y - int(half * height), 0), min(y + int(half * height), height)
    left, right = max(x - int(half * width), 0), min(x + int(half * width), width)
    mixed = pixels.clone()
    mixed[:, :, top:bottom, left:right] = pixels.roll(1, 0)[:, :, top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def _apply_mixup(pixels: Tensor, share: float, rng: np.random.Generator) -> tuple[Tensor, float]:
    return mixup(pixels, share), share


def _apply_cutmix(pixels: Tensor, share: float, rng: np.random.Generator) -> tuple[Tensor, float]:
    y, x = (int(rng.integers(size)) for size in pixels.shape[2:])
    return cutmix(pixels, share, y, x)


def _make_policy(name: str) -> torch.nn.Module:
    """Return torchvision's policy with its defaults, which draws for one image at a time."""
    from torchvision.transforms import v2

    policy: torch.nn.Module = {"randaugment": v2.RandAugment, "autoaugment": v2.AutoAugment}[name]()
    return policy


def _to_grey(pixels: Tensor) -> Tensor:
    """Return the images in grey (N, 1, H, W), with the weights of ITU-R BT.601 for red, green and blue."""
    if pixels.shape[1] != 3:
        return pixels.mean(1, keepdim=True)
    red, green, blue = pixels[:, :1], pixels[:, 1:2], pixels[:, 2:]
    return 0.2989 * red + 0.587 * green + 0.114 * blue  # numbers: a tensor of them would be sent each time


def _reflect(position: Tensor, size: int) -> Tensor:
    return (size - 1) - ((size - 1) - position.abs()).abs()
