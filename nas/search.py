"""A search from settings to results: the one place where all parts meet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.cost import Budget, Interval, format_count, parse_count
from nas.errors import InputError
from nas.files import write_atomically
from nas.ledger import located
from nas.local import Events, Progress, run_local
from nas.ops.base import size_text
from nas.plugins import Plugin, load_plugins
from nas.proxy import datasets
from nas.proxy.card import DataCard
from nas.proxy.recipe import Recipe
from nas.records import Candidate, Record, read_records
from nas.runs import Run
from nas.samplers import MULTI_OBJECTIVE, find_sampler
from nas.scaling import PUBLISHED
from nas.settings import Settings
from nas.space import Choices, Space, SpaceError, load_space
from nas.space.library import find_space
from nas.space.scale import scaled
from nas.starts import find_starts
from nas.study import Study

if TYPE_CHECKING:
    from nas.graph import Architecture
    from nas.proxy.datasets import ImageData
    from nas.proxy.training import Training
    from nas.space.points import Measure

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
    timeout_s: float | None = None
    plugins: tuple[Plugin, ...] = ()

    def __call__(self, choices: Choices, number: int, data: ImageData) -> Training:
        import torch

        from nas.module import build_module
        from nas.proxy.training import Training, seed_everything

        load_plugins(self.plugins)
        seed = (self.seed * 1_000_003 + number) % _LARGEST_SEED
        network = self.network(choices, data)
        images = datasets.resized(data, network.input_shape[1])
        seed_everything(seed)
        module = build_module(network)
        if self.device == "cuda":
            torch.cuda.empty_cache()
        return Training(module, images, self.recipe, seed=seed, device=self.device, timeout_s=self.timeout_s)

    def network(self, choices: Choices, data: ImageData) -> Architecture:
        """What is trained for a point.

        Raises InputError where it cannot be built, or does not give one value for each class.
        """
        resolved = self.space.resolve(choices)
        resolution = proxy_resolution(max(self.space.input_sizes), max(resolved.input[1:]), self.recipe)
        network = resolved.adapted(data.channels, resolution, data.num_classes).architecture()
        shape = network.nodes[-1].shape
        if shape != (data.num_classes,):
            raise InputError(
                f"{self.space.file}: a network of '{self.space.name}' gives {size_text(shape)} values, and "
                f"there are {data.num_classes} classes; end it with 'classifier'"
            )
        return network


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
        reward = self._search.settings.aim.reward
        if len(kept) < self._keep or (
            reward(score, candidate.cost) >= reward(kept[-1].score or 0, kept[-1].candidate.cost)
        ):
            write_atomically(self._run.weights_file(candidate.number), weights)

    def finished(self, candidate: Candidate) -> None:
        self.tidy()
        self._listener.finished(candidate)

    def tidy(self) -> None:
        """Bring best.yaml and weights/ in line with the study."""
        kept = self._study.best(self._keep)
        files = {self._run.weights_file(r.candidate.number) for r in kept}
        for file in set(self._run.weights()) - files:
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
        self.run.weights_file(0).parent.mkdir(exist_ok=True)
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
            name=self.run.study,
            starts=self.run.starts,
            objective=self.settings.aim,
            try_out=lambda choices: self._task.network(choices, self.data),
        )

    @property
    def _task(self) -> ProxyTask:
        settings = self.settings
        device = "cuda" if _gpus(settings) else "cpu"
        return ProxyTask(
            self.space, settings.recipe, settings.seed, device, settings.trial_timeout, self.plugins
        )

    def _train(self, study: Study, keeper: Keeper) -> None:
        settings = self.settings
        if settings.workers == 0:
            import torch

            torch.set_num_threads(settings.cpus_per_trial)
            run_local(study, self._task, self.data, keeper)
            return
        from nas import cluster

        resources = cluster.Resources(
            cpus_per_trial=settings.cpus_per_trial,
            gpus_per_trial=_gpus(settings),
            concurrency=settings.workers,
            scheduler=settings.scheduler,
            address=settings.address,
        )
        cluster.run(study, self._task, self.data, keeper, resources, epochs=settings.recipe.epochs)


def start(settings: Settings, path: Path, plugins: tuple[Plugin, ...] = ()) -> Search:
    """A new run at `path`, checked before anything is written. `plugins` are those that are loaded.

    Raises InputError for whatever would stop the search later.
    """
    _check_sampler(settings)
    space = load_space(find_space(settings.space))
    check_budget(space, settings.budget)
    check_scale(space, settings.steps)
    _check_starts(space, settings)
    _check_machine(settings)
    data = load_data(space, settings)
    counted = space.counted_with(data.channels, data.num_classes)
    check_budget(counted, settings.budget)
    starts = find_starts(settings.start, counted, settings.budget)
    if settings.storage:
        settings = replace(settings, storage=located(settings.storage))
        if read_records(settings.storage or "", path.name):
            raise InputError(
                f"storage '{settings.storage}': has a study '{path.name}' already; choose another --name"
            )
    card, device = DataCard.of(data), _device_name(settings)
    run = Run.create(path, settings, space, card, device, starts=starts, plugins=plugins)
    return Search(run, settings, run.space, data, plugins)


def resume(run: Run, settings: Settings, plugins: tuple[Plugin, ...] = ()) -> Search:
    """A run to go on with; `plugins` are those of the run, loaded.

    Raises InputError where its trials and its data do not go on with it.
    """
    _check_machine(settings)
    ended = len(run.records())
    if settings.trials < ended:
        raise InputError(f"--trials: {run.path} has {ended} trials already; give more than that to go on")
    data = load_data(run.space, settings)
    change = DataCard.of(data).change(run.data)
    if change:
        raise InputError(
            f"data set '{settings.dataset}' has changed since the search began: {change}; restore it, or "
            "start a new run"
        )
    return Search(run, settings, run.space, data, plugins)


def load_data(space: Space, settings: Settings) -> ImageData:
    """The data of a search; the space's smallest network must train on it."""
    recipe = settings.recipe
    data = datasets.load(
        settings.dataset,
        resolution=recipe.resolution,
        seed=settings.seed,
        val_fraction=recipe.val_fraction,
        max_images=recipe.max_images,
        max_broken=recipe.max_broken,
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


def check_budget(space: Space, budget: Budget) -> None:
    """Raises InputError where no network of the space is inside the budget."""
    extent = space.extent
    rows = (
        ("MACs", "flops", budget.macs, extent.smallest, extent.smallest_cost.macs, extent.largest_cost.macs),
        ("parameters", "params", budget.params, extent.fewest, extent.fewest_params, extent.most_params),
    )
    for what, flag, interval, smallest, least, most in rows:
        if interval.high is not None and interval.high < least:
            point = ", ".join(f"{k}: {v}" for k, v in sorted(smallest.items())) or "none"
            raise InputError(
                f"--budget-{flag}: {interval.high:,} {what} is below the smallest network of "
                f"'{space.name}', {least:,}; the largest has {most:,}. "
                f"Allow at least {format_count_up(least)}; choices that give the least {what}: {point}"
            )
        if interval.low > most:
            raise InputError(
                f"--budget-{flag}: {interval.low:,} {what} is above the largest network of "
                f"'{space.name}', {most:,}; the smallest has {least:,}. "
                f"Ask for at most {format_count_down(most)}"
            )
    _check_band(space, budget)


def _check_band(space: Space, budget: Budget) -> None:
    """Raises InputError where it is known that a band is empty though costs lie on both sides of it."""
    import numpy as np

    from nas.space.counting import gap_around

    is_band = budget.macs.low or budget.params.low
    if not is_band or space.uniform(budget).draw(np.random.default_rng(0), 1):
        return
    rows: tuple[tuple[str, str, Interval, Measure], ...] = (
        ("MACs", "flops", budget.macs, lambda cost: cost.macs),
        ("parameters", "params", budget.params, lambda cost: cost.params),
    )
    for what, flag, interval, measure in rows:
        gap = gap_around(space.points, measure, interval) if interval != Interval() else None
        if gap:
            below, above = gap
            raise InputError(
                f"--budget-{flag}: no network of '{space.name}' has {interval.low:,} to {interval.high:,} "
                f"{what}; the nearest have {below:,} and {above:,}"
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


def _check_sampler(settings: Settings) -> None:
    """Raises InputError for an unknown sampler, and for one that does not take the objectives."""
    find_sampler(settings.sampler)
    if not settings.aim.is_single and settings.sampler not in MULTI_OBJECTIVE:
        raise InputError(
            f"--objective {settings.objective}: has {1 + len(settings.aim.costs)} objectives, and sampler "
            f"'{settings.sampler}' takes one; choose --sampler {' or '.join(MULTI_OBJECTIVE)}, or a reward "
            "such as accuracy*(flops/400M)^-0.07"
        )


def _check_starts(space: Space, settings: Settings) -> None:
    """What can be known of the starts before the data are read."""
    starts = find_starts(settings.start, space, settings.budget)
    if len(starts) > settings.trials:
        raise InputError(
            f"--start: {len(starts)} networks are to be tried first, but --trials is {settings.trials}; "
            "raise it, or leave some out"
        )


def _check_machine(settings: Settings) -> None:
    """Raises InputError where what trials are to run on is not there."""
    if settings.workers != 0:
        from nas.address import check_address

        check_address(settings.address)
    elif settings.gpus_per_trial:
        import torch

        if not torch.cuda.is_available():
            raise InputError(
                f"gpus-per-trial: {settings.gpus_per_trial:g}, but torch finds no GPU on this machine; "
                "leave it out, or join a cluster with GPUs by --address"
            )


def _gpus(settings: Settings) -> float:
    if settings.gpus_per_trial is not None:
        return settings.gpus_per_trial
    import torch

    return 1.0 if torch.cuda.is_available() else 0.0


def _device_name(settings: Settings) -> str:
    import torch

    return torch.cuda.get_device_name(0) if _gpus(settings) and torch.cuda.is_available() else "cpu"
