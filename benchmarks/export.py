"""How long `nas export NETWORK` takes to write a network as Python and to check it, against an older build.

    python benchmarks/export.py [--base FOLDER] [--python FILE] [--network reference/efficientnet_b0]
        [--repeats 7]

FOLDER is a checkout of the older build, FILE the Python of an environment with what that needs, by default
this one. Both run in turns, their bytecode compiled, as after an install. The table has medians and quartiles
of seconds on the wall and of the processor, which others on the machine disturb less, checks included, and
the ratio of the medians. Target: half of ea9396c.
"""

from __future__ import annotations

import argparse
import compileall
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

CODE = "from nas.cli import main; main()"
CLOCKS = ("on the wall", "of a processor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--base", type=Path, help="a checkout of the older build")
    parser.add_argument("--python", default=sys.executable, help="the Python of the older build")
    parser.add_argument("--network", default="reference/efficientnet_b0")
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    builds = {"this build": (sys.executable, Path(__file__).resolve().parent.parent)}
    if given.base:
        builds["the base"] = (given.python, given.base)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in builds}
    with tempfile.TemporaryDirectory() as folder:
        for name, (_, build) in builds.items():
            install(build, Path(folder, name))
        for repeat in range(given.repeats + 1):
            for name, (python, _) in builds.items():
                took = export(python, Path(folder, name), given.network)
                if repeat:  # the first reads what the others find in memory
                    seconds[name].append(took)
    print(f"{'':12}" + "".join(f"{f'{clock}, s':>18}{'quartiles':>16}" for clock in CLOCKS))
    medians = {}
    for name, taken in seconds.items():
        columns = [*zip(*taken, strict=True)]
        medians[name] = [*map(median, columns)]
        cells = ""
        for middle, times in zip(medians[name], columns, strict=True):
            low, _, high = quantiles(times, n=4)
            cells += f"{middle:18.2f}{f'{low:.2f} to {high:.2f}':>16}"
        print(f"{name:12}{cells}")
    if given.base:
        ratios = (new / old for new, old in zip(*medians.values(), strict=True))
        print(f"{'ratio':12}" + "".join(f"{ratio:18.2f}{'':16}" for ratio in ratios))


def install(build: Path, folder: Path) -> None:
    """Copy a build, and compile it."""
    for part in ("nas", "search_spaces"):
        shutil.copytree(build / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(folder, quiet=1)


def export(python: str, build: Path, network: str) -> tuple[float, float]:
    """Export a network in a fresh interpreter. Return the seconds on the wall and of a processor."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [python, "-P", "-c", CODE, "export", network],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(build)},
        )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
