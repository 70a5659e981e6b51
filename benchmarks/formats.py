"""Winners of searches of the bundled spaces on CIFAR-10 in every format: the table of docs/export.md.

    python benchmarks/formats.py --cifar cifar10-jpeg.tar.xz [--formats onnx,timm] [--trials 2] [--train 1000]

Each space is searched for a little, inside three times the MACs of its smallest network. Its best network is
written in each format by itself, loaded where there is no nas, and compared on 256 validation images. A
cell has the largest difference of outputs, as a part of their range, and the share of equal classes; `gap`
where there is no file, and why below the table. The targets, of each space in each format: a difference of
at most 0.001, 99.5 % equal classes. Formats without their libraries are left out, unless they are named.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from proxy import unpack

import nas
from nas.exporters import EXPORTERS, find_exporter, is_installed
from nas.runs.state import RunState
from nas.space import load_space
from nas.workflows import delivery
from nas.workflows.export import load_trial
from nas.workflows.leaving import Leaving

SPACES = Path(__file__).parents[1] / "search_spaces"
ALL = ",".join(sorted(file.stem for file in SPACES.glob("*.yaml")))
IMAGES = 256
MOST, LEAST = 1e-3, 0.995
"""The difference, as a part of the range, and the share of equal classes."""
HERE = ",".join(name for name, exporter in EXPORTERS.items() if all(map(is_installed, exporter.needs)))
"""Formats whose libraries are installed."""


def main() -> None:
    args = _arguments()
    formats, spaces = args.formats.split(","), args.spaces.split(",")
    print(f"| space | MACs | accuracy | {' | '.join(formats)} |")
    print("| --- " * (len(formats) + 3) + "|")
    misses: list[str] = []
    with tempfile.TemporaryDirectory() as name, patch.object(delivery, "IMAGES", IMAGES):
        folder = Path(name)
        unpack(args.cifar, folder / "images", args.train, IMAGES + 4)  # classes even
        for space in spaces:
            run = search_space(SPACES / f"{space}.yaml", folder, args.trials, 1)
            leaving, cells = load_trial(run).as_deployed(), []
            for form in formats:
                cell, miss = _export(leaving, form, folder / f"{space}-{form}")
                cells.append(cell)
                misses += [f"{space} in {form}: {miss}"] if miss else []
            best = run.best(1)[0]
            facts = f"{best.candidate.cost.macs / 1e6:.0f}M | {best.score:.2f}"
            print(f"| `{space}` | {facts} | {' | '.join(cells)} |", flush=True)
    if left := [name for name in EXPORTERS if name not in formats]:
        print(f"\nleft out: {', '.join(left)}, which are not named, or lack their libraries here")
    print("", *misses, sep="\n")
    asked = f"a difference of at most {MOST:g} of the range, at least {100 * LEAST:g} % of classes equal"
    of = len(spaces) * len(formats)
    met = f"{of - len(misses)} of {of} ({len(spaces)} spaces, {len(formats)} formats)"
    print(f"targets: {asked}, on {IMAGES} images: {met}: {'MISSED' if misses else 'met'}")
    raise SystemExit(bool(misses))


def search_space(file: Path, folder: Path, trials: int, epochs: int) -> RunState:
    """Search a space for a little on the images in a folder, inside three times its least MACs."""
    space = load_space(file)
    limit = 3 * space.cost(space.smallest()).macs
    run = folder / "runs" / file.stem
    command = [sys.executable, "-m", "nas", "search", str(file), "--name", file.stem, "--workers", "0"]
    command += ["--dataset", f"imagefolder:{folder / 'images'}", "--resolution", "32", "--finalists", "0"]
    command += ["--budget-flops", str(limit), "--trials", str(trials), "--epochs", str(epochs)]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return RunState.load(run)


def _export(leaving: Leaving, form: str, output: Path) -> tuple[str, str | None]:
    """Return the cell of a format, and what misses its target."""
    said: list[str] = []
    try:
        delivery.write_folder(leaving, output, {form: find_exporter(form)}, said.append)
    except nas.NasError as error:
        return "gap", str(error)
    found = re.search(rf"differs by (\S+) of the range, (\S+) % .* on {IMAGES} of", said[0])
    if not found:
        return "gap", f"was not compared on {IMAGES} images of the data: {said[0]}"
    cell = f"{found[1]}, {found[2]} %"
    is_met = float(found[1]) <= MOST and float(found[2]) >= 100 * LEAST
    return cell, None if is_met else cell


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar", type=Path, required=True, help="archive of train/CLASS/NNNN.jpg")
    parser.add_argument("--formats", default=HERE, help="names, such as onnx,timm")
    parser.add_argument("--spaces", default=ALL)
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--train", type=int, default=1000, help="training images")
    return parser.parse_args()


if __name__ == "__main__":
    main()
