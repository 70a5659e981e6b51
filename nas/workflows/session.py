"""What a search or a calibration works with: its parts checked, then its run folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.data import datasets
from nas.data.card import DataCard
from nas.data.functions import is_function
from nas.data.kept import pack_data, read_data
from nas.data.traits import describe_renewed
from nas.errors import InputError
from nas.execution import make_executor
from nas.execution.base import Executor
from nas.importing import read_file
from nas.runs.config import SearchConfig, check_used
from nas.runs.counted import Counted
from nas.runs.finals import finals_name
from nas.runs.folder import RunExists, RunFolder, next_run_path
from nas.runs.manifest import Manifest, WarmStart
from nas.runs.measured import Measured
from nas.runs.state import RunState, read_space, read_study, repair_study
from nas.settings import User
from nas.space import Choices, Space, SpaceError, dump_space, load_space
from nas.space.fit import Fitted, fit_input
from nas.space.library import find_space
from nas.space.plugins import load_plugins, read_plugins
from nas.study.database import Database
from nas.study.ledger import check_terms, read_terms, read_trials
from nas.study.objective import Objective
from nas.study.storage import claim_storage, make_absolute
from nas.training.base import Evaluator
from nas.training.custom import CustomEvaluator
from nas.training.elsewhere import Elsewhere
from nas.training.evaluator import ProxyEvaluator
from nas.training.timed import TimedEvaluator
from nas.workflows.checks import (
    check_budget,
    check_ends,
    check_evaluator,
    check_gpus,
    check_machine,
    check_objective,
    check_sampler,
    check_scale,
    check_warm_start,
    describe_large_batch,
    describe_small_maps,
)
from nas.workflows.hardware import check_cluster, device_name, device_of, gpus_of
from nas.workflows.limited import check_latency, table_of
from nas.workflows.observer import Observer
from nas.workflows.warm_start import find_warm_start

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from nas.data.datasets import ImageData
    from nas.importing import SourceFile
    from nas.latency.table import LatencyTable
    from nas.space.plugins import Plugin


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
    def proxy(self) -> ProxyEvaluator | None:
        """The evaluator, where it is the proxy training of an image classifier."""
        return self.evaluator if isinstance(self.evaluator, ProxyEvaluator) else None

    def try_out(self, choices: Choices) -> None:
        """Raise InputError where what is trained at a point cannot be built. An evaluator of a user's own
        trains the network that is counted, which can."""
        if self.proxy:
            self.proxy.network(choices)


@dataclass(frozen=True, kw_only=True)
class Session(Prepared):
    """What is prepared, with the run folder that it is trained into. `changed`: settings are others than
    those in the folder."""

    folder: RunFolder
    manifest: Manifest
    changed: bool = False

    def open_storage(self, observer: Observer) -> BaseStorage:
        """Open the storage of the run's studies. Call it while the folder is locked: it moves aside what an
        earlier writer tore, which the observer hears."""
        storage = claim_storage(self.manifest.storage(self.folder), observer.noted)
        if isinstance(storage, Database):
            storage.work_in(self.folder.path)
        return storage

    def write_changes(self) -> None:
        """Write settings that a resume has changed. Call it while the folder is locked."""
        if self.changed:
            self.manifest.write(self.folder)

    def state(self, trials: Sequence[Any], finals: Sequence[Any] = ()) -> RunState:
        """Return the state of the run with these trials."""
        marked = Measured.read(self.folder).mark(trials, self.config.budget)
        return RunState(self.folder, self.manifest, self.space, marked, tuple(finals))

    @property
    def resume_command(self) -> str:
        """The command that goes on with the run."""
        return self.manifest.resume_command(self.folder)

    @property
    def storage(self) -> str | None:
        """The database that its study is in, if it is in one."""
        return self.config.storage

    def command_in(self, path: Path) -> str:
        """Return the command that goes on with the run where its folder is another."""
        return self.manifest.resume_command(RunFolder(path))

    @property
    def way_out(self) -> str:
        """What a message says where something that the search needs has gone."""
        return f"Nothing finished is lost. Go on with: {self.resume_command}"

    @property
    def executor(self) -> Executor:
        """What trains."""
        labels = {"run": self.folder.path.name, "sampler": self.config.sampler}
        return make_executor(self.config.executor, gpus_of(self.config), self.way_out, labels)


def prepare(
    config: SearchConfig,
    evaluator: Evaluator | None = None,
    plugins: Sequence[Path | str] = (),
    observer: Observer | None = None,
    before_data: Callable[[], None] = lambda: None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Prepared:
    """Check what would stop a search later, `before_data` in the end, and read its data.

    `evaluator`: what trains, in place of the configured one. `plugins`: files of blocks, which are run.
    `meanwhile`: begins what is to go on while the built-in data are read; not called before code of a
    user's own, which is to find this process as it was. Raises InputError.
    """
    if evaluator is not None or config.evaluator is not None:
        check_used(config.given(), User.EVALUATOR)
    if evaluator is not None:
        config = replace(config, evaluator=None)
    check_sampler(config)
    check_latency(config)
    files = read_plugins(map(Path, plugins))
    load_plugins(files)
    space, fitted = _load_space(config)
    heard = observer or Observer()
    heard.doing(f"Counting the networks of {config.space}")
    is_proxy = evaluator is None and config.evaluator is None
    if is_proxy:
        check_ends(space, config.budget)
    else:
        space = Counted.DEPLOYED.of(space, config.classes, None)
        table = table_of(space, config, files, heard)
        space = _timed(space, table)
        _note_budget(space, config, heard)
    check_scale(space, config.scale)
    check_warm_start(space, config, fitted)
    check_machine(config)
    if config.executor.address != "local":
        heard.noted(check_cluster(config))
    before_data()
    if fitted:
        heard.noted(str(fitted))
    if is_proxy and (note := describe_small_maps(space, config.data.resolution)):
        heard.noted(note)
    heard.doing(_reading(config))
    if note := check_gpus(config):
        heard.noted(note)
    if is_proxy and not is_function(config.data.dataset):
        meanwhile()
    prepared = _prepare(config, space, Counted.DEPLOYED, evaluator, files, lambda: load_data(config, heard))
    if prepared.data and (note := describe_large_batch(prepared.config.recipe, prepared.data)):
        heard.noted(note)
    if is_proxy:
        table = table_of(prepared.space, config, files, heard)
        prepared = replace(prepared, space=_timed(prepared.space, table))
        heard.doing(f"Counting the networks of {config.space}")
        _note_budget(prepared.space, config, heard)
    starts = find_warm_start(config.warm_start, prepared.space, config.budget, fitted)
    return replace(prepared, warm_start=starts, table=table)


def _timed(space: Space, table: LatencyTable | None) -> Space:
    """Return a space that knows the latency of its networks, where there is a table of it."""
    return space if table is None else replace(space, clock=table.clock)


def _reading(config: SearchConfig) -> str:
    """Return what may take seconds before there is an evaluator."""
    return "Loading torch" if config.evaluator else f"Loading torch and the data of {config.data.dataset}"


def _note_budget(space: Space, config: SearchConfig, observer: Observer) -> None:
    if note := check_budget(space, config.budget):
        observer.noted(note)


def _load_space(config: SearchConfig) -> tuple[Space, Fitted | None]:
    """Return the space to search, and how it is fitted to an input other than its own."""
    space = load_space(find_space(config.space))
    if config.input is None:
        return space, None
    fitted = fit_input(space, config.input)
    return fitted.space, fitted


def _prepare(
    config: SearchConfig,
    space: Space,
    counted: Counted,
    evaluator: Evaluator | None,
    plugins: tuple[Plugin, ...],
    read: Callable[[], ImageData],
) -> Prepared:
    """Make the evaluator, and `read` the data if it needs some, with which the space is counted then."""
    data, file, device = None, None, device_of(config)
    timeout = config.executor.trial_timeout
    if evaluator is None and config.evaluator is not None:
        file = read_file(config.evaluator.file)
        name, epochs = config.evaluator.function, config.recipe.epochs
        evaluator = CustomEvaluator(space, file, name, epochs, config.seed, device, plugins)
    elif evaluator is None:
        data = read()
        space = counted.of(space, config.classes, data)
        _check_trains(space, config, data)
        config = replace(config, recipe=config.recipe.fitted(len(data.train_labels), device))
        resolution, folds = config.data.resolution, config.data.folds
        evaluator = ProxyEvaluator(
            space, config.recipe, data, config.seed, device, timeout, plugins, resolution, folds
        )
    check_objective(config.objective, evaluator.metric)
    check_evaluator(config, evaluator)
    if timeout is not None and data is None:
        evaluator = TimedEvaluator(evaluator, config.recipe.epochs, timeout)
    return Prepared(config, space, evaluator, data, plugins=plugins, evaluator_file=file)


def check_join(config: SearchConfig, name: str | None, join: bool) -> None:
    """Raise InputError where it is not said which study is to be joined."""
    if join and not (config.storage and name):
        raise InputError("--join: a study is in a database and has a name; add --storage and --name")
    if join and config.has_latency:
        raise InputError(
            "--join: latency is predicted by the table of the driver that began the study, and each driver "
            "has one of its own; leave out --join, or limit MACs with --budget-flops"
        )


def check_place(config: SearchConfig, runs: Path, name: str | None, like: str, join: bool = False) -> None:
    """Raise what `start` would where no run folder can be made, before data are read. Nothing is written but
    a database that is to have the study."""
    check_join(config, name, join)
    path = RunFolder.find_place(runs, name, like)
    _check_storage(_with_absolute_storage(config), path.name, join)


def start(
    prepared: Prepared,
    runs: Path,
    name: str | None,
    like: str,
    files: dict[str, str] | None = None,
    join: bool = False,
) -> Session:
    """Make a run folder in `runs`, called `name` or else like a space and a number; with more `files`.
    `join`: for a driver of a study that is in its database already.

    Raises InputError where it cannot be made, RunExists where there is one of that name.
    """
    config = _with_absolute_storage(prepared.config)
    prepared = replace(prepared, config=config)
    sources = [*prepared.plugins, *([prepared.evaluator_file] if prepared.evaluator_file else [])]
    space_text = dump_space(_load_space(config)[0])
    data_files = _data_files(prepared)
    while True:
        path = runs / name if name else next_run_path(runs, like)
        _check_storage(config, path.name, join)
        manifest = Manifest.make(
            path.name,
            config,
            DataCard.of(prepared.data) if prepared.data else None,
            prepared.evaluator.metric,
            space_text,
            device_name(config),
            prepared.warm_start,
            prepared.plugins,
            prepared.evaluator_file,
            isinstance(prepared.evaluator, Elsewhere),
        )
        if join and (terms := read_terms(config.storage or "", path.name)):
            check_terms(path.name, manifest.terms, terms)
        content = {
            "run.yaml": manifest.to_text(),
            "space.yaml": space_text,
            **data_files,
            **_table_files(prepared),
            **(files or {}),
        }
        try:
            folder = RunFolder.create(path, content, sources)
        except RunExists:
            if name:
                raise  # else another search has just taken the number
            continue
        return Session(**vars(prepared), folder=folder, manifest=manifest)


def _with_absolute_storage(config: SearchConfig) -> SearchConfig:
    return replace(config, storage=make_absolute(config.storage)) if config.storage else config


def _table_files(prepared: Prepared) -> dict[str, str]:
    """Return what a run folder has of the table of latencies."""
    if prepared.table is None:
        return {}
    return {RunFolder(Path()).table_file.name: json.dumps(prepared.table.to_data())}


def _data_files(prepared: Prepared) -> dict[str, str | bytes]:
    """Return what a run folder has of its data: the images of a function, and why others are left out."""
    data, files = prepared.data, RunFolder(Path())
    found: dict[str, str | bytes] = {}
    if data and is_function(prepared.config.data.dataset):
        found[files.data_file.name] = pack_data(data)
    if data and data.broken:
        found[files.broken_file.name] = "".join(f"{why}\n" for why in data.broken)
    return found


def reopen(
    folder: RunFolder,
    changes: dict[str, Any],
    evaluator: Evaluator | None = None,
    plugins: Sequence[Path | str] = (),
    observer: Observer | None = None,
    repair: bool = False,
) -> Session:
    """Return a run to go on with. `changes`: settings that this resume changes. `repair`: keep what is whole
    of a damaged journal, which the observer hears.

    Raises InputError where its data or files are not those that it began with.
    """
    heard = observer or Observer()
    manifest = Manifest.read(folder)
    if manifest.elsewhere:
        raise InputError(
            f"{folder.path}: its networks are trained elsewhere, as 'nas tell' hears; go on with: "
            f"{manifest.resume_command(folder)}"
        )
    manifest.check_again(folder, changes)
    config = _with_absolute_storage(manifest.config.changed(changes, "nas resume"))
    if manifest.data is None:
        check_used(changes, User.EVALUATOR, "nas resume")
    if evaluator is None:
        # What the folder names is not run by itself: who resumes names it.
        manifest.check_evaluator(folder, config.evaluator if "evaluator" in changes else None)
        if manifest.data is None and config.evaluator is None:
            raise InputError(
                f"{folder.path}: was searched by an evaluator that was given in Python; go on with "
                "nas.resume(folder, evaluator=...)"
            )
    files = read_plugins(map(Path, plugins))
    space = read_space(folder, manifest, files)
    if repair:
        heard.noted(repair_study(folder, manifest.with_config(config)))
    # where it is lost, nothing is to be begun anew and written over
    read_study(folder, manifest.with_config(config))
    check_machine(config)
    if config.executor.address != "local":
        heard.noted(check_cluster(config))

    def read() -> ImageData:
        # A function's file is run where someone names it, and nowhere else.
        kept = is_function(config.data.dataset)
        if kept:
            return read_data(folder.data_file)
        return load_data(config, heard, download="dataset" in changes)

    heard.doing(_reading(config))
    if note := check_gpus(config):
        heard.noted(note)
    prepared = _prepare(config, space, manifest.counted, evaluator, files, read)
    if prepared.data is not None and manifest.data is not None:
        check_data(prepared.data, manifest.data)
        if manifest.data.background is None and (renewed := describe_renewed(prepared.data.traits)):
            note = f"Images are read otherwise than when the run began: {renewed}."
            prepared = replace(prepared, data=replace(prepared.data, notes=(*prepared.data.notes, note)))
    if prepared.evaluator.metric != manifest.metric:
        raise InputError(
            f"{folder.path}: was searched for {manifest.metric}, and this evaluator gives "
            f"{prepared.evaluator.metric}; resume it with the evaluator that it began with"
        )
    kept = replace(prepared, warm_start=manifest.warm_start)
    changed = config != manifest.config
    return Session(**vars(kept), folder=folder, manifest=manifest.with_config(config), changed=changed)


def check_data(data: ImageData, began: DataCard, when: str = "the search began") -> None:
    """Raise InputError where the data are others than those that a run began with."""
    change = DataCard.of(data).change(began)
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


def load_data(config: SearchConfig, observer: Observer, *, download: bool = True) -> ImageData:
    """Read the data of a search, downloading them if need be."""
    own = config.data
    return datasets.load_dataset(
        own.dataset,
        resolution=own.resolution,
        seed=config.seed,
        val_fraction=own.val_fraction,
        max_images=own.max_images,
        max_broken=own.max_broken,
        folds=own.folds,
        rendering=own.rendering,
        duplicates=own.duplicates,
        layout=own.layout,
        progress=observer.decoding,
        download=download,
    )


def _check_trains(space: Space, config: SearchConfig, data: ImageData) -> None:
    """Raise InputError where the smallest network cannot be trained on the data."""
    smallest = space.smallest()
    try:
        ProxyEvaluator(space, config.recipe, data, config.seed).network(smallest)
    except SpaceError as error:
        if not _builds(space, smallest, data):
            raise
        size = f"{config.data.resolution} x {config.data.resolution}"
        raise InputError(
            f"{error}. That is at the proxy's resolution of {size}; raise --resolution, or fit the "
            f"space to such images with --input {config.data.resolution}"
        ) from None


def _check_storage(config: SearchConfig, study: str, join: bool = False) -> None:
    """Raise InputError where a database has a study of the name, or to `join` it has none."""
    if not config.storage:
        return
    if join:
        if read_terms(config.storage, study) is None:
            raise InputError(
                f"storage '{config.storage}': has no study '{study}' that can be joined; mend --name, or "
                "leave out --join"
            )
        return
    for name, trials in zip(
        (study, finals_name(study)), read_trials(config.storage, study, finals_name(study)), strict=True
    ):
        if trials:
            raise InputError(
                f"storage '{config.storage}': has a study '{name}' already; choose another --name, or work "
                "on it too with --join"
            )


def _builds(space: Space, choices: Choices, data: ImageData) -> bool:
    """Return whether a network can be built for the data at the space's own input size."""
    try:
        space.resolve(choices).for_data(data.channels, data.num_classes).architecture()
    except SpaceError:
        return False
    return True
