"""Images per second of a full training on JPEG files, against torchvision's reference loop, in the same run.

    python benchmarks/train.py [--module mobilenet_v3_small] [--images 256] [--threads 2] [--rounds 3]

Both train a network of torchvision's on the same files, by SGD with Nesterov momentum, on the same cores,
with random resized crops and mirroring at --side pixels: same initial weights, number of images and batch.
They take turns; an epoch of each is run before the clock starts.

`reference` is the loop of torchvision's references/classification: ImageFolder, a DataLoader of --workers
processes, RandomResizedCrop, RandomHorizontalFlip, to tensor, normalised, in torch's default memory format.
`reference, channels_last` shows what loading alone is worth. `nas` is the loop that `nas train` steps
(`nas.training.loop`). Its epoch estimates batch norm anew and validates on 2 % of the images, which counts
against it. It resizes the files once, before the clock starts, and crops from what that gives; `nas, decoding
too` counts this, spread over --epochs epochs.

The target is a ratio of at least 1.5 to `reference`.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms as tv

os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="nas-bench-")  # nothing is decoded before

from nas.data.config import DataConfig
from nas.data.datasets import load_dataset
from nas.training.loop import ClassifierTraining
from nas.training.recipe import Recipe

TARGET = 1.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--module", default="mobilenet_v3_small")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--file-side", type=int, default=500, help="of the files, as ImageNet has them")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=90, help="that decoding is spread over")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    with tempfile.TemporaryDirectory() as folder:
        _write_images(Path(folder), args.images, args.file_side)
        began = time.perf_counter()
        data = load_dataset(DataConfig(f"imagefolder:{folder}", args.side, val_fraction=0.02), seed=0)
        decoding_s = time.perf_counter() - began
        count = len(data.train_labels) // args.batch * args.batch
        recipe = Recipe(epochs=args.rounds + 1, batch=args.batch, random_resized_crop=0.08)
        module = torchvision.models.get_model(args.module, num_classes=2)
        training = ClassifierTraining(copy.deepcopy(module), data, recipe, seed=0)
        sides: dict[str, Callable[[], Any]] = {"nas": training.epoch}
        for name, layout in (
            ("reference", torch.contiguous_format),
            ("reference, channels_last", torch.channels_last),
        ):
            sides[name] = Reference(copy.deepcopy(module), layout, Path(folder), recipe, args, count).epoch
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for round_ in range(args.rounds + 1):
            for name, epoch in sides.items():
                start = time.perf_counter()
                epoch()
                if round_:
                    seconds[name].append(time.perf_counter() - start)
    seconds["nas, decoding too"] = [s + decoding_s / args.epochs for s in seconds["nas"]]
    print(f"{args.module}, torch {torch.__version__}, {args.threads} thread(s), batch {args.batch}")
    print(f"{count:,} images an epoch at {args.side} x {args.side}, of JPEG files of {args.file_side} pixels")
    print(f"decoding all files once: {decoding_s:.1f} s\n")
    print(f"{f'images per second, {args.rounds} rounds':32}{'median':>9}{'lowest':>9}{'highest':>9}")
    for name, values in seconds.items():
        _row(name, [count / value for value in values], 1)
    for ours in ("nas", "nas, decoding too"):
        for theirs in ("reference", "reference, channels_last"):
            ratios = [b / a for a, b in zip(seconds[ours], seconds[theirs], strict=True)]
            _row(f"{ours} / {theirs}", ratios, 2)
    ratio = statistics.median(
        b / a for a, b in zip(seconds["nas, decoding too"], seconds["reference"], strict=True)
    )
    verdict = "met" if ratio >= TARGET else "MISSED"
    print(f"\ntarget: nas, decoding too / reference of at least {TARGET}: {verdict}")
    raise SystemExit(ratio < TARGET)


class Reference:
    """An epoch of training as torchvision's references/classification/train.py has it."""

    def __init__(
        self,
        module: nn.Module,
        layout: torch.memory_format,
        folder: Path,
        recipe: Recipe,
        args: argparse.Namespace,
        count: int,
    ) -> None:
        self._module, self._layout = module.to(memory_format=layout), layout
        transform = tv.Compose(
            [
                tv.RandomResizedCrop(args.side),
                tv.RandomHorizontalFlip(),
                tv.PILToTensor(),
                tv.ConvertImageDtype(torch.float),
                tv.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )
        files = torchvision.datasets.ImageFolder(folder, transform)
        part = torch.utils.data.Subset(files, range(count))
        self._loader = DataLoader(part, args.batch, shuffle=True, num_workers=args.workers, drop_last=True)
        self._optimizer = torch.optim.SGD(
            module.parameters(), recipe.peak_lr, recipe.momentum, nesterov=True, weight_decay=5e-4
        )

    def epoch(self) -> None:
        self._module.train()
        for images, labels in self._loader:
            loss = F.cross_entropy(
                self._module(images.to(memory_format=self._layout)), labels, label_smoothing=0.1
            )
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            loss.item()  # as its log of each batch reads it


def _write_images(folder: Path, count: int, side: int) -> None:
    """Write JPEG files that take about as long to decode as photographs: smooth, with some noise."""
    rng = np.random.default_rng(0)
    for number in range(count):
        small = Image.fromarray(rng.integers(0, 256, (side // 16, side // 16, 3), dtype=np.uint8))
        smooth = np.asarray(small.resize((side, side), Image.Resampling.BICUBIC), np.int64)
        noisy = (smooth + rng.integers(-12, 13, smooth.shape)).clip(0, 255).astype(np.uint8)
        target = folder / f"class{number % 2}" / f"{number}.jpg"
        target.parent.mkdir(exist_ok=True)
        Image.fromarray(noisy).save(target, quality=90)


def _row(name: str, values: list[float], digits: int) -> None:
    shown = (f"{f(values):9.{digits}f}" for f in (statistics.median, min, max))
    print(f"{name:44}" + "".join(shown))


if __name__ == "__main__":
    main()
