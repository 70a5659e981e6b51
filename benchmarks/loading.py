"""Images of a folder to a ready cache, against torchvision's ImageFolder in a DataLoader, and a second start.

    python benchmarks/loading.py IMAGES.tar.xz [--resolution 32]

The archive holds JPEG files in class folders, in one split or several. They are unpacked into a temporary
folder as one image folder. Each figure is of a fresh process; it leaves out the start of Python and the
imports, and all files lie in the system's cache of files. The peer decodes and resizes all images by as many
worker processes as there are cores, and keeps them in one array.

Targets: a second start in under 3 s, and a first with a CPU use above 0.75 of all cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

OURS = """\
import json, resource, sys, time
def main():
    from nas.data import datasets
    from nas.data.sources import find_source
    import PIL.Image, torch, torchvision.datasets
    spec, resolution = f"imagefolder:{sys.argv[1]}", int(sys.argv[2])
    start = time.perf_counter()
    data = datasets.load_dataset(spec, resolution=resolution, seed=0)
    seconds = time.perf_counter() - start
    images = len(data.train_labels) + len(data.val_labels)
    print(json.dumps({"seconds": seconds, "images": images}))
if __name__ == "__main__":
    main()
"""
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
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        count = unpack(args.archive, folder / "images")
        for name, script in (("ours", OURS), ("peer", PEER)):
            (folder / f"{name}.py").write_text(script)
        idle = processor_s(folder, "import torchvision.datasets, nas.data.datasets")
        print(f"{count:,} JPEG files to {args.resolution} x {args.resolution}, {os.cpu_count()} cores\n")
        print(f"{'':32}{'seconds':>9}{'images/s':>10}{'CPU s':>8}{'cores busy':>12}")
        rows = {}
        for label, name in (("nas, first start", "ours"), ("nas, second start", "ours"), ("peer", "peer")):
            seconds, busy = measured(folder, name, args.resolution, idle)
            rows[label] = seconds, busy
            print(f"{label:32}{seconds:9.2f}{count / seconds:10,.0f}{busy * seconds:8.2f}{busy:12.2f}")
    first, second, peer = (rows[label][0] for label in rows)
    print(f"\npeer / nas, first start: {peer / first:.2f}")
    met = second < 3 and rows["nas, first start"][1] > 0.75 * (os.cpu_count() or 1)
    print(f"targets: second start under 3 s, cores busy: {'met' if met else 'MISSED'}")
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


def measured(folder: Path, name: str, resolution: int, idle: float) -> tuple[float, float]:
    """Wall seconds of a script's work and the cores it kept busy; `idle`: CPU seconds of its imports."""
    before = os.times()
    done = subprocess.run(
        [sys.executable, str(folder / f"{name}.py"), str(folder / "images"), str(resolution)],
        env=environment(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    seconds = json.loads(done.stdout)["seconds"]
    return seconds, (used - idle) / seconds


def processor_s(folder: Path, code: str) -> float:
    """CPU seconds of a process that runs the code."""
    before = os.times()
    subprocess.run([sys.executable, "-c", code], env=environment(folder), check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}


if __name__ == "__main__":
    main()
