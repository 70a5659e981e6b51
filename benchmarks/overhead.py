"""Wall time of proxy trials through Ray on two workers against a bare loop in two processes.

    python benchmarks/overhead.py [--trials 24] [--rounds 3] [--epochs 4] [--images N] [--target 1.05]
                                [--scaling]
    python benchmarks/overhead.py --asleep 60

Both train the same members of search_spaces/mbconv.yaml on `digits` by the default recipe, one thread each,
and both clocks start before Python does: the Ray side starts a cluster with its dashboard, keeps a study and
brings every network's weights back to the driver; the bare side is a pool of two processes that share a
queue, and give way to other processes as Ray's workers do. The two take turns, and must reach the same
scores. What Ray costs is nearly all start and stop, so fewer epochs or images raise the ratio, and more
trials lower it. The target is a ratio of at most 1.05. With --scaling a third side trains the same through
Ray on one worker: two are to be at least 1.85 times as fast.

With --asleep a search by the command line trains nothing: its trials sleep, 2.5 s an epoch, on two workers.
Processor times of its processes are taken over so many seconds, from the third epoch on: what Ray and the
driver use beside trainings, in percent of a core. They hardly depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nas.data import datasets
from nas.data.config import DataConfig
from nas.measures import Budget
from nas.space import Choices, load_space
from nas.training.evaluator import ProxyEvaluator
from nas.training.recipe import Recipe

if TYPE_CHECKING:
    from nas.study.study import Study

NICE = 15
"""Of Ray's workers: with another niceness, what else runs on the machine would slow one side alone."""
SPEED_UP = 1.85
WORKERS = 2
SPACE = Path(__file__).parents[1] / "search_spaces" / "mbconv.yaml"
SLEEPER = """
import time

import nas


@nas.evaluator(metric="score")
def sleep(network: nas.Network):
    network.module()
    for epoch in range(network.epochs):
        time.sleep(2.5)
        with open({log!r}, "a") as log:
            log.write(".")
        yield epoch / 10 - network.seed  # the first is the best
"""


def main() -> None:
    args = _arguments()
    if args.asleep:
        measure_asleep(args.asleep)
        return
    if args.side:
        _SIDES[args.side](args.trials, Recipe(epochs=args.epochs), args.images, Path(args.folder))
        gc.freeze()  # both end as the command does
        return
    import ray
    import torch

    sides = [side for side in _SIDES if args.scaling or side != "one worker"]
    rows: dict[str, list[float]] = {side: [] for side in sides}
    trainings: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(args.rounds):
        scores = {}
        for side, times in rows.items():
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                command = [sys.executable, __file__, *sys.argv[1:], "--side", side, "--folder", folder]
                subprocess.run(command, check=True)
                times.append(time.perf_counter() - start)
                results = json.loads((Path(folder) / "results.json").read_text())
            scores[side] = [score for score, _ in results]
            trainings[side] += [seconds for _, seconds in results]
        assert all(of == scores["bare"] for of in scores.values()), "the sides did not train the same"

    found = {"ratio": [ours / theirs for ours, theirs in zip(rows["ray"], rows["bare"], strict=True)]}
    if args.scaling:
        found["speed-up"] = [one / two for one, two in zip(rows["one worker"], rows["ray"], strict=True)]
    print(f"ray {ray.__version__}, torch {torch.__version__}, {platform.processor() or 'cpu'}, wall clock,")
    means = " and ".join(f"{statistics.mean(times):.2f} s ({side})" for side, times in trainings.items())
    print(f"{args.trials} trials of {means} training on average, {args.rounds} rounds\n")
    print(f"{'seconds':12}{'median':>9}{'lowest':>9}{'highest':>9}")
    for name, values in (rows | found).items():
        digits = 3 if name in found else 1
        figures = (statistics.median(values), min(values), max(values))
        print(f"{name:12}" + "".join(f"{figure:9.{digits}f}" for figure in figures))
    met = [statistics.median(found["ratio"]) <= args.target]
    print(f"\ntarget: ratio of at most {args.target}: {'met' if met[0] else 'MISSED'}")
    if args.scaling:
        met.append(statistics.median(found["speed-up"]) >= SPEED_UP)
        print(f"target: speed-up of two workers of at least {SPEED_UP}: {'met' if met[1] else 'MISSED'}")
    raise SystemExit(not all(met))


def measure_asleep(seconds: float) -> None:
    """Print the processor time of each kind of process of a search whose trials sleep."""
    with tempfile.TemporaryDirectory() as folder:
        evaluator, log = Path(folder) / "sleeper.py", Path(folder) / "epochs.log"
        evaluator.write_text(SLEEPER.format(log=str(log)))
        command = [sys.executable, "-m", "nas", "search", str(SPACE), "--budget-flops", "400M"]
        command += ["--evaluator", f"{evaluator}:sleep", "--trials", "1000", "--epochs", "4"]
        command += ["--workers", str(WORKERS), "--runs", folder, "--sampler", "random"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as search:
            while not log.exists() or len(log.read_text()) <= 2 * WORKERS:
                assert search.poll() is None, "the search ended"
                time.sleep(0.5)
            before, start = _read_processor_times(search.pid), time.perf_counter()
            time.sleep(seconds)
            after, taken = _read_processor_times(search.pid), time.perf_counter() - start
            search.terminate()
    spent: dict[str, float] = defaultdict(float)
    at_first = {process.pid: of for process, of in before.items()}  # a worker is renamed with each trial
    for process, of in after.items():
        spent[process.name] += of - at_first.get(process.pid, 0.0)
    print(f"{'percent of a core':40}{taken:9.0f} s")
    for name, of in [*sorted(spent.items(), key=lambda one: -one[1]), ("all", sum(spent.values()))]:
        print(f"{name:40}{100 * of / taken:11.2f}")


def _read_processor_times(root: int) -> dict[Process, float]:
    """Return the seconds of a processor that a process and those below it have had so far."""
    import psutil

    found = {}
    for process in [psutil.Process(root), *psutil.Process(root).children(recursive=True)]:
        with suppress(psutil.Error):
            name = "driver" if process.pid == root else _name(" ".join(process.cmdline()))
            times = process.cpu_times()
            found[Process(process.pid, name)] = times.user + times.system
    return found


class Process(NamedTuple):
    """A process, and what of Ray it is."""

    pid: int
    name: str


def _name(command: str) -> str:
    kinds = r"ray-dashboard-\w+|gcs_server|raylet/raylet|dashboard/dashboard|ray::\w*Agent|ray::"
    found = re.search(kinds, command)
    return f"{command:.38}" if found is None else "workers" if found[0] == "ray::" else found[0]


def ray_side(
    trials: int, recipe: Recipe, images: int | None, folder: Path, *, workers: int = WORKERS
) -> None:
    """The trials through Ray, as `nas search` runs them."""
    from nas.execution import keep_ready
    from nas.execution.config import ExecutorConfig
    from nas.execution.ray_executor import RayExecutor
    from nas.workflows.observer import Observer

    with keep_ready(ExecutorConfig(workers=workers)) as begin:
        begin()
        study = _study(trials, folder)
        RayExecutor(concurrency=workers).run(study, _evaluator(recipe, images), Observer())
    _write(folder, [(trial.score or 0.0, trial.result.seconds) for trial in study.trials])


def bare_side(trials: int, recipe: Recipe, images: int | None, folder: Path) -> None:
    """The same trainings in two processes. A random sampler asks for the same whatever the scores are."""
    study = _study(trials, folder)
    candidates = [study.ask() for _ in range(trials)]
    with multiprocessing.get_context("spawn").Pool(WORKERS, _prepare, (recipe, images)) as pool:
        jobs = [(c.choices, c.number) for c in candidates if c]
        _write(folder, pool.starmap(_train, jobs, chunksize=1))


def _prepare(recipe: Recipe, images: int | None) -> None:
    import torch

    os.nice(NICE)
    torch.set_num_threads(1)
    globals()["_shared"] = _evaluator(recipe, images)


def _train(choices: Choices, number: int) -> tuple[float, float]:
    training = globals()["_shared"](choices, number)
    seconds = 0.0
    while not training.done:
        result = training.epoch()
        seconds += result.seconds
    return result.value, seconds


def _study(trials: int, folder: Path) -> Study:
    from nas.samplers import SAMPLERS
    from nas.study.ledger import Ledger
    from nas.study.storage import claim_storage
    from nas.study.study import Study

    ledger = Ledger(claim_storage(folder / "study.journal"), "overhead")
    budget = Budget.parse({"flops": "400M"})
    return Study(load_space(SPACE), budget, ledger, trials=trials, sampler=SAMPLERS["random"], seed=0)


def _evaluator(recipe: Recipe, images: int | None) -> ProxyEvaluator:
    data = datasets.load_dataset(DataConfig("digits", 32, max_images=images), seed=0)
    return ProxyEvaluator(load_space(SPACE), recipe, data, seed=0)


def _write(folder: Path, results: list[tuple[float, float]]) -> None:
    (folder / "results.json").write_text(json.dumps(results))


_SIDES: dict[str, Callable[..., None]] = {
    "ray": ray_side,
    "bare": bare_side,
    "one worker": partial(ray_side, workers=1),
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=Recipe().epochs)
    parser.add_argument("--images", type=int, help="of the training split; all by default")
    parser.add_argument("--target", type=float, default=1.05)
    parser.add_argument("--scaling", action="store_true", help="on one worker too")
    parser.add_argument("--asleep", type=float, metavar="SECONDS", help="of trials that sleep, what is spent")
    parser.add_argument("--side", choices=_SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
