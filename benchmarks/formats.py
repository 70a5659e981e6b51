"""Winners of searches of the bundled spaces on CIFAR-10 in every format: the table of docs/export.md.

    python benchmarks/formats.py --cifar cifar10-jpeg.tar.xz [--formats onnx,timm] [--trials 2] [--train 1000]

Each space is searched for a little, inside three times the MACs of its smallest network. Its best network is
written in each format by itself, loaded where there is no nas, and compared on 256 validation images. A
cell has the largest difference of outputs, as a part of their range, and the share of equal classes, or why
there is no file.
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
from nas.exporters import EXPORTERS, find_exporter
from nas.runs.state import RunState
from nas.space import load_space
from nas.workflows import delivery
from nas.workflows.export import load_trial
from nas.workflows.leaving import Leaving

SPACES = Path(__file__).parents[1] / "search_spaces"
ALL = ",".join(sorted(file.stem for file in SPACES.glob("*.yaml")))
IMAGES = 256
HERE = ",".join(name for name in EXPORTERS if name not in ("litert", "executorch"))
"""Formats whose libraries are among those of the tests."""


def main() -> None:
    args = _arguments()
    formats = args.formats.split(",")
    print(f"| space | MACs | accuracy | {' | '.join(formats)} |")
    print("| --- " * (len(formats) + 3) + "|")
    with tempfile.TemporaryDirectory() as name, patch.object(delivery, "IMAGES", IMAGES):
        folder = Path(name)
        unpack(args.cifar, folder / "images", args.train, IMAGES + 4)  # classes even
        for file in (SPACES / f"{space}.yaml" for space in args.spaces.split(",")):
            run = search_space(file, folder, args.trials, 1)
            leaving = load_trial(run).as_deployed()
            cells = [_export(leaving, form, folder / f"{file.stem}-{form}") for form in formats]
            best = run.best(1)[0]
            facts = f"{best.candidate.cost.macs / 1e6:.0f}M | {best.score:.2f}"
            print(f"| `{file.stem}` | {facts} | {' | '.join(cells)} |", flush=True)


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


def _export(leaving: Leaving, form: str, output: Path) -> str:
    said: list[str] = []
    try:
        delivery.write_folder(leaving, output, {form: find_exporter(form)}, said.append)
    except nas.NasError as error:
        return f"no: {error}"
    found = re.search(rf"differs by (\S+) of the range, (\S+) % .* on {IMAGES} of", said[0])
    assert found, said
    return f"{found[1]}, {found[2]} %"


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
