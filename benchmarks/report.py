"""How long the report of a long run takes, how large it is, and how soon a browser shows it.

    python benchmarks/report.py [--trials 300] [--sampler evolution] [--repeats 3] [--keep FOLDER]

A search of the bundled space `mbconv` is made whose trainings take no time: a score is a function of a
network's choices with noise, its curve rises to it, some trainings fail. `nas report` is run on it, each time
in a fresh interpreter. Where Debian's Chromium is, it opens the page, and tells when it was first painted
and when its figures were drawn.
"""

from __future__ import annotations

import argparse
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from torch import Tensor

import nas
from nas.graph.module import build_module
from nas.space import Choices
from nas.training.base import ACCURACY_METRIC, EpochResult, FailureReason, Metric, Parent

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser import CHROMIUM, browser


@dataclass(frozen=True)
class Pretended:
    """Trainings of no time. `seed`: of the noise."""

    space: nas.Space
    epochs: int = 8
    seed: int = 0
    metric: Metric = ACCURACY_METRIC

    def with_epochs(self, epochs: int, seed: int) -> Pretended:
        return replace(self, epochs=epochs, seed=seed)

    def __call__(self, choices: Choices, number: int, parent: Parent | None) -> PretendedTraining:
        return PretendedTraining(self, choices)


class PretendedTraining:
    """A network with wider and deeper late stages scores higher, and one in twenty fails."""

    def __init__(self, evaluator: Pretended, choices: Choices) -> None:
        self._evaluator = evaluator
        self._choices = choices
        self._rng = random.Random(repr((evaluator.seed, sorted(choices.items()))))
        cost = evaluator.space.cost(choices)
        late = sum(float(str(choices[name])) for name in ("s5.depth", "s6.depth", "s5.out"))
        self._best = 0.5 + 0.08 * math.log10(cost.macs / 5e7) + 0.002 * late + self._rng.gauss(0, 0.012)
        self._fails = self._rng.random() < 0.05
        self._epoch = 0

    @property
    def done(self) -> bool:
        return self._epoch == self._evaluator.epochs

    def epoch(self) -> EpochResult:
        self._epoch += 1
        if self._fails and self._epoch == 2:
            raise nas.TrainingFailed(FailureReason.NAN_LOSS, "the training loss was nan in epoch 2")
        value = self._best * (1 - math.exp(-0.6 * self._epoch)) + self._rng.gauss(0, 0.004)
        return EpochResult(self._epoch, value, value, seconds=self._rng.uniform(1.5, 3), loss=2 - value)

    def state_dict(self) -> Mapping[str, Tensor]:
        return dict(build_module(self._evaluator.space.architecture(self._choices)).state_dict())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--sampler", default="evolution")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="a folder that the run stays in")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = search(given.keep or Path(folder), given.sampler, given.trials)
        seconds = []
        for _ in range(given.repeats):
            began = time.monotonic()
            subprocess.run(
                [sys.executable, "-m", "nas", "report", str(run)], check=True, stdout=subprocess.DEVNULL
            )
            seconds.append(time.monotonic() - began)
        page = run / "report.html"
        print(f"{'trials':28}{given.trials:>10,}")
        print(f"{'nas report, s':28}{median(seconds):>10.1f}   {min(seconds):.1f} to {max(seconds):.1f}")
        print(f"{'size, kB':28}{page.stat().st_size / 1000:>10.0f}")
        if CHROMIUM is None:
            return
        with browser() as opened:
            shown = [opened.show(page) for _ in range(given.repeats)]
        for title, seconds in {
            "first paint, ms": [one.first_paint_s for one in shown],
            "figures drawn, ms": [one.drawn_s for one in shown],
        }.items():
            low, middle, high = (1000 * value for value in (min(seconds), median(seconds), max(seconds)))
            print(f"{title:28}{middle:>10.0f}   {low:.0f} to {high:.0f}")


def search(folder: Path, sampler: str, trials: int) -> Path:
    """Make a run, and return its folder."""
    settings = {"space": "mbconv", "budget_flops": "400M", "sampler": sampler, "trials": trials, "keep": 1}
    config = nas.SearchConfig.from_data({**settings, "workers": 0, "in_process": True})
    space = nas.load_space("mbconv")
    return nas.search(config, evaluator=Pretended(space), runs=folder, name="long").state.folder.path


if __name__ == "__main__":
    main()
