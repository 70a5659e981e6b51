"""What a proxy's scores are worth: what is trained to find it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from nas.data.config import DataConfig
from nas.deadline import TimeIsUp
from nas.errors import InputError, NasError
from nas.execution import keep_ready
from nas.files import read_text
from nas.runs.config import SearchConfig
from nas.runs.folder import RunFolder
from nas.runs.plan import LEAST, CalibrationKey, Plan
from nas.space import Choices, Space
from nas.space.language.source import read_yaml, to_plain_data
from nas.study.ledger import Ledger
from nas.study.queue import FixedQueue, Job, JobEvaluator
from nas.study.storage import close_storage
from nas.training.evaluator import ProxyEvaluator
from nas.training.recipe import Recipe
from nas.workflows.calibration_files import collect_figures, write_figures
from nas.workflows.failures import FirstFailures
from nas.workflows.observer import Observer, Round
from nas.workflows.prepared import prepare
from nas.workflows.proxy_figures import (
    LONG,
    PROXY,
    Figures,
    ScoredNetwork,
    compute_figures,
)
from nas.workflows.session import Session, check_place, reopen, start
from nas.workflows.stops import stoppable

_SAMPLES = 50
"""Networks drawn for one that is trained."""
_APART = 1_000


@dataclass(frozen=True)
class TrainingSettings:
    """How the networks of a calibration are trained in one of its ways."""

    data: DataConfig
    recipe: Recipe


@dataclass(frozen=True)
class CalibrationResult:
    """What a calibration came to. `figures`: None where the time limit was over before all were trained.

    `left_out`: networks of which a training by the proxy, or the longer one, gave no score. `files`: the
    figures, every score, and a plot of the proxy's against those of the longer training.
    """

    session: Session
    plan: Plan
    trainings: Mapping[str, TrainingSettings]
    figures: Figures | None
    left_out: int = 0
    files: tuple[Path, ...] = ()

    def to_data(self) -> dict[str, Any] | None:
        """Return the figures as calibration.json has them, None where there are none."""
        if self.figures is None:
            return None
        return collect_figures(self.session.manifest, self.plan, self.figures)


def calibrate(
    config: SearchConfig,
    plan: Plan | None = None,
    observer: Observer | None = None,
    *,
    plugins: Sequence[Path | str] = (),
    runs: Path | str = "runs",
    name: str | None = None,
) -> CalibrationResult:
    """Measure what the scores of a search's short trainings are worth.

    Trains networks from the whole budget by the proxy under several seeds, longer, and by cheaper and dearer
    proxies. Searches of the same space, data and recipe beside it say what was found.

        >>> import nas
        >>> short = {"max_images": 200, "recipe": {"epochs": 1}, "workers": 0, "in_process": True}
        >>> config = nas.SearchConfig.from_data({"space": "tiny.yaml", **short})
        >>> found = nas.calibrate(config, nas.Plan(networks=4, seeds=2, long_epochs=2))
        >>> 0 <= found.figures.resolvable <= 1  # accuracies that differ by less are not told apart
        True
        >>> [file.name for file in found.files]
        ['calibration.json', 'networks.csv', 'calibration.svg']

    Raises InputError for what cannot be trained, Stopped on Ctrl-C, NasError where too few trainings gave a
    score.
    """
    began = time.monotonic()
    config, plan = SearchConfig.expect(config), Plan.expect(plan or Plan())
    observer = observer or Observer()
    if config.evaluator:
        raise InputError(
            f"evaluator: {config.evaluator} trains by code of a user's own, and a calibration is of the "
            "proxy; leave the evaluator out"
        )
    like = f"calibrate-{Path(config.space).stem}"
    place = partial(check_place, config, Path(runs), name, like)
    with keep_ready(config.executor) as begin:
        prepared = prepare(config, None, plugins, observer, place, begin)
        _ = select_points(prepared.space, config, plan)  # before a folder is made
        session = start(prepared, Path(runs), name, like, {"calibration.yaml": dump_plan(plan)})
        return run_calibration(session, plan, observer, began)


def resume_calibration(
    folder: RunFolder,
    observer: Observer | None = None,
    *,
    changes: Mapping[str, Any] | None = None,
    plugins: Sequence[Path | str] = (),
    repair: bool = False,
) -> CalibrationResult:
    """Go on with a calibration that was stopped."""
    began = time.monotonic()
    plan, observer = read_plan(folder), observer or Observer()
    session = reopen(folder, dict(changes or {}), None, plugins, observer, repair)
    return run_calibration(session, plan, observer, began)


def run_calibration(session: Session, plan: Plan, observer: Observer, began: float) -> CalibrationResult:
    """Train what is still to be trained, and write what was found."""
    points = select_points(session.space, session.config, plan)
    trainings = _list_trainings(session, plan, points)
    seeds = {name: range(plan.seeds if name == PROXY else 1) for name in trainings}
    jobs = [
        Job(CalibrationKey(n, name, seed), session.space, point, name)
        for name in trainings
        for seed in seeds[name]
        for n, point in enumerate(points)
    ]
    with (
        stoppable(session) as stop,
        session.folder.locked(),
        keep_ready(session.config.executor),
        ExitStack() as opened,
    ):
        storage = session.open_storage(observer)
        opened.callback(close_storage, storage)
        ledger = Ledger(storage, session.manifest.study, session.evaluator.metric)
        session.write_changes()
        queue = FixedQueue(jobs, ledger, [FirstFailures(session)], stop.find_end)
        observer.began(session)
        epochs = max(training.recipe.epochs for training in trainings.values())
        evaluator = JobEvaluator(queue.by_number, _make_evaluators(session, trainings))
        observer.round(queue, Round.CALIBRATION, len(jobs), epochs)
        try:
            with stop.timed(session.config.time_limit, began):
                session.executor.run(queue, evaluator, observer)
                if end := queue.given_up:
                    raise end
        except TimeIsUp:
            return CalibrationResult(session, plan, trainings, None)
        rows = _make_rows(session.space, points, queue, seeds)
        if len(rows) < LEAST:
            count = f"{len(rows)} network" + ("" if len(rows) == 1 else "s")
            raise NasError(
                f"{session.folder.path}: {count} gave all scores, and {LEAST} are needed; start a "
                "calibration of more --networks, or of a recipe that trains them"
            )
        found = compute_figures(rows, session.config.seed)
        files = write_figures(session.folder, session.manifest, session.space.name, plan, found)
        return CalibrationResult(session, plan, trainings, found, plan.networks - len(rows), files)


def _list_trainings(session: Session, plan: Plan, points: Sequence[Choices]) -> dict[str, TrainingSettings]:
    """Return the trainings by name: the proxy, the longer one, cheaper and dearer proxies."""
    data, recipe = session.config.data, session.recipe
    own = TrainingSettings(data, recipe)
    others = {
        "epochs / 2": replace(own, recipe=replace(recipe, epochs=max(1, recipe.epochs // 2))),
        "epochs x 2": replace(own, recipe=replace(recipe, epochs=2 * recipe.epochs)),
        "images / 2": replace(own, recipe=replace(recipe, fraction=recipe.fraction / 2)),
        "smaller": replace(own, data=replace(data, resolution=max(8, 3 * data.resolution // 4))),
    }
    found = {PROXY: own, LONG: replace(own, recipe=replace(recipe, epochs=plan.long_epochs))}
    return found | {
        name: training
        for name, training in others.items()
        if training not in found.values() and _can_train_all(session, training, points)
    }


def _expect_proxy(session: Session) -> ProxyEvaluator:
    assert session.proxy is not None, "a calibration is of the proxy"
    return session.proxy


def _can_train_all(session: Session, training: TrainingSettings, points: Sequence[Choices]) -> bool:
    """Return whether every network can be built for a training: some need larger images."""
    evaluator = replace(_expect_proxy(session), recipe=training.recipe, resolution=training.data.resolution)
    try:
        for point in points:
            evaluator.network(point)
    except InputError:
        return False
    return True


def _make_evaluators(
    session: Session, trainings: Mapping[str, TrainingSettings]
) -> dict[str, ProxyEvaluator]:
    """Give each seeds of its own, as scores that begin with the same weights would agree too well."""
    proxy = _expect_proxy(session)
    return {
        name: replace(
            proxy.with_epochs(training.recipe.epochs, proxy.seed + _APART * n),
            recipe=training.recipe,
            resolution=training.data.resolution,
        )
        for n, (name, training) in enumerate(trainings.items())
    }


def _make_rows(
    space: Space, points: Sequence[Choices], queue: FixedQueue, seeds: Mapping[str, range]
) -> tuple[ScoredNetwork, ...]:
    """Return the networks of which the proxy and the longer training gave all scores."""
    results = {key: trial for key, trial in queue.collect_trials().items() if trial.score is not None}
    rows = []
    for n, point in enumerate(points):
        own = {
            name: [results.get(CalibrationKey(n, name, seed)) for seed in every]
            for name, every in seeds.items()
        }
        whole = {name: [t for t in each if t is not None] for name, each in own.items() if None not in each}
        if PROXY in whole and LONG in whole:
            scores = {name: [t.score or 0.0 for t in trials] for name, trials in whole.items()}
            seconds = {name: [t.result.seconds for t in trials] for name, trials in whole.items()}
            rows.append(ScoredNetwork(n, point, space.cost(point), scores, seconds))
    return tuple(rows)


def select_points(space: Space, config: SearchConfig, plan: Plan) -> list[Choices]:
    """Return the networks of a plan, at equal steps through samples of the budget by MACs.

    Raises InputError where there are not so many.
    """
    rng = np.random.default_rng(config.seed)
    drawn = space.uniform(config.budget).sample(rng, _SAMPLES * plan.networks)
    ordered = sorted(drawn, key=lambda point: (space.cost(point).macs, repr(point)))
    distinct = list({space.identity(point): point for point in ordered}.values())
    if len(distinct) < plan.networks:
        raise InputError(
            f"networks: {plan.networks} are wanted, and samples found {len(distinct)} inside the budget; ask "
            "for fewer, or widen the budget"
        )
    places = np.linspace(0, len(distinct) - 1, plan.networks).round().astype(int)
    return [distinct[place] for place in places]


def dump_plan(plan: Plan) -> str:
    """Return a plan as `read_plan` reads it."""
    return yaml.safe_dump(plan.to_data(), sort_keys=False)


def read_plan(folder: RunFolder) -> Plan:
    """Return the plan of a calibration's folder. Raises InputError for a damaged one."""
    path = folder.plan_file
    text = read_text(path)
    try:
        return Plan.from_data(to_plain_data(read_yaml(text, str(path))), str(path))
    except InputError as error:
        raise InputError(f"{error}; restore the file, or start a new calibration") from None
