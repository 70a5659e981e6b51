"""Augmentation: equal to torchvision's given the same draws, and equal in distribution where it draws.

Distributions are compared by Kolmogorov and Smirnov's test at a level of 1e-4; seeds are fixed, so that a
test which passes does so always.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, kstest
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from nas.data.datasets import ImageData
from nas.errors import InputError
from nas.space import parse_space
from nas.training.augment import (
    Augmentation,
    color_jitter,
    crop_resized,
    cutmix,
    cutout,
    mixup,
    sample_boxes,
    shift_and_flip,
)
from nas.training.device import DeviceImages
from nas.training.evaluator import ProxyEvaluator
from nas.training.recipe import POLICIES, Recipe

LEVEL = 1e-4
EVERYTHING = {"random_resized_crop": 0.3, "color_jitter": 0.4, "cutout": 0.5, "mixup": 0.2, "cutmix": 1.0}


def data_of(images: int, channels: int = 3, size: int = 12, flip: bool = True) -> ImageData:
    """Random images; no two are alike."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (images, channels, size, size), dtype=np.uint8)
    labels = np.arange(images) % 3
    mean, std = (0.5,) * channels, (0.25,) * channels
    return ImageData("random", ("a", "b", "c"), pixels, labels, pixels, labels, mean, std, flip)


def batch_of(images: int, channels: int = 3, size: int = 12) -> Tensor:
    return torch.tensor(data_of(images, channels, size).train_images)


def augmentation(recipe: Recipe, data: ImageData, seed: int = 0) -> Augmentation:
    return Augmentation(recipe, data, torch.Generator().manual_seed(seed))


# Given what was drawn


def test_shifts_and_mirrors_equal_padding_and_cropping_image_by_image() -> None:
    data = data_of(16)
    images = DeviceImages(data.train_images, data.train_labels, data, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    index = torch.randperm(16, generator=generator)
    dy, dx = (torch.randint(-3, 4, (16, 1), generator=generator) for _ in range(2))
    flip = torch.rand(16, 1, generator=generator) < 0.5
    batch = images.normalise(shift_and_flip(images.get_pixels(index), dy, dx, flip))
    assert batch.shape == (16, 3, 12, 12)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)
    for i in range(16):
        padded = np.pad(data.train_images[index[i]], ((0, 0), (3, 3), (3, 3)), mode="reflect")
        y, x = 3 + int(dy[i]), 3 + int(dx[i])
        expected = padded[:, y : y + 12, x : x + 12]
        expected = expected[:, :, ::-1] if flip[i] else expected
        torch.testing.assert_close(batch[i], (torch.tensor(expected.copy()) / 255 - 0.5) / 0.25)


@settings(max_examples=20, deadline=None)
@given(st.integers(8, 33), st.integers(0, 2**31))
def test_resized_crops_equal_torchvisions(size: int, seed: int) -> None:
    pixels, generator = batch_of(3, size=size), torch.Generator().manual_seed(seed)
    height, width = (torch.randint(1, size + 1, (3, 1), generator=generator) for _ in range(2))
    top, left = (
        (torch.rand(3, 1, generator=generator) * (size - side + 1)).long() for side in (height, width)
    )
    ours = crop_resized(pixels, top, left, height, width).float()
    for i, image in enumerate(pixels.float()):
        box = [int(side[i]) for side in (top, left, height, width)]
        theirs = tv.resized_crop(image, *box, size=[size, size], antialias=True)
        assert (ours[i] - theirs).abs().max() <= 0.51  # ours are rounded


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_equal_torchvisions_in_any_order(channels: int) -> None:
    steps = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation)
    pixels, generator = batch_of(12, channels), torch.Generator().manual_seed(0)
    factors = 2 * torch.rand(12, 3, generator=generator)
    order = torch.rand(12, 3, generator=generator).argsort(1)
    assert len({tuple(row) for row in order.tolist()}) > 3
    ours = color_jitter(pixels, factors, order)
    for i in range(12):
        theirs = pixels[i] / 255
        for step in order[i].tolist():
            theirs = steps[step](theirs, float(factors[i, step]))
        torch.testing.assert_close(ours[i] / 255, theirs, atol=1e-5, rtol=0)


def test_cutout_equals_the_papers_loop() -> None:
    pixels, fill = batch_of(8), torch.tensor([10.0, 20.0, 30.0])[:, None, None]
    y, x = torch.tensor([[0, 1, 5, 11, 6, 0, 11, 3]]).T, torch.tensor([[0, 6, 5, 11, 0, 11, 1, 9]]).T
    expected = pixels.float().clone()
    for i in range(8):  # github.com/uoguelph-mlrg/Cutout, util/cutout.py
        top, left = max(int(y[i]) - 3, 0), max(int(x[i]) - 3, 0)
        expected[i, :, top : int(y[i]) + 3, left : int(x[i]) + 3] = fill
    assert torch.equal(cutout(pixels, y, x, 6, fill), expected)


def test_mixup_and_cutmix_equal_torchvisions() -> None:
    pixels = batch_of(6).float()
    theirs = v2.MixUp(num_classes=3).transform(pixels, {"lam": 0.3, "labels": None, "batch_size": 6})
    torch.testing.assert_close(mixup(pixels, 0.3), theirs)
    ours, share = cutmix(pixels, 0.4, 1, 10)  # the box is cut off above and on the right
    half = int(0.5 * (1 - 0.4) ** 0.5 * 12)
    box = (10 - half, 0, 12, 1 + half)
    assert share == pytest.approx(1 - (12 - 10 + half) * (1 + half) / 144)
    params = {"box": box, "lam_adjusted": share, "labels": None, "batch_size": 6}
    assert torch.equal(ours, v2.CutMix(num_classes=3).transform(pixels, params))


# In distribution


@pytest.mark.parametrize(("size", "least"), [(32, 0.08), (12, 0.5), (9, 1.0)])
def test_boxes_are_distributed_as_torchvisions(size: int, least: float) -> None:
    """At 1.0 few attempts fit, and the whole image is often taken."""
    n, generator = 3000, torch.Generator().manual_seed(0)
    draws = [torch.rand(n, k, generator=generator) for k in (10, 10, 1, 1)]
    ours = torch.cat(sample_boxes(size, least, draws), 1).long().numpy()
    transform, image = v2.RandomResizedCrop(size, scale=(least, 1)), torch.zeros(3, size, size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = [transform.make_params([image]) for _ in range(n)]
    theirs = np.array([[p["top"], p["left"], p["height"], p["width"]] for p in drawn])
    for mine, other in zip(ours.T, theirs.T, strict=True):
        assert ks_2samp(mine, other).pvalue > LEVEL
    assert ks_2samp(ours[:, 2] * ours[:, 3], theirs[:, 2] * theirs[:, 3]).pvalue > LEVEL
    assert (ours[:, 0] + ours[:, 2] <= size).all()
    assert (ours[:, 1] + ours[:, 3] <= size).all()


def test_factors_of_brightness_are_uniform() -> None:
    data = data_of(1, 1)
    data.train_images[:] = 100
    recipe = Recipe(crop=0, flip=False, color_jitter=0.4)
    found, _ = augmentation(recipe, data)(
        torch.tensor(data.train_images).expand(2000, -1, -1, -1), torch.zeros(2000)
    )
    assert kstest(found[:, 0, 0, 0] / 100, "uniform", (0.6, 0.8)).pvalue > LEVEL


@pytest.mark.parametrize(
    ("mixed", "recipe"),
    [
        (v2.MixUp, Recipe(crop=0, flip=False, mixup=0.7)),
        (v2.CutMix, Recipe(crop=0, flip=False, cutmix=0.7)),
    ],
)
def test_shares_are_distributed_as_torchvisions(mixed: type[nn.Module], recipe: Recipe) -> None:
    data = data_of(2)
    labels = torch.tensor([0, 1])
    augment = augmentation(recipe, data)
    ours = [float(augment(torch.tensor(data.train_images), labels)[1][0, 0]) for _ in range(500)]
    transform = mixed(alpha=0.7, num_classes=3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = [float(transform(torch.zeros(2, 3, 12, 12), labels)[1][0, 0]) for _ in range(500)]
    assert ks_2samp(ours, theirs).pvalue > LEVEL


def test_the_centres_of_squares_are_uniform() -> None:
    data = data_of(1, 1)
    data.train_images[:] = 0
    recipe = Recipe(crop=0, flip=False, cutout=1 / 12)
    found, _ = augmentation(recipe, data)(
        torch.tensor(data.train_images).expand(2000, -1, -1, -1), torch.zeros(2000)
    )
    assert (found.flatten(1).count_nonzero(1) == 1).all()
    assert found.max() == pytest.approx(255 * 0.5)
    assert kstest((found.flatten(1).argmax(1) + torch.rand(2000)) / 144, "uniform").pvalue > LEVEL


@pytest.mark.parametrize(("wanted", "allowed"), [(True, True), (True, False), (False, True)])
def test_every_shift_is_drawn_and_mirrors_only_where_they_keep_the_class(wanted: bool, allowed: bool) -> None:
    data = data_of(1, size=8, flip=allowed)
    image = torch.tensor(data.train_images[0])
    augment = augmentation(Recipe(crop=0.125, flip=wanted), data)
    padded = nn.functional.pad(image[None].float(), (1,) * 4, mode="reflect")[0]
    places = [(y, x, m) for y in range(3) for x in range(3) for m in (False, True)]
    seen = set()
    for got in augment(image.expand(400, -1, -1, -1), torch.zeros(400))[0]:
        crops = {p: padded[:, p[0] : p[0] + 8, p[1] : p[1] + 8] for p in places}
        found = [p for p, crop in crops.items() if torch.equal(crop.flip(2) if p[2] else crop, got.float())]
        assert len(found) == 1
        seen.add(found[0])
    assert seen == {p for p in places if (wanted and allowed) or not p[2]}


# As a whole


def test_mixed_labels_are_shares_of_the_images_that_are_mixed() -> None:
    data = data_of(12)
    for pixel in range(12):
        data.train_images[pixel] = 20 * pixel
    labels = torch.tensor(data.train_labels)
    for _ in range(5):
        pixels, targets = augmentation(Recipe(crop=0, mixup=0.5, flip=False), data)(
            torch.tensor(data.train_images), labels
        )
        assert targets.sum(1).tolist() == pytest.approx([1] * 12)
        share = targets[1, 1].item()
        assert pixels[1].mean().item() == pytest.approx(20 * share, abs=1e-3)


def test_mixup_and_cutmix_take_turns() -> None:
    data = data_of(12)
    augment = augmentation(Recipe(crop=0, flip=False, mixup=1.0, cutmix=1.0), data)
    before = torch.tensor(data.train_images)
    batches = [augment(before, torch.tensor(data.train_labels))[0] for _ in range(40)]
    blended = sum(not torch.equal(batch, batch.round()) for batch in batches)
    assert 8 < blended < 32  # a fair coin is outside once in 10,000 times


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_is_torchvisions_for_each_image(policy: str) -> None:
    data = data_of(16)
    transform = {"randaugment": v2.RandAugment(), "autoaugment": v2.AutoAugment()}[policy]
    pixels, recipe = torch.tensor(data.train_images), Recipe(crop=0, flip=False, policy=policy)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        found, _ = augmentation(recipe, data)(pixels, torch.zeros(16))
        torch.manual_seed(5)
        assert torch.equal(found, torch.stack([transform(image) for image in pixels]))
    assert not torch.equal(found, pixels)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_number_of_channels(channels: int) -> None:
    data = data_of(8, channels)
    policy = "randaugment" if channels < 4 else None
    recipe = Recipe(**EVERYTHING, policy=policy)  # type: ignore[arg-type]
    pixels, targets = augmentation(recipe, data)(
        torch.tensor(data.train_images), torch.tensor(data.train_labels)
    )
    assert pixels.shape == (8, channels, 12, 12)
    assert targets.shape == (8, 3)
    assert 0 <= pixels.min() < pixels.max() <= 255


def test_colours_are_jittered_and_alpha_stays() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels, factors = batch_of(8, channels=4), 0.5 + torch.rand(8, 3, generator=generator)
    order = torch.rand(8, 3, generator=generator).argsort(1)
    found = color_jitter(pixels, factors, order)
    assert torch.equal(found[:, :3], color_jitter(pixels[:, :3], factors, order))
    assert torch.equal(found[:, 3], pixels[:, 3].float())


def test_a_policy_is_refused_for_images_with_alpha() -> None:
    """Torchvision's are of grey and RGB, and would end in the midst of an epoch."""
    space = parse_space("{name: a, input: [3, 12, 12], network: [{conv: {out: 8}}, classifier]}")
    recipe = Recipe(policy="randaugment")
    with pytest.raises(InputError) as error:
        ProxyEvaluator(space, recipe, data_of(8, channels=4), 0)
    assert str(error.value) == (
        "recipe: policy: randaugment is of grey and RGB images, and those of data set random have 4 "
        "channels; give --recipe policy=null, or a colour as --background"
    )
    for channels in (1, 3):
        assert ProxyEvaluator(space, recipe, data_of(8, channels), 0).recipe == recipe
