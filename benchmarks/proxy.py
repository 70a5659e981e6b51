"""Images per second of the proxy's training against loops that one writes by hand, in the same run.

    python benchmarks/proxy.py [--cifar cifar10-jpeg.tar.xz] [--module mobilenet_v2] [--device cuda]

Each side trains a network of torchvision's for one epoch and validates it: same initial weights, number of
images, batch, SGD with Nesterov momentum, on CUDA bf16 autocast, and on a CPU the same cores, as many as
--threads. The sides take turns; an epoch of each is run before the clock starts. Medians of the rounds are
printed, and of the rounds' ratios.

`minimal` reads float images from memory that are normalised beforehand, in channels_last as the proxy. It
does not augment, re-estimate
batch norm, or watch for NaN and for the time, all of which the proxy does and which is counted against it.
The target is a ratio of at least 0.97.

`folder`, with --cifar, is the usual loop over torchvision's ImageFolder: files are decoded in --workers
processes of a DataLoader on the same cores, cropped, mirrored, turned into tensors and normalised. The proxy
reads the same files once, before the clock starts, as it does in a search: its trials share what is decoded.
As in torchvision's reference script the memory format is torch's default, which is what makes most of the
difference on a CPU; `folder, channels_last` shows what loading alone is worth. The target for `folder` is a
ratio of at least 1.5.

`captured`, on CUDA, is `minimal` with forward and backward pass and optimizer as one graph, into which images
are copied: a bound for what Python and launches cost. The targets are 0.9 of it, and 7 times `minimal` at a
batch of 64, 6 times at 256.

On CUDA, trials that share the GPU are measured too, each in a process of its own: images per second of all of
them over those of one alone.
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import os
import platform
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch.utils.data import DataLoader
from torchvision import transforms as tv

from nas.data.config import DataConfig
from nas.data.datasets import ImageData, load_dataset
from nas.training.loop import ClassifierTraining
from nas.training.recipe import BATCH, Recipe

TARGETS = {"minimal": 0.97, "folder": 1.5}
ON_CUDA = {64: 7.0, 256: 6.0}
"""Times the images per second of `minimal`, by batch: what Python and launches cost it."""


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    if args.device == "cpu":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    with tempfile.TemporaryDirectory() as folder:
        if args.cifar:
            unpack(args.cifar, Path(folder), args.train, args.val)
            data = load_dataset(DataConfig(f"imagefolder:{folder}", 32), seed=0)
        else:
            data = random_data(args.train, args.val)
        recipe = Recipe(epochs=args.rounds + 1, batch=args.batch, cuda_graph=True)
        module = torchvision.models.get_model(args.module, num_classes=10)
        training = ClassifierTraining(copy.deepcopy(module), data, recipe, seed=0, device=args.device)
        sides: dict[str, Callable[[], Any]] = {
            "nas": training.epoch,
            "minimal": Minimal(copy.deepcopy(module), data, recipe, args.device).epoch,
        }
        if args.device.startswith("cuda"):
            sides["captured"] = Captured(copy.deepcopy(module), data, recipe, args.device).epoch
        if args.cifar:
            for name, layout in (
                ("folder", torch.contiguous_format),
                ("folder, channels_last", torch.channels_last),
            ):
                own = copy.deepcopy(module)
                sides[name] = Folder(own, layout, Path(folder), data, recipe, args.device, args.workers).epoch
        speeds = measured(sides, args.rounds, len(data.train_images) // recipe.batch_size * recipe.batch_size)
    ratios = {
        peer: [ours / theirs for ours, theirs in zip(speeds["nas"], speeds[peer], strict=True)]
        for peer in speeds
        if peer != "nas"
    }
    name = torch.cuda.get_device_name() if args.device.startswith("cuda") else platform.processor() or "cpu"
    print(
        f"{args.module}, torch {torch.__version__}, {name}, {args.threads} thread(s), batch {recipe.batch},"
    )
    print(f"{len(data.train_images):,} training and {len(data.val_images):,} validation images of 32 x 32")
    print(f"\n{f'images per second, {args.rounds} rounds':32}{'median':>9}{'lowest':>9}{'highest':>9}")
    for label, values in speeds.items():
        _row(label, values, 1)
    for peer, values in ratios.items():
        _row(f"nas / {peer}", values, 3)
    if args.share:
        shared(args)
    targets = TARGETS
    if args.device.startswith("cuda"):
        targets = {"captured": 0.9, "minimal": ON_CUDA.get(args.batch, TARGETS["minimal"])}
    met = {
        peer: statistics.median(ratios[peer]) >= target for peer, target in targets.items() if peer in ratios
    }
    print()
    for peer, is_met in met.items():
        print(f"target: nas / {peer} of at least {targets[peer]}: {'met' if is_met else 'MISSED'}")
    raise SystemExit(not all(met.values()))


def measured(sides: dict[str, Callable[[], Any]], rounds: int, images: int) -> dict[str, list[float]]:
    """Training images per second of each side in each round after the first."""
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for round_ in range(rounds + 1):
        for name, epoch in sides.items():
            start = time.perf_counter()
            epoch()
            if round_:
                speeds[name].append(images / (time.perf_counter() - start))
    return speeds


class Minimal:
    """What one writes by hand: an epoch of training, then validation."""

    def __init__(self, module: torch.nn.Module, data: ImageData, recipe: Recipe, device: str) -> None:
        self.module = module.to(device).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(
            module.parameters(),
            lr=recipe.peak_lr,
            momentum=0.9,
            nesterov=True,
            weight_decay=recipe.weight_decay,
        )
        self.x, self.val_x = (_floats(images, device) for images in (data.train_images, data.val_images))
        self.y, self.val_y = (torch.tensor(y, device=device) for y in (data.train_labels, data.val_labels))
        self.batch = recipe.batch_size
        self.device = torch.device(device)
        self.autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    def epoch(self) -> float:
        self.module.train()
        order = torch.randperm(len(self.x), device=self.device)
        for start in range(0, len(order) - self.batch + 1, self.batch):
            index = order[start : start + self.batch]
            self.step(self.x[index], self.y[index])
        self.module.eval()
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        with torch.inference_mode(), self.autocast:
            for start in range(0, len(self.val_x), 128):
                part = slice(start, start + 128)
                correct += (self.module(self.val_x[part]).argmax(1) == self.val_y[part]).sum()
        return correct.item() / len(self.val_y)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        with self.autocast:
            loss = F.cross_entropy(self.module(x), y)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()


class Captured(Minimal):
    """The same, each step replayed as one graph."""

    def __init__(self, module: torch.nn.Module, data: ImageData, recipe: Recipe, device: str) -> None:
        super().__init__(module, data, recipe, device)
        self.autocast = torch.autocast("cuda", torch.bfloat16, cache_enabled=False)  # as a capture needs
        self.images, self.labels = self.x[: self.batch].clone(), self.y[: self.batch].clone()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                super().step(self.images, self.labels)
        torch.cuda.current_stream().wait_stream(side)
        self.optimizer.zero_grad()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            super().step(self.images, self.labels)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.images.copy_(x)
        self.labels.copy_(y)
        self.graph.replay()


class Folder(Minimal):
    """The same over image files, as torchvision's references read them."""

    def __init__(
        self,
        module: torch.nn.Module,
        layout: torch.memory_format,
        folder: Path,
        data: ImageData,
        recipe: Recipe,
        device: str,
        workers: int,
    ) -> None:
        super().__init__(module, data, recipe, device)
        self.module = self.module.to(memory_format=layout)
        self.layout = layout
        plain = [tv.ToTensor(), tv.Normalize(data.mean, data.std)]
        augmented = [tv.RandomCrop(32, padding=4), tv.RandomHorizontalFlip(), *plain]
        options: dict[str, Any] = {
            "num_workers": workers,
            "persistent_workers": workers > 0,
            "pin_memory": device.startswith("cuda"),
        }
        self.train, self.val = (
            DataLoader(
                torchvision.datasets.ImageFolder(str(folder / part), tv.Compose(steps)),
                batch_size=batch,
                shuffle=part == "train",
                drop_last=part == "train",
                **options,
            )
            for part, steps, batch in (("train", augmented, self.batch), ("val", plain, 128))
        )

    def epoch(self) -> float:
        self.module.train()
        for x, y in self.train:
            self.step(self._sent(x), y.to(self.device, non_blocking=True))
        self.module.eval()
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        with torch.inference_mode(), self.autocast:
            for x, y in self.val:
                correct += (self.module(self._sent(x)).argmax(1) == y.to(self.device)).sum()
        return correct.item() / len(self.val_y)

    def _sent(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(self.device, memory_format=self.layout, non_blocking=True)


def shared(args: argparse.Namespace) -> None:
    """Print what several trials at a time on one device are worth."""
    if args.device == "cpu":
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    alone = together(1, args)
    print(f"\n{'trials that share the device':32}{'images/s':>9}{'speed-up':>9}")
    for trials in (1, *args.share):
        speed = alone if trials == 1 else together(trials, args)
        print(f"{trials:<32}{speed:9.1f}{speed / alone:9.2f}")


def together(trials: int, args: argparse.Namespace) -> float:
    """Images per second of so many trials, each in its process; all begin their epochs at the same time."""
    context = multiprocessing.get_context("spawn")
    barrier, seconds = context.Barrier(trials), context.SimpleQueue()
    processes = [context.Process(target=_trial, args=(barrier, seconds, args)) for _ in range(trials)]
    for process in processes:
        process.start()
    slowest: float = max(seconds.get() for _ in processes)
    for process in processes:
        process.join()
    images: int = trials * args.rounds * (args.train // args.batch * args.batch)
    return images / slowest


def _trial(barrier: Barrier, seconds: Any, args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    recipe = Recipe(epochs=args.rounds + 1, batch=args.batch, cuda_graph=True)
    module = torchvision.models.get_model(args.module, num_classes=10)
    training = ClassifierTraining(
        module, random_data(args.train, args.val), recipe, seed=0, device=args.device
    )
    training.epoch()
    barrier.wait()
    start = time.perf_counter()
    while not training.done:
        training.epoch()
    seconds.put(time.perf_counter() - start)


def unpack(archive: Path, folder: Path, train: int, val: int) -> None:
    """Images of the archive's training split as folder/train and folder/val, classes even."""
    with tarfile.open(archive) as files:
        for member in files:
            split, _, rest = member.name.partition("/")
            place = Path(rest)
            if split != "train" or not member.isfile():
                continue
            number = int(place.stem)
            part = "train" if number < train // 10 else "val"
            if number < (train + val) // 10:
                target = folder / part / rest
                target.parent.mkdir(parents=True, exist_ok=True)
                content = files.extractfile(member)
                assert content is not None
                target.write_bytes(content.read())


def random_data(train: int, val: int) -> ImageData:
    """Random images: what they show does not change the time."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (train + val, 3, 32, 32), dtype=np.uint8)
    labels = rng.integers(0, 10, train + val)
    return ImageData(
        name="random",
        classes=tuple("0123456789"),
        train_images=images[:train],
        train_labels=labels[:train],
        val_images=images[train:],
        val_labels=labels[train:],
        mean=(0.5,) * 3,
        std=(0.29,) * 3,
        flip=True,
    )


def _floats(images: np.ndarray, device: str) -> torch.Tensor:
    x = (torch.from_numpy(images).to(device).float() / 255 - 0.5) / 0.29
    return x.contiguous(memory_format=torch.channels_last)


def _row(label: str, values: list[float], digits: int) -> None:
    figures = (statistics.median(values), min(values), max(values))
    print(f"{label:32}" + "".join(f"{figure:9.{digits}f}" for figure in figures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--module", default="mobilenet_v2", help="the name of a network of torchvision's")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--train", type=int, default=2000, help="training images")
    parser.add_argument("--val", type=int, default=500, help="validation images")
    parser.add_argument("--cifar", type=Path, help="archive of train/CLASS/NNNN.jpg, to measure 'folder' too")
    parser.add_argument("--workers", type=int, default=1, help="processes of 'folder' that decode")
    parser.add_argument(
        "--share", type=int, nargs="*", help="trials at a time on the device, on CUDA 2 4 8 unless given"
    )
    args = parser.parse_args()
    if args.share is None:
        args.share = [2, 4, 8] if args.device.startswith("cuda") else []
    return args


if __name__ == "__main__":
    main()
