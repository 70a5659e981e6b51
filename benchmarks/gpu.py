"""Trials and a search on one GPU: how soon a new network trains, what a trial takes, what share is training.

    python benchmarks/gpu.py [--old PATH/bin/nas] [--cifar CIFAR] [--minutes 10]

`benchmarks/gpu.sh` runs this and all else that a GPU is needed for. CIFAR has train/CLASS/*.jpg, of which
40,000 are trained on and 10,000 validated on; without it images are random, of as many.

- Trials: random members of `mbconv` inside 400M MACs, one after the other in one process, of four epochs.
  Seconds from the start of each to its second step, median after the first two, and of whole trials, mean.
- Old: the same number of trials by the command of an older build at its defaults, one after the other, and
  the ratio of the means.
- Deterministic: images per second of one of them with `deterministic=true` over those without.
- Search: of so many minutes on Ray with one worker; the share of its time that trials trained, and the
  seconds a trial that they waited for the driver and Ray.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from proxy import random_data

import nas
from nas.data.config import DataConfig
from nas.data.datasets import ImageData, load_dataset
from nas.space import Choices, load_space
from nas.space.library import find_space
from nas.training.base import EpochResult
from nas.training.evaluator import ProxyEvaluator
from nas.training.recipe import Recipe

FIRST = 2
"""Trials that are left out: libraries are loaded in them."""
TARGETS = {"second step": 1.0, "old / new": 25.0, "share": 0.85, "waited": 0.03}


def main() -> None:
    args = _arguments()
    images = args.train + args.val
    config = DataConfig(
        f"imagefolder:{args.cifar / 'train'}" if args.cifar else "random",
        32,
        val_fraction=args.val / images,
        max_images=images,
    )
    data = load_dataset(config, seed=0) if args.cifar else random_data(args.train, args.val)
    device = torch.cuda.get_device_name() if args.device == "cuda" else args.device
    print(
        f"{device}, torch {torch.__version__}, {len(data.train_labels):,} + {len(data.val_labels):,} images\n"
    )
    evaluator = ProxyEvaluator(
        load_space(find_space("mbconv")).for_data(3, 10),
        Recipe(epochs=args.epochs, cuda_graph=True),
        data,
        0,
        args.device,
    )
    points = evaluator.space.uniform(nas.Budget.parse({"flops": "400M"})).sample(
        np.random.default_rng(0), args.trials
    )
    trials = [time_trial(evaluator, point, number) for number, point in enumerate(points)]
    for number, (second_s, whole_s, last) in enumerate(trials):
        speed = f"{last.images / last.train_s:,.0f} images/s"
        print(f"trial {number}: second step after {second_s:.2f} s, in all {whole_s:.2f} s, {speed}, "
              f"batch {last.batch}{f', no graph: {last.eager}' if last.eager else ''}")  # fmt: skip
    seconds = [second_s for second_s, *_ in trials[FIRST:]]
    mean = statistics.mean(whole_s for _, whole_s, _ in trials[FIRST:])
    print(f"\nsecond step, median of {len(seconds)}: {statistics.median(seconds):.2f} s", end="")
    judge(statistics.median(seconds) <= TARGETS["second step"])
    print(f"a trial, mean: {mean:.2f} s")
    same = replace(evaluator, recipe=replace(evaluator.recipe, deterministic=True))
    slow = time_trial(same, points[-1], len(points) - 1)[2]
    fast = trials[-1][2]
    ratio = (slow.images / slow.train_s) / (fast.images / fast.train_s)
    print(f"deterministic: {ratio:.2f} of the images per second")
    if args.old:
        assert args.cifar, "--old: reads image files; add --cifar"
        old = time_old(args, config)
        print(f"a trial of {args.old}, mean: {old:.2f} s; ratio {old / mean:.1f}", end="")
        judge(old / mean >= TARGETS["old / new"])
    if args.minutes:
        search(args, config, data)


def time_trial(evaluator: ProxyEvaluator, point: Choices, number: int) -> tuple[float, float, EpochResult]:
    """Return the seconds to the second step of a trial, those of all of it, and its last epoch."""
    start = time.perf_counter()
    training = evaluator(point, number)
    built_s = time.perf_counter() - start
    result = training.epoch()
    second_s = built_s + result.start_s
    while not training.done:
        result = training.epoch()
    training.state_dict()
    return second_s, time.perf_counter() - start, result


def time_old(args: argparse.Namespace, config: DataConfig) -> float:
    """Return the mean seconds of trials by an older build, after the first ones."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [args.old, "search", "mbconv", "--budget-flops", "400M", "--dataset", config.dataset,
             "--resolution", "32", "--epochs", str(args.epochs), "--trials", str(args.trials), "--sampler",
             "random", "--workers", "1", "--name", "old"],
            check=True, cwd=folder,
        )  # fmt: skip
        with (Path(folder) / "runs" / "old" / "trials.csv").open() as file:
            seconds = [float(row["seconds"]) for row in csv.DictReader(file) if row["seconds"]]
    return statistics.mean(seconds[FIRST:])


def search(args: argparse.Namespace, config: DataConfig, data: ImageData) -> None:
    """Print what a search makes of its time."""
    with tempfile.TemporaryDirectory() as folder:
        given = {
            "space": "mbconv",
            "budget_flops": "400M",
            "trials": 100_000,
            "workers": 1,
            "time_limit": f"{args.minutes}m",
            "resolution": 32,
            "recipe": {"epochs": args.epochs},
        }
        if args.cifar:
            given |= {"dataset": config.dataset, "max_images": config.max_images}
            given |= {"val_fraction": config.val_fraction}
        result = nas.search(nas.SearchConfig.from_data(given), runs=folder)
        usage, ended = result.usage, result.counts.ended
        share, waited_s = usage.trained_s / usage.total_s, usage.waited_s / ended
        print(
            f"\na search of {args.minutes:g} min: {ended} trials; they trained {share:.0%} of its time",
            end="",
        )
        judge(share >= TARGETS["share"])
        trained_s = usage.trained_s / ended
        print(f"waited {waited_s:.2f} s a trial of {trained_s:.2f} s, {waited_s / trained_s:.1%}", end="")
        judge(waited_s / trained_s <= TARGETS["waited"])
        print(
            f"{usage.images_s or 0:,.0f} images/s, {usage.share or 0:.0%} of the limit by {usage.limited_by}"
        )


def judge(is_met: bool) -> None:
    print(f" ({'met' if is_met else 'MISSED'})")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--old", help="the command of an older build")
    parser.add_argument("--cifar", type=Path, help="the folder with train/")
    parser.add_argument("--trials", type=int, default=14)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--train", type=int, default=40_000)
    parser.add_argument("--val", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10, help="of the search, 0 for none")
    return parser.parse_args()


if __name__ == "__main__":
    main()
