"""Figures and losses of several labels an image, against scikit-learn and definitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn import metrics as theirs
from torch import nn

from nas.data.datasets import ImageData
from nas.errors import InputError
from nas.training.augment import Augmentation
from nas.training.loop import ClassifierTraining
from nas.training.losses import SeveralLabelsLoss, make_loss
from nas.training.metrics import JUDGES, check_metric
from nas.training.multi_label import (
    compute_average_precisions,
    compute_label_metrics,
    compute_mean_average_precision,
)
from nas.training.recipe import Recipe
from nas.training.sampling import weigh_labels
from nas.training.zero_cost import ZERO_COST


def make_data(seed: int = 0, count: int = 96) -> ImageData:
    """Noise, to which colours are added: each is a label."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((count, 3)) < (0.5, 0.4, 0.2)).astype(np.int64)
    images = rng.integers(0, 120, (count, 3, 8, 8)) + 60 * labels[:, :, None, None]
    part, half = images.astype(np.uint8), count // 2
    return ImageData(
        "colours", ("a", "b", "c"), part[:half], labels[:half], part[half:], labels[half:],
        (0.3,) * 3, (0.2,) * 3, True,
    )  # fmt: skip


def make_module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_is_that_of_scikit_learn(ties: bool) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels = (rng.random((50, 4)) < rng.random(4)).astype(np.int64)
        labels[0], labels[1] = 1, 0
        scores = rng.normal(size=(50, 4)) + labels
        if ties:
            scores = scores.round()
        own = compute_average_precisions(scores, labels)
        assert own == pytest.approx(theirs.average_precision_score(labels, scores, average=None))
        assert compute_mean_average_precision(scores, labels) == pytest.approx(
            theirs.average_precision_score(labels, scores, average="macro")
        )


def test_a_label_that_no_image_has_counts_for_nothing() -> None:
    labels = np.array([[1, 0], [0, 0], [1, 0]])
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    assert compute_mean_average_precision(scores, labels) == pytest.approx((1 + 2 / 3) / 2)
    with pytest.raises(InputError, match=r"--metric map: no image that is judged has a label"):
        compute_mean_average_precision(scores, 0 * labels)


def test_figures_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((200, 5)) < 0.3).astype(np.int64)
    shares = np.clip(0.4 * labels + rng.random((200, 5)) * 0.6, 0, 1)
    found, taken = compute_label_metrics(labels, shares), shares >= 0.5
    wanted = theirs.precision_recall_fscore_support(labels, taken)
    for own, value in zip((found.precision, found.recall, found.f1, found.images), wanted, strict=True):
        assert own == pytest.approx(value)
    assert found.micro_f1 == pytest.approx(theirs.f1_score(labels, taken, average="micro"))
    assert found.macro_f1 == pytest.approx(theirs.f1_score(labels, taken, average="macro"))
    losses = [theirs.log_loss(labels[:, place], shares[:, place]) for place in range(5)]
    assert found.loss == pytest.approx(sum(losses))


def test_the_judge_is_the_same_batch_by_batch() -> None:
    rng = np.random.default_rng(0)
    labels, logits = (rng.random((70, 3)) < 0.4).astype(np.int64), rng.normal(size=(70, 3))
    judge, parts = (
        JUDGES["map"],
        zip(torch.split(torch.tensor(logits), 32), torch.split(torch.tensor(labels), 32), strict=True),
    )
    observed = torch.cat([judge.observe(*part) for part in parts]).numpy()
    wanted = theirs.average_precision_score(labels, logits, average="macro")
    assert judge.compute(observed, labels, 3) == pytest.approx(wanted)


def test_the_loss_is_cross_entropy_of_each_label() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 3, requires_grad=True), torch.randint(2, (6, 3))
    loss = SeveralLabelsLoss(0.0)
    value = loss(logits, loss.make_targets(labels, labels, 3))
    shares = logits.sigmoid()
    assert value.item() == pytest.approx(
        -torch.where(labels > 0, shares, 1 - shares).log().sum(1).mean().item(), rel=1e-5
    )
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.allclose(gradient, (shares - labels) / 6, atol=1e-6)
    smooth = F.binary_cross_entropy_with_logits(logits, 0.05 + 0.9 * labels, reduction="sum") / 6
    assert SeveralLabelsLoss(0.1)(logits, labels.float()).item() == pytest.approx(smooth.item(), rel=1e-5)
    # of a class and its opposite, each counts as the one of two classes
    twin = torch.stack([logits[:, 0], -logits[:, 0]], 1)
    one = F.one_hot(labels[:, 0], 2)
    pair = SeveralLabelsLoss(0.0)
    assert pair(twin, pair.make_targets(one, one, 2)).item() == pytest.approx(
        2 * F.cross_entropy(torch.stack([logits[:, 0], torch.zeros(6)], 1), labels[:, 0]).item(), rel=1e-5
    )


def test_weights_even_out_having_a_label() -> None:
    labels = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0]])
    assert weigh_labels(labels).tolist() == [3, 1, 1]
    weighed = make_loss(Recipe(balance="weights"), labels, 3, None)
    assert isinstance(weighed, SeveralLabelsLoss) and weighed.weights is not None
    plain = make_loss(Recipe(), labels, 3, None)
    assert isinstance(plain, SeveralLabelsLoss) and plain.weights is None
    logits = torch.zeros(4, 3, requires_grad=True)
    assert weighed.smoothing == 0.1
    weighed(logits, labels.float()).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None and logits.grad[:, 0].sum().item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_weight_counts_images_so_many_times(smoothing: float) -> None:
    """An image with a label of weight 3 is three images; one that is mixed has shares of both."""
    logits, labels = torch.randn(4, 1), torch.tensor([[1.0], [0], [0], [0]])
    loss = SeveralLabelsLoss(smoothing, torch.tensor([3.0]))
    plain = SeveralLabelsLoss(smoothing)
    repeated = [torch.cat([values[:1].repeat(3, 1), values[1:]]) for values in (logits, labels)]
    assert 4 * loss(logits, labels).item() == pytest.approx(6 * plain(*repeated).item(), rel=1e-5)
    ends = [loss(logits[:1], torch.tensor([[value]])).item() for value in (1.0, 0.0)]
    mixed = loss(logits[:1], torch.tensor([[0.3]])).item()
    assert mixed == pytest.approx(0.3 * ends[0] + 0.7 * ends[1], rel=1e-5)


def test_mixed_labels_are_shares_of_both_images() -> None:
    data = make_data()
    augment = Augmentation(Recipe(mixup=1.0), data, torch.Generator().manual_seed(0))
    labels = torch.tensor(data.train_labels)
    _, mixed = augment(torch.tensor(data.train_images), labels)
    before = labels.roll(1, 0)
    share = (mixed - before)[labels != before] / (labels - before)[labels != before]
    assert torch.allclose(share, share[0].expand_as(share), atol=1e-5) and 0 < share[0] < 1


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(epochs=8, batch=16, lr=0.2),
        Recipe(epochs=8, batch=16, lr=0.2, mixup=0.2, cutmix=1.0, balance="weights", ema=0.9, fraction=0.9),
    ],
)
def test_a_training_learns_all_labels(recipe: Recipe) -> None:
    data = make_data(count=192)
    training = ClassifierTraining(make_module(), data, recipe, seed=0)
    values = [training.epoch().value for _ in range(recipe.epochs)]
    assert values[-1] > 0.85 > data.val_labels.mean()
    shares = training.predict(data.val_images, training.state_dict())
    assert (shares.sum(1) > 1.2).any()  # probabilities of their own
    assert compute_mean_average_precision(shares, data.val_labels) == pytest.approx(values[-1], abs=1e-6)


def test_scores_of_untrained_networks() -> None:
    data = make_data()
    x = torch.tensor(data.train_images[:8] / 255, dtype=torch.float32)
    y = torch.tensor(data.train_labels[:8])
    module = make_module()
    one = ZERO_COST["grad_norm"](module, x, y)
    assert one > 0 and one != ZERO_COST["grad_norm"](module, x, 1 - y)
    assert np.isfinite(ZERO_COST["zico"](module, x, y))


def test_metrics_are_of_one_label_or_of_several() -> None:
    data = make_data()
    assert Recipe().judge_by(True).metric == "map" and Recipe().judge_by(False) == Recipe()
    check_metric("map", data)
    with pytest.raises(
        InputError, match=r"--metric auc: is of images with one label each, and those of data set"
    ):
        check_metric("auc", data)
    with pytest.raises(InputError, match=r"no image that is judged has a label"):
        check_metric("map", replace(data, val_labels=0 * data.val_labels))
