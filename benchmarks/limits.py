"""A limit of latency against one of MACs: the winners of as many trials inside each.

    python benchmarks/limits.py --cifar cifar10-jpeg.tar.xz [--trials 10]
        [--space mbconv --input 224 --resolution 32]

Two searches on images of CIFAR-10 by one seed, recipe and number of trials, each inside the median of its
measure over the networks of the space, so that half of them are open to each. Finalists of both are then
measured whole, all in turn in each round. A target: no finalist of the first is over its limit; the other:
its winner is the faster one. Accuracies stand beside it, with what the noise of the finals says of them.

`small_images` has members of 7M MACs in the middle: on two cores with nothing else to do the table takes two
to three minutes and each search about as long. The table of `mbconv` at 224 pixels takes ten, and its members
are trained in seconds at a --resolution of 32.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from proxy import unpack

import nas
from nas.cost import format_latency
from nas.graph.piece import Piece
from nas.latency.pieces import time_pieces
from nas.measures import Budget
from nas.space import load_space
from nas.space.fit import fit_input
from nas.space.library import find_space
from nas.workflows.search import SearchResult

SPACE = Path(__file__).with_name("spaces") / "small_images.yaml"
CLASSES = 10
MEMBERS = 1000
"""Of the space, drawn evenly, whose medians are the limits."""


def main() -> None:
    args = _arguments()
    table = nas.time_parts(args.space, runtime=args.runtime, side=args.input, classes=CLASSES, progress=_say)
    space = load_space(find_space(args.space))
    if args.input is not None:
        space = fit_input(space, args.input).space
    space = space.for_data(3, CLASSES)
    timed = replace(space, clock=table.clock)
    points = timed.uniform(Budget()).sample(np.random.default_rng(0), MEMBERS)
    costs = [timed.cost(point) for point in points]
    limit, macs = (round(median(one)) for one in zip(*((c.latency, c.macs) for c in costs), strict=True))
    print(f"{table.fingerprint.device}; medians: {format_latency(limit)}, {macs / 1e6:.1f}M MACs")
    near = [c.latency / limit for c in costs if 0.9 * macs <= c.macs <= macs]
    print(
        f"of members at 0.9 to 1 of these MACs {sum(one > 1 for one in near) / len(near):.0%} are predicted "
        f"to take longer than that, up to {max(near):.2f} times"
    )
    with nullcontext(args.into) if args.into else tempfile.TemporaryDirectory() as name:
        unpack(args.cifar, Path(name, "images"), args.train, args.train // 2)
        latency = {"budget_latency": f"{limit}ns", "runtime": args.runtime}
        found = {
            "latency": _search(args, Path(name), "latency", latency),
            "MACs": _search(args, Path(name), "macs", {"budget_flops": str(macs)}),
        }
    networks = {
        (kind, one.trial.number): Piece.of(space.architecture(one.trial.candidate.choices))
        for kind, result in found.items()
        for one in result.finalists
    }
    timing = time_pieces([*networks.values()], args.runtime, 1, args.rounds, 0, (), _say)
    measured = dict(zip(networks, timing.times, strict=True))
    print(f"{timing.contention or 'the machine was quiet'}\n")
    print("| limit | finalist | mean score | deviation | MACs | measured anew |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind, result in found.items():
        for one in result.finalists:
            took = measured[kind, one.trial.number].low_s
            print(
                f"| {kind} | trial {one.trial.number} | {one.mean:.4f} | {one.deviation or 0:.4f} | "
                f"{one.trial.candidate.cost.macs / 1e6:.1f}M | {1e3 * took:.3f} ms |"
            )
    over = [key for key, one in measured.items() if key[0] == "latency" and one.low_s * 1e9 > limit]
    first, second = (measured[kind, found[kind].finalists[0].trial.number].low_s for kind in found)
    print(f"\nfinalists over the limit: {len(over)}; winner's time / the other's: {first / second:.2f}")
    met = not over and first < second
    print(f"targets: none over, a ratio below 1: {'met' if met else 'MISSED'}")
    raise SystemExit(not met)


def _search(args: argparse.Namespace, folder: Path, name: str, limits: dict[str, Any]) -> SearchResult:
    start = time.monotonic()
    config = nas.SearchConfig.from_data(
        {
            "space": args.space,
            "input": args.input,
            **({"resolution": args.resolution} if args.resolution else {}),
            "dataset": f"imagefolder:{folder / 'images'}",
            "trials": args.trials,
            "recipe": {"epochs": args.epochs},
            "finalists": 3,
            "final_epochs": 2 * args.epochs,
            "final_seeds": 2,
            "workers": 0,
            **limits,
        }
    )
    result = nas.search(config, runs=folder / "runs", name=name)
    print(f"search inside {limits}: {args.trials} trials, {time.monotonic() - start:.0f} s", flush=True)
    return result


def _say(text: str) -> None:
    print(f"  {text:70}", end="\r", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cifar", type=Path, required=True, help="archive of train/CLASS/NNNN.jpg")
    parser.add_argument("--space", default=str(SPACE))
    parser.add_argument("--input", type=int, help="side that the space is fitted to, else its own")
    parser.add_argument("--resolution", type=int, help="side that images are trained at, else the input's")
    parser.add_argument("--runtime", default="onnx")
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--train", type=int, default=2000, help="training images; half as many validate")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--into", help="folder where images and runs are kept; by default they are not")
    return parser.parse_args()


if __name__ == "__main__":
    main()
