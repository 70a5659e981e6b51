"""Children of a trained network after one epoch: from its weights, and from scratch.

    python benchmarks/inherit.py [--children 8] [--epochs 4] [--seed 0]

The parent is a random member of search_spaces/mbconv.yaml under 80M MACs, trained on `digits` for all epochs
of the default recipe. Its children have one decision drawn anew. Each is trained three times by the same
seed: for one epoch from the parent's weights, for one epoch from scratch, and for all epochs from scratch.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from dataclasses import replace
from pathlib import Path

import safetensors.torch
import torch

from nas.data import datasets
from nas.data.config import DataConfig
from nas.measures import Budget
from nas.space import Choices, load_space
from nas.space.feasible import Domain
from nas.training.base import Parent
from nas.training.evaluator import ProxyEvaluator
from nas.training.recipe import Recipe

SPACE = Path(__file__).parents[1] / "search_spaces" / "mbconv.yaml"
BUDGET = "80M"


def main() -> None:
    args = _arguments()
    torch.set_num_threads(1)
    space, full = load_space(SPACE), Recipe(epochs=args.epochs)
    short = replace(full, epochs=1)
    data = datasets.load_dataset(DataConfig("digits"), seed=args.seed)
    evaluator = ProxyEvaluator(space, full, data, args.seed)
    domain, rng = Domain(space, Budget.parse({"macs": BUDGET})), random.Random(args.seed)
    point = domain.sample(rng, 1)[0]
    accuracy, weights = train(evaluator, point, 0, None)
    parent = Parent(0, point, weights)
    print(
        f"torch {torch.__version__}, one thread, digits; parent: {accuracy:.4f} after {full.epochs} epochs\n"
    )

    hasty = replace(evaluator, recipe=short)
    ways = {
        "inherited, 1 epoch": (hasty, parent),
        "from scratch, 1 epoch": (hasty, None),
        f"from scratch, {full.epochs} epochs": (evaluator, None),
    }
    found: dict[str, list[float]] = {way: [] for way in ways}
    seconds = dict.fromkeys(ways, 0.0)
    for number, child in enumerate(children(domain, point, rng, args.children), 1):
        for way, (trained_by, lineage) in ways.items():
            start = time.perf_counter()
            found[way].append(train(trained_by, child, number, lineage)[0])
            seconds[way] += time.perf_counter() - start
    title = f"accuracy of {args.children} children"
    print(f"{title:24}{'mean':>8}{'lowest':>8}{'highest':>8}{'s each':>8}")
    for way, values in found.items():
        figures = "".join(f"{value:8.4f}" for value in (statistics.mean(values), min(values), max(values)))
        print(f"{way:24}{figures}{seconds[way] / len(values):8.1f}")
    one, other, _ = (statistics.mean(values) for values in found.values())
    print(f"\nratio of the means after 1 epoch: {one / other:.2f}")


def children(domain: Domain, point: Choices, rng: random.Random, count: int) -> list[Choices]:
    """Networks inside the budget with one other decision, each another one."""
    known = {domain.identity(point)}
    result: list[Choices] = []
    while len(result) < count:
        child = domain.mutate(point, rng)
        if domain.is_inside(child) and domain.identity(child) not in known:
            known.add(domain.identity(child))
            result.append(child)
    return result


def train(
    evaluator: ProxyEvaluator, choices: Choices, number: int, parent: Parent | None
) -> tuple[float, bytes]:
    """The accuracy after the last epoch, and the weights as safetensors."""
    training = evaluator(choices, number, parent)
    while not training.done:
        accuracy = training.epoch().value
    return accuracy, safetensors.torch.save(dict(training.state_dict()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--children", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=Recipe().epochs)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
