"""The first trials of the default sampler against those of `tpe`, on tables, in pairs of a seed.

    python benchmarks/naap440.py naap440v2.csv naap.csv
    python benchmarks/nas_bench_macro.py nas-bench-macro_cifar10.json macro.csv
    python benchmarks/first_trials.py benchmarks/spaces/naap440.yaml naap.csv
    python benchmarks/first_trials.py benchmarks/spaces/nas_bench_macro.yaml macro.csv --budget-flops 60M

The first table has the mean best true score after 20, 50 and 100 trials and the mean difference with half the
width of its 95 % interval. The second has the processor time of an ask in the bundled spaces under 400M MACs
(`inception`, whose smallest network has more: 1.5G): the median of trials 90 to 99, and in `mbconv` of trials
990 to 999 as well. Without a space and a table, it is printed alone.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import fmean, median
from zlib import crc32

from nas.bench.contest import Contest, run_contest
from nas.bench.score_table import read_table
from nas.bench.standings import compare_pairs
from nas.measures import Budget
from nas.samplers import find_sampler
from nas.space import load_space
from nas.study.ledger import Ledger
from nas.study.storage import open_storage
from nas.study.study import Study
from nas.training.base import EpochResult

OURS, THEIRS = "predictor", "tpe"
MARKS = (20, 50, 100)
ASKS = (
    ("mbconv", "400M", 100), ("residual", "400M", 100), ("mixed", "400M", 100), ("depthwise", "400M", 100),
    ("inception", "1.5G", 100), ("darts", "400M", 100), ("cell", "400M", 100), ("mbconv", "400M", 1000),
)  # fmt: skip
"""Space, limit of MACs, and trials."""


def main() -> None:
    args = _arguments()
    if args.space:
        _compare(args)
    print("\n| space | trials | ask |\n| --- | --- | --- |")
    for space, limit, trials in ASKS:
        print(f"| `{space}` | {trials:,} | {1000 * _ask_s(space, limit, trials):.0f} ms |", flush=True)


def _compare(args: argparse.Namespace) -> None:
    budget = Budget.parse({"macs": args.budget_flops}) if args.budget_flops else Budget()
    table = read_table(args.table, load_space(args.space))
    contest = Contest(table, (OURS, THEIRS), max(MARKS), args.repeats, budget)
    best: dict[str, dict[int, tuple[float, ...]]] = {OURS: {}, THEIRS: {}}
    for outcome in run_contest(contest, args.jobs):
        best[outcome.sampler][outcome.repeat] = outcome.best
    print(f"| trials | `{OURS}` | `{THEIRS}` | difference |\n| --- | --- | --- | --- |")
    for mark in MARKS:
        ours, theirs = ([best[name][r][mark - 1] for r in range(args.repeats)] for name in (OURS, THEIRS))
        found = compare_pairs(ours, theirs).estimate
        half = found.high - found.mean
        print(f"| {mark} | {fmean(ours):.4f} | {fmean(theirs):.4f} | {found.mean:+.4f} ± {half:.4f} |")


def _ask_s(name: str, limit: str, trials: int) -> float:
    """Median seconds of a processor of the last ten asks of a search."""
    sampler, budget = find_sampler(OURS), Budget.parse({"macs": limit})
    ledger = Ledger(open_storage(None), "asks")
    study = Study(load_space(name), budget, ledger, trials=trials, sampler=sampler, seed=0)
    asked: list[float] = []
    while True:
        start = time.process_time()
        candidate = study.ask()
        if candidate is None:
            return median(asked[-10:])
        asked.append(time.process_time() - start)
        value = fmean(crc32(repr(pair).encode()) / 2**32 for pair in candidate.choices.items())
        study.complete(candidate.number, EpochResult(1, value, value, 0.0))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("space", type=Path, nargs="?")
    parser.add_argument("table", type=Path, nargs="?", help="as `nas bench` reads it; without, asks alone")
    parser.add_argument("--budget-flops")
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    if args.space and not args.table:
        parser.error("a space needs its table")
    return args


if __name__ == "__main__":
    main()
