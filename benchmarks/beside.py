"""Networks near a limit of latency, measured beside trainings: how far from what they take where none trains.

    python benchmarks/beside.py [--trainings 2] [--networks 6] [--turns 2]

Networks of a space are measured by what a search measures them by before it trains them: in each turn all at
rest, then all beside so many trainings. What they take beside is compared with what they take at rest in the
same turn, and that with the turn before.
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
from nas.measures import Budget
from nas.space import load_space
from nas.space.library import find_space
from nas.workflows.near_limit import ProcessTimer

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
    points = space.uniform(Budget()).sample(np.random.default_rng(1), args.networks)
    found: dict[str, list[list[int]]] = {"at rest": [], "beside": []}
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for turn in range(args.turns):
        for name, own in found.items():
            timer = ProcessTimer(space, table.fingerprint, (), is_quiet=True)
            with _trainings(args.trainings if name == "beside" else 0, args.space):
                timer.time(points[0])  # it imports what it needs
                own.append([])
                for point in points:
                    begun = time.monotonic()
                    own[-1].append(timer.time(point))
                    seconds[name].append(time.monotonic() - begun)
                    _say(f"turn {turn + 1}, {name}: {own[-1][-1] / 1e6:.3f} ms, {seconds[name][-1]:.1f} s")
            timer.close()
    print(f"{table.fingerprint.device}; {args.trainings} trainings beside\n")
    print("| measured | median | 90 % within | at most | seconds each |")
    print("| --- | --- | --- | --- | --- |")
    rest = np.array(found["at rest"])
    for name, own in found.items():
        base = np.roll(rest, 1, axis=0) if name == "at rest" else rest
        off = (np.array(own) / base - 1).ravel()
        print(
            f"| {name} | {100 * np.median(off):+.1f} % | {100 * np.quantile(np.abs(off), 0.9):.1f} % | "
            f"{100 * np.abs(off).max():.1f} % | {np.median(seconds[name]):.1f} |"
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
    parser.add_argument("--networks", type=int, default=6)
    parser.add_argument("--turns", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
