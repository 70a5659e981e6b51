"""How well tables of latency tell how long networks of `mbconv` take, against measuring them again and MACs.

    python benchmarks/latency.py [--space mbconv] [--runtimes onnx,torch] [--members 40] [--rounds 20]

For each runtime, with one thread and one image: the table is made as a search makes it, or taken where there
is one. Then members that are drawn evenly from the space, with a seed that the table does not have, are
measured whole, all in turn in each round, by the 10 % quantile of their runs. Predictions are compared with
that; so are the odd rounds with the even ones, which is as well as a measurement can be told, and MACs, alone
and with activations, with weights that are fitted to the networks of the table. Last, networks inside a limit
at the median are drawn. The targets: 90 % within 10 %, a tau of 0.9, 200 networks a second.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np

from nas.cost import Interval, format_latency
from nas.graph.piece import Piece
from nas.latency.pieces import time_pieces
from nas.latency.table import LatencyTable, Whole, compose
from nas.measures import LATENCY, Budget
from nas.space import Space, load_space
from nas.space.library import find_space
from nas.workflows.latency import time_parts

SEED = 12345
TARGETS = {"within 10 %": 0.9, "tau": 0.9, "networks a second": 200}


def main() -> None:
    args = _arguments()
    space = load_space(find_space(args.space))
    met = [_measure(space, args, runtime) for runtime in args.runtimes.split(",")]
    raise SystemExit(not all(met))


def _measure(space: Space, args: argparse.Namespace, runtime: str) -> bool:
    start = time.monotonic()
    table = time_parts(args.space, runtime=runtime, progress=_say)
    made = time.monotonic() - start
    points = space.uniform(Budget()).sample(np.random.default_rng(SEED), args.members)
    networks = [Piece.of(space.architecture(point)) for point in points]
    timing = time_pieces(networks, runtime, 1, args.rounds, SEED, (), _say)
    features = compose(space, table.parts, points)
    times = zip(features, timing.times, strict=True)
    found = LatencyTable(
        table.fingerprint,
        table.parts,
        table.fitted,
        tuple(Whole(own, one.low_s, one.odd_s, one.even_s) for own, one in times),
    )
    print(f"\n{table.fingerprint.device}; {len(table.parts)} parts, {made:.0f} s for the table")
    print(f"{args.members} members, {args.rounds} rounds; {timing.contention or 'the machine was quiet'}")
    print(f"{'':24}{'within 5 %':>12}{'within 10 %':>12}{'90 % within':>12}{'tau':>8}")
    for name, errors in found.errors.items():
        shares = "".join(f"{100 * share:>10.0f} %" for share in (errors.within_5, errors.within_10))
        print(f"{name:24}{shares}{100 * errors.most_90:>10.1f} %{errors.tau:>8.3f}")
    speed = _draws_a_second(space, table)
    own = found.errors["table"]
    reached = {"within 10 %": own.within_10, "tau": own.tau, "networks a second": speed}
    verdicts = [f"{name} {reached[name]:.3g} of {least:g}" for name, least in TARGETS.items()]
    met = all(reached[name] >= least for name, least in TARGETS.items())
    print(f"targets: {', '.join(verdicts)}: {'met' if met else 'MISSED'}", flush=True)
    return met


def _draws_a_second(space: Space, table: LatencyTable) -> float:
    """Return how many networks inside a limit at the median are drawn in a second, once it is counted."""
    timed = replace(space, clock=table.clock)
    drawn = timed.uniform(Budget()).sample(np.random.default_rng(0), 200)
    limit = sorted(timed.cost(point).latency for point in drawn)[100]
    uniform, draw = timed.uniform(Budget({LATENCY: Interval(0, limit)})), np.random.default_rng(0)
    uniform.sample(draw, 1)
    start = time.perf_counter()
    found = [uniform.sample(draw, 1)[0] for _ in range(1000)]
    seconds = time.perf_counter() - start
    assert all(timed.cost(point).latency <= limit for point in found)
    print(f"at most {format_latency(limit)}: {len(found) / seconds:.0f} networks a second, one at a time")
    return len(found) / seconds


def _say(text: str) -> None:
    print(f"  {text:70}", end="\r", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", default="mbconv")
    parser.add_argument("--runtimes", default="onnx,torch")
    parser.add_argument("--members", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    main()
