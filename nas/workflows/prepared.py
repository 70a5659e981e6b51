"""What a search or a calibration is of, checked, with its data read: nothing is written yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nas.data import datasets
from nas.data.card import DataCard
from nas.data.catalogue import BUILT_IN
from nas.data.config import DataConfig
from nas.data.functions import is_function
from nas.data.sources import check_known
from nas.data.traits import describe_renewed
from nas.errors import InputError
from nas.importing import read_file
from nas.loggers import check_loggers
from nas.runs.config import SearchConfig, check_used
from nas.runs.counted import Counted
from nas.runs.manifest import WarmStart
from nas.settings import User
from nas.space import Choices, Space, SpaceError, load_space
from nas.space.fit import Fitted, fit_input
from nas.space.library import find_space
from nas.space.plugins import load_plugins, read_plugins
from nas.study.objective import Objective
from nas.training.base import Evaluator
from nas.training.custom import CustomEvaluator
from nas.training.evaluator import ProxyEvaluator
from nas.training.timed import TimedEvaluator
from nas.workflows.checks import (
    check_budget,
    check_ends,
    check_evaluator,
    check_gpus,
    check_machine,
    check_objective,
    check_rank,
    check_sampler,
    check_scale,
    check_warm_start,
    describe_large_batch,
    describe_shared_gpu,
    describe_small_maps,
)
from nas.workflows.hardware import check_cluster, find_device
from nas.workflows.limited import check_latency, load_table
from nas.workflows.observer import Observer
from nas.workflows.warm_start import find_warm_start

if TYPE_CHECKING:
    from nas.data.datasets import ImageData
    from nas.importing import SourceFile
    from nas.latency.table import LatencyTable
    from nas.space.plugins import Plugin
    from nas.training.recipe import Recipe


def do_nothing() -> None:
    """Begin nothing meanwhile."""


@dataclass(frozen=True)
class Prepared:
    """What a search is of, checked: nothing is written yet.

    `space` is as it is counted. `data`: None where a user's evaluator has its own. `plugins` and
    `evaluator_file`: the user's files. `table`: of latencies, where one is used that the run has not yet.
    """

    config: SearchConfig
    space: Space
    evaluator: Evaluator
    data: ImageData | None
    warm_start: Sequence[WarmStart] = ()
    plugins: tuple[Plugin, ...] = ()
    evaluator_file: SourceFile | None = None
    table: LatencyTable | None = None

    @property
    def objective(self) -> Objective:
        """What is maximised, or minimised."""
        return replace(self.config.objective, metric=self.evaluator.metric)

    @property
    def recipe(self) -> Recipe:
        """What trials are trained by: the config's recipe, where the proxy trains fitted to its data."""
        return self.proxy.recipe if self.proxy else self.config.recipe

    @property
    def proxy(self) -> ProxyEvaluator | None:
        """The evaluator, where it is the proxy training of an image classifier."""
        return self.evaluator if isinstance(self.evaluator, ProxyEvaluator) else None

    def try_out(self, choices: Choices) -> None:
        """Raise InputError where what is trained at a point cannot be built. An evaluator of a user's own
        trains the network that is counted, which can."""
        if self.proxy:
            self.proxy.network(choices)


def prepare(
    config: SearchConfig,
    evaluator: Evaluator | None = None,
    plugins: Sequence[Path | str] = (),
    observer: Observer | None = None,
    before_data: Callable[[], None] = do_nothing,
    meanwhile: Callable[[], None] = do_nothing,
) -> Prepared:
    """Check what would stop a search later, `before_data` in the end, and read its data.

    `evaluator`: what trains, in place of the configured one. `plugins`: files of blocks, which are run.
    `meanwhile`: begins what is to go on while data are read, at once for those that have a name, else when
    they are open, as most that is wrong with them shows by then; not called before code of a user's own,
    which is to find this process as it was. Raises InputError.
    """
    if evaluator is not None or config.evaluator is not None:
        check_used(config.select_given(), User.EVALUATOR)
    if evaluator is not None:
        config = replace(config, evaluator=None)
    check_sampler(config)
    check_loggers(config.log)
    check_latency(config)
    check_rank(config)
    files = read_plugins(map(Path, plugins))
    load_plugins(files)
    space, fitted = load_search_space(config)
    heard = observer or Observer()
    heard.doing(f"Counting the networks of {config.space}")
    is_proxy = evaluator is None and config.evaluator is None
    if is_proxy:
        check_ends(space, config.budget)
    else:
        space = Counted.DEPLOYED.of(space, config.classes, None)
        table = load_table(space, config, files, heard)
        space = _add_clock(space, table)
        _note_budget(space, config, heard)
    check_scale(space, config.scale)
    check_warm_start(space, config, fitted)
    check_machine(config, heard)
    if is_proxy:
        check_known(config.data.dataset)
    check_cluster(config, heard)
    before_data()
    if fitted:
        heard.noted(str(fitted))
    if is_proxy and (note := describe_small_maps(space, config.data.resolution)):
        heard.noted(note)
    heard.doing(name_reading(config))
    for note in (check_gpus(config), describe_shared_gpu(config)):
        if note:
            heard.noted(note)
    is_named = config.data.dataset in BUILT_IN
    if is_proxy and is_named:
        meanwhile()

    def read() -> ImageData:
        begin = do_nothing if is_named or is_function(config.data.dataset) else meanwhile
        return load_data(config.data, config.seed, heard, opened=begin)

    prepared = assemble_search(config, space, Counted.DEPLOYED, evaluator, files, read)
    if prepared.data and (note := describe_large_batch(prepared.recipe, prepared.data)):
        heard.noted(note)
    if is_proxy:
        table = load_table(prepared.space, config, files, heard)
        prepared = replace(prepared, space=_add_clock(prepared.space, table))
        heard.doing(f"Counting the networks of {config.space}")
        _note_budget(prepared.space, config, heard)
    starts = find_warm_start(config.warm_start, prepared.space, config.budget, fitted)
    return replace(prepared, warm_start=starts, table=table)


def assemble_search(
    config: SearchConfig,
    space: Space,
    counted: Counted,
    evaluator: Evaluator | None,
    plugins: tuple[Plugin, ...],
    read: Callable[[], ImageData],
) -> Prepared:
    """Make the evaluator, and `read` the data if it needs some, with which the space is counted then."""
    data, file, device = None, None, find_device(config)
    timeout = config.executor.trial_timeout
    if evaluator is None and config.evaluator is not None:
        file = read_file(config.evaluator.file)
        name, epochs = config.evaluator.function, config.recipe.epochs
        evaluator = CustomEvaluator(space, file, name, epochs, config.seed, device, plugins)
    elif evaluator is None:
        data = read()
        space = counted.of(space, config.classes, data)
        _check_trains(space, config, data)
        recipe = config.recipe.fit_to(data, device)
        resolution, folds = config.data.resolution, config.data.folds
        evaluator = ProxyEvaluator(
            space, recipe, data, config.seed, device, timeout, plugins, resolution, folds
        )
    check_evaluator(config, evaluator)
    check_objective(config.objective, evaluator.metric)
    if timeout is not None and data is None:
        evaluator = TimedEvaluator(evaluator, config.recipe.epochs, timeout)
    return Prepared(config, space, evaluator, data, plugins=plugins, evaluator_file=file)


def load_search_space(config: SearchConfig) -> tuple[Space, Fitted | None]:
    """Return the space to search, and how it is fitted to an input other than its own."""
    space = load_space(find_space(config.space))
    if config.input is None:
        return space, None
    fitted = fit_input(space, config.input)
    return fitted.space, fitted


def _add_clock(space: Space, table: LatencyTable | None) -> Space:
    """Return a space that knows the latency of its networks, where there is a table of it."""
    return space if table is None else replace(space, clock=table.clock)


def name_reading(config: SearchConfig) -> str:
    """Return what may take seconds before there is an evaluator."""
    return "Loading torch" if config.evaluator else f"Loading torch and the data of {config.data.dataset}"


def _note_budget(space: Space, config: SearchConfig, observer: Observer) -> None:
    if note := check_budget(space, config.budget):
        observer.noted(note)


def check_data(data: ImageData, began: DataCard, when: str = "the search began") -> None:
    """Raise InputError where the data are others than those that a run began with."""
    change = DataCard.of(data).find_change(began)
    if change is None:
        return
    start = f"data set '{data.name}' has changed since {when}: {change}"
    renewed = describe_renewed(data.traits) if began.background is None else ""
    if renewed:
        raise InputError(
            f"{start}, as this nas reads images otherwise: {renewed}; go on with the nas that began it, or "
            "start a new run"
        )
    raise InputError(f"{start}; restore it, or start a new run")


def load_data(
    own: DataConfig,
    seed: int,
    observer: Observer,
    *,
    download: bool = True,
    opened: Callable[[], None] = do_nothing,
) -> ImageData:
    """Read data, split by a seed, downloading them if need be. `opened` is as of `load_dataset`."""
    return datasets.load_dataset(own, seed=seed, progress=observer.decoding, download=download, opened=opened)


def _check_trains(space: Space, config: SearchConfig, data: ImageData) -> None:
    """Raise InputError where the smallest network cannot be trained on the data."""
    smallest = space.smallest()
    try:
        ProxyEvaluator(space, config.recipe, data, config.seed).network(smallest)
    except SpaceError as error:
        if not _can_build(space, smallest, data):
            raise
        size = f"{config.data.resolution} x {config.data.resolution}"
        raise InputError(
            f"{error}. That is at the proxy's resolution of {size}; raise --resolution, or fit the "
            f"space to such images with --input {config.data.resolution}"
        ) from None


def _can_build(space: Space, choices: Choices, data: ImageData) -> bool:
    """Return whether a network can be built for the data at the space's own input size."""
    try:
        space.resolve(choices).for_data(data.channels, data.num_classes).architecture()
    except SpaceError:
        return False
    return True
