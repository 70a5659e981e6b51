"""Full trainings: a network from its first epoch to figures on test images and a file that leaves."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.data import datasets
from nas.data.card import DataCard
from nas.data.config import DataConfig, resolution_of
from nas.data.functions import is_function
from nas.data.images import resize_images
from nas.data.kept import pack_data, read_data
from nas.data.layout import PLAIN
from nas.data.sources import find_source
from nas.errors import InputError, NasError
from nas.exporters import EXPORTERS
from nas.files import read_text, write_atomically
from nas.machine import count_cores
from nas.plots.training import Thumbnail, draw_confusion, draw_contact_sheet, draw_curve
from nas.runs.folder import RunExists, TrainingFolder, next_run_path
from nas.runs.manifest import check_plugins, describe_environment, digest_text
from nas.runs.state import RunState
from nas.runs.training import BODY_RATE, FORMAT, SEARCH, TrainConfig, TrainManifest
from nas.space import Space, SpaceError, dump_space, load_space, parse_space
from nas.space.library import check_no_trial, find_space, is_run
from nas.space.plugins import load_plugins, read_plugins
from nas.training.base import EpochResult, TrainingFailed
from nas.training.evaluator import ProxyEvaluator, proxy_resolution
from nas.training.metrics import Metrics, compute_metrics
from nas.training.threads import torch_threads
from nas.training.tuning import Tuning
from nas.workflows.export import Leaving, cost_line, data_facts, of_run, write_one
from nas.workflows.session import check_data
from nas.workflows.stops import stoppable

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from nas.data.base import Source
    from nas.data.datasets import ImageData
    from nas.space.plugins import Plugin
    from nas.training.loop import ClassifierTraining

_WORST = 36
"""Images of the contact sheet."""
NORM_IMAGES, _NORM_SHARE, _MOST_NORMS = 256, 16, 4096
"""Statistics of batch norm are estimated from so many images at least, one in so many, so many at most."""
_FORECAST_STEPS = 8


class TrainObserver:
    """Hears what happens in a full training, and answers nothing. Extend it as a search's observer."""

    def decoding(self, done: int, total: int) -> None:
        """So many images are decoded."""

    def noted(self, text: str) -> None:
        """Something about the training that a person may want to know, in one line."""

    def began(self, session: TrainSession) -> None:
        """A training has its folder, and trains from epoch `len(session.history) + 1` on."""

    def step(self, done: int, steps: int) -> None:
        """So many steps of the epoch are done."""

    def epoch(self, result: EpochResult) -> None:
        """An epoch is over, and is kept."""

    def testing(self, images: int) -> None:
        """The training is over, and so many images are tested on."""


@dataclass(frozen=True)
class TrainResult:
    """What a full training came to.

    `history`: an entry an epoch. `best_epoch` had the highest `accuracy` on the validation images; its
    weights are those of `exported`, the Python file first. `metrics`: figures on `tested_on`, the test split,
    or on the validation images where the data have none. `files`: all that is left in the folder, by what it
    is.
    """

    folder: Path
    history: tuple[EpochResult, ...]
    best_epoch: int
    accuracy: float
    metrics: Metrics
    tested_on: str
    classes: tuple[str, ...]
    exported: tuple[Path, ...]
    files: Mapping[str, Path]
    stopped_early: bool
    has_no_test: bool


@dataclass
class TrainSession:
    """A training with its folder: what it trains, and how far it is."""

    folder: TrainingFolder
    manifest: TrainManifest
    space: Space
    evaluator: ProxyEvaluator
    data: ImageData
    test: Source | None
    history: list[EpochResult] = field(default_factory=list)

    @property
    def config(self) -> TrainConfig:
        return self.manifest.config

    @property
    def resume_command(self) -> str:
        """The command that goes on with it."""
        return self.command_in(self.folder.path)

    @property
    def way_out(self) -> str:
        """What a message says where something that it needs has gone."""
        return f"No finished epoch is lost. Go on with: {self.resume_command}"

    @property
    def storage(self) -> None:
        """There is no database."""

    def command_in(self, path: Path) -> str:
        """Return the command that goes on with it where its folder is another."""
        return self.manifest.command(path)


@dataclass(frozen=True)
class TrainForecast:
    """What a training will take: `epoch_s` an epoch."""

    epochs: int
    epoch_s: float
    images_per_s: float
    device: str

    @property
    def seconds(self) -> float:
        """Of all epochs."""
        return self.epochs * self.epoch_s


@dataclass(frozen=True)
class _Prepared:
    """A training that is checked, of which nothing is written yet. `initial`: the weights before it."""

    manifest: TrainManifest
    text: str
    space: Space
    evaluator: ProxyEvaluator
    data: ImageData
    test: Source | None
    initial: Mapping[str, Tensor]
    files: tuple[Plugin, ...]


@dataclass(frozen=True)
class _Found:
    """A network to train, and what is known of it: the run that it is of, and its weights there."""

    network: Space
    space: Space
    run: RunState | None
    weights: Mapping[str, Any] | None


def train(
    network: Path | str,
    settings: Mapping[str, Any] | None = None,
    observer: TrainObserver | None = None,
    *,
    trial: int | None = None,
    storage: str | None = None,
    plugins: Sequence[Path | str] = (),
    runs: Path | str = "runs",
    name: str | None = None,
) -> TrainResult:
    """Train a network in full, and test it.

    `network`: the file of one, a bundled name, or a run folder, of which the best is trained, or a `trial`;
    its data settings are then those of the run where `settings` have no others. `settings`: as a file has
    them, of `TrainConfig`. The network of the best epoch is written as `nas.export` does, with figures and
    pictures of what it gets wrong, into a folder in `runs`; `nas.resume` goes on with it after a kill.

        >>> import nas
        >>> found = nas.train("reference/resnet18", {"dataset": "digits", "input": 32})  # doctest: +SKIP
        >>> found.metrics.accuracy  # doctest: +SKIP
        0.9889

    Raises InputError for what cannot be trained, Stopped on Ctrl-C, NasError where the training fails.
    """
    heard = observer or TrainObserver()
    found, config, given, files = _settle(network, settings, trial, storage, plugins)
    like = f"train-{_stem(config.network)}"
    check = partial(_check_place, Path(runs), name, like)
    prepared = _prepare(found, config, given, files, heard, check)
    return _run(_start(prepared, Path(runs), name, like), heard)


def resume_training(
    folder: TrainingFolder, observer: TrainObserver | None = None, *, plugins: Sequence[Path | str] = ()
) -> TrainResult:
    """Go on with a training that was stopped or killed, from its last epoch.

    Raises InputError where it is finished, and where data or files are not those that it began with.
    """
    heard = observer or TrainObserver()
    manifest = TrainManifest.read(folder)
    files = read_plugins(map(Path, plugins))
    check_plugins(manifest.plugins, folder, files)
    load_plugins(files)
    if _report_file(folder).is_file():
        raise InputError(
            f"{folder.path}: is finished, its figures are in {_report_file(folder)}; start a new training"
        )
    written = read_text(folder.network_file)
    if digest_text(written) != manifest.space_sha256:
        raise InputError(
            f"{folder.network_file}: was changed since the training began; restore it, or start a new "
            "training"
        )
    space = parse_space(written, str(folder.network_file))
    config = manifest.config
    if is_function(config.data.dataset):
        data, test = read_data(folder.data_file), None
    else:
        data, test = _read_data(config.data, config.seed, heard, download=False)
    check_data(data, manifest.data, "the training began")
    evaluator = _evaluator(space, config, data, files)
    return _run(TrainSession(folder, manifest, space, evaluator, data, test), heard)


# What it is of


def _settle(
    network: Path | str,
    settings: Mapping[str, Any] | None,
    trial: int | None,
    storage: str | None,
    plugins: Sequence[Path | str],
) -> tuple[_Found, TrainConfig, dict[str, Any], tuple[Plugin, ...]]:
    """Return the network, its config, what was given for it, and the plugins that it needs."""
    given = {**dict(settings or {}), "network": str(network)}
    TrainConfig.from_data(given, "nas train")  # before a run is read
    files = read_plugins(map(Path, plugins))
    found = _find_network(str(network), trial, storage, files)
    return found, TrainConfig.from_data(_with_defaults(found, given), "nas train"), given, files


def _find_network(what: str, trial: int | None, storage: str | None, plugins: Sequence[Plugin]) -> _Found:
    if is_run(what):
        state = RunState.load(Path(what), tuple(plugins), storage)
        leaving = of_run(state, trial)
        chosen = state.winner.trial if trial is None and state.winner else None
        best = chosen or (state.best(1)[0] if trial is None else state.trial(trial))
        return _Found(state.network(best), state.space, state, leaving.state)
    check_no_trial(what, trial, storage)
    load_plugins(tuple(plugins))
    file = find_space(what)
    space = load_space(file)
    if not space.is_architecture:
        raise InputError(
            f"{file}: is a space with choices, and one network is trained; name a run folder, or the file of "
            "one network, such as a run's best.yaml"
        )
    return _Found(space.resolve({}), space, None, None)


def _with_defaults(found: _Found, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with those of the data and the seed that a run has, or the network's own input size."""
    own: dict[str, Any] = {}
    if found.run is not None:
        if found.run.manifest.data is None and "dataset" not in given:
            raise InputError(
                f"{found.run.folder.path}: was searched by an evaluator of a user's own, and images are "
                "trained on here; name them with --dataset"
            )
        if "input" in given:
            raise InputError(
                f"--input: {found.run.folder.path} is a run, and was searched at its input; leave it out, or "
                "give --resolution"
            )
        plain = found.run.config.to_data()
        own = {key: plain[key] for key in (*DataConfig.settings(), "seed")} | {"folds": 1}
    elif "resolution" not in given:
        own["resolution"] = resolution_of(given.get("input") or max(found.space.input_sizes))
    return {**own, **given}


def _fit_input(found: _Found, side: int | None) -> _Found:
    if side is None:
        return found
    from nas.space.fit import fit_input

    fitted = fit_input(found.space, side)
    return _Found(fitted.space.resolve({}), fitted.space, None, None)


def _prepare(
    found: _Found,
    config: TrainConfig,
    given: Mapping[str, Any],
    files: tuple[Plugin, ...],
    heard: TrainObserver,
    before_data: Callable[[], object] = lambda: None,
) -> _Prepared:
    """Check all that would stop a training later, and read its data. Nothing is written."""
    if config.init == SEARCH and found.weights is None:
        raise InputError(
            f"--init search: {config.network} is no run, and has no weights; name a file of some"
        )
    given_weights = _read_init(found, config)
    device = _device_of(config)
    before_data()
    fitted = _fit_input(found, config.input)
    run = found.run
    if run is not None and is_function(config.data.dataset) and "dataset" not in given:
        data, test = read_data(run.folder.data_file), None  # a function is run where someone names it alone
    else:
        own = run is not None and "dataset" not in given
        data, test = _read_data(config.data, config.seed, heard, download=not own)
    config = replace(config, recipe=config.recipe.fitted(len(data.train_labels), device))
    _check_classes(found, config, data)
    if run is not None and run.manifest.data is not None and config.init == SEARCH:
        change = DataCard.of(data).change(run.manifest.data)
        same = {key: getattr(config.data, key) for key in ("val_fraction", "max_images", "dataset")} == {
            key: getattr(run.config.data, key) for key in ("val_fraction", "max_images", "dataset")
        }
        if (change or not same or config.seed != run.config.seed) and config.mode == "scratch":
            heard.noted(
                "The split is another than the search's: its weights may have seen images that are validated "
                "on."
            )
    side = proxy_resolution(fitted.space, fitted.network, config.data.resolution)
    space = fitted.network.adapt(data.channels, side, data.num_classes)
    text = dump_space(space)
    space = parse_space(text, config.network)
    evaluator = _evaluator(space, config, data, files)
    try:
        initial = _initial_state(evaluator, config, given_weights)
    except SpaceError as error:
        raise InputError(
            f"{error}. That is at {side} x {side} pixels; raise --resolution, or fit the network to such "
            f"images with --input {side}"
        ) from None
    manifest = TrainManifest(
        config,
        DataCard.of(data),
        _origin(found, config),
        digest_text(text),
        {plugin.name: plugin.sha256 for plugin in files},
        describe_environment(device),
    )
    return _Prepared(manifest, text, space, evaluator, data, test, initial, files)


def _start(prepared: _Prepared, runs: Path, name: str | None, like: str) -> TrainSession:
    """Make the folder of a training."""
    from safetensors.torch import save

    data, config = prepared.data, prepared.manifest.config
    content: dict[str, str | bytes] = {
        TrainingFolder.MANIFEST: prepared.manifest.to_text(),
        "network.yaml": prepared.text,
        "initial.safetensors": save(dict(prepared.initial)),
        **({"data.npz": pack_data(data)} if is_function(config.data.dataset) else {}),
        **({"broken.txt": "".join(f"{why}\n" for why in data.broken)} if data.broken else {}),
    }
    while True:
        try:
            path = runs / name if name else next_run_path(runs, like)
            folder = TrainingFolder.create(path, content, prepared.files)
            break
        except RunExists:
            if name:
                raise  # else another training has just taken the number
    return TrainSession(folder, prepared.manifest, prepared.space, prepared.evaluator, data, prepared.test)


def forecast_training(
    network: Path | str,
    settings: Mapping[str, Any] | None = None,
    observer: TrainObserver | None = None,
    *,
    trial: int | None = None,
    storage: str | None = None,
    plugins: Sequence[Path | str] = (),
) -> TrainForecast:
    """Check what `train` would, train some batches, and work out the rest. Nothing is written.

    Raises as `train` does.
    """
    heard = observer or TrainObserver()
    found, config, given, files = _settle(network, settings, trial, storage, plugins)
    prepared = _prepare(found, config, given, files, heard)
    config, data = prepared.manifest.config, prepared.data
    recipe = config.recipe
    count = min(len(data.train_labels), max(_FORECAST_STEPS * recipe.batch_size, NORM_IMAGES))
    part = replace(
        data,
        train_images=data.train_images[:count],
        train_labels=data.train_labels[:count],
        val_images=data.val_images[:count],
        val_labels=data.val_labels[:count],
    )
    short = replace(config, recipe=replace(recipe, epochs=2, early_stop=None))
    with torch_threads(_threads(config, prepared.evaluator.device)):
        training = _make_training(short, prepared.evaluator, part, prepared.initial, TrainObserver())
        training.epoch()
        epoch_s = training.epoch().seconds * len(data.train_labels) / count
    device = prepared.evaluator.device
    rate = len(data.train_labels) / epoch_s
    return TrainForecast(recipe.epochs, epoch_s, rate, device)


def _stem(network: str) -> str:
    return Path(network).name.removesuffix(".yaml")


def _origin(found: _Found, config: TrainConfig) -> str:
    if found.run is None:
        return config.network
    return f"{config.network}, of the space '{found.run.space.name}'"


def _check_place(runs: Path, name: str | None, like: str) -> Path:
    if name is not None and (Path(name).name != name or name in ("", ".", "..")):
        raise InputError(f"--name: '{name}' is not a folder name; --runs says where the folder is made")
    path = runs / name if name else next_run_path(runs, like)
    try:
        TrainingFolder.check_new(path)
    except RunExists:
        if name:
            raise
    return path


def _read_data(
    own: DataConfig, seed: int, heard: TrainObserver, *, download: bool
) -> tuple[ImageData, Source | None]:
    """Return the data to train on, and the split to test on, of which no image is read yet."""
    source = find_source(own.dataset, datasets.DATA_ROOT, own.layout or PLAIN, download)
    test = source.test() if source.test else None
    data = datasets.load_source(
        source,
        own.dataset,
        resolution=own.resolution,
        seed=seed,
        val_fraction=own.val_fraction,
        max_images=own.max_images,
        max_broken=own.max_broken,
        rendering=own.rendering,
        duplicates=own.duplicates,
        progress=heard.decoding,
    )
    return data, test


def _check_classes(found: _Found, config: TrainConfig, data: ImageData) -> None:
    """Raise InputError where a run's classifier is to go on with other classes."""
    card = found.run.manifest.data if found.run else None
    if config.init != SEARCH or config.mode != "scratch" or card is None or card.classes == data.classes:
        return
    pairs = zip(card.classes, data.classes, strict=False)
    first = next(((a, b) for a, b in pairs if a != b), None)
    which = f"'{first[1]}' in the place of '{first[0]}'" if first else "the first are alike"
    raise InputError(
        f"--init search: data set {data.name} has {data.num_classes} classes and {config.network} has "
        f"{len(card.classes)}, {which}; train a new classifier by --mode finetune, or leave --init out"
    )


def _device_of(config: TrainConfig) -> str:
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if config.device is None:
        return next(name for name, is_there in there.items() if is_there)
    if not there[config.device]:
        raise InputError(f"--device {config.device}: torch finds none on this machine; leave it out")
    return config.device


def _evaluator(
    space: Space, config: TrainConfig, data: ImageData, plugins: tuple[Plugin, ...]
) -> ProxyEvaluator:
    """Return what builds the network; it takes images of the size of the network's input."""
    side = max(space.input[1:])
    device = _device_of(config)
    return ProxyEvaluator(space, config.recipe, data, config.seed, device, plugins=plugins, resolution=side)


def _read_init(found: _Found, config: TrainConfig) -> Mapping[str, Tensor] | None:
    from nas.training.weights import read_init

    if config.init is None:
        return None
    return found.weights if config.init == SEARCH else read_init(Path(config.init).expanduser())


def _initial_state(
    evaluator: ProxyEvaluator, config: TrainConfig, given: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    """Return the weights before the first epoch."""
    from nas.training.weights import fit_weights

    network = evaluator.network({})
    own = evaluator.build_module(network, None, config.seed).state_dict()
    if given is None:
        return dict(own)
    head = _head(evaluator) if config.mode != "scratch" else None
    try:
        return fit_weights(own, given, head, f"--init {config.init}")
    except InputError as error:
        if head is None and _fits_but_for(_head(evaluator), own, given):
            raise InputError(f"{error}; a new classifier is trained by --mode finetune") from None
        raise InputError(f"{error}; give weights of this network, {config.network}") from None


def _fits_but_for(head: str, own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> bool:
    from nas.training.weights import fit_weights

    try:
        fit_weights(own, given, head, "")
    except InputError:
        return False
    return True


def _head(evaluator: ProxyEvaluator) -> str:
    """Return the name of the classifier: the last layer of weights."""
    return next(node.name for node in reversed(evaluator.network({}).nodes) if node.op.has_filters)


# The training


def _run(session: TrainSession, heard: TrainObserver) -> TrainResult:
    """Train what is left, test, and write what was found."""
    config = session.config
    threads = _threads(config, session.evaluator.device)
    with stoppable(session) as stop, session.folder.locked(), torch_threads(threads):
        initial = _read_initial(session.folder)
        training = _make_training(config, session.evaluator, session.data, initial, heard)
        _take_checkpoint(session, training)
        heard.began(session)
        while not training.done:
            stop.check()
            try:
                result = training.epoch()
            except TrainingFailed as failed:
                way = "give a lower --lr" if failed.failure.reason == "nan_loss" else "give a smaller --batch"
                raise NasError(
                    f"{session.folder.path}: the training failed: {failed}; {way} in a new training"
                ) from None
            session.history.append(result)
            stop.check_place()
            _keep(session, training)
            heard.epoch(result)
        return _finish(session, training, heard)


def _threads(config: TrainConfig, device: str) -> int | None:
    return None if device != "cpu" else config.cpus or count_cores()


def _make_training(
    config: TrainConfig,
    evaluator: ProxyEvaluator,
    data: ImageData,
    initial: Mapping[str, Tensor],
    heard: TrainObserver,
) -> ClassifierTraining:
    from nas.training.loop import ClassifierTraining

    network = evaluator.network({})
    module = evaluator.build_module(network, None, config.seed)
    module.load_state_dict(initial)
    images = datasets.resize_dataset(data, network.input_shape[1])
    tuning = {
        "scratch": Tuning(),
        "finetune": Tuning(_head(evaluator), BODY_RATE),
        "linear": Tuning(_head(evaluator), 0.0),
    }[config.mode]
    norms = min(_MOST_NORMS, max(NORM_IMAGES, len(images.train_labels) // _NORM_SHARE))
    return ClassifierTraining(
        module,
        images,
        config.recipe,
        seed=config.seed,
        device=evaluator.device,
        norm_images=norms,
        tuning=tuning,
        on_step=heard.step,
    )


def _read_initial(folder: TrainingFolder) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(folder.initial_file)
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{folder.initial_file}: the weights cannot be read: {reason}; restore the file, or start a new "
            "training"
        ) from None


def _keep(session: TrainSession, training: ClassifierTraining) -> None:
    """Write what the next epoch needs. A kill leaves all of this epoch, or of the one before."""
    import torch
    from safetensors.torch import save

    folder, best = session.folder, _best(session.history)
    if best is session.history[-1]:
        write_atomically(folder.epoch_file(best.epoch), save(training.state_dict()))
    content = io.BytesIO()
    history = [asdict(result) for result in session.history]
    torch.save({"format": FORMAT, "training": training.checkpoint(), "history": history}, content)
    write_atomically(folder.checkpoint_file, content.getvalue())
    for file in folder.weights_folder.glob("epoch-*.safetensors"):
        if file != folder.epoch_file(best.epoch):
            file.unlink(missing_ok=True)
    _write_curves(session)


def _take_checkpoint(session: TrainSession, training: ClassifierTraining) -> None:
    """Take over what `_keep` wrote, where it did."""
    import torch

    file = session.folder.checkpoint_file
    if not file.exists():
        return
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
        history = [EpochResult(**entry) for entry in found["history"]]
        training.restore(found["training"])
    except Exception as error:  # torch has many for a damaged file
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{file}: the checkpoint cannot be read ({reason}); remove it to begin with the first epoch again"
        ) from None
    session.history[:] = history


def _best(history: Sequence[EpochResult]) -> EpochResult:
    """Return the epoch of the highest accuracy, the first of equal ones."""
    return max(history, key=lambda result: result.value)


def _write_curves(session: TrainSession) -> None:
    """Write metrics.csv and the curves."""
    path, history = session.folder.path, session.history
    losses, accuracies = [r.loss or 0.0 for r in history], [r.value for r in history]
    images = len(session.data.train_labels)
    rows = [
        (r.epoch, repr(r.loss), repr(r.value), f"{r.seconds:.3f}", f"{images / r.seconds:.1f}")
        for r in history
    ]
    heads = ("epoch", "train_loss", "val_accuracy", "seconds", "images_per_s")
    write_atomically(path / "metrics.csv", _table(heads, rows))
    best = _best(history)
    what = f"{session.manifest.origin} on {session.data.name}"
    write_atomically(path / "loss.svg", draw_curve("Training loss", what, losses))
    title = f"Validation accuracy, best {best.value:.4f} after epoch {best.epoch}"
    write_atomically(path / "accuracy.svg", draw_curve(title, what, accuracies, best.epoch))


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(rows)
    return text.getvalue()


# What it came to


@dataclass(frozen=True, eq=False)
class _Tested:
    """The images that are tested on, once: what they are, and what they are called."""

    title: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: Sequence[str]


def _read_test(session: TrainSession, heard: TrainObserver) -> _Tested:
    """Read the test split, or take the validation images where there is none."""
    data, test = session.data, session.test
    side = session.evaluator.network({}).input_shape[1]
    if test is None:
        title = f"the {len(data.val_labels):,} validation images"
        images = datasets.resize_dataset(data, side).val_images
        names = [f"validation {place}" for place in range(len(data.val_labels))]
        return _Tested(title, images, data.val_labels, names)
    every = np.arange(len(test.labels))
    found = test.read(every, session.config.data.resolution, heard.decoding, data.rendering)
    kept = np.delete(every, list(found.broken))
    if found.broken:
        heard.noted(f"{len(found.broken):,} of {len(every):,} test images cannot be read and are left out.")
    images = resize_images(found.images, side) if side != data.resolution else found.images
    names = [test.name_of(int(place)) for place in kept]
    return _Tested(f"the {len(kept):,} test images", images, test.labels[kept], names)


def _finish(session: TrainSession, training: ClassifierTraining, heard: TrainObserver) -> TrainResult:
    """Test the network of the best epoch, and write all that is left of the training."""
    from safetensors.torch import load_file

    folder, best = session.folder, _best(session.history)
    state = load_file(folder.epoch_file(best.epoch))
    tested = _read_test(session, heard)
    heard.testing(len(tested.labels))
    shares = training.predict(tested.images, state)
    metrics = compute_metrics(tested.labels, shares)
    files = _write_figures(session, tested, shares, metrics)
    exported = write_one(_leaving(session, state, best, metrics, tested), None, EXPORTERS["python"])
    stopped = len(session.history) < session.config.recipe.epochs
    report = {
        "format": FORMAT,
        "epochs": len(session.history),
        "stopped_early": stopped,
        "best_epoch": best.epoch,
        "val_accuracy": best.value,
        "tested_on": tested.title,
        "accuracy": metrics.accuracy,
        "balanced_accuracy": metrics.balanced_accuracy,
        "macro_f1": metrics.macro_f1,
        "top5": metrics.top5,
        "loss": metrics.loss,
        "calibration_error": metrics.calibration_error,
    }
    write_atomically(_report_file(folder), json.dumps(report, indent=1) + "\n")
    return TrainResult(
        folder.path,
        tuple(session.history),
        best.epoch,
        best.value,
        metrics,
        tested.title,
        session.data.classes,
        tuple(exported),
        {**files, "figures": _report_file(folder)},
        stopped,
        session.test is None,
    )


def _report_file(folder: TrainingFolder) -> Path:
    """The figures of a training that is finished."""
    return folder.path / "figures.json"


def _write_figures(
    session: TrainSession, tested: _Tested, shares: NDArray[np.float32], metrics: Metrics
) -> dict[str, Path]:
    """Write tables and pictures of what is right and wrong. Return the files by what they are."""
    path, classes = session.folder.path, session.data.classes
    confusion = [(name, *row) for name, row in zip(classes, metrics.confusion.tolist(), strict=True)]
    figures = zip(
        classes, metrics.confusion.sum(1).tolist(), metrics.precision, metrics.recall, metrics.f1, strict=True
    )
    by_class = [
        (name, count, *("" if np.isnan(value) else f"{value:.4f}" for value in values))
        for name, count, *values in figures
    ]
    predicted, own = shares.argmax(1), shares[np.arange(len(shares)), tested.labels]
    rows = [
        (name, classes[label], classes[taken], f"{share:.4f}", f"{sure:.4f}")
        for name, label, taken, share, sure in zip(
            tested.names, tested.labels, predicted, own, shares.max(1), strict=True
        )
    ]
    title = f"{session.folder.path.name}: {metrics.accuracy:.4f} of {tested.title} are right"
    wrong = np.flatnonzero(predicted != tested.labels)
    worst = wrong[np.argsort(own[wrong], kind="stable")][:_WORST]
    sheet = [
        Thumbnail(
            np.asarray(tested.images[place]),
            (
                f"{classes[tested.labels[place]]}, {100 * own[place]:.1f} %",
                f"taken for {classes[predicted[place]]}, {100 * shares[place].max():.0f} %",
                str(tested.names[place]),
            ),
        )
        for place in worst
    ]
    head = f"{len(wrong):,} of {tested.title} are wrong; the {len(worst)} that are most"
    contents: dict[str, tuple[str, str | bytes]] = {
        "metrics": ("metrics.csv", ""),
        "loss curve": ("loss.svg", ""),
        "accuracy curve": ("accuracy.svg", ""),
        "confusion": ("confusion.csv", _table(("class", *classes), confusion)),
        "confusion picture": ("confusion.svg", draw_confusion(title, classes, metrics.confusion)),
        "classes": ("classes.csv", _table(("class", "images", "precision", "recall", "f1"), by_class)),
        "predictions": (
            "predictions.csv",
            _table(("image", "class", "predicted", "probability_of_class", "probability_of_predicted"), rows),
        ),
        "worst": ("worst.png", draw_contact_sheet(head, sheet)),
    }
    for file, content in contents.values():
        if content:
            write_atomically(path / file, content)
    return {what: path / file for what, (file, _) in contents.items()}


def _leaving(
    session: TrainSession, state: Mapping[str, Tensor], best: EpochResult, metrics: Metrics, tested: _Tested
) -> Leaving:
    space, card = session.space, session.manifest.data
    architecture = space.architecture()
    side = int(architecture.input_shape[1])
    weights = f"as {session.config.mode} training left them after epoch {best.epoch}"
    facts = {
        "Network": session.manifest.origin,
        "Cost": cost_line(architecture.cost, architecture.input_shape, len(card.classes)),
        "Score": f"accuracy {metrics.accuracy:.4f} on {tested.title} of {card.name}, {best.value:.4f} on "
        "those to validate on",
        **data_facts(card, side, weights),
    }
    title = f"Network '{space.name}', trained on {card.name}."
    return Leaving(session.folder.path / "best", space, architecture, state, title, facts)
