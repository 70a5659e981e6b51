"""Full trainings: a network from its first epoch to figures on test images and a file that leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from nas.data import datasets
from nas.data.functions import is_function
from nas.data.kept import read_data
from nas.errors import InputError
from nas.loggers import check_loggers
from nas.runs.folder import TrainingFolder
from nas.runs.training import WAY_OUT, TrainManifest
from nas.space.plugins import read_plugins
from nas.training.process import borrowed_process
from nas.workflows.prepared import check_data
from nas.workflows.train.epochs import (
    NORM_IMAGES,
    count_norm_images,
    count_threads,
    failures_told,
    make_training,
    run,
)
from nas.workflows.train.finished import read_network
from nas.workflows.train.preparation import (
    check_workers,
    find_stem,
    make_evaluator,
    prepare,
    read_splits,
    settle,
    start,
)
from nas.workflows.train.teaching import digest_teacher, read_teacher
from nas.workflows.train.values import TrainForecast, TrainObserver, TrainResult, TrainSession

_FORECAST_STEPS = 8
_CANNOT = "the network cannot be trained"


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
        >>> short = {"max_images": 200, "recipe": {"epochs": 2}, "workers": 0}
        >>> found = nas.train("reference/lenet5", {"dataset": "digits", "input": 32, **short})
        >>> found.metrics.accuracy <= 1, found.exported[0]
        (True, PosixPath('runs/train-lenet5-1/best.py'))

    Raises InputError for what cannot be trained, Stopped on Ctrl-C, NasError where the training fails.
    """
    heard = observer or TrainObserver()
    found, config, given, files = settle(network, settings, trial, storage, plugins)
    like = f"train-{find_stem(config.network)}"
    check = partial(TrainingFolder.find_place, Path(runs), name, like)
    with failures_told(_CANNOT):
        prepared = prepare(found, config, given, files, heard, check)
    return run(start(prepared, Path(runs), name, like), heard)


def resume_training(
    folder: TrainingFolder,
    observer: TrainObserver | None = None,
    *,
    changes: Mapping[str, Any] | None = None,
    plugins: Sequence[Path | str] = (),
) -> TrainResult:
    """Go on with a training that was stopped or killed, from its last epoch.

    `changes`: settings of where it trains and is logged, in place of its own.

    Raises InputError where it is finished, where it was logged and they have no `log`, and where data or
    files are not those that it began with.
    """
    heard = observer or TrainObserver()
    manifest = TrainManifest.read(folder)
    files = read_plugins(map(Path, plugins))
    if folder.report_file.is_file():
        raise InputError(
            f"{folder.path}: is finished, its figures are in {folder.report_file}; start a new training"
        )
    space = read_network(folder, manifest, files)
    manifest.check_again(folder.path, changes or {})
    began, config = manifest.config, manifest.config.move(changes or {})
    manifest = replace(manifest, config=config)
    check_loggers(config.log)
    check_workers(config)
    if is_function(config.data.dataset):
        data, test = read_data(folder.data_file), None
    else:
        heard.doing(f"Loading the data of {config.data.dataset}")
        data, test = read_splits(config.data, config.seed, heard.decoding, download=False)
    check_data(data, manifest.data, "the training began")
    evaluator = make_evaluator(space, config, data, files)
    teacher = read_teacher(config, data, max(space.input[1:]), files)
    if digest_teacher(teacher) != manifest.teacher:
        raise InputError(
            f"--teacher {config.teacher}: was changed since the training began; restore it, or {WAY_OUT}"
        )
    changed = config != began
    return run(TrainSession(folder, manifest, space, evaluator, data, test, teacher, changed=changed), heard)


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
    found, config, given, files = settle(network, settings, trial, storage, plugins)
    with failures_told(_CANNOT):
        prepared = prepare(found, config, given, files, heard)
    config, data = prepared.manifest.config, prepared.data
    recipe = config.recipe
    if config.workers:
        heard.noted(f"The forecast is of this process; {config.workers} workers share each batch.")
    share, part = datasets.take_part(data, max(_FORECAST_STEPS * recipe.batch_size, NORM_IMAGES))
    short = replace(config, recipe=replace(recipe, epochs=2, early_stop=None))
    heard.doing("Training some batches")
    with borrowed_process(count_threads(config, prepared.evaluator.device)), failures_told(_CANNOT):
        training = make_training(short, prepared.evaluator, part, prepared.initial, prepared.teacher)
        training.epoch()
        result = training.epoch()
    norms = count_norm_images(len(data.train_labels)) / count_norm_images(len(part.train_labels))
    epoch_s = (result.seconds - result.norms_s) / share + norms * result.norms_s
    device = prepared.evaluator.device
    rate = recipe.fraction * len(data.train_labels) / epoch_s
    return TrainForecast(recipe.epochs, epoch_s, rate, device)
