"""How a driver bears many trials: what it asks and tells a second, its memory, and how soon it is open again.

    python benchmarks/driver.py [--trials 1000 10000 100000] [--running 512] [--sampler random evolution]
        [--peer 10000] [--space mbconv] [--folder DIR]

A driver of `mbconv` under 400M MACs, in a process of its own, asks for trials and ends the oldest of those
that run, whose score is free; its journal is a file, as that of a search. A row is of the last 500 trials
before a number of them, by the clock and in time of a processor; its memory is the most that the process has
had up to then, and `open` the time of another process from the journal to the next ask, with its memory.

Then Optuna goes on with the journal of `--peer` trials, which it reads as its own: `study.ask`, the same
decisions by `suggest_categorical`, `study.tell`, by its sampler of the same kind. It neither counts a cost
nor looks for networks that were tried. The same again after a copy to SQLite.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from nas.measures import Budget
from nas.samplers import find_sampler
from nas.space import Choices, load_space
from nas.space.library import find_space
from nas.study.ledger import Ledger
from nas.study.storage import claim_storage
from nas.study.study import Study
from nas.training.base import EpochResult

LAST = 500
"""Trials that a rate is measured over."""
PEER = 100
"""Those of Optuna."""
NAME = "driver"
LEAST_RATE, MOST_MB, MOST_OPEN_S, LEAST_RATIO = 100, 1000, 20, 5


def main() -> None:
    args = _arguments()
    if args.side:
        for row in _SIDES[args.side](args):
            print(json.dumps(row), flush=True)
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        misses = [miss for sampler in args.sampler for miss in _measure(args, sampler, Path(folder))]
    print(f"\ntargets: {'; '.join(misses) or 'met'}")
    raise SystemExit(bool(misses))


def _measure(args: argparse.Namespace, sampler: str, folder: Path) -> Iterator[str]:
    """Print the rows of a sampler. Yield what misses its target."""
    print(f"\n{sampler}, {args.running} running, optuna {optuna.__version__}\n", flush=True)
    print("| trials | ask and tell a second | of a processor | memory | journal | open | memory |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    rates = {}
    for row in [*_rows("search", args, sampler, folder)]:  # not beside one another
        (opened,) = _rows("open", args, sampler, folder, row["trials"])
        rates[row["trials"]] = row["rate"]
        print(
            f"| {row['trials']:,} | {row['rate']:.0f} | {row['processor_ms']:.1f} ms | {row['mb']:.0f} MB | "
            f"{row['journal_mb']:.0f} MB | "
            f"{opened['seconds']:.2f} s | {opened['mb']:.0f} MB |",
            flush=True,
        )
    if row["rate"] < LEAST_RATE:
        yield f"{sampler}: {row['rate']:.0f} a second, at least {LEAST_RATE} wanted"
    if max(row["mb"], opened["mb"]) >= MOST_MB:
        yield f"{sampler}: {max(row['mb'], opened['mb']):.0f} MB, less than {MOST_MB} wanted"
    if opened["seconds"] >= MOST_OPEN_S:
        yield f"{sampler}: opened in {opened['seconds']:.1f} s, less than {MOST_OPEN_S} wanted"
    if args.peer not in rates:
        return
    print(f"\n| Optuna, {args.peer:,} trials | ask and tell a second | ours over it | open |")
    print("| --- | --- | --- | --- |", flush=True)
    for peer in _rows("peer", args, sampler, folder, args.peer):
        ratio = rates[args.peer] / peer["rate"]
        opened_in = f"{peer['seconds']:.2f} s" if peer["seconds"] else ""
        print(f"| {peer['name']} | {peer['rate']:.1f} | {ratio:.1f} | {opened_in} |", flush=True)
        if ratio < LEAST_RATIO:
            yield f"{sampler}: {ratio:.1f} times {peer['name']}, at least {LEAST_RATIO} wanted"


def _rows(
    side: str, args: argparse.Namespace, sampler: str, folder: Path, trials: int = 0
) -> Iterator[dict[str, Any]]:
    """Yield what a side prints, in a process of its own, as it comes."""
    marks = map(str, [trials] if trials else sorted(args.trials))
    command = [sys.executable, __file__, "--side", side, "--space", args.space, "--folder", str(folder)]
    command += ["--sampler", sampler, "--running", str(args.running), "--trials", *marks]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield from map(json.loads, process.stdout)
    assert process.returncode == 0


# The sides


def search(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Search to the last number of trials; at each leave a copy of the journal."""
    marks = sorted(args.trials)
    journal = args.folder / f"{args.sampler[0]}.journal"
    journal.unlink(missing_ok=True)
    study = _study(args, journal, marks[-1] + args.running)
    running: deque[tuple[int, Choices]] = deque()
    _ask(study, running, args.running)
    done = 0
    for mark in marks:
        _go_on(study, running, mark - done - min(LAST, mark // 2))
        start, spent = time.perf_counter(), time.process_time()
        _go_on(study, running, min(LAST, mark // 2))
        seconds, spent = time.perf_counter() - start, time.process_time() - spent
        done = mark
        shutil.copy(journal, _copy(args, mark))
        yield {
            "trials": mark,
            "rate": min(LAST, mark // 2) / seconds,
            "processor_ms": 1000 * spent / min(LAST, mark // 2),
            "mb": _most_mb(),
            "journal_mb": journal.stat().st_size / 1e6,
        }


def open_again(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Open the journal of a number of trials, and ask."""
    (trials,) = args.trials
    journal = Path(shutil.copy(_copy(args, trials), args.folder / "open.journal"))
    start = time.perf_counter()
    study = _study(args, journal, trials + args.running + 1)
    assert study.counts.complete == trials and study.counts.running == args.running
    assert study.ask() is not None
    yield {"seconds": time.perf_counter() - start, "mb": _most_mb()}


def peer(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Go on with Optuna alone, on the journal and on a copy in SQLite."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    start = time.perf_counter()
    journal = JournalStorage(JournalFileBackend(str(_copy(args, args.trials[0]))))
    seconds = time.perf_counter() - start
    yield {"name": "JournalStorage", "rate": _optuna_rate(args, journal), "seconds": seconds}
    url = f"sqlite:///{args.folder / 'optuna.db'}"
    (args.folder / "optuna.db").unlink(missing_ok=True)
    optuna.copy_study(from_study_name=NAME, from_storage=journal, to_storage=url)
    yield {"name": "RDBStorage, SQLite", "rate": _optuna_rate(args, url), "seconds": None}


_SIDES = {"search": search, "open": open_again, "peer": peer}


def _study(args: argparse.Namespace, journal: Path, trials: int) -> Study:
    return Study(
        load_space(find_space(args.space)),
        Budget.parse({"flops": "400M"}),
        Ledger(claim_storage(journal), NAME),
        trials=trials,
        sampler=find_sampler(args.sampler[0]),
        seed=0,
    )


def _ask(study: Study, running: deque[tuple[int, Choices]], count: int) -> None:
    for _ in range(count):
        candidate = study.ask()
        assert candidate is not None
        running.append((candidate.number, candidate.choices))


def _go_on(study: Study, running: deque[tuple[int, Choices]], count: int) -> None:
    """End so many trials, the oldest first, and ask for another after each."""
    for _ in range(count):
        number, choices = running.popleft()
        score = _score(choices)
        study.complete(number, EpochResult(1, score, score, seconds=1.0))
        _ask(study, running, 1)


def _score(choices: Choices) -> float:
    """A free score, the better the deeper the stages and the larger the kernels."""
    kinds = ("depth", "kernel")
    return sum(o for n, o in choices.items() if isinstance(o, int) and n.endswith(kinds)) / 200


def _optuna_rate(args: argparse.Namespace, storage: BaseStorage | str) -> float:
    """Return what Optuna asks and tells a second, of the decisions of our last trials."""
    samplers: dict[str, BaseSampler] = {
        "random": RandomSampler(seed=0),
        "evolution": NSGAIISampler(population_size=20, seed=0),
    }
    study = optuna.load_study(study_name=NAME, storage=storage, sampler=samplers[args.sampler[0]])
    ours = [trial.distributions for trial in study.get_trials(deepcopy=False)[-PEER:]]
    start = time.perf_counter()
    for distributions in ours:
        trial = study.ask()
        options = ((name, getattr(d, "choices", ())) for name, d in distributions.items())
        study.tell(trial, _score({name: trial.suggest_categorical(name, some) for name, some in options}))
    return PEER / (time.perf_counter() - start)


def _copy(args: argparse.Namespace, trials: int) -> Path:
    copy: Path = args.folder / f"{args.sampler[0]}-{trials}.journal"
    return copy


def _most_mb() -> float:
    """The most memory that this process has had, as Linux has it of what was begun with it alone."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--running", type=int, default=512)
    samplers = ["random", "evolution"]
    parser.add_argument("--sampler", nargs="+", choices=samplers, default=samplers)
    parser.add_argument("--peer", type=int, default=10_000, help="trials, one of --trials")
    parser.add_argument("--space", default="mbconv")
    parser.add_argument("--folder", type=Path, help="for journals; a temporary one by default")
    parser.add_argument("--side", choices=_SIDES, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
