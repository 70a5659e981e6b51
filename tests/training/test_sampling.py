"""What an epoch trains on, and how much a class counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from nas.data.datasets import ImageData
from nas.training.loop import ClassifierTraining, seed_everything
from nas.training.losses import Loss
from nas.training.recipe import Recipe
from nas.training.sampling import shuffle_images, weigh_classes

UNEVEN = [0] * 60 + [1] * 25 + [3] * 5
"""No image is of class 2."""


def draw(labels: torch.Tensor, seed: int, *, evenly: bool = True) -> torch.Tensor:
    return shuffle_images(labels, torch.Generator().manual_seed(seed), evenly=evenly)


@pytest.mark.parametrize("counts", [(60, 25, 5), (7, 7), (100, 1), (3, 2, 2)])
def test_an_even_draw_has_as_many_images_of_each_class(counts: tuple[int, ...]) -> None:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))[torch.randperm(sum(counts))]
    drawn = draw(labels, 0)
    assert len(drawn) == len(labels)
    found = labels[drawn].bincount()
    assert found.max() <= -(-len(labels) // len(counts)) and found.min() >= found.max() - len(counts)
    for label in range(len(counts)):  # each image as often as the others of its class, to one or the last cut
        times = drawn.bincount(minlength=len(labels))[labels == label]
        assert times.max() - times.min() <= 1 + len(counts)


def test_a_draw_is_of_its_seed_and_in_another_order_each_time() -> None:
    labels = torch.tensor(UNEVEN)
    assert torch.equal(draw(labels, 3), draw(labels, 3)) and not torch.equal(draw(labels, 3), draw(labels, 4))
    plain = draw(labels, 3, evenly=False)
    assert torch.equal(plain.sort().values, torch.arange(len(labels)))
    generator = torch.Generator().manual_seed(0)
    seen = [shuffle_images(labels, generator, evenly=True) for _ in range(20)]
    assert len(set(torch.cat(seen).tolist())) == len(labels)  # what one epoch leaves out comes in others
    first = labels[torch.stack(seen)[:, :30].flatten()].bincount()  # in random order: no class comes first
    assert first[[0, 1, 3]].min() > 150


def test_weights_are_those_of_scikit_learn() -> None:
    labels = [0] * 60 + [1] * 25 + [2] * 5
    found = weigh_classes(torch.tensor(labels), 3)
    assert found.tolist() == pytest.approx(compute_class_weight("balanced", classes=np.arange(3), y=labels))
    assert found[torch.tensor(labels)].mean() == pytest.approx(1)


def test_a_class_without_an_image_weighs_nothing() -> None:
    """As in a fold whose groups have none of it."""
    labels = torch.tensor(UNEVEN)
    found = weigh_classes(labels, 4)
    there = np.array([0, 1, 3])
    assert found[2] == 0
    assert found[there].tolist() == pytest.approx(compute_class_weight("balanced", classes=there, y=UNEVEN))
    assert found[labels].mean() == pytest.approx(1)
    assert Loss(0.1, found)(torch.zeros(90, 4), labels).isfinite()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_classes_count_alike_whatever_the_batch(smoothing: float) -> None:
    """Of torch's own `weight` neither is so: findings/torch-class-weights-by-batch.sh."""
    labels, generator = torch.tensor([0] * 60 + [1] * 25 + [2] * 5), torch.Generator().manual_seed(0)
    loss, logits = Loss(smoothing, weigh_classes(labels, 3)), torch.randn(90, 3, generator=generator)
    whole = loss(logits, labels)
    parts = [loss(one[None], label[None]) for one, label in zip(logits, labels, strict=True)]
    assert torch.stack(parts).mean() == pytest.approx(whole.item())
    assert loss(logits, F.one_hot(labels, 3).float()) == pytest.approx(whole.item())
    even = torch.zeros(90, 3, requires_grad=True)
    loss(even, labels).backward()  # type: ignore[no-untyped-call]
    assert even.grad is not None and even.grad.sum(0).tolist() == pytest.approx([0, 0, 0], abs=1e-6)


def uneven_data(size: int = 8) -> ImageData:
    rng = np.random.default_rng(0)
    labels = np.array([0] * 24 + [1] * 8)
    images = rng.integers(0, 256, (32, 1, size, size), dtype=np.uint8)
    return ImageData("random", ("a", "b"), images, labels, images, labels, (0.5,), (0.25,), flip=False)


def train_once(recipe: Recipe) -> tuple[float | None, nn.Linear]:
    seed_everything(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    result = ClassifierTraining(module, uneven_data(), recipe, seed=0).epoch()
    linear = module[1]
    assert isinstance(linear, nn.Linear)
    return result.loss, linear


def test_the_loss_has_the_weights_of_the_classes() -> None:
    """One step on all images, by hand: 24 and 8 of 32 images weigh 2/3 and 2."""
    recipe = Recipe(epochs=1, batch=32, crop=0, flip=False, balance="weights", label_smoothing=0.1)
    loss, _ = train_once(recipe)
    data = uneven_data()
    seed_everything(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    x = (torch.tensor(data.train_images) / 255 - 0.5) / 0.25
    log = module(x).log_softmax(1).detach()
    plain = F.cross_entropy(log, torch.tensor(data.train_labels), label_smoothing=0.1)
    assert loss != pytest.approx(float(plain), rel=1e-3)
    weights, own = torch.tensor([2 / 3, 2.0]), torch.tensor(data.train_labels)
    smooth = -(0.9 * log.gather(1, own[:, None])[:, 0] + 0.05 * log.sum(1))
    assert loss == pytest.approx(float((weights[own] * smooth).mean()), rel=1e-5)


@pytest.mark.parametrize("mixup", [0, 0.2])
@pytest.mark.parametrize("balance", ["weights", "sampling"])
def test_balanced_training_is_repeatable_and_another(balance: str, mixup: float) -> None:
    recipe = Recipe(epochs=1, batch=8, mixup=mixup, balance=balance)
    (loss, one), (again, other) = train_once(recipe), train_once(recipe)
    assert loss == again and torch.equal(one.weight, other.weight)
    _, plain = train_once(Recipe(epochs=1, batch=8, mixup=mixup))
    assert not torch.equal(one.weight, plain.weight)


def test_an_epoch_of_balanced_sampling_sees_both_classes_alike() -> None:
    data, seen = uneven_data(), []
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    module.register_forward_pre_hook(lambda m, x: seen.append(x[0].clone()) if m.training else None)
    recipe = Recipe(epochs=1, batch=8, crop=0, flip=False, balance="sampling")
    ClassifierTraining(module, data, recipe, seed=0).epoch()
    sums = ((torch.tensor(data.train_images) / 255 - 0.5) / 0.25).sum(dim=(1, 2, 3))
    found = [int((sums - image.sum()).abs().argmin()) for image in torch.cat(seen)]
    assert np.bincount(data.train_labels[found]).tolist() == [16, 16]
    assert max(np.bincount(found)[24:]) == 2  # 8 images make 16
