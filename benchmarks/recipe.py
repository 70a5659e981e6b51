"""What settings of the recipe are worth: accuracies of the same random networks under each of them.

    python benchmarks/recipe.py imagefolder:cifar/train drop_path=null,dropout=null zero_init_residual=false

Each variant is a list of KEY=VALUE, set on top of the base (--base, in the same form) and compared with it.
Networks are sampled uniformly under the budget; all trainings have the same seed. Accuracies are on the
validation part, after the last epoch.
"""

from __future__ import annotations

import argparse
import os
import statistics
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a training has a core

import numpy as np
from cifar10 import accuracy

from nas.cli.options import read_pairs
from nas.data.config import DataConfig
from nas.measures import Budget
from nas.space import load_space
from nas.space.library import find_space
from nas.training.recipe import Recipe


def main() -> None:
    args = _arguments()
    space = load_space(find_space(args.space))
    budget = Budget.parse({"flops": args.budget_flops})
    points = space.uniform(budget).sample(np.random.default_rng(args.seed), args.networks)
    data = DataConfig(dataset=args.dataset)
    base = read_pairs(Recipe, args.base.split(",")) if args.base else {}
    variants = {"base": base} | {text: base | read_pairs(Recipe, text.split(",")) for text in args.variants}
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        tasks = {
            name: [
                pool.submit(accuracy, space, Recipe(**settings), data, args.seed, point) for point in points
            ]
            for name, settings in variants.items()
        }
        print(f"| setting | mean | {' | '.join(f'network {n}' for n in range(1, len(points) + 1))} |")
        print("| --- " * (2 + len(points)) + "|")
        for name, own in tasks.items():
            scores = [task.result() for task in own]
            cells = (f"{score:.3f}" for score in (statistics.mean(scores), *scores))
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", help="as for nas search")
    parser.add_argument("variants", nargs="*", metavar="KEY=VALUE[,KEY=VALUE...]")
    parser.add_argument("--base", help="what all variants have in common")
    parser.add_argument("--space", default="mbconv")
    parser.add_argument("--budget-flops", default="400M")
    parser.add_argument("--networks", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
