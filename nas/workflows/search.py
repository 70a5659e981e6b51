"""A search from settings to results: the one place where all parts meet."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.data import datasets
from nas.data.card import DataCard
from nas.data.functions import is_function
from nas.data.images import Decoding, silent
from nas.data.kept import read_data, write_data
from nas.errors import InputError
from nas.execution.local import Events, Relay, run_local
from nas.files import write_atomically
from nas.runs.config import Settings
from nas.runs.folder import Run, Start
from nas.samplers import find_sampler
from nas.space import Choices, Space, SpaceError, load_space
from nas.space.library import find_space
from nas.space.plugins import Plugin
from nas.study.ledger import Trials
from nas.study.queue import Jobs, JobTask
from nas.study.records import Candidate, Record, best_of, read_records
from nas.study.storage import located
from nas.study.study import Screen, Study
from nas.training.base import MakeTraining, Parent
from nas.training.evaluator import ProxyTask
from nas.workflows.checks import check_budget, check_machine, check_sampler, check_scale, check_starts
from nas.workflows.finals import TASK, final_jobs, final_weights, finals_name, spare_weights, winner
from nas.workflows.warm_start import find_starts

_FRESH = 500_000
"""Added to the seed of a search for its long trainings."""

if TYPE_CHECKING:
    from nas.data.datasets import ImageData


class Keeper(Relay):
    """Writes to the run folder what trials bring, and passes every event on."""

    def __init__(self, search: Search, study: Study, listener: Events) -> None:
        super().__init__(listener)
        self._search = search
        self._run = search.run
        self._study = study
        self._keep = search.settings.keep
        self._best: Record | None = None

    def parent(self, candidate: Candidate) -> Parent | None:
        """Of the trials with kept weights, the one with the most equal choices; among equals the better."""
        if not self._search.settings.inherit:
            return None
        kept = [record.candidate for record in self._study.best(self._keep)]
        for other in sorted(kept, key=lambda other: -_equal_choices(other, candidate)):
            with suppress(OSError):  # someone took the file away
                weights = self._run.weights_file(other.number).read_bytes()
                return Parent(other.number, other.choices, weights)
        return None

    def weights(self, candidate: Candidate, score: float, weights: bytes) -> None:
        kept = self._study.best(self._keep)
        reward = self._search.settings.aim.reward
        if len(kept) < self._keep or (
            reward(score, candidate.cost) >= reward(kept[-1].score or 0, kept[-1].candidate.cost)
        ):
            write_atomically(self._run.weights_file(candidate.number), weights)

    def finished(self, candidate: Candidate) -> None:
        self.tidy()
        super().finished(candidate)

    def tidy(self) -> None:
        """Bring best.yaml and weights/ in line with the study."""
        kept = self._study.best(self._keep)
        files = {self._run.weights_file(r.candidate.number) for r in kept}
        for file in set(self._run.weights()) - files:
            file.unlink()
        if kept and kept[0] != self._best:
            self._best = kept[0]
            self._search.name_best(kept)


class FinalsKeeper(Relay):
    """Writes the weights of long trainings to the run folder, and passes every event on."""

    def __init__(self, run: Run, listener: Events) -> None:
        super().__init__(listener)
        self._run = run

    def weights(self, candidate: Candidate, score: float, weights: bytes) -> None:
        write_atomically(final_weights(self._run, candidate.number), weights)


def _equal_choices(one: Candidate, other: Candidate) -> int:
    return sum(name in other.choices and other.choices[name] == o for name, o in one.choices.items())


KEPT_DATA = "data.npz"
"""The images of a run whose data set is a function."""


@dataclass(frozen=True)
class Search:
    """A search that is ready to go on: its folder, settings, space, data and plugins."""

    run: Run
    settings: Settings
    space: Space
    data: ImageData
    plugins: tuple[Plugin, ...] = ()

    def go(self, study: Study, listener: Events) -> None:
        """Train what is still to be trained, and write the results.

        Call it while the run is locked. On KeyboardInterrupt the tables are written too.
        """
        self.run.write_settings(self.settings)
        self.run.weights_file(0).parent.mkdir(exist_ok=True)
        keeper = Keeper(self, study, listener)
        keeper.tidy()
        try:
            self.train(study, self.task, keeper, self.settings.recipe.epochs, self.settings.scheduler)
        finally:
            self.run.write_tables(study.records())

    def study(self) -> Study:
        """The study of this run; open it while the run is locked, since opening repairs a torn journal."""
        return Study(
            self.space,
            self.settings.budget,
            trials=self.settings.trials,
            sampler=find_sampler(self.settings.sampler),
            seed=self.settings.seed,
            storage=self.run.storage,
            name=self.run.study,
            starts=self.run.starts,
            objective=self.settings.aim,
            try_out=lambda choices: self.task.network(choices, self.data),
            screen=self._screen,
        )

    @property
    def _screen(self) -> Screen | None:
        if self.settings.screen is None:
            return None
        from nas.workflows.prescreen import Prescreen

        return Prescreen(*self.settings.screen, replace(self.task, device="cpu"), self.data)

    @property
    def task(self) -> ProxyTask:
        """The proxy training of a point."""
        return proxy_task(self.space, self.settings, self.plugins)

    def finals(self, jobs: Jobs, listener: Events) -> None:
        """Train the best networks longer, as far as they were not, and name the winner in best.yaml.

        Call it while the run is locked, after `go`, with what `final_jobs` gave.
        """
        settings = self.settings
        longer = settings.final_epochs / settings.recipe.epochs
        timeout = settings.trial_timeout and longer * settings.trial_timeout
        recipe = replace(settings.recipe, epochs=settings.final_epochs)
        task = replace(self.task, recipe=recipe, seed=settings.seed + _FRESH, timeout_s=timeout)
        keeper = FinalsKeeper(self.run, listener)
        self.train(jobs, JobTask(jobs.by_number, {TASK: task}), keeper, settings.final_epochs, None)
        for file in spare_weights(self.run):
            file.unlink(missing_ok=True)
        self.name_best(best_of(self.run.records(), 1, settings.aim))

    def name_best(self, best: Sequence[Record]) -> None:
        """Write best.yaml: the winner of the finalists where there is one, else the first of `best`."""
        first = winner(self.run)
        facts: dict[str, Any] = {"dataset": self.settings.dataset}
        if self.plugins:
            facts["plugins"] = [plugin.name for plugin in self.plugins]
        if first is not None:
            facts |= {
                "final_score": first.mean,
                "final_scores": first.scores,
                "final_epochs": self.settings.final_epochs,
            }
            self.run.write_best(self.space, first.record, facts)
        elif best:
            self.run.write_best(self.space, best[0], facts)

    def final_jobs(self) -> Jobs:
        """The long trainings that are still to be done."""
        run = self.run
        return Jobs(self.space, final_jobs(run), storage=run.storage, name=finals_name(run.study))

    def train(
        self, trials: Trials, task: MakeTraining, events: Events, epochs: int, scheduler: str | None
    ) -> None:
        """Train what `trials` ask for, on Ray or in this process. `epochs`: of the longest training."""
        settings = self.settings
        if settings.workers == 0 or settings.screen:  # what trains or scores in this process
            import torch

            torch.set_num_threads(settings.cpus_per_trial)
        if settings.workers == 0:
            run_local(trials, task, self.data, events)
            return
        from nas.execution import ray_executor as cluster

        resources = cluster.Resources(
            cpus_per_trial=settings.cpus_per_trial,
            gpus_per_trial=_gpus(settings),
            concurrency=settings.workers,
            scheduler=scheduler,
            address=settings.address,
        )
        cluster.run(trials, task, self.data, events, resources, epochs=epochs)


@dataclass(frozen=True)
class Prepared:
    """What a search is of, checked: nothing is written yet. `space` is counted with the data's classes."""

    settings: Settings
    space: Space
    data: ImageData
    starts: Sequence[Start]
    plugins: tuple[Plugin, ...] = ()

    @property
    def task(self) -> ProxyTask:
        """The proxy training of a point."""
        return proxy_task(self.space, self.settings, self.plugins)


def prepare(settings: Settings, plugins: tuple[Plugin, ...] = (), progress: Decoding = silent) -> Prepared:
    """Check what would stop a search later, and read its data.

    `plugins` are those that are loaded; `progress` is told of images that are decoded. Raises InputError.
    """
    check_sampler(settings)
    space = load_space(find_space(settings.space))
    check_budget(space, settings.budget)
    check_scale(space, settings.steps)
    check_starts(space, settings)
    check_machine(settings)
    data = load_data(space, settings, progress)
    counted = space.counted_with(data.channels, data.num_classes)
    check_budget(counted, settings.budget)
    starts = find_starts(settings.start, counted, settings.budget)
    return Prepared(settings, counted, data, starts, plugins)


def start(prepared: Prepared, path: Path, plan: str | None = None) -> Search:
    """A new run at `path`, of a calibration where there is a plan.

    Raises InputError where it cannot be made, RunExists where there is one.
    """
    settings, data = prepared.settings, prepared.data
    if settings.storage:
        settings = replace(settings, storage=located(settings.storage))
        for name in (path.name, finals_name(path.name)):
            if read_records(settings.storage or "", name):
                raise InputError(
                    f"storage '{settings.storage}': has a study '{name}' already; choose another --name"
                )
    space = load_space(find_space(settings.space))
    card, device = DataCard.of(data), _device_name(settings)
    plugins = prepared.plugins
    run = Run.create(path, settings, space, card, device, starts=prepared.starts, plugins=plugins, plan=plan)
    if is_function(settings.dataset):
        write_data(run.path / KEPT_DATA, data)
    if data.broken:
        write_atomically(run.path / "broken.txt", "".join(f"{why}\n" for why in data.broken))
    return Search(run, settings, run.space, data, plugins)


def resume(
    run: Run, settings: Settings, plugins: tuple[Plugin, ...] = (), progress: Decoding = silent
) -> Search:
    """A run to go on with; `plugins` are those of the run, loaded. `progress` as for `start`.

    Raises InputError where its trials and its data do not go on with it.
    """
    check_machine(settings)
    ended = len(run.records())
    if settings.trials < ended and not run.is_calibration:
        raise InputError(f"--trials: {run.path} has {ended} trials already; give more than that to go on")
    # a function's file is run where someone names it, and nowhere else
    kept = is_function(settings.dataset)
    data = read_data(run.path / KEPT_DATA) if kept else load_data(run.space, settings, progress)
    change = DataCard.of(data).change(run.data)
    if change:
        raise InputError(
            f"data set '{settings.dataset}' has changed since the search began: {change}; restore it, or "
            "start a new run"
        )
    return Search(run, settings, run.space, data, plugins)


def load_data(space: Space, settings: Settings, progress: Decoding = silent) -> ImageData:
    """The data of a search; the space's smallest network must train on it."""
    recipe = settings.recipe
    data = datasets.load(
        settings.dataset,
        resolution=recipe.resolution,
        seed=settings.seed,
        val_fraction=recipe.val_fraction,
        max_images=recipe.max_images,
        max_broken=recipe.max_broken,
        folds=recipe.folds,
        progress=progress,
    )
    smallest = space.smallest()
    try:
        ProxyTask(space, recipe, settings.seed, "cpu").network(smallest, data)
    except SpaceError as error:
        if not _builds(space, smallest, data):
            raise
        size = f"{recipe.resolution} x {recipe.resolution}"
        raise InputError(
            f"{error}. That is at the proxy's resolution of {size}; raise --resolution"
        ) from None
    return data


def _builds(space: Space, choices: Choices, data: ImageData) -> bool:
    """Whether a network can be built for the data at the space's own input size."""
    try:
        space.resolve(choices).for_data(data.channels, data.num_classes).architecture()
    except SpaceError:
        return False
    return True


def proxy_task(space: Space, settings: Settings, plugins: tuple[Plugin, ...]) -> ProxyTask:
    """The proxy training of a point of a space."""
    device = _device(settings)
    return ProxyTask(space, settings.recipe, settings.seed, device, settings.trial_timeout, plugins)


def _gpus(settings: Settings) -> float:
    if settings.gpus_per_trial is not None:
        return settings.gpus_per_trial
    import torch

    return 1.0 if torch.cuda.is_available() else 0.0


def _device(settings: Settings) -> str:
    """Where trials train, as torch names it. An Apple GPU, of which Ray does not know, all of them share."""
    import torch

    if _gpus(settings):
        return "cuda"
    apple = settings.gpus_per_trial is None and settings.address == "local"
    return "mps" if apple and torch.backends.mps.is_available() else "cpu"


def _device_name(settings: Settings) -> str:
    import torch

    device = _device(settings)
    return torch.cuda.get_device_name(0) if device == "cuda" and torch.cuda.is_available() else device
