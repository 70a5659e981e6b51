"""What weights are worth that were trained on other labels: CIFAR-10 with a tenth of its labels.

    python benchmarks/transfer.py CIFAR [--network reference/resnet18] [--width 0.5] [--images 20000]
                                        [--before 6] [--epochs 12] [--seeds 3] [--cpus 2]

CIFAR holds train/CLASS/*.jpg and test/CLASS/*.jpg. A network is first trained on images to which a cheap
label is given, which of five kinds they show, such as a cat or a dog. None of them is among the tenth, as
many of each class, whose ten classes are known. On that tenth `nas train` then trains, by one recipe and
the same seeds, from scratch and from these weights, by `--mode finetune` and `--mode linear`. The network
has so much of its own width, and takes 32 x 32 as it takes 224 x 224. Accuracies are of the test split.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import random
import statistics
import tempfile
from pathlib import Path
from typing import Any

import nas

_KINDS = {
    "airplane": "at sea or in the air", "ship": "at sea or in the air", "automobile": "road", "truck": "road",
    "cat": "pet", "dog": "pet", "deer": "hoofed", "horse": "hoofed", "bird": "small", "frog": "small",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cifar", type=Path)
    parser.add_argument("--network", default="reference/resnet18")
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--images", type=int, default=20_000, help="with cheap labels; a tenth has classes")
    parser.add_argument("--before", type=int, default=6, help="epochs on cheap labels")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cpus", type=int, help="threads; all cores by default")
    args = parser.parse_args()
    cifar = args.cifar.resolve()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        _write_tables(cifar, args.images)
        nas.scale(args.network, "network.yaml", factors={"width": args.width})
        recipe = {"epochs": args.before, "policy": None, "mixup": 0, "cutmix": 0}
        where = {"cpus": args.cpus}
        before = _train("cheap", recipe, **where)
        print(f"five kinds: {before.metrics.figures['accuracy']:.4f} on {before.tested_on}", flush=True)
        weights = str(before.folder / "best.safetensors")
        recipe |= {"epochs": args.epochs}
        found: dict[str, list[float]] = {}
        for mode in ("scratch", "finetune", "linear"):
            init = {} if mode == "scratch" else {"init": weights}
            own = [
                _train("tenth", recipe, mode=mode, seed=seed, **init, **where).metrics.figures["accuracy"]
                for seed in range(args.seeds)
            ]
            found[mode] = own
            spread = statistics.stdev(own) if len(own) > 1 else 0.0
            print(f"{mode:<9} {statistics.mean(own):.4f} +- {spread:.4f}  {own}", flush=True)
    gains = [tuned - alone for tuned, alone in zip(found["finetune"], found["scratch"], strict=True)]
    print(f"finetune - scratch, seed by seed: {', '.join(f'{gain:+.4f}' for gain in gains)}")


def _train(table: str, recipe: dict[str, Any], **given: Any) -> nas.TrainResult:
    settings = {"dataset": f"csv:{table}.csv", "resolution": 32, "recipe": recipe, **given}
    return nas.train("network.yaml", settings)


def _write_tables(cifar: Path, images: int) -> None:
    rng = random.Random(0)
    classes = sorted(path.name for path in (cifar / "train").iterdir())
    tenth, cheap = images // 10, images
    with Path("tenth.csv").open("w") as few, Path("cheap.csv").open("w") as many:
        tables = [csv.writer(file) for file in (few, many)]
        for table in tables:
            table.writerow(("path", "label", "split"))
        for name in classes:
            files = sorted((cifar / "train" / name).iterdir())
            rng.shuffle(files)
            own, rest = tenth // len(classes), cheap // len(classes)
            tables[0].writerows((file, name, "train") for file in files[:own])
            tables[1].writerows((file, _KINDS[name], "train") for file in files[own : own + rest])
            test = sorted((cifar / "test" / name).iterdir())
            tables[0].writerows((file, name, "test") for file in test)
            tables[1].writerows((file, _KINDS[name], "test") for file in test)


if __name__ == "__main__":
    main()
