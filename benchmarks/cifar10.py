"""The winner of a search on CIFAR-10 against random members of its space and MobileNetV2 at the same MACs.

    python benchmarks/cifar10.py RUN CIFAR [--seeds 3] [--jobs 2]

RUN is the folder of a search with finalists on `imagefolder:CIFAR/train` (`nas search --config
benchmarks/cifar10.yaml --dataset imagefolder:CIFAR/train`); CIFAR has `train/CLASS/*.jpg` and
`test/CLASS/*.jpg`. All networks are trained by the recipe of the finalists, under the same seeds, on as many
images as there. Accuracies are on test images, which the search never read.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a training has a core

import numpy as np

from nas.data import datasets
from nas.data.config import DataConfig
from nas.runs.state import RunState
from nas.space import Choices, Space, load_space
from nas.space.library import find_space
from nas.space.scale import Scale, scale_space
from nas.training.evaluator import ProxyEvaluator
from nas.training.recipe import Recipe

RANDOM = 3


def main() -> None:
    args = _arguments()
    run = RunState.load(args.run)
    first, config = run.winner, run.config
    assert first, f"{args.run} has no finalists"
    space, budget = run.space, config.budget
    drawn = space.uniform(budget).sample(np.random.default_rng(1), RANDOM)
    width, peer = _widened("reference/mobilenet_v2", first.trial.candidate.cost.macs)
    networks = [
        ("winner", space, first.trial.candidate.choices),
        *((f"random {i}", space, point) for i, point in enumerate(drawn, 1)),
        (f"mobilenet_v2, width {width:.2f}", peer, {}),
    ]
    recipe = replace(config.recipe, epochs=config.finals.epochs)
    start = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool,
    ):
        for name, split in (("train", "train"), ("val", "test")):
            (Path(folder) / name).symlink_to((args.cifar / split).absolute())
        tasks = [
            pool.submit(
                accuracy, own, recipe, replace(config.data, dataset=f"imagefolder:{folder}"), seed, choices
            )
            for _, own, choices in networks
            for seed in range(args.seeds)
        ]
        scores = [task.result() for task in tasks]
    print(f"{recipe.epochs} epochs, {args.seeds} seeds, {time.perf_counter() - start:.0f} s\n")
    print("| network | MACs | parameters | test accuracy, mean | deviation | each seed |")
    print("| --- | --- | --- | --- | --- | --- |")
    for i, (name, own, choices) in enumerate(networks):
        each = scores[i * args.seeds : (i + 1) * args.seeds]
        cost = own.cost(choices)
        print(
            f"| {name} | {cost.macs:,} | {cost.params:,} | {statistics.mean(each):.4f} | "
            f"{statistics.stdev(each):.4f} | {', '.join(f'{score:.4f}' for score in each)} |"
        )


def _widened(name: str, macs: int) -> tuple[float, Space]:
    """A network at the width that brings it nearest to a cost."""
    network = load_space(find_space(name))
    widths = {step / 100: scale_space(network, Scale(width=step / 100)) for step in range(50, 201)}
    return min(widths.items(), key=lambda pair: abs(pair[1].cost({}).macs - macs))


def accuracy(space: Space, recipe: Recipe, config: DataConfig, seed: int, choices: Choices) -> float:
    """Return the accuracy of one training, after its last epoch, on the validation part."""
    data = datasets.load_dataset(config, seed=0)
    training = ProxyEvaluator(space, recipe, data, seed)(choices, 0)
    while not training.done:
        result = training.epoch()
    return result.value


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="the folder of a search with finalists")
    parser.add_argument("cifar", type=Path, help="the folder with train/ and test/")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
