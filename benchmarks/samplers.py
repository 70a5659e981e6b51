"""Samplers on NAS-Bench-Macro, and how long each takes to propose a network of `mbconv`.

    python benchmarks/samplers.py DATA.json [--repeats 100] [--jobs 2] [--samplers tpe,predictor] [--no-asks]

Three settings, 100 trials each: no budget; at most 60,000,000 MACs; the same with the score of one random
seed as the signal, where the true score is reported. A row has the mean best true score after 50 and 100
trials, with half the width of its 95 % interval, and p of the paired Wilcoxon test against random search with
the same seeds. A network is one trial however often it is proposed. Then, for each sampler, median and 95th
percentile of 40 asks from trial 1,000 on in `mbconv` at most 400M MACs.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the searches take every core already

import numpy as np
from nas_bench_macro import LAYERS, OPTIONS

from nas.bench.contest import BASELINE, Contest, run_contest
from nas.bench.score_table import Table, read_table
from nas.bench.standings import Standing, compute_standings, estimate_mean
from nas.measures import Budget
from nas.samplers import SAMPLERS, find_sampler
from nas.space import Choices, Space, load_space
from nas.space.resolve import Choose
from nas.study.ledger import Ledger
from nas.study.storage import open_storage
from nas.study.study import Study
from nas.training.base import EpochResult

HERE = Path(__file__).parent
CAP = Budget.parse({"macs": "60M"})
SETTINGS = (
    ("no budget, mean of three seeds", Budget(), False),
    ("at most 60,000,000 MACs, mean of three seeds", CAP, False),
    ("at most 60,000,000 MACs, one random seed", CAP, True),
)
TRIALS = 100
ASKED_FROM = 1_000


def main() -> None:
    args = _arguments()
    names = tuple(args.samplers.split(",")) if args.samplers else tuple(n for n in SAMPLERS if n != BASELINE)
    table = _table(args.data)
    best = max(entry.true_score for entry in table.entries.values())
    print(f"{len(table.entries):,} networks, the best {best:.3f}; {args.repeats} repeats")
    for title, budget, noisy in SETTINGS:
        print(f"\n### {title[0].upper()}{title[1:]}\n\n| sampler | 50 trials | p | 100 trials | p |")
        print("| --- | --- | --- | --- | --- |")
        contest = Contest(table, (BASELINE, *names), TRIALS, args.repeats, budget, noisy=noisy)
        for standing in compute_standings([*run_contest(contest, args.jobs)]):
            print(_row(standing), flush=True)
    longer = Contest(table, (BASELINE,), 300, args.repeats, CAP)
    late = estimate_mean([outcome.best[-1] for outcome in run_contest(longer, args.jobs)])
    print(f"\nrandom search under the cap after 300 trials: {late.mean:.3f}")
    if not args.no_asks:
        print(f"\n| sampler | ask at trial {ASKED_FROM:,}, median | 95th percentile |\n| --- | --- | --- |")
        for name in (BASELINE, *names):
            median, p95 = _asks(name)
            print(f"| `{name}` | {1000 * median:.0f} ms | {1000 * p95:.0f} ms |", flush=True)


def _row(standing: Standing) -> str:
    cells = [f"`{standing.sampler}`"]
    for trials in (50, 100):
        at = standing.curve[trials - 1]
        cells.append(f"{at.mean:.3f} ± {at.high - at.mean:.3f}")
        cells.append(f"{standing.differences[trials].p:.0e}" if standing.differences else "")
    return f"| {' | '.join(cells)} |"


class _Flat(Space):
    """A space in which every point takes the same decisions: drawn at once, in the same order."""

    def sample(self, choose: Choose) -> Choices:
        return {name: choose(name, OPTIONS) for name in LAYERS}


def _table(data: Path) -> Table:
    found = load_space(HERE / "spaces" / "nas_bench_macro.yaml")
    space = _Flat(**{f.name: getattr(found, f.name) for f in fields(found)})
    assert space.sample(lambda name, options: options[0]) == found.sample(lambda name, options: options[0])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "macro.csv"
        subprocess.run([sys.executable, HERE / "nas_bench_macro.py", data, file], check=True)
        return read_table(file, space)


def _asks(name: str) -> tuple[float, float]:
    """Median and 95th percentile, in seconds, of asks after many trials of random search."""
    space = load_space(HERE.parent / "search_spaces" / "mbconv.yaml")
    rng = random.Random(0)

    def score(choices: Choices) -> float:
        return sum(choices[f"s{i}.depth"] == 3 for i in range(2, 7)) + rng.gauss(0, 0.5)

    # The sampler of a study is made anew for every trial, so it can take over from another.
    current = [find_sampler(BASELINE)]
    study = Study(
        space,
        Budget.parse({"macs": "400M"}),
        Ledger(open_storage(None), "asks"),
        trials=ASKED_FROM + 40,
        sampler=lambda context: current[0](context),
        seed=0,
    )
    asked = []
    while True:
        start = time.perf_counter()
        candidate = study.ask()
        if candidate is None:
            break
        asked.append(time.perf_counter() - start)
        value = score(candidate.choices)
        study.complete(candidate.number, EpochResult(1, value, value, 0.0))
        if candidate.number == ASKED_FROM - 1:
            current[0] = find_sampler(name)
    late = asked[ASKED_FROM:]
    return float(np.median(late)), float(np.quantile(late, 0.95))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="nas-bench-macro_cifar10.json")
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--samplers", help="names, with commas; else all")
    parser.add_argument("--no-asks", action="store_true", help="leave the times out")
    return parser.parse_args()


if __name__ == "__main__":
    main()
