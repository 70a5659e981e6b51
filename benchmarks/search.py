"""What a search costs besides its trainings: trials by an evaluator that takes no time, in this process.

    python benchmarks/search.py [--base FOLDER] [--trials 2000] [--space mbconv] [--sampler random]

FOLDER is a checkout of the build at ea9396c, which is driven by its own names for the same parts; the two run
in turns, each in a process of its own. Both keep a study in a journal, weights and best.yaml, and print
progress to nobody. The table has seconds a trial over all, over the last tenth, and how much the resident
memory grows with each trial, from a quarter of the trials on. Targets: a quarter of the time, 10 kB a trial.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_CHILD = """
import hashlib, json, sys, time
from pathlib import Path
from rich.console import Console

trials, space, sampler, folder = int(sys.argv[1]), *sys.argv[2:5]

class Training:
    def __init__(self, choices):
        self.done, text = False, repr(sorted(choices.items())).encode()
        self.score = int(hashlib.sha256(text).hexdigest()[:8], 16) / 2**32

    def state_dict(self):
        return {}

times, sizes = [], []

def mark():
    times.append(time.perf_counter())
    sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)

def report():
    quarter, tail = trials // 4, trials // 10
    print(json.dumps({
        "trial_s": (times[-1] - times[0]) / (len(times) - 1),
        "last_s": (times[-1] - times[-1 - tail]) / tail,
        "grows_kb": (sizes[-1] - sizes[quarter]) / 1024 / (len(sizes) - 1 - quarter),
    }))
    sys.stdout.flush()

quiet = Console(file=open("/dev/null", "w"))
"""

_NEW = (
    _CHILD
    + """
import os
import nas
from nas.report.search_screen import SearchScreen

class Null(Training):
    def epoch(self):
        self.done = True
        return nas.EpochResult(1, self.score, self.score, 0.0, 0.1, 64)

class Evaluator:
    metric = nas.Metric("score")

    def __call__(self, choices, number, parent):
        return Null(choices)

class Screen(SearchScreen):
    def round(self, *arguments):
        super().round(*arguments)
        mark()

    def finished(self, trial):
        super().finished(trial)
        mark()
        if len(times) > trials:  # the export of a network without weights is not part of it
            report()
            os._exit(0)

config = nas.SearchConfig(space, trials=trials, sampler=sampler, executor=nas.ExecutorConfig(workers=0))
with Screen(quiet) as screen:
    nas.search(config, screen, evaluator=Evaluator(), runs=folder)
"""
)

_OLD = (
    _CHILD
    + """
from nas import search as searching
from nas.proxy.training import EpochResult
from nas.report.progress import SearchProgress
from nas.settings import Settings

class Null(Training):
    def epoch(self):
        self.done = True
        return EpochResult(1, self.score, self.score, 0.1, 0.0, 64)

class Task:
    def __call__(self, choices, number, data, parent):
        return Null(choices)

    def network(self, choices, data):
        return None

class Search(searching.Search):
    task = Task()

class Screen(SearchProgress):
    def finished(self, candidate):
        super().finished(candidate)
        mark()

settings = Settings(space=space, trials=trials, sampler=sampler, workers=0)
begun = searching.start(searching.prepare(settings), Path(folder) / "run")
search = Search(begun.run, begun.settings, begun.space, begun.data)
with search.run.locked():
    study = search.study()
    with Screen(quiet, trials, 1) as screen:
        screen.follow(study)
        mark()
        search.go(study, screen)
report()
"""
)


def main() -> None:
    args = _arguments()
    builds = {"this build": (_NEW, Path(__file__).parents[1])}
    if args.base:
        builds["the base"] = (_OLD, args.base)
    print(f"{args.trials} trials in {args.space} by {args.sampler}, this process\n")
    print(f"{'':12}{'s a trial':>12}{'last tenth':>12}{'kB a trial':>12}")
    found = {}
    for name, (code, build) in builds.items():
        figures = found[name] = _measure(code, build, args)
        print(f"{name:12}{figures['trial_s']:12.4f}{figures['last_s']:12.4f}{figures['grows_kb']:12.1f}")
    if args.base:
        ratio = found["this build"]["trial_s"] / found["the base"]["trial_s"]
        print(f"\nratio of the times: {ratio:.3f}")


def _measure(code: str, build: Path, args: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", code, str(args.trials), args.space, args.sampler, folder]
        path = {"PYTHONPATH": str(build.absolute())}
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, cwd=folder, env={**os.environ, **path}
        )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, help="a checkout of the build at ea9396c")
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--space", default="mbconv")
    parser.add_argument("--sampler", default="random")
    return parser.parse_args()


if __name__ == "__main__":
    main()
