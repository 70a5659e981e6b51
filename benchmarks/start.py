"""How long the command line takes to say something: `nas show` and `import nas`, against an older build.

    python benchmarks/start.py [--base FOLDER] [--repeats 15]

FOLDER is a checkout of the older build. Both run in this environment, in turns, each in a fresh interpreter
that finds its bytecode compiled, as after an install. The table has medians and quartiles of the seconds of
a processor, which others on the machine disturb less than those on the wall, and the ratio of the medians.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median, quantiles

CODES = {
    "nothing": ("pass",),
    "import nas": ("import nas",),
    "nas --version": ("from nas.cli import main; main()", "--version"),
    "nas --help": ("from nas.cli import main; main()", "--help"),
    "nas show mbconv": ("from nas.cli import main; main()", "show", "mbconv"),
    "nas show reference/resnet50": ("from nas.cli import main; main()", "show", "reference/resnet50"),
    "nas spaces": ("from nas.cli import main; main()", "spaces"),
}
"""What is run: code for `python -c`, and its arguments."""


def environment(build: Path, bytecode: Path) -> dict[str, str]:
    """Where an interpreter finds a build, and keeps its bytecode."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(build), "PYTHONPYCACHEPREFIX": str(bytecode)}


def run(code: str, *arguments: str, env: Mapping[str, str]) -> float:
    """Run code in a fresh interpreter and return the seconds of a processor that it took."""
    command = [sys.executable, "-P", "-c", code, *arguments]  # -P: nothing from the folder that we are in
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--base", type=Path, help="a checkout of the older build")
    parser.add_argument("--repeats", type=int, default=15)
    given = parser.parse_args()
    builds = {"this": Path(__file__).resolve().parent.parent}
    if given.base:
        builds["base"] = given.base.resolve()
    print(f"{'':30}" + "".join(f"{f'{name}, ms':>12}{'quartiles':>14}" for name in builds) + "     ratio")
    with tempfile.TemporaryDirectory() as folder:
        for title, code in CODES.items():
            seconds: dict[str, list[float]] = {name: [] for name in builds}
            for repeat in range(given.repeats + 1):
                for name, build in builds.items():
                    took = run(*code, env=environment(build, Path(folder) / name))
                    if repeat:  # the first compiles
                        seconds[name].append(1000 * took)
            cells = ""
            for times in seconds.values():
                low, _, high = quantiles(times, n=4)
                cells += f"{median(times):12.0f}{f'{low:.0f} to {high:.0f}':>14}"
            ratio = f"{median(seconds['this']) / median(seconds['base']):10.2f}" if given.base else ""
            print(f"{title:30}{cells}{ratio}")


if __name__ == "__main__":
    main()
