"""Images of a folder to a ready cache, against torchvision's ImageFolder in a DataLoader, and a second start.

    python benchmarks/loading.py IMAGES.tar.xz [--resolution 32] [--base FOLDER] [--repeats 1]

The archive holds JPEG files in class folders, in one split or several. They are unpacked into a temporary
folder as one image folder. Each figure is of a fresh process; it leaves out the start of Python and the
imports, and all files lie in the system's cache of files. The peer decodes and resizes all images by as many
worker processes as there are cores, and keeps them in one array.

FOLDER is a checkout of the build at ea9396c, which runs in turns with this one and the peer. A figure is the
median of the repeats.

Targets: a second start in under 3 s, and a first with a CPU use above 0.75 of all cores; with the base, at
most 1.15 of its time at the first start and 1.0 at the second.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from statistics import median

OURS = """\
import json, resource, sys, time
def main():
    from nas.data import datasets
    from nas.data.config import DataConfig
    from nas.data.sources import find_source
    import PIL.Image, torch, torchvision.datasets
    spec, resolution = f"imagefolder:{sys.argv[1]}", int(sys.argv[2])
    start = time.perf_counter()
    data = datasets.load_dataset(DataConfig(spec, resolution), seed=0)
    seconds = time.perf_counter() - start
    images = len(data.train_labels) + len(data.val_labels)
    print(json.dumps({"seconds": seconds, "images": images}))
if __name__ == "__main__":
    main()
"""
STARTS = ("first", "second")
BASE = (
    OURS.replace("    from nas.data.config import DataConfig\n", "")
    .replace("nas.data", "nas.proxy")
    .replace("load_dataset(DataConfig(spec, resolution), ", "load(spec, resolution=resolution, ")
)
PEER = """\
import json, os, sys, time
def main():
    import numpy as np, torch
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms.v2 import Compose, PILToTensor, Resize
    resolution = int(sys.argv[2])
    start = time.perf_counter()
    folder = ImageFolder(sys.argv[1], Compose([Resize((resolution, resolution)), PILToTensor()]))
    images = np.empty((len(folder), 3, resolution, resolution), np.uint8)
    place = 0
    for batch, _ in DataLoader(folder, batch_size=64, num_workers=os.cpu_count()):
        images[place : place + len(batch)] = batch.numpy()
        place += len(batch)
    print(json.dumps({"seconds": time.perf_counter() - start, "images": place}))
if __name__ == "__main__":
    main()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--base", type=Path, help="a checkout of the build at ea9396c")
    parser.add_argument("--repeats", type=int, default=1)
    args = parser.parse_args()
    builds = {"nas": (OURS, Path(__file__).parents[1])}
    if args.base:
        builds["the base"] = (BASE, args.base)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        count = unpack(args.archive, folder / "images")
        print(f"{count:,} JPEG files to {args.resolution} x {args.resolution}, {os.cpu_count()} cores\n")
        print(f"{'':32}{'seconds':>9}{'images/s':>10}{'CPU s':>8}{'cores busy':>12}")
        found: dict[str, list[tuple[float, float]]] = {}
        for _ in range(args.repeats):
            for name, (script, build) in builds.items():
                shutil.rmtree(folder / "cache", ignore_errors=True)
                for start in STARTS:
                    row = measured(folder, script, args.resolution, build)
                    found.setdefault(f"{name}, {start} start", []).append(row)
            found.setdefault("peer", []).append(measured(folder, PEER, args.resolution, folder))
    rows = {label: (median(s for s, _ in each), median(b for _, b in each)) for label, each in found.items()}
    for label, (seconds, busy) in rows.items():
        print(f"{label:32}{seconds:9.2f}{count / seconds:10,.0f}{busy * seconds:8.2f}{busy:12.2f}")
    (first, busy), second = rows["nas, first start"], rows["nas, second start"][0]
    print(f"\npeer / nas, first start: {rows['peer'][0] / first:.2f}")
    met = second < 3 and busy > 0.75 * (os.cpu_count() or 1)
    print(f"targets: second start under 3 s, cores busy: {'met' if met else 'MISSED'}")
    if args.base:
        base = [rows[f"the base, {start} start"][0] for start in STARTS]
        ratios = first / base[0], second / base[1]
        within = ratios[0] <= 1.15 and ratios[1] <= 1.0
        print(f"nas / the base: first start {ratios[0]:.3f}, second {ratios[1]:.3f}", end=": ")
        print("met" if within else "MISSED")
        met = met and within
    raise SystemExit(not met)


def unpack(archive: Path, folder: Path) -> int:
    """Write the archive's files as FOLDER/CLASS/SPLIT-NAME and count them."""
    count = 0
    with tarfile.open(archive) as files:
        for member in files:
            if member.isfile():
                *split, kind, name = Path(member.name).parts
                target = folder / kind / "-".join([*split, name])
                target.parent.mkdir(parents=True, exist_ok=True)
                content = files.extractfile(member)
                assert content is not None
                target.write_bytes(content.read())
                count += 1
    return count


def measured(folder: Path, script: str, resolution: int, build: Path) -> tuple[float, float]:
    """Wall seconds of a script's work by a build, and the cores it kept busy but for its imports."""
    file = folder / "script.py"
    file.write_text(script)
    imports = [line.strip() for line in script.splitlines() if line.strip().startswith(("import", "from"))]
    env = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(build.absolute())}
    idle, _ = processor_s([sys.executable, "-c", "\n".join(imports)], env, folder)
    command = [sys.executable, str(file), str(folder / "images"), str(resolution)]
    used, out = processor_s(command, env, folder)
    seconds = json.loads(out)["seconds"]
    return seconds, (used - idle) / seconds


def processor_s(command: list[str], env: dict[str, str], folder: Path) -> tuple[float, str]:
    """CPU seconds of a process and its children, and what it prints."""
    before = os.times()
    done = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True, check=True)
    after = os.times()
    children = after.children_user - before.children_user, after.children_system - before.children_system
    return sum(children), done.stdout


if __name__ == "__main__":
    main()
