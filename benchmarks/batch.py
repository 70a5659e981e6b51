"""What a larger batch costs in accuracy and brings in speed, at the rate that belongs to it.

    python benchmarks/batch.py --cifar cifar10-jpeg.tar.xz [--train 5000] [--epochs 4] [--device cuda]

Each batch trains a network of torchvision's for the same epochs over the same images of CIFAR-10, under the
rates of the linear and of the square-root rule from the one of a batch of 64. Printed are the steps of an
epoch, accuracy after the last one under each seed, and images per second over whole epochs, validation
included. `ENOUGH_STEPS` of nas/training/recipe.py comes from here.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import fmean

import torch
import torchvision
from proxy import unpack

from nas.data.config import DataConfig
from nas.data.datasets import ImageData, load_dataset
from nas.training.loop import ClassifierTraining, seed_everything
from nas.training.recipe import BATCH, Recipe

RULES = {"linear": 1.0, "square root": 0.5}


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        unpack(args.cifar, Path(folder), args.train, args.val)
        data = load_dataset(DataConfig(f"imagefolder:{folder}", 32), seed=0)
    images = len(data.train_labels)
    name = torch.cuda.get_device_name() if args.device == "cuda" else f"cpu, {args.threads} thread(s)"
    print(f"{args.module}, torch {torch.__version__}, {name}; {images:,} images, {args.epochs} epochs")
    print(f"{'batch':>6}{'steps':>7}  {'rule':12}{'rate':>7}{'images/s':>10}  accuracy of each seed")
    for batch in args.batches:
        for rule, power in RULES.items():
            if batch == BATCH and rule != "linear":
                continue
            rate = Recipe().peak_lr * (batch / BATCH) ** power
            recipe = Recipe(epochs=args.epochs, batch=batch, lr=rate)
            found = [_train(args, data, recipe, seed) for seed in range(args.seeds)]
            scores = ", ".join(f"{score:.3f}" for score, _ in found)
            speed = fmean(images * args.epochs / seconds for _, seconds in found)
            line = f"{batch:6}{images // batch:7}  {rule:12}{rate:7.3f}{speed:10,.0f}  {scores}"
            print(line, flush=True)


def _train(args: argparse.Namespace, data: ImageData, recipe: Recipe, seed: int) -> tuple[float, float]:
    """Accuracy after the last epoch, and the seconds of all."""
    seed_everything(seed)
    module = torchvision.models.get_model(args.module, num_classes=10)
    training = ClassifierTraining(module, data, recipe, seed=seed, device=args.device)
    start = time.perf_counter()
    while not training.done:
        result = training.epoch()
    return result.value, time.perf_counter() - start


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar", type=Path, required=True, help="archive of train/CLASS/NNNN.jpg")
    parser.add_argument("--module", default="mobilenet_v2", help="the name of a network of torchvision's")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--train", type=int, default=5000, help="training images")
    parser.add_argument("--val", type=int, default=2000, help="validation images")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--batches", type=int, nargs="*", default=[64, 128, 256, 512])
    return parser.parse_args()


if __name__ == "__main__":
    main()
