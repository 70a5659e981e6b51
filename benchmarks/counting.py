"""Points from a band of cost: drawn uniformly by counting, against drawing decisions until a point fits.

    python benchmarks/counting.py [SPACE] [--budget-flops 380M..400M] [--points 2000]

Drawing decisions one by one is not uniform over points, shallow stages come as often as deep ones, and costs
what the band's share makes it; counting is prepared once. All by the wall clock in one thread; the targets
are at least 1,000 points per second after at most 10 seconds of preparation.
"""

from __future__ import annotations

import argparse
import random
import time

import numpy as np

from nas.measures import Budget
from nas.space import load_space
from nas.space.library import find_space


def main() -> None:
    args = _arguments()
    space = load_space(find_space(args.space))
    budget = Budget.parse({"flops": args.budget_flops})
    start = time.perf_counter()
    uniform = space.uniform(budget)
    prepared = time.perf_counter() - start
    start = time.perf_counter()
    points = uniform.sample(np.random.default_rng(0), args.points)
    counted = len(points) / (time.perf_counter() - start)
    assert points and all(budget.admits(space.amounts(point)) for point in points[:100])
    rng = random.Random(0)
    found, tried, start = 0, 0, time.perf_counter()
    while time.perf_counter() - start < 10:
        tried += 1
        point = space.sample(lambda name, options: rng.choice(options))
        found += budget.admits(space.amounts(point))
    drawn = found / (time.perf_counter() - start)
    print(f"{space.name}, {budget}")
    print(f"by counting:        {counted:9,.0f} points per second, prepared in {prepared:.2f} s")
    print(f"by drawing again:   {drawn:9,.1f} points per second, {found} of {tried} draws inside")
    met = counted >= 1000 and prepared <= 10
    ratio = f"{counted / drawn:,.0f} times" if drawn else "infinitely often"
    print(f"ratio: {ratio}. 1,000 points per second after 10 s: {'met' if met else 'MISSED'}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("space", nargs="?", default="mbconv")
    parser.add_argument("--budget-flops", default="380M..400M")
    parser.add_argument("--points", type=int, default=2000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
