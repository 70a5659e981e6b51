"""What fitting a space to small images is worth: networks as they are against the same fitted, at equal MACs.

    python benchmarks/inputs.py imagefolder:CIFAR/train [--networks 2] [--seeds 2] [--jobs 2]

Random networks of `mbconv` are trained on 32 x 32 images three times: as they are, their last map 1 x 1;
fitted by the rule of `--input 32`, to 8 x 8; and fitted to 4 x 4. Each is brought by its width to the same
MACs at 32 x 32. Accuracies are on the validation part of the split.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from cifar10 import accuracy

from nas.cost import parse_count, parse_interval
from nas.data.config import DataConfig
from nas.measures import MACS, Budget
from nas.space import Space, load_space
from nas.space.fit import find_last_shape, fit_input
from nas.space.scale import Scale, scale_space
from nas.training.recipe import Recipe

SIDE = 32
CLASSES = 10


def main() -> None:
    args = _arguments()
    own = load_space("mbconv")
    budget = Budget({MACS: parse_interval("80M..160M")})
    drawn = own.uniform(budget).sample(np.random.default_rng(args.seed), args.networks)
    macs = parse_count(args.macs)
    networks = []
    for i, point in enumerate(drawn, 1):
        network = own.resolve(point)
        ways = (
            ("as it is", network.adapt(3, SIDE, CLASSES)),
            ("fitted to 8 x 8", fit_input(network, SIDE).space.for_data(3, CLASSES)),
            ("fitted to 4 x 4", fit_input(network, SIDE, last=4).space.for_data(3, CLASSES)),
        )
        networks += [(f"{i}, {way}", *widened(one, macs)) for way, one in ways]
    config = DataConfig(args.dataset, SIDE, args.val_fraction, args.max_images)
    start = time.perf_counter()
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        tasks = [
            pool.submit(accuracy, network, Recipe(epochs=args.epochs), config, seed, {})
            for seed in range(args.seeds)
            for _, _, network in networks
        ]
        scores = [task.result() for task in tasks]
    print(f"{args.epochs} epochs, {args.seeds} seeds, {time.perf_counter() - start:.0f} s\n")
    print(
        f"| network | width | last map | MACs at {SIDE} x {SIDE} | parameters | accuracy, mean | each seed |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for i, (name, width, network) in enumerate(networks):
        each = scores[i :: len(networks)]
        cost = network.cost({})
        last = " x ".join(map(str, find_last_shape(network)[1:]))
        print(
            f"| {name} | {width:.2f} | {last} | {cost.macs:,} | {cost.params:,} | "
            f"{statistics.mean(each):.4f} | {', '.join(f'{score:.4f}' for score in each)} |"
        )


def widened(network: Space, macs: int) -> tuple[float, Space]:
    """Return a network at the width that brings it nearest to a cost, and that width."""
    widths = {step / 100: scale_space(network, Scale(width=step / 100)) for step in range(10, 501, 2)}
    return min(widths.items(), key=lambda pair: abs(math.log(pair[1].cost({}).macs / macs)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", help="such as imagefolder:CIFAR/train")
    parser.add_argument("--networks", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--macs", default="16M", help="of every network")
    parser.add_argument("--max-images", type=int, default=4000)
    parser.add_argument("--val-fraction", type=float, default=0.35)
    parser.add_argument("--seed", type=int, default=0, help="of the networks")
    parser.add_argument("--jobs", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
