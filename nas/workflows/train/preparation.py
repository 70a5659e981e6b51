"""A full training checked, with its data read and its folder made, before it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.data import datasets
from nas.data.card import DataCard
from nas.data.config import DataConfig, choose_resolution
from nas.data.functions import is_function
from nas.data.images import Decoding
from nas.data.kept import pack_data, read_data
from nas.data.sources import find_source
from nas.errors import InputError
from nas.loggers import check_loggers
from nas.machine import count_cores
from nas.runs.config import merge
from nas.runs.folder import RunExists, TrainingFolder, choose_run_path
from nas.runs.provenance import describe_environment, digest_text
from nas.runs.state import RunState
from nas.runs.training import SEARCH, TrainConfig, TrainManifest
from nas.space import Space, SpaceError, dump_space, parse_space
from nas.space.library import check_no_trial, is_run
from nas.space.plugins import load_plugins, read_plugins
from nas.training.evaluator import ProxyEvaluator, scale_resolution
from nas.training.process import borrowed_process
from nas.workflows.export import load_trial
from nas.workflows.subject import load_one
from nas.workflows.train.teaching import digest_teacher, read_teacher
from nas.workflows.train.values import TrainObserver, TrainSession

if TYPE_CHECKING:
    from torch import Tensor

    from nas.data.base import Source
    from nas.data.datasets import ImageData
    from nas.space.plugins import Plugin
    from nas.training.teacher import Teacher


@dataclass(frozen=True)
class PreparedTraining:
    """A training that is checked, of which nothing is written yet. `initial`: the weights before it."""

    manifest: TrainManifest
    text: str
    space: Space
    evaluator: ProxyEvaluator
    data: ImageData
    test: Source | None
    initial: Mapping[str, Tensor]
    teacher: Teacher | None
    files: tuple[Plugin, ...]


@dataclass(frozen=True)
class Found:
    """A network to train, and what is known of it: the run that it is of, and its weights there."""

    network: Space
    space: Space
    run: RunState | None
    weights: Mapping[str, Any] | None


def settle(
    network: Path | str,
    settings: Mapping[str, Any] | None,
    trial: int | None,
    storage: str | None,
    plugins: Sequence[Path | str],
) -> tuple[Found, TrainConfig, dict[str, Any], tuple[Plugin, ...]]:
    """Return the network, its config, what was given for it, and the plugins that it needs."""
    given = {**dict(settings or {}), "network": str(network)}
    TrainConfig.from_data(given, "nas train")  # before a run is read
    files = read_plugins(map(Path, plugins))
    found = _find_network(str(network), trial, storage, files)
    return found, TrainConfig.from_data(_add_defaults(found, given), "nas train"), given, files


def _find_network(what: str, trial: int | None, storage: str | None, plugins: Sequence[Plugin]) -> Found:
    if is_run(what):
        state = RunState.load(Path(what), tuple(plugins), storage)
        leaving = load_trial(state, trial)
        best = state.best_trial if trial is None else state.trial(trial)
        assert best is not None  # which has weights
        return Found(state.network(best), state.space, state, leaving.state)
    check_no_trial(what, trial, storage)
    load_plugins(tuple(plugins))
    space = load_one(what, "one network is trained")
    return Found(space.resolve({}), space, None, None)


def _add_defaults(found: Found, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with those of the data, the seed and the metric that a run has, or the network's own
    input size."""
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
        own["recipe"] = {"metric": plain["recipe"]["metric"]}  # which the search has chosen the network by
    elif "resolution" not in given:
        own["resolution"] = choose_resolution(given.get("input") or max(found.space.input_sizes))
    return merge(own, given)


def _fit_input(found: Found, side: int | None) -> Found:
    if side is None:
        return found
    from nas.space.fit import fit_input

    fitted = fit_input(found.space, side)
    return Found(fitted.space.resolve({}), fitted.space, None, None)


def prepare(
    found: Found,
    config: TrainConfig,
    given: Mapping[str, Any],
    files: tuple[Plugin, ...],
    heard: TrainObserver,
    before_data: Callable[[], object] = lambda: None,
) -> PreparedTraining:
    """Check all that would stop a training later, and read its data. Nothing is written."""
    if config.init == SEARCH and found.weights is None:
        raise InputError(
            f"--init search: {config.network} is no run, and has no weights; name a file of some"
        )
    given_weights = _read_init(found, config)
    device = _find_device(config)
    check_workers(config)
    check_loggers(config.log)
    before_data()
    fitted = _fit_input(found, config.input)
    run = found.run
    heard.doing(f"Loading the data of {config.data.dataset}")
    if run is not None and is_function(config.data.dataset) and "dataset" not in given:
        _check_kept(run, config, given)
        data, test = read_data(run.folder.data_file), None  # a function is run where someone names it alone
    else:
        own = run is not None and "dataset" not in given
        data, test = read_splits(config.data, config.seed, heard.decoding, download=not own)
    config = replace(config, recipe=config.recipe.fit_to(data, device))
    _check_classes(found, config, data)
    _check_batch(config, data)
    if run is not None and run.manifest.data is not None and config.init == SEARCH:
        change = DataCard.of(data).find_change(run.manifest.data)
        same = {key: getattr(config.data, key) for key in ("val_fraction", "max_images", "dataset")} == {
            key: getattr(run.config.data, key) for key in ("val_fraction", "max_images", "dataset")
        }
        if (change or not same or config.seed != run.config.seed) and config.mode == "scratch":
            heard.noted(
                "The split is another than the search's: its weights may have seen images that are validated "
                "on."
            )
    side = scale_resolution(fitted.space, fitted.network, config.data.resolution)
    space = fitted.network.adapt(data.channels, side, data.num_classes)
    text = dump_space(space)
    space = parse_space(text, config.network)
    evaluator = make_evaluator(space, config, data, files)
    try:
        initial = _make_initial_state(evaluator, config, given_weights)
    except SpaceError as error:
        raise InputError(
            f"{error}. That is at {side} x {side} pixels; raise --resolution, or fit the network to such "
            f"images with --input {side}"
        ) from None
    teacher = read_teacher(config, data, side, files)
    if teacher:
        images = datasets.resize_dataset(data, side)
        accuracy = teacher.measure_accuracy(images.val_images, images.val_labels, device)
        heard.noted(f"Teacher {config.teacher}: accuracy {accuracy:.4f} on the validation images.")
    manifest = TrainManifest(
        config,
        DataCard.of(data),
        _describe_origin(found, config),
        digest_text(text),
        {plugin.name: plugin.sha256 for plugin in files},
        describe_environment(device),
        digest_teacher(teacher),
    )
    return PreparedTraining(manifest, text, space, evaluator, data, test, initial, teacher, files)


def start(prepared: PreparedTraining, runs: Path, name: str | None, like: str) -> TrainSession:
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
            path = runs / name if name else choose_run_path(runs, like)
            folder = TrainingFolder.create(path, content, prepared.files)
            break
        except RunExists:
            if name:
                raise  # else another training has just taken the number
    evaluator = prepared.evaluator
    return TrainSession(
        folder, prepared.manifest, prepared.space, evaluator, data, prepared.test, prepared.teacher
    )


def find_stem(network: str) -> str:
    return Path(network).name.removesuffix(".yaml")


def _describe_origin(found: Found, config: TrainConfig) -> str:
    if found.run is None:
        return config.network
    return f"{config.network}, of the space '{found.run.space.name}'"


def read_splits(
    own: DataConfig, seed: int, progress: Decoding, *, download: bool
) -> tuple[ImageData, Source | None]:
    """Return the data to train on, and the split to test on, of which no image is read yet."""
    source = find_source(own.dataset, datasets.DATA_ROOT, own.layout, download)
    test = source.test() if source.test else None
    return datasets.load_source(source, own, seed=seed, progress=progress), test


def _check_kept(run: RunState, config: TrainConfig, given: Mapping[str, Any]) -> None:
    """Raise InputError for a setting of the data that images which a run keeps cannot follow."""
    own, now = run.config.data, config.data
    for key in DataConfig.settings():
        if key in given and getattr(own, key) != getattr(now, key):
            raise InputError(
                f"--{key.replace('_', '-')}: the images of {config.network} are kept as they were split and "
                f"resized; leave it out, or give --dataset {own.dataset} too, whose file is run then"
            )


def _check_classes(found: Found, config: TrainConfig, data: ImageData) -> None:
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


def _find_device(config: TrainConfig) -> str:
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if config.device is None:
        return next(name for name, is_there in there.items() if is_there)
    if not there[config.device]:
        raise InputError(f"--device {config.device}: torch finds none on this machine; leave it out")
    return config.device


def check_workers(config: TrainConfig) -> None:
    """Raise InputError where there is no room for the workers of a training on this machine."""
    if not config.workers:
        return
    if _find_device(config) == "mps":
        raise InputError(
            "--workers: share a batch on CPUs or CUDA; give --device cpu, or leave --workers out"
        )
    wanted, there = config.workers * (config.cpus or 1), count_cores()
    if config.address == "local" and wanted > there:
        raise InputError(
            f"--workers {config.workers} of {config.cpus or 1} CPUs each: this machine has {there}; give "
            "fewer, or join a cluster by --address"
        )


def _check_batch(config: TrainConfig, data: ImageData) -> None:
    """Raise InputError where workers cannot share a batch evenly."""
    batch, workers = config.recipe.batch_size, config.workers
    if not workers:
        return
    few = max(data.num_classes, int(len(data.train_labels) * config.recipe.fraction))
    if few < 2 * workers:
        raise InputError(
            f"--workers {workers}: there are {few} images to train on, and each worker needs 2 or more of a "
            "batch; give fewer"
        )
    if batch % workers or batch < 2 * workers:
        near = max(2, round(batch / workers)) * workers
        raise InputError(
            f"--workers {workers}: do not share a batch of {batch} evenly, of 2 images or more each; give a "
            f"multiple, such as --batch {near}"
        )


def make_evaluator(
    space: Space, config: TrainConfig, data: ImageData, plugins: tuple[Plugin, ...]
) -> ProxyEvaluator:
    """Return what builds the network; it takes images of the size of the network's input."""
    side = max(space.input[1:])
    device = _find_device(config)
    return ProxyEvaluator(space, config.recipe, data, config.seed, device, plugins=plugins, resolution=side)


def _read_init(found: Found, config: TrainConfig) -> Mapping[str, Tensor] | None:
    from nas.training.weights import read_state

    if config.init is None:
        return None
    return (
        found.weights
        if config.init == SEARCH
        else read_state(Path(config.init).expanduser(), f"--init {config.init}")
    )


def _make_initial_state(
    evaluator: ProxyEvaluator, config: TrainConfig, given: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    """Return the weights before the first epoch."""
    from nas.training.weights import fit_weights

    network = evaluator.network({})
    with borrowed_process():
        own = evaluator.build_module(network, None, config.seed).state_dict()
    if given is None:
        return dict(own)
    head = find_head(evaluator) if config.mode != "scratch" else None
    try:
        return fit_weights(own, given, head, f"--init {config.init}")
    except InputError as error:
        if head is None and _can_fit_but_for(find_head(evaluator), own, given):
            raise InputError(f"{error}; a new classifier is trained by --mode finetune") from None
        raise InputError(f"{error}; give weights of this network, {config.network}") from None


def _can_fit_but_for(head: str, own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> bool:
    from nas.training.weights import fit_weights

    try:
        fit_weights(own, given, head, "")
    except InputError:
        return False
    return True


def find_head(evaluator: ProxyEvaluator) -> str:
    """Return the name of the classifier: the last layer of weights."""
    return next(node.name for node in reversed(evaluator.network({}).nodes) if node.op.has_filters)
