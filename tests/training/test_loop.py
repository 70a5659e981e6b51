"""The recipe's rules and the training loop: repeatable, correct step by step, and clear when it fails."""

from __future__ import annotations

import dataclasses
import gc
import io
import math
import pickle
import weakref
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nas.data.config import DataConfig
from nas.data.datasets import ImageData, load_dataset, make_folds
from nas.errors import InputError
from nas.execution.base import Attempt
from nas.kinds import dump_value
from nas.space import Choices, parse_space
from nas.study.records import TrialResult
from nas.training.base import EpochResult, Failure, FailureReason, Limit, Metric, TrainingFailed
from nas.training.device import (
    GraphedPass,
    PassFigures,
    PassStart,
    check_pass,
    fill_pass,
    measure_pass,
)
from nas.training.evaluator import ProxyEvaluator
from nas.training.folds import FoldedTraining
from nas.training.loop import ClassifierTraining, seed_everything
from nas.training.recipe import LEARNING_RATES, Recipe


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Results are promised bit-equal with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_dataset(DataConfig("digits", 16, max_images=800), seed=0)


def random_data(train: int, val: int = 8, channels: int = 3, size: int = 8, flip: bool = True) -> ImageData:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (train + val, channels, size, size), dtype=np.uint8)
    labels = np.arange(train + val) % 2
    return ImageData(
        name="random",
        classes=("a", "b"),
        train_images=images[:train],
        train_labels=labels[:train],
        val_images=images[train:],
        val_labels=labels[train:],
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
        flip=flip,
    )


def small_net(channels: int = 1, classes: int = 10) -> nn.Module:
    """Convolutions, a depthwise one among them, batch norm and dropout."""
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, 2, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.SiLU(),
        nn.Conv2d(16, 64, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.SiLU(),
        nn.Conv2d(64, 64, 3, 2, 1, groups=64, bias=False),
        nn.BatchNorm2d(64),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(64, classes),
    )


class Flat(nn.Module):
    """A linear classifier that keeps the shapes and modes of the batches that it saw."""

    def __init__(self, inputs: int, classes: int = 2) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, classes)
        self.seen: list[tuple[bool, int]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append((self.training, len(x)))
        logits: Tensor = self.linear(x.flatten(1))
        return logits


SPACE = "{name: a, input: [3, 16, 16], network: [{conv: {out: 8}}, {basic: {out: 8}}, classifier]}"
FULL: dict[str, Any] = {
    "optimizer": "adamw", "ema": 0.9, "grad_clip": 1.0, "random_resized_crop": 0.5, "color_jitter": 0.4,
    "cutout": 0.3, "mixup": 0.2, "cutmix": 1.0, "policy": "randaugment", "fraction": 0.5,
}  # fmt: skip
"""Whatever draws random numbers, and what it is combined with."""
GRAPHED = Recipe(batch=64, cuda_graph=True)


def run(
    data: ImageData, seed: int, between: int = 0, **settings: Any
) -> tuple[list[tuple[float, float | None]], dict[str, Tensor]]:
    seed_everything(seed)
    training = ClassifierTraining(small_net(), data, Recipe(epochs=2, **settings), seed=seed)
    results = []
    while not training.done:
        torch.rand(between)
        result = training.epoch()
        results.append((result.value, result.loss))
    return results, training.state_dict()


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    seed_everything(0)
    return build()


def last(training: ClassifierTraining) -> EpochResult:
    while not training.done:
        result = training.epoch()
    return result


# The recipe


@pytest.mark.parametrize(
    ("images", "batch", "rate"),
    [
        (100, 16, 0.005), (1_023, 16, 0.005), (1_024, 32, 0.01), (1_438, 32, 0.01), (8_000, 128, 0.04),
        (32_767, 512, 0.16), (32_768, 1_024, 0.32), (40_000, 1_024, 0.32), (1_281_167, 1_024, 0.32),
    ],
)  # fmt: skip
def test_auto_picks_the_largest_batch_that_leaves_steps(images: int, batch: int, rate: float) -> None:
    """The same on any device; on a GPU where nothing is given too."""
    given = Recipe(batch="auto")
    picked = given.fit(images, "cpu")
    assert (picked.batch, picked.lr) == (batch, rate)
    assert given.fit(images, "cuda") == Recipe().fit(images, "cuda") == picked
    assert picked.fit(7, "cuda") == picked  # as a resume has it
    part = dataclasses.replace(given, fraction=0.5).fit(2 * images, "cpu")
    assert (part.batch, part.lr) == (batch, rate)


def test_the_rate_that_belongs_to_a_batch() -> None:
    """Linear for SGD, the square root for the others; one that is given stays, and so does a batch."""
    recipes = [Recipe(batch="auto", optimizer=name).fit(40_000, "cuda") for name in LEARNING_RATES]
    assert [recipe.peak_lr for recipe in recipes] == [0.32, 0.02, 0.008]
    assert Recipe(lr=0.03).fit(40_000, "cuda").lr == 0.03
    assert Recipe(batch=512).fit(40_000, "cuda") == Recipe(batch=512)
    assert (Recipe().fit(40_000, "cpu"), Recipe().fit(7, "mps")) == (Recipe(batch=64),) * 2


def test_a_recipe_survives_yaml() -> None:
    recipe = Recipe(epochs=7, lr=0.001, weight_decay=1e-5, flip=False)
    assert Recipe.from_data(yaml.safe_load(yaml.safe_dump(recipe.to_data())), "file") == recipe
    assert Recipe(**dataclasses.asdict(recipe)) == recipe


BATCH = (
    "a batch; it is auto, or a whole number of at least 2, as batch norm needs two images, or null for 64, "
    "and auto on a GPU"
)
LR = "a learning rate; it is a number above 0, such as 0.05, or null for the optimizer's own"


@pytest.mark.parametrize(
    ("setting", "value", "rule"),
    [
        ("epochs", 0, "a number of epochs; it is a whole number, 1 or more"),
        ("epochs", 2.0, "a number of epochs; it is a whole number, 1 or more"),
        ("epochs", True, "a number of epochs; it is a whole number, 1 or more"),
        ("batch", 1, BATCH),
        ("batch", "Auto", BATCH),
        ("batch", True, BATCH),
        ("batch", 64.0, BATCH),
        ("optimizer", "adam", "an optimizer; it is sgd, adamw or rmsprop"),
        ("lr", 0, LR),
        ("lr", math.nan, LR),
        ("lr", math.inf, LR),
        ("schedule", "step", "a schedule; it is cosine or one_cycle"),
        ("grad_clip", 0, "a norm; it is a number above 0, such as 1.0, or null for no limit"),
        ("ema", 1, "a decay; it is above 0 and below 1, such as 0.99, or null for no average"),
        ("dropout", 1, "a rate; it is a number of at least 0 and below 1, or null for the space's own"),
        ("drop_path", -0.1, "a rate; it is a number of at least 0 and below 1, or null for the space's own"),
        ("early_stop", 0, "a number of epochs; it is a whole number, 1 or more, or null for all of them"),
        (
            "random_resized_crop",
            0,
            "the least share of the area; it is a number above 0 and up to 1, or null for none",
        ),
        ("color_jitter", -1, "a strength; it is 0 for none, or a number such as 0.4"),
        ("cutout", 1.1, "the square's share of the side; it is 0 for none, or a number up to 1"),
        ("mixup", math.inf, "the alpha of a beta distribution; it is 0 for none, or a number such as 0.2"),
        ("cutmix", None, "the alpha of a beta distribution; it is 0 for none, or a number such as 1.0"),
        ("policy", "trivial", "a policy; it is randaugment or autoaugment, or null for none"),
        ("fraction", 0, "a share of the images; it is above 0 and up to 1"),
        ("cuda_graph", 1, "true or false"),
        ("momentum", 1.0, "a momentum; it is a number above 0 and below 1, such as 0.9"),
        ("weight_decay", -0.1, "a weight decay; it is a number of at least 0, such as 0.0005"),
        ("warmup", 1, "a share of the steps; it is a number of at least 0 and below 1"),
        ("label_smoothing", 1.0, "a share of a label; it is a number of at least 0 and below 1"),
        ("flip", 1, "true or false"),
        ("crop", 0.6, "a share of the resolution; it is a number from 0 to 0.5"),
    ],
)
def test_a_wrong_setting_is_refused(setting: str, value: object, rule: str) -> None:
    with pytest.raises(InputError) as error:
        Recipe(**{setting: value})  # type: ignore[arg-type]
    assert str(error.value) == f"recipe: {setting}: {dump_value(value)} is not {rule}"


@pytest.mark.parametrize(
    ("setting", "value", "rule"),
    [
        ("dataset", "", "a data set, such as digits or imagefolder:PATH"),
        ("resolution", 4, "a resolution; it is a whole number of pixels, 8 to 2,048"),
        ("val-fraction", 0, "a share of the images; it is above 0 and below 1"),
        ("max-images", 3, "a number of images; it is a whole number of at least 4, or null for all"),
        ("max-broken", 1, "a share of the images; it is at least 0 and below 1"),
        ("folds", 0, "a number of folds; it is a whole number of at least 1, such as 5"),
    ],
)
def test_a_wrong_setting_of_the_data_is_refused(setting: str, value: object, rule: str) -> None:
    with pytest.raises(InputError) as error:
        DataConfig(**{setting.replace("-", "_"): value})  # type: ignore[arg-type]
    assert str(error.value) == f"{setting}: {dump_value(value)} is not {rule}"


def test_a_number_that_yaml_reads_as_text_is_explained() -> None:
    settings = yaml.safe_load("weight_decay: 5e-4")
    with pytest.raises(InputError) as error:
        Recipe(**settings)
    assert str(error.value) == (
        "recipe: weight_decay: '5e-4' is not a weight decay; it is a number of at least 0, such as 0.0005; "
        "in YAML write it as 0.0005, as '5e-4' is text there"
    )
    with pytest.raises(InputError, match=r"momentum: 'fast' is not [a-z;0 1]*, such as 0\.9$"):
        Recipe(momentum="fast")  # type: ignore[arg-type]


# Repeatable


@pytest.mark.parametrize("settings", [{}, FULL], ids=["default", "full"])
def test_the_same_seed_gives_bit_equal_scores_and_weights(
    digits: ImageData, settings: dict[str, Any]
) -> None:
    first, weights = run(digits, seed=3, **settings)
    again, same = run(digits, seed=3, between=5, **settings)
    assert first == again
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    other, _ = run(digits, seed=4, **settings)
    assert first != other


@pytest.mark.parametrize("settings", [{}, FULL], ids=["default", "full"])
def test_training_leaves_the_global_random_numbers_alone(digits: ImageData, settings: dict[str, Any]) -> None:
    training = ClassifierTraining(small_net(), digits, Recipe(**settings), seed=0)
    state = torch.get_rng_state()
    training.epoch()
    assert torch.equal(torch.get_rng_state(), state)


# Correct


def test_it_learns_digits(digits: ImageData) -> None:
    seed_everything(0)
    training = ClassifierTraining(small_net(), digits, Recipe(epochs=6, batch=16, lr=0.1), seed=0)
    results: list[EpochResult] = []
    while not training.done:
        results.append(training.epoch())
    assert [result.epoch for result in results] == [1, 2, 3, 4, 5, 6]
    assert results[-1].value > 0.85
    first, last = results[0].loss, results[-1].loss
    assert first is not None and last is not None and last < first
    assert all(result.seconds > 0 for result in results)
    with pytest.raises(AssertionError):
        training.epoch()


@pytest.mark.parametrize("batch", [16, 10_000])
def test_the_parts_of_a_trainings_time(digits: ImageData, batch: int) -> None:
    """The first step prepares: it is no part of the speed, and where an epoch is one step it has none."""
    limit = Limit(1e6, "memory bandwidth")
    training = ClassifierTraining(small_net(), digits, Recipe(epochs=2, batch=batch), seed=0, limit=limit)
    first, second = training.epoch(), training.epoch()
    steps = max(1, len(digits.train_labels) // batch)
    size = min(batch, len(digits.train_labels))
    assert (first.images, second.images) == ((steps - 1) * size, steps * size)
    assert first.start_s > 0 == second.start_s and first.limit == second.limit == limit
    for result in (first, second):
        assert (result.train_s > 0) == (result.images > 0)
        assert result.start_s + result.train_s + result.norms_s <= result.seconds


def test_accuracy_is_that_of_the_weights_on_search_validation(digits: ImageData) -> None:
    """A second route: the returned weights in a fresh module, plain float images, no batches."""
    training = ClassifierTraining(small_net(), digits, Recipe(epochs=1), seed=0)
    result = training.epoch()
    module = small_net().eval()
    module.load_state_dict(training.state_dict())
    x = (torch.tensor(digits.val_images) / 255 - digits.mean[0]) / digits.std[0]
    predicted = module(x).argmax(1).numpy()
    assert result.value == pytest.approx((predicted == digits.val_labels).mean(), abs=1.5 / len(x))


@pytest.mark.parametrize(("images", "batches"), [(11, [4, 4]), (12, [4, 4, 4]), (13, [4, 4, 4]), (3, [3])])
def test_no_incomplete_batch_unless_there_is_no_other(images: int, batches: list[int]) -> None:
    module = Flat(3 * 64)
    ClassifierTraining(module, random_data(images), Recipe(batch=4), seed=0).epoch()
    assert [size for training, size in module.seen if training] == batches
    assert sum(size for training, size in module.seen if not training) == 8


def test_all_images_of_an_epoch_are_different() -> None:
    seen: list[Tensor] = []
    module = Flat(3 * 64)
    module.register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0].clone()) if m.training else None)
    data = random_data(12)
    training = ClassifierTraining(module, data, Recipe(batch=4, crop=0, flip=False), seed=0)
    training.epoch()
    training.epoch()
    pixels = torch.tensor(data.train_images) / 255
    expected = sorted(((pixels - 0.5) / 0.25).sum(dim=(1, 2, 3)).tolist())
    for epoch in (seen[:3], seen[3:]):
        assert sorted(torch.cat(epoch).sum(dim=(1, 2, 3)).tolist()) == pytest.approx(expected, abs=1e-2)
    assert not torch.equal(torch.cat(seen[:3]), torch.cat(seen[3:])), "the epochs are shuffled differently"


def test_one_step_equals_the_update_rule_by_hand() -> None:
    """Nesterov: v = g + d w; w -= lr (g + d w + m v) from v = 0, with the decay d of weights alone."""
    data = random_data(8, size=8)
    recipe = Recipe(epochs=1, batch=8, lr=0.1, weight_decay=0.3, warmup=0, crop=0, flip=False)
    module = Flat(3 * 64)
    weight, bias = (p.detach().clone().requires_grad_() for p in (module.linear.weight, module.linear.bias))
    result = ClassifierTraining(module, data, recipe, seed=0).epoch()

    x = ((torch.tensor(data.train_images) / 255 - 0.5) / 0.25).flatten(1)
    log_p = (x @ weight.T + bias).log_softmax(1)
    target = 0.9 * nn.functional.one_hot(torch.tensor(data.train_labels), 2) + 0.1 / 2
    loss = -(target * log_p).sum(1).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    assert result.loss == pytest.approx(loss.item(), rel=1e-5)
    assert weight.grad is not None
    assert bias.grad is not None
    torch.testing.assert_close(
        module.linear.weight, (weight - 0.1 * 1.9 * (weight.grad + 0.3 * weight)).detach()
    )
    torch.testing.assert_close(module.linear.bias, (bias - 0.1 * 1.9 * bias.grad).detach())


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop"])
def test_the_first_step_of_other_optimizers_by_hand(optimizer: str) -> None:
    """AdamW decays by itself, RMSprop within its gradient; both divide the gradient by its size."""
    data = random_data(8)
    recipe = Recipe(
        epochs=1, batch=8, optimizer=optimizer, lr=0.1, weight_decay=0.3, warmup=0, crop=0, flip=False
    )
    module = Flat(3 * 64)
    weight, bias = (p.detach().clone() for p in (module.linear.weight, module.linear.bias))
    gradients: list[list[Tensor]] = []
    training = ClassifierTraining(module, data, recipe, seed=0)
    training._optimizer.register_step_pre_hook(
        lambda *_: gradients.append([p.grad.clone() for p in module.parameters() if p.grad is not None])
    )
    training.epoch()
    for before, after, gradient, decay in zip(
        (weight, bias), module.parameters(), gradients[0], (0.3, 0.0), strict=True
    ):
        if optimizer == "adamw":
            expected = before * (1 - 0.1 * decay) - 0.1 * gradient / (gradient.abs() + 1e-8)
        else:
            gradient = gradient + decay * before
            expected = before - 0.1 * gradient / ((0.1 * gradient**2).sqrt() + 0.0316)
        torch.testing.assert_close(after.detach(), expected)


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop"])
def test_other_optimizers_learn_digits_at_their_own_rates(digits: ImageData, optimizer: str) -> None:
    recipe = Recipe(epochs=3, batch=8, optimizer=optimizer)
    assert last(ClassifierTraining(seeded(small_net), digits, recipe, seed=0)).value > 0.5


@pytest.mark.parametrize("optimizer", LEARNING_RATES)
def test_what_a_step_reads_lies_in_memory_as_its_weight_does(optimizer: str) -> None:
    """A fused step of torch on a CPU pairs places in memory, whatever the strides."""

    def make() -> ClassifierTraining:
        layers = [
            nn.Conv2d(3, 8, 3),
            nn.Conv2d(8, 8, 3, groups=2),
            nn.Conv2d(8, 8, 1),
            nn.Conv2d(8, 2, (1, 3)),
        ]
        recipe = Recipe(epochs=2, batch=8, optimizer=optimizer)
        return ClassifierTraining(
            nn.Sequential(*layers, nn.Flatten(), nn.Linear(16, 2)), random_data(8), recipe, seed=0
        )

    first, training = make(), make()
    first.epoch()
    file = io.BytesIO()
    torch.save(first.checkpoint(), file)
    file.seek(0)
    training.restore(torch.load(file, weights_only=True))
    training.epoch()
    read = 0
    for weight in training._module.parameters():
        assert weight.dim() < 4 or weight.is_contiguous(memory_format=torch.channels_last)
        for value in (weight.grad, *training._optimizer.state[weight].values()):
            if isinstance(value, Tensor) and value.shape == weight.shape:
                read += 1
                assert value.stride() == weight.stride()
    assert read >= 20


def test_norms_and_biases_do_not_decay(digits: ImageData) -> None:
    module = small_net()
    training = ClassifierTraining(module, digits, Recipe(weight_decay=0.01), seed=0)
    decay = {id(p): g["weight_decay"] for g in training._optimizer.param_groups for p in g["params"]}
    for name, parameter in module.named_parameters():
        layer = module.get_submodule(name.split(".")[0])
        weight = isinstance(layer, (nn.Conv2d, nn.Linear)) and name.endswith("weight")
        assert decay[id(parameter)] == (0.01 if weight else 0.0), name


def test_the_rate_rises_linearly_and_falls_as_a_cosine_to_zero() -> None:
    recipe = Recipe(epochs=5, batch=10, lr=0.4, warmup=0.2)
    training = ClassifierTraining(Flat(3 * 64), random_data(200), recipe, seed=0)
    rates = [recipe.compute_rate(step, 100) for step in range(100)]
    assert rates[:20] == pytest.approx(np.arange(1, 21) / 20 * 0.4)
    assert rates[20:] == pytest.approx(0.2 * (1 + np.cos(np.pi * np.arange(80) / 80)))
    assert rates[-1] < 0.001 * 0.4
    used: list[float] = []
    training._optimizer.register_step_pre_hook(
        lambda optimizer, *_: used.append(optimizer.param_groups[1]["lr"])
    )
    while not training.done:
        training.epoch()
    assert used == rates


def test_one_cycle_rises_and_falls_as_a_line() -> None:
    recipe = Recipe(optimizer="adamw", schedule="one_cycle", warmup=0.25)
    rates = [recipe.compute_rate(step, 80) for step in range(80)]
    assert rates[:20] == pytest.approx(np.arange(1, 21) / 20 * 0.005)
    assert rates[20:] == pytest.approx((60 - np.arange(60)) / 60 * 0.005)


def test_gradients_are_clipped_to_a_norm() -> None:
    module = Flat(3 * 64)
    training = ClassifierTraining(module, random_data(8), Recipe(grad_clip=0.01), seed=0)
    norms: list[float] = []
    training._optimizer.register_step_pre_hook(
        lambda *_: norms.append(
            float(torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None]).norm())
        )
    )
    training.epoch()
    assert norms == pytest.approx([0.01], rel=1e-3)


def test_the_average_is_what_is_validated_and_kept() -> None:
    """Weights of each step by a hook; batch norm's statistics are those that the averaged weights give."""
    data = random_data(16)
    conv, norm = nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)
    module = nn.Sequential(conv, norm, nn.Flatten(), nn.Linear(2 * 36, 2))
    mean = conv.weight.detach().clone()
    training = ClassifierTraining(
        module, data, Recipe(batch=4, epochs=1, ema=0.15, lr=0.1, momentum=0.5), seed=0
    )
    decays = iter([0.1, 0.15, 0.15, 0.15])  # of the first step (1 + 0) / (10 + 0)

    def average(*_: object) -> None:
        decay = next(decays)
        mean.mul_(decay).add_((1 - decay) * conv.weight.detach())

    training._optimizer.register_step_post_hook(average)
    result = training.epoch()
    kept = training.state_dict()
    torch.testing.assert_close(kept["0.weight"], mean)
    assert not torch.equal(kept["0.weight"], conv.weight)
    module.load_state_dict(kept)
    pixels = (torch.tensor(data.train_images) / 255 - 0.5) / 0.25
    activations = module[0](pixels).detach().reshape(4, 4, 2, -1).transpose(1, 2).flatten(2)
    torch.testing.assert_close(kept["1.running_mean"], activations.mean(2).mean(0))
    torch.testing.assert_close(kept["1.running_var"], activations.var(2).mean(0))
    predicted = module.eval()((torch.tensor(data.val_images) / 255 - 0.5) / 0.25).argmax(1).numpy()
    assert result.value == (predicted == data.val_labels).mean()


class Centred(Flat):
    """A classifier that takes the mean of what it was trained on away, which it keeps beside its weights."""

    mean: Tensor

    def __init__(self, inputs: int) -> None:
        super().__init__(inputs)
        self.register_buffer("mean", torch.zeros(inputs))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean.lerp_(x.detach().flatten(1).mean(0), 0.1)
        return super().forward(x - self.mean.view(x.shape[1:]))


@pytest.mark.parametrize("ema", [None, 0.9])
def test_what_a_layer_of_ones_own_keeps_beside_weights_is_as_it_was_trained(ema: float | None) -> None:
    module = Centred(3 * 64)
    training = ClassifierTraining(module, random_data(16), Recipe(epochs=2, batch=4, ema=ema), seed=0)
    for _ in range(2):
        training.epoch()
        assert module.mean.any() and torch.equal(training.state_dict()["mean"], module.mean)


def test_a_training_without_a_better_accuracy_ends() -> None:
    """At this rate nothing changes: the first epoch is the best, and two more are waited for."""
    training = ClassifierTraining(
        Flat(3 * 64), random_data(8), Recipe(epochs=9, lr=1e-30, early_stop=2), seed=0
    )
    result = last(training)
    assert (result.epoch, result.score) == (3, result.value)


def test_a_fraction_has_of_each_class_in_proportion() -> None:
    data = random_data(20)
    data.train_labels[:] = [0] * 5 + [1] * 15
    seen: list[Tensor] = []
    module = Flat(3 * 64)
    module.register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0].clone()) if m.training else None)
    recipe = Recipe(epochs=1, batch=2, fraction=0.4, crop=0, flip=False)
    ClassifierTraining(module, data, recipe, seed=0).epoch()
    expected = (torch.tensor(data.train_images)[[0, 1, *range(5, 11)]] / 255 - 0.5) / 0.25
    sums = sorted(expected.sum(dim=(1, 2, 3)).tolist())
    assert sorted(torch.cat(seen).sum(dim=(1, 2, 3)).tolist()) == pytest.approx(sums, abs=1e-2)
    assert len(ClassifierTraining(Flat(3 * 64), data, Recipe(fraction=0.01), seed=0)._own) == 2


def test_read_only_images_are_used_in_place() -> None:
    """As they come from Ray's object store; a warning would be an error here."""
    data = pickle.loads(pickle.dumps(random_data(8)))
    for array in (data.train_images, data.train_labels, data.val_images, data.val_labels):
        array.setflags(write=False)
    training = ClassifierTraining(Flat(3 * 64), data, Recipe(), seed=0)
    assert training._train._images.data_ptr() == data.train_images.ctypes.data
    training.epoch()


def test_batch_norm_is_estimated_from_images_as_validation_sees_them() -> None:
    """The mean and the unbiased variance of each batch, averaged, without dropout or augmentation."""
    data = random_data(16)
    norm = nn.BatchNorm2d(3, momentum=0.1)
    module = nn.Sequential(nn.Dropout(0.5), norm, nn.Flatten(), nn.Linear(3 * 64, 2))
    training = ClassifierTraining(module, data, Recipe(batch=8, epochs=1, crop=0.25), seed=0)
    training.epoch()
    batches = ((torch.tensor(data.train_images) / 255 - 0.5) / 0.25).reshape(2, 8, 3, 8, 8)
    mean = torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0)
    var = torch.stack([b.var((0, 2, 3)) for b in batches]).mean(0)
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, var)
    assert norm.momentum == 0.1


def test_weights_come_as_a_plain_copy(digits: ImageData, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    module = small_net()
    training = ClassifierTraining(module, digits, Recipe(), seed=0)
    training.epoch()
    weights = training.state_dict()
    assert list(weights) == list(module.state_dict())
    for name, value in weights.items():
        assert value.device.type == "cpu"
        assert value.is_contiguous()
        assert value.dtype == (torch.int64 if name.endswith("num_batches_tracked") else torch.float32)
    save_file(weights, tmp_path / "weights.safetensors")
    before = load_file(tmp_path / "weights.safetensors")
    training.epoch()
    assert all(torch.equal(weights[name], before[name]) for name in weights), "a later epoch changed the copy"
    assert not torch.equal(weights["0.weight"], module[0].weight)  # type: ignore[index]


# Failing


def test_a_diverging_training_fails_with_its_reason(digits: ImageData) -> None:
    training = ClassifierTraining(small_net(), digits, Recipe(lr=1e30), seed=0)
    with pytest.raises(TrainingFailed) as failed:
        training.epoch()
    assert failed.value.failure.reason == FailureReason.NAN_LOSS
    assert str(failed.value) == "nan_loss: the training loss was nan in epoch 1"


def test_weights_that_are_not_finite_after_the_last_step_give_no_score() -> None:
    """The loss is taken before the step: with one step an overflow shows in validation alone."""
    recipe = Recipe(epochs=1, batch=8, lr=1e38, warmup=0)
    training = ClassifierTraining(Flat(3 * 64), random_data(8), recipe, seed=0)
    with pytest.raises(TrainingFailed) as failed:
        training.epoch()
    assert str(failed.value) == "nan_loss: the logits were not finite after epoch 1"


class Brittle(Flat):
    """A classifier that overflows for what is not black, as norms of images that are all alike make one."""

    def forward(self, x: Tensor) -> Tensor:
        excess = (x + 2).square().sum((1, 2, 3))
        logits: Tensor = super().forward(x) + (1e30 * excess * 1e30)[:, None]
        return logits


def test_a_network_that_overflows_for_other_images_gives_no_score() -> None:
    """The data cannot show it, and its export would be refused."""
    data = random_data(8)
    black = dataclasses.replace(
        data, train_images=np.zeros_like(data.train_images), val_images=np.zeros_like(data.val_images)
    )
    training = ClassifierTraining(Brittle(3 * 64), black, Recipe(epochs=2, batch=8), seed=0)
    training.epoch()
    with pytest.raises(TrainingFailed) as failed:
        training.epoch()
    assert str(failed.value) == "nan_loss: the logits of random images were not finite after epoch 2"


class Hungry(Flat):
    """A classifier with batch norm whose memory is enough for batches of `most` images."""

    def __init__(self, inputs: int, most: int = 0) -> None:
        super().__init__(inputs)
        self.norm = nn.BatchNorm2d(3)
        self.most = most

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.most:
            torch.empty(1 << 46)
        return super().forward(self.norm(x))


def test_memory_that_runs_out_is_told_from_other_errors() -> None:
    with pytest.raises(TrainingFailed) as failed:
        ClassifierTraining(Hungry(3 * 64), random_data(8), Recipe(), seed=0).epoch()
    assert failed.value.failure.reason == FailureReason.OUT_OF_MEMORY
    assert "can't allocate memory" in str(failed.value)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        ClassifierTraining(Flat(7), random_data(8), Recipe(), seed=0).epoch()


@pytest.mark.parametrize("ema", [None, 0.5])
def test_a_batch_that_does_not_fit_is_halved_and_the_training_begins_anew(ema: float | None) -> None:
    """It fails when it validates: by then weights, momentum, statistics and random numbers have moved."""
    data = random_data(40, val=12)
    hungry = seeded(lambda: Hungry(3 * 64, most=10))
    training = ClassifierTraining(hungry, data, Recipe(epochs=2, batch=20, lr=0.1, ema=ema), seed=0)
    smaller = ClassifierTraining(
        seeded(lambda: Hungry(3 * 64, most=64)), data, Recipe(epochs=2, batch=5, lr=0.025, ema=ema), seed=0
    )
    for epoch in (1, 2):
        result, expected = training.epoch(), smaller.epoch()
        assert (result.epoch, result.batch) == (epoch, 5)
        times = {name: getattr(result, name) for name in ("seconds", "norms_s", "train_s", "start_s")}
        assert result == dataclasses.replace(expected, **times)
    weights, same = training.state_dict(), smaller.state_dict()
    assert all(torch.equal(weights[name], same[name]) for name in same)


def test_a_trial_tells_its_batch() -> None:
    class Evaluator:
        metric = Metric("accuracy")

        def __call__(self, choices: Choices, number: int, parent: object) -> ClassifierTraining:
            recipe = Recipe(epochs=1, batch=16)
            return ClassifierTraining(Hungry(3 * 64, most=4), random_data(16), recipe, seed=number)

    step = Attempt(Evaluator(), {}, 0, None).step()
    assert step.epoch is not None
    assert (step.done, step.failure, step.epoch.batch) == (True, None, 2)


def test_a_failure_pickles() -> None:
    failed = pickle.loads(pickle.dumps(TrainingFailed("timeout", "60 s are over")))
    assert failed.failure == Failure(FailureReason.TIMEOUT, "60 s are over")
    assert str(failed) == "timeout: 60 s are over"


@pytest.mark.parametrize(
    ("replayed", "message"),
    [
        ((2.3, 0.5), None),
        ((2.31, 0.505), None),  # as bf16 has it
        ((2.4, 0.5), "a replay has a loss of 2.4, and the pass without one 2.3"),
        ((2.3, 0.0), "a replay has a norm of the gradients of 0, and the pass without one 0.5"),
        ((math.nan, 0.5), "a replay has a loss of nan, and the pass without one 2.3"),
    ],
)
def test_a_replay_is_compared_with_the_pass(replayed: PassFigures, message: str | None) -> None:
    with pytest.raises(RuntimeError) if message else nullcontext() as error:
        check_pass((2.3, 0.5), replayed)
    assert (error and str(error.value)) == message
    check_pass((math.nan, math.nan), replayed)  # the training says it


def test_what_is_measured_of_a_pass() -> None:
    weights = [torch.zeros(2, requires_grad=True), torch.zeros(1, requires_grad=True), torch.zeros(3)]
    (weights[0] @ torch.tensor([3.0, 0.0]) + 4 * weights[1]).sum().backward()  # type: ignore[no-untyped-call]
    assert measure_pass(torch.tensor(1.5), weights) == (1.5, 5.0)


def test_a_replay_that_does_nothing_is_no_pass() -> None:
    """Loss and gradients of before it are gone."""
    weights = [torch.zeros(2, requires_grad=True), torch.zeros(3)]
    loss = (weights[0] @ torch.tensor([3.0, 0.0]) + 2).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    eager = measure_pass(loss, weights)
    fill_pass(loss.detach(), weights)
    with pytest.raises(RuntimeError, match="a replay has a loss of nan, and the pass without one 2"):
        check_pass(eager, measure_pass(loss, weights))
    loss.detach().fill_(2)
    with pytest.raises(RuntimeError, match="a norm of the gradients of nan, and the pass without one 3"):
        check_pass(eager, measure_pass(loss, weights))


def test_passes_that_try_leave_no_trace() -> None:
    """Buffers and random numbers, as often as they are wanted."""
    module = seeded(small_net).train()
    start = PassStart(torch.default_generator, [*module.buffers()])
    before = {name: value.clone() for name, value in module.state_dict().items()}
    drawn = []
    for _ in range(3):
        start.restore()
        with torch.no_grad():
            module(torch.randn(4, 1, 16, 16))
        drawn.append(torch.rand(2))
        assert not torch.equal(module.state_dict()["1.running_mean"], before["1.running_mean"])
    assert torch.equal(drawn[0], drawn[1]) and torch.equal(drawn[0], drawn[2])
    start.restore()
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


class Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts numbers that are read from tensors, for which a GPU and the process wait for each other."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        FULL | {"policy": None, "mixup": 0, "cutmix": 0},  # of mixed labels torch reads some, on a CPU alone
        {"optimizer": "rmsprop", "ema": 0.9},
    ],
)
def test_nothing_is_read_from_a_device_at_each_step(digits: ImageData, settings: dict[str, Any]) -> None:
    """Nor for each batch norm: of eight times the steps as many numbers are read, those of the epoch."""
    counts = []
    for batch in (8, 64):
        recipe = Recipe(epochs=2, batch=batch, **settings)
        training = ClassifierTraining(seeded(small_net), digits, recipe, seed=0, norm_images=64)
        training.epoch()  # optimizers begin
        with Reads() as reads:  # type: ignore[no-untyped-call]
            training.epoch()
        counts.append(reads.count)
    assert counts[0] == counts[1] <= 6


class Unordered(Flat):
    """Of which torch has no deterministic way."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone().put_(torch.tensor([0]), torch.tensor([1.0]))
        return super().forward(x)


def test_what_is_not_deterministic_is_refused_where_that_is_asked_for() -> None:
    data = random_data(32)
    trained = ClassifierTraining(Unordered(192), data, Recipe(epochs=1, batch=16), seed=0)
    assert trained.epoch().loss
    recipe = Recipe(epochs=1, batch=16, deterministic=True)
    with pytest.raises(RuntimeError, match=r"put_ .*does not have a deterministic implementation"):
        ClassifierTraining(Unordered(192), data, recipe, seed=0).epoch()
    assert torch.get_deterministic_debug_mode() == 0  # it is given back


@pytest.mark.parametrize("threads", [1, 2])
def test_deterministic_trainings_are_bit_equal(digits: ImageData, threads: int) -> None:
    """With several threads too."""
    torch.set_num_threads(threads)
    (one, weights), (other, theirs) = (run(digits, 3, deterministic=True, ema=0.9) for _ in range(2))
    assert one == other and all(torch.equal(value, theirs[name]) for name, value in weights.items())


@pytest.mark.gpu
def test_it_learns_on_a_gpu(digits: ImageData) -> None:
    seed_everything(0)
    training = ClassifierTraining(
        small_net(), digits, Recipe(epochs=6, batch=16, lr=0.1), seed=0, device="cuda"
    )
    while not training.done:
        result = training.epoch()
    assert result.value > 0.85
    assert {value.device.type for value in training.state_dict().values()} == {"cpu"}


@pytest.mark.gpu
def test_a_graph_trains_as_single_operations_do(digits: ImageData) -> None:
    """Also with dropout and batch norm, which passes before the capture leave as they were."""
    results = []
    for cuda_graph in (False, True):
        module = seeded(small_net)
        recipe = Recipe(epochs=4, batch=32, grad_clip=1.0, ema=0.9, cuda_graph=cuda_graph)
        training = ClassifierTraining(module, digits, recipe, seed=0, device="cuda")
        results.append(last(training))
        assert (training._graphed is not None) == cuda_graph
    assert results[1].loss == pytest.approx(results[0].loss, rel=0.02)
    assert results[1].value == pytest.approx(results[0].value, abs=0.05)


@pytest.mark.gpu
def test_what_cannot_be_captured_is_trained_without_a_graph(digits: ImageData) -> None:
    class Waiting(Flat):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * (1.0 if float(x.sum()) else 0.0)

    training = ClassifierTraining(Waiting(256, 10), digits, GRAPHED, seed=0, device="cuda")
    result = training.epoch()
    assert training._graphed is None and "captur" in str(result.eager)
    assert TrialResult().add(result).eager == result.eager
    assert training.epoch().value > 0.1  # and goes on


@pytest.mark.gpu
def test_a_capture_that_fails_leaves_no_trace(digits: ImageData) -> None:
    """Torch is on its stream and draws random numbers, and the next network is captured."""

    class Waiting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small_net()

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.net(x)
            return logits * (1.0 if float(x.sum()) else 0.0)

    stream, results = torch.cuda.current_stream(), []
    for cuda_graph in (False, True):
        recipe = Recipe(epochs=2, batch=32, cuda_graph=cuda_graph)
        training = ClassifierTraining(seeded(Waiting), digits, recipe, seed=0, device="cuda")
        results.append(last(training))
        assert torch.cuda.current_stream() == stream and not torch.cuda.is_current_stream_capturing()
        assert len({*torch.rand(9, device="cuda").tolist()}) > 1
    assert results[1].eager and results[1].loss == pytest.approx(results[0].loss, rel=0.02)
    after = ClassifierTraining(seeded(small_net), digits, GRAPHED, seed=0, device="cuda")
    assert after.epoch().eager is None and after._graphed is not None


@pytest.mark.gpu
def test_a_capture_leaves_random_numbers_and_buffers() -> None:
    module = seeded(small_net).to("cuda").train()
    images, targets = torch.randn(32, 1, 16, 16, device="cuda"), torch.arange(32, device="cuda") % 10

    def run_pass(images: Tensor, targets: Tensor) -> Tensor:
        module.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(module(images), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    before = {name: value.clone() for name, value in module.state_dict().items()}
    drawn = torch.cuda.get_rng_state()
    graphed = GraphedPass(run_pass, module, images, targets)
    assert torch.equal(torch.cuda.get_rng_state(), drawn)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    first, second = (graphed(images, targets).item() for _ in range(2))
    assert first != second  # dropout draws anew
    torch.cuda.set_rng_state(drawn)
    module.load_state_dict(before)
    assert run_pass(images, targets).item() == pytest.approx(first, rel=0.001)


@pytest.mark.gpu
def test_a_graph_that_does_nothing_is_not_used(digits: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda graph: None)
    training = ClassifierTraining(seeded(small_net), digits, GRAPHED, seed=0, device="cuda")
    assert str(training.epoch().eager).startswith("a replay has a loss of nan")
    assert training._graphed is None


@pytest.mark.gpu
def test_graphs_of_folds_share_memory(digits: ImageData) -> None:
    """And train as each does alone."""
    recipe = Recipe(epochs=2, batch=32, cuda_graph=True, deterministic=True)

    def train_on(part: ImageData) -> ClassifierTraining:
        return ClassifierTraining(seeded(small_net), part, recipe, seed=0, device="cuda")

    parts = make_folds(digits, 3)
    alone = []
    for part in parts:
        training = train_on(part)
        alone.append(last(training).loss)
        del training
        gc.collect()
    together = [train_on(part) for part in parts]
    folded = FoldedTraining(together, recipe)
    folded.epoch()
    result = folded.epoch()
    assert len({one._graphed.pool for one in together if one._graphed}) == 1
    assert all(one._graphed for one in together)
    assert result.loss == pytest.approx(sum(loss or 0 for loss in alone) / 3, rel=1e-6)


@pytest.mark.gpu
def test_a_graph_that_computes_something_else_is_not_used(digits: ImageData) -> None:
    """What Python decides at each pass is not in a graph."""

    class Counting(Flat):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * len(self.seen)

    training = ClassifierTraining(Counting(256, 10), digits, GRAPHED, seed=0, device="cuda")
    assert str(training.epoch().eager).startswith("a replay has a loss of ")
    assert training._graphed is None


@pytest.mark.gpu
def test_a_graph_with_dropout_is_that_of_the_pass(digits: ImageData) -> None:
    """It is compared with the pass under the same random numbers."""
    training = ClassifierTraining(seeded(small_net), digits, GRAPHED, seed=0, device="cuda")
    assert training.epoch().eager is None and training._graphed is not None


@pytest.mark.gpu
def test_a_gpu_validates_in_large_batches(digits: ImageData) -> None:
    module = Flat(256, 10)
    ClassifierTraining(module, digits, Recipe(batch=64), seed=0, device="cuda").epoch()
    assert max(count for is_training, count in module.seen if not is_training) == 128
    assert not torch.backends.cudnn.benchmark


@pytest.mark.gpu
@pytest.mark.parametrize("cuda_graph", [False, True])
def test_deterministic_trainings_on_a_gpu_are_bit_equal(digits: ImageData, cuda_graph: bool) -> None:
    recipe = Recipe(epochs=2, batch=64, ema=0.9, cuda_graph=cuda_graph, deterministic=True)
    one, other = (
        ClassifierTraining(seeded(small_net), digits, recipe, seed=0, device="cuda") for _ in range(2)
    )
    ended = last(one), last(other)
    assert (ended[0].value, ended[0].loss, ended[0].eager) == (ended[1].value, ended[1].loss, None)
    theirs = other.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


@pytest.mark.gpu
def test_images_that_do_not_fit_are_sent_batch_by_batch(
    digits: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = last(ClassifierTraining(seeded(small_net), digits, Recipe(epochs=2), seed=0, device="cuda"))
    monkeypatch.setattr("nas.training.device._SHARE", 0)
    training = ClassifierTraining(seeded(small_net), digits, Recipe(epochs=2), seed=0, device="cuda")
    assert training._train.get_pixels(torch.tensor([0], device="cuda")).device.type == "cuda"
    assert training._train._images.device.type == "cpu"
    assert last(training).value == pytest.approx(there.value, abs=0.05)


def test_a_trial_gives_back_the_memory_of_the_one_before(digits: ImageData) -> None:
    task = ProxyEvaluator(parse_space(SPACE), Recipe(epochs=1, ema=0.9, mixup=0.2), digits, 0)
    training = task({}, 0)
    assert isinstance(training, ClassifierTraining)
    training.epoch()
    weight = weakref.ref(next(training._module.parameters()))
    average = weakref.ref(next(training._scored.parameters()))
    del training
    task({}, 1)
    assert (weight(), average()) == (None, None)


@pytest.mark.gpu
def test_memory_on_a_gpu_comes_back_to_its_base_line(digits: ImageData) -> None:
    task = ProxyEvaluator(parse_space(SPACE), Recipe(epochs=1, ema=0.9, mixup=0.2), digits, 0, "cuda")
    task({}, 0).epoch()  # and what libraries keep for themselves
    task({}, 1)
    before = torch.cuda.memory_allocated()
    for number in range(2, 5):
        task({}, number).epoch()
        task({}, number)
        assert torch.cuda.memory_allocated() == before
