"""The training loop of the proxy: one network, images in memory, one epoch per call."""

from __future__ import annotations

import math
import random
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from nas.proxy.datasets import ImageData
from nas.proxy.recipe import Recipe
from nas.proxy.scores import SCORES

Reason = Literal["nan_loss", "out_of_memory", "timeout", "error"]


@dataclass(frozen=True)
class EpochResult:
    """What one epoch gave: `accuracy` on search-validation (0 to 1), mean training `loss`, wall `seconds`.

    `score` is what the accuracies up to here are made into by the recipe.
    """

    epoch: int
    accuracy: float
    score: float
    loss: float
    seconds: float


class TrainingFailed(Exception):
    """A training that gives no score, with the reason that the study records."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(reason, message)  # both, so that the exception pickles on its way out of a worker
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch: call before a module is built to make its initial weights repeatable."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class Training:
    """Trains `module` on `data` by `recipe`; each call of `epoch` trains one epoch and validates.

    The module comes built and is trained in place; it maps (N, C, H, W) float images to (N, classes) logits.
    With the same module and seed the results are bit-equal on a CPU with one thread, whatever else draws
    random numbers in the process between the epochs. `timeout_s` is for all epochs together.
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
    ) -> None:
        self._timeout_s = timeout_s
        self._seconds = 0.0
        self._device = torch.device(device)
        self._recipe = recipe
        self._seed = seed
        self._epoch = 0
        self._accuracies: list[float] = []
        with _failures():
            self._module = module.to(self._device).to(memory_format=torch.channels_last)
            self._train = DeviceImages(data.train_images, data.train_labels, data, self._device)
            self._val = DeviceImages(data.val_images, data.val_labels, data, self._device)
        # One incomplete batch per epoch is dropped, as batch norm fails on a batch of one image.
        self._batch = min(recipe.batch, len(self._train))
        self._steps = len(self._train) // self._batch
        self._shift = round(recipe.crop * data.resolution)
        self._flip = recipe.flip and data.flip
        self._generator = torch.Generator(self._device).manual_seed(seed)
        self._optimizer = _sgd(self._module, recipe)

    @property
    def done(self) -> bool:
        """Whether all epochs of the recipe have run."""
        return self._epoch >= self._recipe.epochs

    def epoch(self) -> EpochResult:
        """Train one epoch, then validate.

        Raises TrainingFailed: `nan_loss` for a loss or logits that are not finite, `out_of_memory`,
        `timeout`. Other exceptions of the module pass through.
        """
        assert not self.done, "all epochs of the recipe have run"
        start = time.perf_counter()
        # Dropout and stochastic depth draw from torch's global generator: it is seeded for the epoch and
        # given back, so that a score depends on nothing outside of this training.
        cuda = [self._device] if self._device.type == "cuda" else []
        with _failures(), torch.random.fork_rng(devices=cuda):
            torch.manual_seed(self._seed + self._epoch)
            loss = self._train_epoch(start)
            self._estimate_norms()
            accuracy = self._validate()
        self._epoch += 1
        self._accuracies.append(accuracy)
        seconds = time.perf_counter() - start
        self._seconds += seconds
        score = SCORES[self._recipe.score](self._accuracies)
        return EpochResult(self._epoch, accuracy, score, loss, seconds)

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of the weights on the CPU, contiguous, floating point ones as float32."""
        return {
            name: value.detach()
            .to("cpu", torch.float32 if value.is_floating_point() else value.dtype, copy=True)
            .contiguous()
            for name, value in self._module.state_dict().items()
        }

    def _train_epoch(self, start: float) -> float:
        self._module.train()
        order = torch.randperm(len(self._train), generator=self._generator, device=self._device)
        # The sum stays on the device: reading every loss would make a GPU wait for the CPU at each step.
        total = torch.zeros((), device=self._device)
        for step, index in enumerate(_batches(order, self._batch)[: self._steps]):
            self._check_time(start)
            for group in self._optimizer.param_groups:
                group["lr"] = self._lr(self._epoch * self._steps + step)
            images, labels = self._augmented(index), self._train.labels[index]
            with self._autocast():
                loss = F.cross_entropy(
                    self._module(images), labels, label_smoothing=self._recipe.label_smoothing
                )
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            total += loss.detach()
        mean = total.item() / self._steps
        if not math.isfinite(mean):
            raise TrainingFailed("nan_loss", f"the training loss was {mean} in epoch {self._epoch + 1}")
        return mean

    def _check_time(self, start: float) -> None:
        if self._timeout_s and self._seconds + time.perf_counter() - start > self._timeout_s:
            where = f"epoch {self._epoch + 1} of {self._recipe.epochs}"
            raise TrainingFailed("timeout", f"{self._timeout_s:g} s were over in {where}")

    @torch.no_grad()
    def _estimate_norms(self) -> None:
        """Set the statistics of batch norm to their average over some training images (Wu & Johnson 2021).

        The running averages of a short training still hold its first, large steps: EfficientNet-B0 on
        `digits` validates at 10 and 33 % after epochs 1 and 2 with them, at 79 and 92 % with these.
        """
        norms = [m for m in self._module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        if not norms:
            return
        momentum = [norm.momentum for norm in norms]
        self._module.eval()  # dropout and stochastic depth stay off
        for norm in norms:
            norm.train()
            norm.reset_running_stats()
            norm.momentum = None  # the plain average over all batches
        count = min(self._steps, math.ceil(_NORM_IMAGES / self._batch))
        for index in _batches(torch.arange(len(self._train), device=self._device), self._batch)[:count]:
            with self._autocast():
                self._module(self._train.batch(index))
        for norm, value in zip(norms, momentum, strict=True):
            norm.momentum = value

    @torch.inference_mode()
    def _validate(self) -> float:
        self._module.eval()
        correct = torch.zeros((), dtype=torch.int64, device=self._device)
        finite = torch.ones((), dtype=torch.bool, device=self._device)
        for index in _batches(torch.arange(len(self._val), device=self._device), _VAL_BATCH):
            with self._autocast():
                logits = self._module(self._val.batch(index))
            correct += (logits.argmax(1) == self._val.labels[index]).sum()
            finite &= logits.isfinite().all()
        if not finite:
            raise TrainingFailed("nan_loss", f"the logits were not finite after epoch {self._epoch + 1}")
        return correct.item() / len(self._val)

    def _augmented(self, index: Tensor) -> Tensor:
        def draw() -> Tensor:
            return torch.rand(len(index), 1, generator=self._generator, device=self._device)

        dy, dx = ((draw() * (2 * self._shift + 1)).long() - self._shift for _ in range(2))
        return self._train.batch(index, dy, dx, draw() < 0.5 if self._flip else None)

    def _lr(self, step: int) -> float:
        total = self._recipe.epochs * self._steps
        rise = round(self._recipe.warmup * total)
        if step < rise:
            return self._recipe.lr * (step + 1) / rise
        return self._recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - rise) / (total - rise)))

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda")


_VAL_BATCH = 128  # larger ones are no faster on a CPU
_NORM_IMAGES = 256


class DeviceImages:
    """Images (N, C, H, W) uint8 on a device, handed out as normalised float batches in channels_last."""

    def __init__(
        self, images: NDArray[np.uint8], labels: NDArray[np.int64], data: ImageData, device: torch.device
    ) -> None:
        self.labels = torch.tensor(labels, device=device)
        self._images = _without_copy(images).to(device)
        self._scale = 1 / (255 * torch.tensor(data.std, device=device))
        self._offset = -torch.tensor(data.mean, device=device) / torch.tensor(data.std, device=device)
        self._rows = torch.arange(images.shape[2], device=device)
        self._columns = torch.arange(images.shape[3], device=device)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(
        self, index: Tensor, dy: Tensor | int = 0, dx: Tensor | int = 0, flip: Tensor | None = None
    ) -> Tensor:
        """Images `index` (N,), shifted by dy, dx (N, 1) pixels, mirrored where flip (N, 1): (N, C, H, W).

        Pixels shifted in are the reflection at the edge. One gather takes, shifts and mirrors the images, and
        leaves them in (N, H, W, C) order, which is what channels_last means.
        """
        columns = self._columns if flip is None else torch.where(flip, self._columns.flip(0), self._columns)
        y, x = _reflect(self._rows + dy, len(self._rows)), _reflect(columns + dx, len(self._columns))
        pixels = self._images[index[:, None, None], :, y[..., :, None], x[..., None, :]]
        return (pixels * self._scale + self._offset).permute(0, 3, 1, 2)


def _batches(indices: Tensor, size: int) -> tuple[Tensor, ...]:
    return torch.split(indices, size)


def _reflect(position: Tensor, size: int) -> Tensor:
    return (size - 1) - ((size - 1) - position.abs()).abs()


def _without_copy(array: NDArray[np.uint8]) -> Tensor:
    """A tensor over the array's own memory, which is read-only when it lies in Ray's object store."""
    with warnings.catch_warnings():
        # torch warns because writing to such a tensor is undefined: the images are only ever read.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _sgd(module: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD that decays convolution and linear weights only: norm parameters and biases have one dimension."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    return torch.optim.SGD(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=True,
        fused=True,
    )


@contextmanager
def _failures() -> Iterator[None]:
    """Memory that runs out becomes TrainingFailed: torch has a type for it on a GPU and a text on a CPU."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TrainingFailed("out_of_memory", str(error)) from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        raise TrainingFailed("out_of_memory", str(error)) from error
