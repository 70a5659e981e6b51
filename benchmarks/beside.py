"""Networks that are measured beside trainings: how far from what they took when their table was made.

    python benchmarks/beside.py [--trainings 2] [--networks 9]

Networks of a table of latencies are measured as a search measures one near its limit before it trains it: in
turn with the three others of the table that took about as long, by which it tells how much busier the machine
is, and by the most of what all rounds, the odd ones and the even ones came to. Each is compared with what it
took when the table was made, as it is measured and as it is corrected, with and without trainings beside.
The table is made where there is none: on a quiet machine, or this says nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

import nas
from nas.graph.piece import Piece
from nas.latency.pieces import time_pieces
from nas.latency.table import REFERENCES, find_references
from nas.space import load_space
from nas.space.library import find_space
from nas.workflows.latency import ROUNDS
from nas.workflows.near_limit import compute_latency

SPACE = Path(__file__).with_name("spaces") / "small_images.yaml"
CLASSES = 10
TRAINING = """
import sys
import torch
from nas.graph.module import build_module
from nas.space import load_space
from nas.space.library import find_space
torch.set_num_threads(1)
space = load_space(find_space(sys.argv[1]))
network = build_module(space.architecture(space.smallest()))
optimizer = torch.optim.SGD(network.parameters(), 0.01)
images, labels = torch.randn(64, *space.input), torch.randint(10, (64,))
print("ready", flush=True)
while True:
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(network(images), labels).backward()
    optimizer.step()
"""


def main() -> None:
    args = _arguments()
    table = nas.time_parts(args.space, runtime=args.runtime, classes=CLASSES, progress=_say)
    space = load_space(find_space(args.space)).for_data(3, CLASSES)
    wholes = sorted(one.low_s for one in (*table.fitted, *table.held_out))
    middle = wholes[len(wholes) // 2]
    spread = np.linspace(0.8 * middle, 1.2 * middle, args.networks)
    known = {repr(p): (p, s) for near in spread for p, s in find_references(space, table, near)[:1]}
    print(f"{table.fingerprint.device}; the table: {table.contention or 'made on a quiet machine'}\n")
    print("| trainings beside | figure | median | 90 % within | at most | seconds each |")
    print("| --- | --- | --- | --- | --- | --- |")
    for trainings in (0, args.trainings):
        off: dict[str, list[float]] = {"as it is": [], "corrected": []}
        seconds = []
        with _trainings(trainings, args.space):
            for point, then in known.values():
                near = find_references(space, table, then)
                others = [one for one in near if one[0] != point][:REFERENCES]
                networks = [Piece.of(space.architecture(p)) for p in (point, *(p for p, _ in others))]
                begun = time.monotonic()
                times = time_pieces(networks, args.runtime, 1, ROUNDS, 1, (), _say).times
                seconds.append(time.monotonic() - begun)
                own, *now = times
                rounds = (own.low_s, own.odd_s, own.even_s)
                corrected = compute_latency(rounds, [one.low_s for one in now], [s for _, s in others])
                off["as it is"].append(max(rounds) / then - 1)
                off["corrected"].append(corrected / 1e9 / then - 1)
        for name, one in off.items():
            print(
                f"| {trainings} | {name} | {100 * np.median(one):+.1f} % | "
                f"{100 * np.quantile(np.abs(one), 0.9):.1f} % | {100 * np.abs(one).max():.1f} % | "
                f"{np.median(seconds):.1f} |",
                flush=True,
            )


@contextmanager
def _trainings(count: int, space: str) -> Iterator[None]:
    """Have so many trainings go on."""
    with ExitStack() as running:
        for _ in range(count):
            command = [sys.executable, "-c", TRAINING, space]
            process = running.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            running.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
        yield


def _say(text: str) -> None:
    print(f"  {text:70}", end="\r", flush=True, file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", default=str(SPACE))
    parser.add_argument("--runtime", default="onnx")
    parser.add_argument("--trainings", type=int, default=2)
    parser.add_argument("--networks", type=int, default=9)
    return parser.parse_args()


if __name__ == "__main__":
    main()
