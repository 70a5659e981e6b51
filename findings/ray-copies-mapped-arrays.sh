#!/usr/bin/env bash
# A numpy array that is mapped from a file lies in Ray's object store once, and once more in each worker that takes it from there.
#
# Software: ray 2.60.0, numpy 2.4.6, psutil 7.2.2 (PyPI), Linux, one node.
# Expected: workers of a node read arrays where they lie in the store, without a copy, as Ray's documentation has it of numpy
#   arrays. `np.load(file, mmap_mode="r")`, the way to have a large data set without reading it, is such an array.
# Seen: each worker has all of it as memory of its own, written anew at each `ray.get` and free to be changed there: eight
#   workers hold eight data sets beside the one in the store. Numpy hands over its own class alone without a copy; `np.memmap` is a
#   subclass, as `np.recarray` is. So is a slice that is not one piece of memory (`images[:, :28]`), though not a transposed array.
#   `tune.with_parameters` and arguments of tasks go the same way.
# Way out: `np.asarray(mapped)`, the same memory under numpy's own class, is put once and read by all; or the path is sent, and
#   each worker maps the file itself, as workers of nas do.
#
# Prints the memory that workers have of their own; exits with 1 where a mapped array takes none, or the way out does.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > program.py <<'PYTHON'
"""Take one data set from Ray's object store in several workers, in several forms."""

import sys
from pathlib import Path

import numpy as np
import psutil
import ray

WORKERS, MIB = 3, 1 << 20


@ray.remote(num_cpus=0)
class Worker:
    """A process that holds a data set."""

    def take(self, wrapped):
        """Return the MiB of memory of this process alone that the data set takes, and whether it may be written to."""
        process = psutil.Process()
        before = process.memory_full_info().uss
        self.images = ray.get(wrapped[0])
        total = int(self.images[::7].sum(dtype=np.int64))
        return (process.memory_full_info().uss - before) / MIB, self.images.flags.writeable, total


rng = np.random.default_rng(0)
images = rng.integers(0, 255, (20_000, 64, 64), np.uint8)
np.save("images.npy", images)
mapped = np.load("images.npy", mmap_mode="r")
size = images.nbytes / MIB
ray.init(
    num_cpus=1,
    include_dashboard=False,
    log_to_driver=False,
    object_store_memory=700 * MIB,
    _temp_dir=str(Path("ray").absolute()),  # whose session folder Ray leaves
)
print(f"ray {ray.__version__}, numpy {np.__version__}; {size:.0f} MiB of images, {WORKERS} workers")
found = {}
for name, array in {
    "array": images,
    "mapped from a file": mapped,
    "np.asarray(mapped)": np.asarray(mapped),
    "transposed": images.transpose(0, 2, 1),
    "cropped": images[:, :60],
}.items():
    reference = ray.put(array)
    workers = [Worker.remote() for _ in range(WORKERS)]
    answers = ray.get([worker.take.remote([reference]) for worker in workers])
    own = [answer[0] for answer in answers]
    found[name] = min(own), max(own)
    print(f"{name:18} {', '.join(f'{mib:.0f}' for mib in own)} MiB of their own; writeable: {answers[0][1]}")
    for worker in workers:
        ray.kill(worker)
    del reference
ray.shutdown()
copied = all(found[name][0] > size / 2 for name in ("mapped from a file", "cropped"))
shared = all(found[name][1] < size / 4 for name in ("array", "np.asarray(mapped)", "transposed"))
sys.exit(not (copied and shared))
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ray==2.60.0 numpy==2.4.6 psutil==7.2.2
RAY_USAGE_STATS_ENABLED=0 venv/bin/python program.py
