"""Images per second of the proxy's training loop against a minimal hand-written PyTorch loop.

    python benchmarks/proxy.py [--device cpu] [--threads 1] [--rounds 7]

Both train torchvision's MobileNetV2 for one epoch and validate it: same initial weights, images, batch,
threads, SGD with Nesterov momentum, channels_last, on CUDA bf16 autocast. The hand-written loop reads float
images that are normalised beforehand; it does not augment, re-estimate batch norm, or watch for NaN. The two
take turns; an epoch of each is run before the clock starts. The target is a ratio of at least 0.95.
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
import time

import numpy as np
import torch
import torch.nn.functional as F
import torchvision

from nas.proxy.datasets import ImageData
from nas.proxy.recipe import Recipe
from nas.proxy.training import Training

TARGET = 0.95


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    data = _data(args.train, args.val)
    recipe = Recipe(epochs=args.rounds + 1, batch=args.batch)
    module = torchvision.models.mobilenet_v2(num_classes=10)
    training = Training(copy.deepcopy(module), data, recipe, seed=0, device=args.device)
    minimal = Minimal(copy.deepcopy(module), data, recipe, args.device)

    rows: dict[str, list[float]] = {"nas": [], "minimal": []}
    images = len(data.train_images) // recipe.batch * recipe.batch
    for round_ in range(args.rounds + 1):
        for name, run in (("nas", training.epoch), ("minimal", minimal.epoch)):
            start = time.perf_counter()
            run()
            if round_:
                rows[name].append(images / (time.perf_counter() - start))

    ratios = [ours / theirs for ours, theirs in zip(rows["nas"], rows["minimal"], strict=True)]
    device = torch.cuda.get_device_name() if args.device.startswith("cuda") else platform.processor() or "cpu"
    print(f"torch {torch.__version__}, {device}, {args.threads} thread(s), batch {recipe.batch}, wall clock,")
    print(f"{args.train} training and {args.val} validation images of 32 x 32, {args.rounds} rounds\n")
    print(f"{'training images per second':28}{'median':>9}{'lowest':>9}{'highest':>9}")
    for name, values in (*rows.items(), ("ratio", ratios)):
        digits = 3 if name == "ratio" else 1
        figures = (statistics.median(values), min(values), max(values))
        print(f"{name:28}" + "".join(f"{figure:9.{digits}f}" for figure in figures))
    met = statistics.median(ratios) >= TARGET
    print(f"\ntarget: ratio of at least {TARGET}: {'met' if met else 'MISSED'}")
    raise SystemExit(not met)


class Minimal:
    """What one writes by hand: an epoch of training, then validation."""

    def __init__(self, module: torch.nn.Module, data: ImageData, recipe: Recipe, device: str) -> None:
        self.module = module.to(device).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(
            module.parameters(), lr=recipe.lr, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay
        )
        self.x, self.val_x = (_floats(images, device) for images in (data.train_images, data.val_images))
        self.y, self.val_y = (torch.tensor(y, device=device) for y in (data.train_labels, data.val_labels))
        self.batch = recipe.batch
        self.autocast = torch.autocast(
            torch.device(device).type, torch.bfloat16, enabled=device.startswith("cuda")
        )

    def epoch(self) -> float:
        self.module.train()
        order = torch.randperm(len(self.x), device=self.x.device)
        for start in range(0, len(order) - self.batch + 1, self.batch):
            index = order[start : start + self.batch]
            with self.autocast:
                loss = F.cross_entropy(self.module(self.x[index]), self.y[index])
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        self.module.eval()
        correct = torch.zeros((), dtype=torch.int64, device=self.x.device)
        with torch.inference_mode(), self.autocast:
            for start in range(0, len(self.val_x), 128):
                part = slice(start, start + 128)
                correct += (self.module(self.val_x[part]).argmax(1) == self.val_y[part]).sum()
        return correct.item() / len(self.val_y)


def _floats(images: np.ndarray, device: str) -> torch.Tensor:
    x = (torch.from_numpy(images).to(device).float() / 255 - 0.5) / 0.29
    return x.contiguous(memory_format=torch.channels_last)


def _data(train: int, val: int) -> ImageData:
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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=Recipe().batch)
    parser.add_argument("--train", type=int, default=1437, help="training images; 1437 is what digits gives")
    parser.add_argument("--val", type=int, default=360)
    return parser.parse_args()


if __name__ == "__main__":
    main()
