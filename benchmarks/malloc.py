"""What it brings that tensors take the memory of those before them: a network applied, and trained, on a CPU.

    python benchmarks/malloc.py [--networks mobilenet_v2,resnet18] [--rounds 3]

torchvision's networks, with one thread, each row in processes of its own: as glibc is by itself, and after
`nas.malloc.keep_memory`, in turns. Times are the least of the rounds, each the 10 % quantile of its runs, of
the time that a thread had a core; `faults` are pages that the system cleared in a run. The last column is
the ratio of the times. Training is a step of SGD.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
import torch
import torchvision
from torch.nn import functional as F

from nas.malloc import keep_memory

ROWS = (("apply", 1, 224), ("train", 64, 32), ("train", 64, 64), ("train", 32, 128), ("train", 16, 224))
RUNS = {"apply": 20, "train": 6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default="mobilenet_v2,resnet18")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        name, what, batch, side, kept = args.side
        print(json.dumps(_time(name, what, int(batch), int(side), is_kept=kept == "kept")))
        return
    print(f"{'':32}{'by itself, ms':>15}{'faults':>9}{'kept, ms':>12}{'faults':>9}{'ratio':>8}")
    for name in args.networks.split(","):
        for what, batch, side in ROWS:
            found: dict[str, list[list[float]]] = {"not": [], "kept": []}
            for _ in range(args.rounds):
                for kept, own in found.items():
                    words = [sys.executable, __file__, "--side", name, what, str(batch), str(side), kept]
                    own.append(json.loads(subprocess.run(words, check=True, capture_output=True).stdout))
            (own_s, own_faults), (kept_s, kept_faults) = map(min, found.values())
            shown = f"{what} {name}, {batch} x {side} px"
            print(
                f"{shown:32}{1e3 * own_s:15.1f}{own_faults:9.0f}{1e3 * kept_s:12.1f}{kept_faults:9.0f}"
                f"{kept_s / own_s:8.2f}",
                flush=True,
            )


def _time(name: str, what: str, batch: int, side: int, *, is_kept: bool) -> tuple[float, float]:
    """Return the seconds of a run, and how many pages were cleared in it."""
    if is_kept:
        keep_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None, num_classes=10)
    images, labels = torch.randn(batch, 3, side, side), torch.randint(0, 10, (batch,))
    optimizer = torch.optim.SGD(network.parameters(), 0.01)

    def apply() -> None:
        with torch.inference_mode():
            network(images)

    def train() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    run = apply if what == "apply" else train
    network.train(what == "train")
    for _ in range(2):
        run()
    times = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(RUNS[what]):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    faults = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / RUNS[what]
    return float(np.quantile(times, 0.1)), faults


if __name__ == "__main__":
    main()
