"""Winners of searches of bundled spaces on CIFAR-10 in int8: the table of docs/export.md.

    python benchmarks/int8.py --cifar cifar10-jpeg.tar.xz [--spaces mbconv,residual,depthwise]
        [--formats onnx,openvino] [--trials 2] [--epochs 4] [--train 2000] [--val 500]

Each space is searched for a little, inside three times the MACs of its smallest network. Its best network is
made int8 on scales of training images, compared with float32 on the validation images, and timed beside it:
one image in one thread, the 10 % figure of interleaved rounds. What `nas.quantize` warns of is printed below.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from formats import SPACES, search_space
from proxy import unpack

import nas


def main() -> None:
    args = _arguments()
    heads = "space | format | accuracy in float32 | in int8 | equal classes | ms in float32 | in int8"
    print(f"| {heads} | times as fast |")
    print("| --- | --- |" + " ---: |" * 6)
    warnings: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack(args.cifar, folder / "images", args.train, args.val)
        for space in args.spaces.split(","):
            run = search_space(SPACES / f"{space}.yaml", folder, args.trials, args.epochs)
            found = nas.quantize(run.folder.path, f"{folder / space}/", format=args.formats)
            for one in found.formats:
                cells = [space, one.format, *(f"{value:.4f}" for value in one.accuracy)]
                cells += [f"{100 * one.parity.agreement:.1f} %"]
                cells += [f"{1e3 * value:.3g}" for value in (one.float32.low_s, one.int8.low_s)]
                print(f"| {' | '.join(cells)} | {one.speedup:.2f} |", flush=True)
            warnings += [f"{space}: {text}" for text in found.warnings]
    print(f"\n{found.machine}; {found.compared}", *warnings, sep="\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cifar", type=Path, required=True, help="archive of train/CLASS/NNNN.jpg")
    parser.add_argument("--spaces", default="mbconv,residual,depthwise")
    parser.add_argument("--formats", default="onnx,openvino")
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--train", type=int, default=2000, help="training images")
    parser.add_argument("--val", type=int, default=500, help="validation images")
    return parser.parse_args()


if __name__ == "__main__":
    main()
