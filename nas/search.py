"""A search from settings to results: the one place where all parts meet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.cost import Budget, format_count, parse_count
from nas.errors import InputError
from nas.files import write_atomically
from nas.local import Events, Progress, run_local
from nas.plugins import Plugin, load_plugins
from nas.proxy import datasets
from nas.proxy.recipe import Recipe
from nas.records import Candidate, Record, read_records
from nas.runs import DataCard, Run
from nas.samplers import find_sampler
from nas.scaling import PUBLISHED, scaled
from nas.settings import Settings
from nas.space import Choices, Space, SpaceError, load_space
from nas.space.library import find_space
from nas.space.source import read_text
from nas.starts import find_starts
from nas.study import Study

if TYPE_CHECKING:
    from nas.proxy.datasets import ImageData
    from nas.proxy.training import Training

_LARGEST_SEED = 2**31


@dataclass(frozen=True)
class ProxyTask:
    """Builds the proxy training of a point: the same network for the data's channels, size and classes.

    Where the space leaves the input size open, a point trains at the recipe's resolution in proportion to
    its own. It travels to the workers, so it holds no data, and the plugins whose blocks they need.
    """

    space: Space
    recipe: Recipe
    seed: int
    device: str
    plugins: tuple[Plugin, ...] = ()

    def __call__(self, choices: Choices, number: int, data: ImageData) -> Training:
        import torch

        from nas.module import build_module
        from nas.proxy.training import Training, seed_everything

        load_plugins(self.plugins)
        seed = (self.seed * 1_000_003 + number) % _LARGEST_SEED
        resolved = self.space.resolve(choices)
        resolution = proxy_resolution(max(self.space.input_sizes), max(resolved.input[1:]), self.recipe)
        images = datasets.resized(data, resolution)
        seed_everything(seed)
        network = resolved.adapted(data.channels, resolution, data.num_classes).architecture()
        module = build_module(network)
        if self.device == "cuda":
            torch.cuda.empty_cache()
        return Training(module, images, self.recipe, seed=seed, device=self.device)


def proxy_resolution(largest: int, size: int, recipe: Recipe) -> int:
    """Side of the proxy's images for a network of input `size`: the recipe's for the largest of its space."""
    return max(1, round(recipe.resolution * size / largest))


class Keeper(Events):
    """Writes to the run folder what trials bring, and passes every event on."""

    def __init__(self, search: Search, study: Study, listener: Events) -> None:
        self._search = search
        self._run = search.run
        self._study = study
        self._listener = listener
        self._keep = search.settings.keep
        self._best: Record | None = None

    def dashboard(self, url: str) -> None:
        self._listener.dashboard(url)

    def started(self, candidate: Candidate) -> None:
        self._listener.started(candidate)

    def epoch(self, candidate: Candidate, progress: Progress) -> None:
        self._listener.epoch(candidate, progress)

    def weights(self, candidate: Candidate, score: float, weights: bytes) -> None:
        kept = self._study.best(self._keep)
        if len(kept) < self._keep or score >= (kept[-1].score or 0):
            write_atomically(self._run.weights_file(candidate.number), weights)

    def finished(self, candidate: Candidate) -> None:
        self.tidy()
        self._listener.finished(candidate)

    def tidy(self) -> None:
        """Bring best.yaml and weights/ in line with the study."""
        kept = self._study.best(self._keep)
        files = {self._run.weights_file(r.candidate.number) for r in kept}
        for file in self._run.weights_file(0).parent.iterdir():
            if file not in files:
                file.unlink()
        if kept and kept[0] != self._best:
            self._best = kept[0]
            facts: dict[str, Any] = {"dataset": self._search.settings.dataset}
            if self._search.plugins:
                facts["plugins"] = [plugin.name for plugin in self._search.plugins]
            self._run.write_best(self._search.space, kept[0], facts)


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
        keeper = Keeper(self, study, listener)
        keeper.tidy()
        try:
            self._train(study, keeper)
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
            name=self.run.name,
            starts=self.run.starts,
        )

    def _train(self, study: Study, keeper: Keeper) -> None:
        settings = self.settings
        gpus = _gpus(settings)
        device = "cuda" if gpus else "cpu"
        task = ProxyTask(self.space, settings.recipe, settings.seed, device, self.plugins)
        if settings.workers == 0:
            import torch

            torch.set_num_threads(settings.cpus_per_trial)
            run_local(study, task, self.data, keeper)
            return
        from nas import cluster

        resources = cluster.Resources(
            cpus_per_trial=settings.cpus_per_trial,
            gpus_per_trial=gpus,
            concurrency=settings.workers,
            scheduler=settings.scheduler,
            address=settings.address,
        )
        cluster.run(study, task, self.data, keeper, resources, epochs=settings.recipe.epochs)


def start(settings: Settings, path: Path, plugins: tuple[Plugin, ...] = ()) -> Search:
    """A new run at `path`, checked before anything is written. `plugins` are those that are loaded.

    Raises InputError for whatever would stop the search later.
    """
    find_sampler(settings.sampler)
    file = find_space(settings.space)
    space = load_space(file)
    check_budget(space, settings.budget)
    check_scale(space, settings.steps)
    _check_starts(space, settings)
    _check_address(settings)
    data = load_data(space, settings)
    space = replace(space, classes=max(space.classes, data.num_classes))
    check_budget(space, settings.budget)
    starts = find_starts(settings.start, space, settings.budget)
    if settings.storage and read_records(settings.storage, path.name):
        raise InputError(
            f"storage '{settings.storage}': has a study '{path.name}' already; choose another --name"
        )
    card, device = DataCard.of(data), _device_name(settings)
    run = Run.create(path, settings, read_text(file), card, device, starts=starts, plugins=plugins)
    return Search(run, settings, run.space, data, plugins)


def resume(run: Run, settings: Settings, plugins: tuple[Plugin, ...] = ()) -> Search:
    """A run to go on with. `plugins` are those of the run, loaded."""
    _check_address(settings)
    space = run.space
    return Search(run, settings, space, load_data(space, settings), plugins)


def load_data(space: Space, settings: Settings) -> ImageData:
    """The data of a search; the space's networks must be buildable at its size."""
    recipe = settings.recipe
    data = datasets.load(
        settings.dataset,
        resolution=recipe.resolution,
        seed=settings.seed,
        val_fraction=recipe.val_fraction,
        max_images=recipe.max_images,
    )
    resolved = space.resolve(space.smallest())
    resolution = proxy_resolution(max(space.input_sizes), max(resolved.input[1:]), recipe)
    try:
        resolved.adapted(data.channels, resolution, data.num_classes).architecture()
    except SpaceError as error:
        raise InputError(
            f"{error}. That is at the proxy's resolution of {resolution} x {resolution}; raise --resolution"
        ) from None
    return data


def check_budget(space: Space, budget: Budget) -> None:
    """Raises InputError where no network of the space is inside the budget."""
    extent = space.extent
    rows = (
        ("MACs", "flops", budget.macs, extent.smallest_cost.macs, extent.largest_cost.macs),
        ("parameters", "params", budget.params, extent.fewest_params, extent.most_params),
    )
    for what, flag, interval, least, most in rows:
        if interval.high is not None and interval.high < least:
            point = ", ".join(f"{k}: {v}" for k, v in sorted(extent.smallest.items()))
            given = f"; choices that give the least MACs: {point}" if flag == "flops" else ""
            raise InputError(
                f"--budget-{flag}: {interval.high:,} {what} is below the smallest network of "
                f"'{space.name}', {least:,}; the largest has {most:,}. "
                f"Allow at least {format_count_up(least)}{given}"
            )
        if interval.low > most:
            raise InputError(
                f"--budget-{flag}: {interval.low:,} {what} is above the largest network of "
                f"'{space.name}', {most:,}; the smallest has {least:,}. "
                f"Ask for at most {format_count_down(most)}"
            )


def check_scale(space: Space, steps: range) -> None:
    """Raises InputError where the networks of a space cannot be scaled at these steps."""
    for step in steps:
        try:
            scaled(space.resolve(space.smallest()), PUBLISHED[step])
        except InputError as error:
            raise InputError(f"--scale: {error}") from None


def format_count_up(value: int) -> str:
    """A short count that is at least the value: `62.4M` for 62,357,120 and never 62.3M."""
    text = format_count(value)
    return text if parse_count(text) >= value else f"{value:,}"


def format_count_down(value: int) -> str:
    """A short count that is at most the value: `1.02G` for 1,020,588,384 and never 1.03G."""
    text = format_count(value)
    return text if parse_count(text) <= value else f"{value:,}"


def _check_starts(space: Space, settings: Settings) -> None:
    """What can be known of the starts before the data are read."""
    starts = find_starts(settings.start, space, settings.budget)
    if len(starts) > settings.trials:
        raise InputError(
            f"--start: {len(starts)} networks are to be tried first, but --trials is {settings.trials}; "
            "raise it, or leave some out"
        )


def _check_address(settings: Settings) -> None:
    if settings.address is not None and settings.workers != 0:
        from nas.address import check_address

        check_address(settings.address)


def _gpus(settings: Settings) -> float:
    if settings.gpus_per_trial is not None:
        return settings.gpus_per_trial
    import torch

    return 1.0 if torch.cuda.is_available() else 0.0


def _device_name(settings: Settings) -> str:
    import torch

    return torch.cuda.get_device_name(0) if _gpus(settings) and torch.cuda.is_available() else "cpu"
