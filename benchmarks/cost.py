"""Time from choices to cost for members of `mbconv`, against building a module and counting its operations.

    python benchmarks/cost.py [--members 1000] [--rounds 5] [--peers 8]

In each round a fresh space, which knows nothing yet, gives MACs and parameters of distinct random members, so
the figure per network includes what the first ones have to work out. In the same round torchvision builds
EfficientNet-B0 (a member of the space) on the meta device and runs it under FlopCounterMode, and so do some
of our own members as modules. All are timed by the wall clock in one thread; the target is 200 times faster
per network than torchvision's, in the median round.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision

from nas.cost import Cost
from nas.graph.module import build_module, count_macs, count_parameters
from nas.space import Choices, Space, load_space

SPACE = Path(__file__).parents[1] / "search_spaces" / "mbconv.yaml"
TARGET = 200


def main() -> None:
    args = _arguments()
    torch.set_num_threads(1)
    members = _distinct_members(args.members)
    _same_count()
    ours, peer, built = [], [], []
    for _ in range(args.rounds):
        space = load_space(SPACE)
        start = time.perf_counter()
        costs = [space.cost(point) for point in members]
        ours.append((time.perf_counter() - start) / len(members))
        peer.append(statistics.median(_timed(_torchvision_cost) for _ in range(args.peers)))
        pairs = list(zip(members, costs, strict=True))[: args.peers]
        built.append(statistics.median(_timed(_built_cost, space, *pair) for pair in pairs))
    processor = platform.processor() or platform.machine()
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, {processor}, 1 thread")
    print(f"wall clock, {args.rounds} rounds: {args.members} distinct members in a fresh space and")
    print(f"{args.peers} modules of each kind\n")
    print(f"{'':24}{'milliseconds per network':>27}{'times slower':>27}")
    print(f"{'':24}" + f"{'median':>9}{'lowest':>9}{'highest':>9}" * 2)
    rows = {"nas, choices to cost": ours, "torchvision's B0": peer, "nas, as a module": built}
    for name, seconds in rows.items():
        ratios = [slow / fast for slow, fast in zip(seconds, ours, strict=True)]
        print(f"{name:24}" + _spread([1000 * s for s in seconds], 3) + _spread(ratios, 1))
    met = statistics.median(slow / fast for slow, fast in zip(peer, ours, strict=True)) >= TARGET
    print(f"\ntarget: {TARGET} times faster than torchvision's module: {'met' if met else 'MISSED'}")
    raise SystemExit(not met)


def _spread(values: list[float], digits: int) -> str:
    return "".join(f"{f:9.{digits}f}" for f in (statistics.median(values), min(values), max(values)))


def _distinct_members(count: int) -> list[Choices]:
    space = load_space(SPACE)
    rng = random.Random(0)
    found: dict[tuple[object, ...], Choices] = {}
    while len(found) < count:
        point = space.sample(lambda name, options: rng.choice(options))
        found[tuple(sorted(point.items()))] = point
    return list(found.values())


def _same_count() -> None:
    """Both count the same: the cost of EfficientNet-B0 as published."""
    expected = Cost(385_814_752, 5_288_548)
    assert _torchvision_cost() == (expected.macs, expected.params)


def _torchvision_cost() -> tuple[int, int]:
    with torch.device("meta"):
        module = torchvision.models.efficientnet_b0()
    return count_macs(module, (3, 224, 224)), count_parameters(module)


def _built_cost(space: Space, point: Choices, expected: Cost) -> None:
    architecture = space.architecture(point)
    with torch.device("meta"):
        module = build_module(architecture)
    counted = count_macs(module, architecture.input_shape), count_parameters(module)
    assert counted == (expected.macs, expected.params)


def _timed(work: Callable[..., object], *args: object) -> float:
    start = time.perf_counter()
    work(*args)
    return time.perf_counter() - start


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", type=int, default=8)
    return parser.parse_args()


if __name__ == "__main__":
    main()
