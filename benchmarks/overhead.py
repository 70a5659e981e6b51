"""Wall time of proxy trials through Ray on two workers against a bare loop in two processes.

    python benchmarks/overhead.py [--trials 24] [--rounds 3] [--epochs 4] [--images N] [--target 1.05]
                                [--scaling]

Both train the same members of search_spaces/mbconv.yaml on `digits` by the default recipe, one thread each,
and both clocks start before Python does: the Ray side starts a cluster with its dashboard, keeps a study and
brings every network's weights back to the driver; the bare side is a pool of two processes that share a
queue, and give way to other processes as Ray's workers do. The two take turns, and must reach the same
scores. What Ray costs is nearly all start and stop, so fewer epochs or images raise the ratio, and more
trials lower it. The target is a ratio of at most 1.05. With --scaling a third side trains the same through
Ray on one worker: two are to be at least 1.85 times as fast.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

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


def main() -> None:
    args = _arguments()
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
    parser.add_argument("--side", choices=_SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
