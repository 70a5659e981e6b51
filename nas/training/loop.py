"""The training loop of the proxy: one network, images in memory, one epoch per call."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nas.data.datasets import ImageData
from nas.data.images import Images
from nas.data.label_sets import find_strata
from nas.training.augment import Augmentation
from nas.training.base import EpochResult, FailureReason, Limit, TrainingFailed
from nas.training.convolutions import speed_up_convolutions
from nas.training.device import DeviceImages, GraphedPass, deterministic_algorithms, memory_failures
from nas.training.losses import make_loss
from nas.training.metrics import JUDGES
from nas.training.norms import estimate_norms
from nas.training.optimizers import Average, make_optimizer
from nas.training.recipe import SAMPLING, Recipe
from nas.training.replicas import Replicas
from nas.training.sampling import shuffle_images, take_first_of_classes
from nas.training.scores import compute_score
from nas.training.teacher import Teacher
from nas.training.tuning import Tuning


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch: call before a module is built to make its initial weights repeatable."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class ClassifierTraining:
    """Trains `module` on `data` by `recipe`; each call of `epoch` trains one epoch and validates.

    The module comes built and is trained in place; it maps (N, C, H, W) float images to (N, classes) logits.
    With the same module and seed the results are bit-equal on a CPU with one thread, whatever else draws
    random numbers in the process between the epochs. `timeout_s` is for all epochs together. `limit` is
    part of the results. `norm_images`: how many images the statistics of batch norm are estimated from.
    `tuning`: which weights change, and how fast. `teacher`: what it learns from beside labels. `replicas`:
    the processes that train it together, each with the same arguments. `on_step` is told after each step how
    many of the epoch's steps are done.
    """

    def __init__(
        self,
        module: nn.Module,
        data: ImageData,
        recipe: Recipe,
        *,
        seed: int,
        device: str | torch.device = "cpu",
        timeout_s: float | None = None,
        limit: Limit | None = None,
        norm_images: int | None = None,
        tuning: Tuning | None = None,
        teacher: Teacher | None = None,
        replicas: Replicas | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._limit = limit
        self._norm_images = NORM_IMAGES if norm_images is None else norm_images
        self._tuning = tuning or Tuning()
        self._replicas = replicas or Replicas()
        self._on_step = on_step
        self._seconds = self._norms_s = self._start_s = self._train_s = self._rate = 0.0
        self._images = 0
        self._device = torch.device(device)
        self._seed = seed
        self._data = data
        with memory_failures():
            self._module = module.to(self._device).to(memory_format=torch.channels_last)
            self._tuning.freeze(self._module)
            self._train = DeviceImages(data.train_images, data.train_labels, data, self._device)
            self._val = DeviceImages(data.val_images, data.val_labels, data, self._device)
        if self._device.type == "cpu":
            speed_up_convolutions(self._module)
        self._module = self._replicas.join_norms(self._module)
        self._joined = self._replicas.join_gradients(self._module)
        strata = torch.tensor(find_strata(data.train_labels), device=self._device)
        self._own = take_first_of_classes(strata, recipe.fraction)
        teaching = teacher and teacher.to(self._device)
        labels = self._train.labels[self._own]
        self._loss = make_loss(recipe, labels, data.num_classes, teaching)
        self._initial = {name: value.to("cpu", copy=True) for name, value in module.state_dict().items()}
        with memory_failures():
            self._begin(recipe.fit_to(data, self._device.type))

    def _begin(self, recipe: Recipe) -> None:
        """Return everything that changes while the module is trained, as it is before the first epoch."""
        self._recipe = recipe
        self._epoch = 0
        self._values: list[float] = []
        # One incomplete batch per epoch is dropped, as batch norm fails on a batch of one image.
        self._batch = min(recipe.batch_size, len(self._own))
        self._batch -= self._batch % self._replicas.count
        self._steps = len(self._own) // self._batch
        self._generator = torch.Generator(self._device).manual_seed(self._seed)
        self._augmentation = Augmentation(recipe, self._data, self._generator, self._replicas)
        self._optimizer = make_optimizer(self._module, recipe, self._tuning)
        self._average = Average(self._module, recipe.ema) if recipe.ema else None
        self._graphed: GraphedPass | None = None
        self._eager: str | None = None
        self._wants_graph = recipe.cuda_graph and self._device.type == "cuda"
        self._wants_graph &= not self._replicas.are_several

    @property
    def done(self) -> bool:
        """Whether all epochs of the recipe have run, or `early_stop` of them brought no higher value."""
        return self._recipe.is_over(self._values)

    def epoch(self) -> EpochResult:
        """Train one epoch, then validate.

        A batch that does not fit into memory is halved, the learning rate too, and the training begins again
        from its initial weights with the first epoch.

        Raises TrainingFailed: `nan_loss` for a loss or logits that are not finite, of random images too after
        the last epoch, `out_of_memory` with the
        smallest batch, `timeout`. Other exceptions of the module pass through.
        """
        assert not self.done, "the training is over"
        start = time.perf_counter()
        while True:
            try:
                loss, value = self._run_epoch(start)
                break
            except TrainingFailed as failed:
                is_last = self._batch < 2 * _LEAST_BATCH or self._replicas.are_several
                if failed.failure.reason != FailureReason.OUT_OF_MEMORY or is_last:
                    raise
            # Not in the handler, whose exception keeps what the failed step holds in memory.
            self._module.load_state_dict(self._initial)
            self._module.zero_grad()
            self._begin(self._recipe.halve(self._batch))
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
        self._epoch += 1
        self._values.append(value)
        if self._recipe.is_over(self._values):
            self._check_outputs()
        seconds = time.perf_counter() - start
        self._seconds += seconds
        score, deviation = compute_score(self._recipe.score, self._values)
        return EpochResult(
            self._epoch,
            value,
            score,
            seconds,
            loss,
            self._batch,
            self._norms_s,
            deviation,
            self._images,
            self._train_s,
            self._start_s,
            limit=self._limit,
            lr=self._rate,
            eager=self._eager,
        )

    def state_dict(self) -> dict[str, Tensor]:
        """Return a copy of the weights on the CPU, contiguous, floating point ones as float32."""
        return {
            name: value.detach()
            .to("cpu", torch.float32 if value.is_floating_point() else value.dtype, copy=True)
            .contiguous()
            for name, value in self._scored.state_dict().items()
        }

    def checkpoint(self) -> dict[str, Any]:
        """Return all that changes while it trains, after an epoch: tensors and plain values.

        `restore` of a training that was made alike goes on from it as this one does, bit by bit on a CPU.
        """
        return {
            "epoch": self._epoch,
            "accuracies": list(self._values),
            "seconds": self._seconds,
            "batch": self._recipe.batch,
            "lr": self._recipe.lr,
            "module": self._module.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "average": self._average.dump_state() if self._average else None,
            "generator": self._generator.get_state(),
            "augmentation": self._augmentation.dump_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `checkpoint` gave.

        Raises KeyError, TypeError, ValueError or RuntimeError for what it did not.
        """
        self._begin(replace(self._recipe, batch=state["batch"], lr=state["lr"]))
        self._epoch = state["epoch"]
        self._values = list(state["accuracies"])
        self._seconds = state["seconds"]
        self._module.load_state_dict(state["module"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._average:
            self._average.restore(state["average"])
        self._generator.set_state(state["generator"].cpu())
        self._augmentation.restore(state["augmentation"])

    @torch.inference_mode()
    def predict(self, images: Images, state: Mapping[str, Tensor]) -> NDArray[np.float32]:
        """Return the probabilities of the classes (N, classes) that weights, as `state_dict` gives them, have
        for images (N, C, H, W) uint8, of several labels an image those of each. The weights are then those of
        the training."""
        self._scored.load_state_dict(state)
        self._scored.eval()
        labels = np.zeros(len(images), dtype=np.int64)
        found = []
        with memory_failures():
            shown = DeviceImages(images, labels, self._data, self._device)
            for index in _split_batches(torch.arange(len(shown), device=self._device), self._val_batch):
                with self._autocast():
                    logits = self._scored(shown.get_batch(index))
                shares = logits.float().sigmoid() if self._data.is_multi_label else logits.float().softmax(1)
                found.append(shares.cpu())
        probabilities: NDArray[np.float32] = torch.cat(found).numpy()
        return probabilities

    @property
    def _scored(self) -> nn.Module:
        """What is validated and kept."""
        return self._average.module if self._average else self._module

    def _run_epoch(self, start: float) -> tuple[float, float]:
        """Return the loss of an epoch, and what the network is judged by after it."""
        # Dropout and stochastic depth draw from torch's global generator: it is seeded for the epoch and
        # given back, so that a score depends on nothing outside of this training.
        cuda = [self._device] if self._device.type == "cuda" else []
        same = deterministic_algorithms(self._recipe.deterministic)
        with memory_failures(), same, torch.random.fork_rng(devices=cuda):
            torch.manual_seed(self._replicas.seed(self._seed + self._epoch))
            loss = self._train_epoch(start)
            before = time.perf_counter()
            self._estimate_norms()
            self._norms_s = time.perf_counter() - before
            return loss, self._validate()

    def _train_epoch(self, start: float) -> float:
        self._tuning.train(self._module)
        # The sum stays on the device: reading every loss would make a GPU wait for the CPU at each step.
        total = torch.zeros((), device=self._device)
        labels, evenly = self._train.labels[self._own], self._recipe.balance == SAMPLING
        order = self._own[shuffle_images(labels, self._generator, evenly=evenly)]
        first = int(self._epoch == 0)  # its first step prepares what the others find
        steady = time.perf_counter()
        for step, index in enumerate(_split_batches(order, self._batch)[: self._steps]):
            if first and step == 1:
                steady = time.perf_counter()
            self._check_time(start)
            self._rate = self._recipe.compute_rate(
                self._epoch * self._steps + step, self._recipe.epochs * self._steps
            )
            for group in self._optimizer.param_groups:
                group["lr"] = self._rate * group["share"]
            images, targets = self._make_batch(index)
            total += self._pass(images, targets)
            if self._recipe.grad_clip:
                nn.utils.clip_grad_norm_(self._module.parameters(), self._recipe.grad_clip)
            self._optimizer.step()
            if self._average:
                self._average.update(self._module)
            if self._on_step:
                self._on_step(step + 1, self._steps)
        if self._average:
            self._average.take_buffers(self._module)
        mean = self._replicas.average(total).item() / self._steps
        end = time.perf_counter()
        steady = end if self._steps == first else steady
        self._images, self._train_s = (self._steps - first) * self._batch, end - steady
        self._start_s = first * (steady - start)
        if not math.isfinite(mean):
            raise TrainingFailed("nan_loss", f"the training loss was {mean} in epoch {self._epoch + 1}")
        return mean

    def _check_time(self, start: float) -> None:
        if self._timeout_s and self._seconds + time.perf_counter() - start > self._timeout_s:
            where = f"epoch {self._epoch + 1} of {self._recipe.epochs}"
            raise TrainingFailed("timeout", f"{self._timeout_s:g} s were over in {where}")

    def _estimate_norms(self) -> None:
        """Estimate the statistics of batch norm from some training images."""
        if self._tuning.is_frozen:
            return
        count = min(self._steps, math.ceil(self._norm_images / self._batch))
        some = _split_batches(self._own, self._batch)[:count]
        with self._autocast():
            batches = (self._train.get_batch(self._replicas.take_part(index)) for index in some)
            estimate_norms(self._scored, batches)

    @torch.inference_mode()
    def _validate(self) -> float:
        self._scored.eval()
        judge, observed = JUDGES[self._recipe.metric], []
        finite = torch.ones((), dtype=torch.bool, device=self._device)
        own = self._replicas.take_part(torch.arange(len(self._val), device=self._device))
        for index in _split_batches(own, self._val_batch):
            with self._autocast():
                logits = self._scored(self._val.get_batch(index))
            observed.append(judge.observe(logits, self._val.labels[index]))
            finite &= logits.isfinite().all()
        if self._replicas.average(finite.float()) < 1:
            raise TrainingFailed("nan_loss", f"the logits were not finite after epoch {self._epoch + 1}")
        every = self._replicas.gather(torch.cat(observed)).numpy()
        return judge.compute(every, self._data.val_labels, self._data.num_classes)

    @property
    def _val_batch(self) -> int:
        # No more memory than the training needs.
        return min(_VAL_BATCHES.get(self._device.type, _VAL_BATCH), 2 * self._batch // self._replicas.count)

    @torch.inference_mode()
    def _check_outputs(self) -> None:
        """Raise TrainingFailed where images unlike those of the data give outputs that are not finite.

        Where images are alike, batch norm divides by variances near zero, and every other image overflows.
        """
        first = self._val.get_pixels(torch.arange(min(2, len(self._val)), device=self._device))
        noise = torch.randn(first.shape, generator=torch.Generator().manual_seed(0)).to(self._device)
        with memory_failures(), self._autocast():
            logits = self._scored(noise.contiguous(memory_format=torch.channels_last))
        if not logits.isfinite().all():
            raise TrainingFailed(
                "nan_loss", f"the logits of random images were not finite after epoch {self._epoch}"
            )

    def _make_batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return augmented images, and what their loss compares with."""
        own = self._replicas.take_part(index)
        pixels, targets = self._augmentation(self._train.get_pixels(own), self._train.labels[own])
        return self._train.normalise(pixels), self._loss.make_targets(pixels, targets, self._data.num_classes)

    def _pass(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of a batch, and the gradients of the parameters."""
        if self._wants_graph and self._graphed is None:
            self._capture(images, targets)
        return (self._graphed or self._pass_eagerly)(images, targets)

    def _pass_eagerly(self, images: Tensor, targets: Tensor) -> Tensor:
        self._optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            loss = self._loss(self._joined(images), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _capture(self, images: Tensor, targets: Tensor) -> None:
        self._wants_graph = False
        try:
            self._graphed = GraphedPass(self._pass_eagerly, self._module, images, targets)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._eager = " ".join(str(error).split())[:_MOST_SAID]

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self._device.type,
            torch.bfloat16,
            enabled=self._device.type == "cuda",
            cache_enabled=not self._recipe.cuda_graph,  # as a capture needs
        )


_VAL_BATCH = 128  # larger ones are no faster on a CPU
_VAL_BATCHES = {"cuda": 2048}  # which waits for Python at every batch
NORM_IMAGES = 256
"""Training images that the statistics of batch norm are estimated from."""
_LEAST_BATCH = 2  # batch norm needs two images
_MOST_SAID = 200


def _split_batches(indices: Tensor, size: int) -> tuple[Tensor, ...]:
    return torch.split(indices, size)
