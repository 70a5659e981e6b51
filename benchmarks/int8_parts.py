"""What activations and SE cost in float32 and int8: the table of docs/export.md.

    python benchmarks/int8_parts.py [--network mobilenet_v2] [--side 64] [--acts relu,silu,hardswish]
        [--se 0,0.25] [--runtimes onnx,openvino] [--rounds 40]

A network of the literature with each activation in its convolutions and inverted residuals, with and without
squeeze-and-excitation in these, of random weights. Each is made int8 on scales of random images, in ONNX
Runtime also with its global pools as the means that torch's exporter writes. All files are timed in turn in
each round, each in a process of its own: one image in one thread, the seconds that 10 % of the runs were
below.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby, product
from pathlib import Path
from unittest.mock import patch

import numpy as np

from nas.exporters import EXPORTERS, find_quantized, runtimes
from nas.exporters.int8 import Calibration, find_target
from nas.exporters.writing import make_settled_state
from nas.graph import Architecture
from nas.latency import Workload, measure
from nas.machine import name_processor
from nas.space import parse_space

NETWORK = """\
extends: reference/{network}
input: [3, {side}, {side}]
defaults:
  conv: {{act: {act}}}
  mbconv: {{act: {act}, se: {se}}}
"""
CALIBRATION_IMAGES = 64
KINDS = ("ms in float32", "in int8", "times as fast", "in int8, pools as means")


def main() -> None:
    args = _arguments()
    names = args.runtimes.split(",")
    works: list[Workload] = []
    with tempfile.TemporaryDirectory() as name:
        for act, se in product(args.acts.split(","), args.se.split(",")):
            text = NETWORK.format(network=args.network, side=args.side, act=act, se=se)
            title = f"{act}, SE {se}" if float(se) else act
            architecture = parse_space(text, title).architecture()
            folder = Path(name, f"{act}-{se}")
            for runtime, file in _write_files(architecture, names, folder):
                works.append(Workload(title, architecture, runtime, 1, 1, "cpu", file))
        times = measure(works, args.rounds, 0, print)
    print(f"\n| network | runtime | {' | '.join(KINDS)} |")
    print("| --- | --- |" + " ---: |" * len(KINDS))
    for (network, runtime), own in groupby(times, lambda one: (one.network, one.runtime)):
        float32, int8, *others = (1e3 * one.low_s for one in own)
        cells = [f"{float32:.3f}", f"{int8:.3f}", f"{float32 / int8:.2f}", *(f"{one:.3f}" for one in others)]
        print(f"| {network} | {runtime} | {' | '.join(cells)} |" + " |" * (len(KINDS) - len(cells)))
    differs = max(one.differs for one in times)
    busy = next((one.contention for one in times if one.contention), "the machine was quiet")
    print(f"\n{name_processor()}, int8 for {find_target().name}; {args.rounds} rounds; {busy}")
    print(f"odd and even rounds differ by {100 * differs:.1f} % at most")


def _write_files(
    architecture: Architecture, names: Sequence[str], folder: Path
) -> Iterator[tuple[str, Path]]:
    """Write a network in formats. Give the name of each, and its file, in float32 before those in int8."""
    state = make_settled_state(architecture)
    shape = (CALIBRATION_IMAGES, *architecture.input_shape)
    images = np.random.default_rng(0).standard_normal(shape, np.float32)
    for name in names:
        int8 = find_quantized(name, Calibration(images, find_target()))
        for kind, exporter in (("float32", EXPORTERS[name]), ("int8", int8)):
            yield name, exporter.write(folder, f"{name}-{kind}", architecture, state, title="", facts={})[0]
        if name == "onnx":
            with patch.object(runtimes, "_name_global_pools"):
                yield name, int8.write(folder, f"{name}-means", architecture, state, title="", facts={})[0]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="mobilenet_v2", help="of search_spaces/reference")
    parser.add_argument("--side", type=int, default=64, help="of the images, in pixels")
    parser.add_argument("--acts", default="relu,silu,hardswish")
    parser.add_argument("--se", default="0,0.25", help="share of the channels, 0 for none")
    parser.add_argument("--runtimes", default="onnx,openvino")
    parser.add_argument("--rounds", type=int, default=40)
    return parser.parse_args()


if __name__ == "__main__":
    main()
