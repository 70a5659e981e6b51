"""An epoch of a training by two processes on Ray Train, beside one process of two threads, in the same run.

    python benchmarks/workers.py [--networks reference/mobilenet_v2,...] [--images 2048] [--rounds 3]

Each of --rounds trains --epochs epochs of `nas train` by the full recipe, on random images of --input pixels:
in this process with two threads, then with `--workers 2 --cpus 1`. Times are of an epoch, the first left out,
so that neither the start of Ray nor plans that are made once count. Random images cost what real ones do.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import nas

_CLASSES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", default="reference/mobilenet_v2,reference/resnet18")
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--input", type=int, default=32)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        _write_images(args.images, args.input)
        print(f"{'network':<26} {'1 process':>10} {'2 workers':>10} {'ratio':>6}  (seconds an epoch)")
        for network in args.networks.split(","):
            seconds: dict[int, list[float]] = {1: [], 2: []}
            for _ in range(args.rounds):
                for processes, own in seconds.items():
                    own.append(_epoch_s(network, processes, args))
            one, two = (statistics.median(seconds[processes]) for processes in (1, 2))
            print(f"{network:<26} {one:>10.2f} {two:>10.2f} {one / two:>6.2f}", flush=True)


def _epoch_s(network: str, processes: int, args: argparse.Namespace) -> float:
    settings = {
        "dataset": "imagefolder:images", "input": args.input, "device": "cpu",
        "recipe": {"epochs": args.epochs, "batch": args.batch}, "cpus": 2 // processes,
        **({"workers": processes} if processes > 1 else {}),
    }  # fmt: skip
    found = nas.train(network, settings)
    return statistics.median(result.seconds for result in found.history[1:])


def _write_images(count: int, side: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        target = Path("images", str(number % _CLASSES), f"{number}.png")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(target)


if __name__ == "__main__":
    main()
