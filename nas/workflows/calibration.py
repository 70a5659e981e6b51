"""What a proxy's scores are worth: their noise, and how they rank networks as a longer training does."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean, variance
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from nas.cost import Cost
from nas.data.sources import absolute
from nas.errors import InputError
from nas.execution.local import Events
from nas.files import write_atomically
from nas.runs.config import Settings
from nas.runs.folder import Run
from nas.space import Choices, Space
from nas.space.language.source import plain_data, read_text, read_yaml
from nas.study.queue import Job, Jobs, JobTask
from nas.training.recipe import Recipe
from nas.workflows.search import Search

PROXY, LONG = "proxy", "long"
"""Names of the search's own training, and of the longer one that it stands for."""

LEAST = 4
"""Networks that a ranking is of."""
LEVEL = 0.95
_DRAWS = 50
"""Networks drawn for one that is trained."""
_APART = 1_000
_FIGURES = "calibration.json"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """What is trained: `networks` members of the space from the whole budget, each by the proxy under `seeds`
    seeds, once for `long_epochs`, and once by each of some other proxies.

    Raises InputError for numbers that say nothing.
    """

    networks: int = 12
    seeds: int = 3
    long_epochs: int = 30

    def __post_init__(self) -> None:
        least = {"networks": LEAST, "seeds": 2, "long_epochs": 1}
        for name, value in asdict(self).items():
            if type(value) is not int or value < least[name]:
                raise InputError(
                    f"{name.replace('_', '-')}: {value!r} is not a number of these; it is a whole number, "
                    f"{least[name]} or more"
                )


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Ranking:
    """How a proxy ranks networks as the longer training does: Kendall's tau-b and Spearman's rho, over all
    and in the third that the longer training has as the best."""

    kendall: Interval
    spearman: Interval
    kendall_top: Interval
    spearman_top: Interval


@dataclass(frozen=True)
class ProxyFigures:
    """A proxy: the number of networks that it gave scores of, seconds of one training, and its ranking by one
    score of each network."""

    name: str
    networks: int
    seconds: float
    ranking: Ranking

    @property
    def quality_per_second(self) -> float:
        """Kendall's tau over the seconds of a training."""
        return self.ranking.kendall.value / self.seconds


@dataclass(frozen=True)
class Row:
    """A network with its scores by training: of each seed of the proxy, of one of the others."""

    number: int
    choices: Choices
    cost: Cost
    scores: dict[str, list[float]]
    seconds: dict[str, list[float]]


@dataclass(frozen=True)
class Figures:
    """What a calibration found. `noise`: standard deviation of one score of the proxy over seeds."""

    rows: tuple[Row, ...]
    noise: float
    proxies: tuple[ProxyFigures, ...]
    long_seconds: float

    @property
    def resolvable(self) -> float:
        """The least difference of two scores that is not noise, at 95 %."""
        return 1.96 * math.sqrt(2) * self.noise

    @property
    def proxy(self) -> ProxyFigures:
        """The search's own."""
        return self.proxies[0]

    @property
    def best(self) -> ProxyFigures:
        """The proxy of the most ranking quality per second."""
        return max(self.proxies, key=lambda proxy: proxy.quality_per_second)


@dataclass(frozen=True)
class Calibration:
    """A calibration that is ready to go on: a run folder with a plan in it, and the networks of the plan."""

    search: Search
    plan: Plan
    points: list[Choices]

    @property
    def run(self) -> Run:
        return self.search.run

    @cached_property
    def recipes(self) -> dict[str, Recipe]:
        """The trainings by name: the proxy, the longer one, cheaper and dearer proxies."""
        own = self.search.settings.recipe
        others = {
            "epochs / 2": replace(own, epochs=max(1, own.epochs // 2)),
            "epochs x 2": replace(own, epochs=2 * own.epochs),
            "images / 2": replace(own, fraction=own.fraction / 2),
            "smaller": replace(own, resolution=max(8, 3 * own.resolution // 4)),
        }
        found = {PROXY: own, LONG: replace(own, epochs=self.plan.long_epochs)}
        return found | {
            name: recipe
            for name, recipe in others.items()
            if recipe not in found.values() and self._trains_all(recipe)
        }

    def _trains_all(self, recipe: Recipe) -> bool:
        """Whether every network can be built for a recipe: some need larger images."""
        task = replace(self.search.task, recipe=recipe)
        try:
            for point in self.points:
                task.network(point, self.search.data)
        except InputError:
            return False
        return True

    def jobs(self) -> Jobs:
        """All trainings; those that ended are not repeated."""
        listed = [
            Job(f"network {n}, {name}, seed {seed}", point, name, seed)
            for name in self.recipes
            for seed in self._seeds(name)
            for n, point in enumerate(self.points)
        ]
        return Jobs(self.search.space, listed, storage=self.run.storage, name=self.run.study)

    def go(self, jobs: Jobs, listener: Events) -> None:
        """Train what is still to be trained. Call it while the run is locked."""
        task, own = self.search.task, self.search.settings.recipe
        # seeds of its own for each, as scores that begin with the same weights would agree too well
        tasks = {
            name: replace(
                task,
                recipe=recipe,
                seed=task.seed + _APART * n,
                timeout_s=task.timeout_s and task.timeout_s * recipe.epochs / own.epochs,
            )
            for n, (name, recipe) in enumerate(self.recipes.items())
        }
        epochs = max(recipe.epochs for recipe in self.recipes.values())
        self.search.train(jobs, JobTask(jobs.by_number, tasks), listener, epochs, None)

    def rows(self, jobs: Jobs) -> tuple[Row, ...]:
        """The networks of which the proxy and the longer training gave all scores."""
        results = jobs.results()
        rows = []
        for n, point in enumerate(self.points):
            own = {
                name: [results.get(f"network {n}, {name}, seed {seed}") for seed in self._seeds(name)]
                for name in self.recipes
            }
            whole = {
                name: [r for r in each if r is not None] for name, each in own.items() if None not in each
            }
            if PROXY in whole and LONG in whole:
                scores = {name: [r.score or 0.0 for r in records] for name, records in whole.items()}
                seconds = {name: [r.facts["seconds"] for r in records] for name, records in whole.items()}
                rows.append(Row(n, point, self.search.space.cost(point), scores, seconds))
        return tuple(rows)

    def _seeds(self, name: str) -> range:
        return range(self.plan.seeds if name == PROXY else 1)


def chosen(space: Space, settings: Settings, plan: Plan) -> list[Choices]:
    """The networks of a plan, at equal steps through draws of the budget by MACs.

    Raises InputError where there are not so many.
    """
    rng = np.random.default_rng(settings.seed)
    drawn = space.uniform(settings.budget).sample(rng, _DRAWS * plan.networks)
    ordered = sorted(drawn, key=lambda point: (space.cost(point).macs, repr(point)))
    distinct = list({space.identity(point): point for point in ordered}.values())
    if len(distinct) < plan.networks:
        raise InputError(
            f"networks: {plan.networks} are wanted, and draws found {len(distinct)} inside the budget; ask "
            "for fewer, or widen the budget"
        )
    places = np.linspace(0, len(distinct) - 1, plan.networks).round().astype(int)
    return [distinct[place] for place in places]


def plan_text(plan: Plan) -> str:
    """A plan as `read_plan` reads it."""
    return yaml.safe_dump(asdict(plan), sort_keys=False)


def read_plan(run: Run) -> Plan:
    """The plan of a calibration's folder. Raises InputError for a damaged one."""
    path = run.plan_file
    data = plain_data(read_yaml(read_text(path), str(path)))
    try:
        return Plan(**data)
    except TypeError as error:
        raise InputError(f"{path}: is damaged ({error}); restore the file") from None


def figures(rows: Sequence[Row], seed: int = 0, draws: int = 1_000) -> Figures:
    """The figures of at least four networks; intervals are by the bootstrap over networks, of so many
    `draws` from `seed`."""
    rng = np.random.default_rng(seed)
    names = dict.fromkeys(name for row in rows for name in row.scores if name != LONG)
    proxies = []
    for name in names:
        own = [row for row in rows if name in row.scores]
        if len(own) >= LEAST:
            scores, long = (np.array([row.scores[which] for row in own]) for which in (name, LONG))
            seconds = fmean(s for row in own for s in row.seconds[name])
            proxies.append(ProxyFigures(name, len(own), seconds, _ranking(scores, long[:, 0], rng, draws)))
    noise = math.sqrt(fmean(variance(row.scores[PROXY]) for row in rows))
    return Figures(tuple(rows), noise, tuple(proxies), fmean(row.seconds[LONG][0] for row in rows))


def _ranking(scores: Floats, long: Floats, rng: np.random.Generator, draws: int) -> Ranking:
    """Of `scores` (networks, seeds) against those of the longer training (networks,)."""
    from scipy.stats import kendalltau, spearmanr

    top = np.argsort(-long, kind="stable")[: max(2, math.ceil(len(long) / 3))]

    def interval(statistic: Any, members: NDArray[np.int64]) -> Interval:
        def of(chosen: NDArray[np.int64], seeds: NDArray[np.int64]) -> float:
            one, other = scores[chosen, seeds], long[chosen]
            if len(set(one.tolist())) < 2 or len(set(other.tolist())) < 2:
                return 0.0  # what does not tell networks apart does not rank them
            return float(statistic(one, other).statistic)

        every = [of(members, np.full(len(members), s)) for s in range(scores.shape[1])]
        resampled = []
        for _ in range(draws):
            chosen = rng.choice(members, len(members))
            resampled.append(of(chosen, rng.integers(scores.shape[1], size=len(chosen))))
        low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Interval(fmean(every), float(low), float(high))

    whole = np.arange(len(long))
    return Ranking(
        interval(kendalltau, whole),
        interval(spearmanr, whole),
        interval(kendalltau, top),
        interval(spearmanr, top),
    )


# What is kept of it


def write_figures(calibration: Calibration, found: Figures) -> Path:
    """Write calibration.json, by which searches find it."""
    settings, run = calibration.search.settings, calibration.run
    path = run.path / _FIGURES
    document = {
        "space_sha256": run.document["space_sha256"],
        "dataset": settings.dataset,
        "recipe": asdict(settings.recipe),
        "plan": asdict(calibration.plan),
        "noise": found.noise,
        "resolvable": found.resolvable,
        "long_seconds": found.long_seconds,
        "proxies": [{**asdict(p), "quality_per_second": p.quality_per_second} for p in found.proxies],
        "networks": [asdict(row) for row in found.rows],
    }
    write_atomically(path, json.dumps(document, indent=1, allow_nan=False) + "\n")
    return path


def known_line(run: Run) -> str | None:
    """What a calibration beside a run says of the run's proxy; the last one that was made."""
    settings = run.settings
    if settings.inherit:
        return None  # scores then depend on more than the proxy
    wanted = (run.document["space_sha256"], absolute(settings.dataset), asdict(settings.recipe))
    files = sorted(run.path.parent.glob(f"*/{_FIGURES}"), key=lambda path: -path.stat().st_mtime)
    return next((line for line in (_line(path, wanted) for path in files) if line), None)


def figures_line(path: Path) -> str | None:
    """What the figures in a calibration's folder say, in one line; None where there are none, or damaged."""
    return _line(path / _FIGURES, None)


def _line(path: Path, wanted: tuple[Any, ...] | None) -> str | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        own = (found["space_sha256"], absolute(found["dataset"]), found["recipe"])
        if wanted is not None and own != wanted:
            return None
        tau = found["proxies"][0]["ranking"]["kendall"]
        return (
            f"Calibrated: differences below {found['resolvable']:.4f} are noise; scores rank networks as "
            f"{found['plan']['long_epochs']} epochs do with Kendall's tau {tau['value']:.2f} "
            f"({tau['low']:.2f} to {tau['high']:.2f}). See {path.parent}"
        )
    except (OSError, ValueError, LookupError, TypeError):
        return None  # a damaged one says nothing, and stops no search
