"""The epochs of a full training, each kept as it ends."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from nas.data import datasets
from nas.errors import InputError, NasError
from nas.files import write_atomically
from nas.machine import count_cores
from nas.runs.folder import TrainingFolder
from nas.runs.training import BODY_RATE, FORMAT, TrainConfig
from nas.space.plugins import load_plugins
from nas.training.base import EpochResult, FailureReason, TrainingFailed
from nas.training.evaluator import ProxyEvaluator
from nas.training.process import borrowed_process
from nas.training.tuning import Tuning
from nas.workflows.stops import stoppable
from nas.workflows.train.growing import TrainLog
from nas.workflows.train.preparation import find_head
from nas.workflows.train.results import find_best_epoch, finish, write_curves
from nas.workflows.train.values import TrainObserver, TrainResult, TrainSession

if TYPE_CHECKING:
    from torch import Tensor

    from nas.data.datasets import ImageData
    from nas.training.loop import ClassifierTraining
    from nas.training.replicas import Replicas
    from nas.training.teacher import Teacher

    Parts = tuple[TrainConfig, ProxyEvaluator, ImageData, Mapping[str, Tensor], Teacher | None]
    """What a training is made of."""


NORM_IMAGES, _NORM_SHARE, _MOST_NORMS = 256, 16, 4096
"""Statistics of batch norm are estimated from so many images at least, one in so many, so many at most."""


def run(session: TrainSession, heard: TrainObserver) -> TrainResult:
    """Train what is left, test, and write what was found."""
    config = session.config
    threads = count_threads(config, session.evaluator.device)
    with (
        stoppable(session) as stop,
        session.folder.locked(),
        borrowed_process(threads),
        TrainLog(session, heard.noted) as log,
    ):
        session.write_changes()
        initial = _read_initial(session.folder)
        parts = config, session.evaluator, session.data, initial, session.teacher
        told = partial(failures_told, f"{session.folder.path}: the training failed", " in a new training")
        with told():
            training = make_training(*parts, on_step=heard.step)
            _take_checkpoint(session, training)
        heard.began(session)
        log.begin()
        by_ray = bool(config.workers) and not training.done
        here = nullcontext(lambda training: training.epoch())
        with _ray_epochs(session, parts, heard) if by_ray else here as train_epoch:
            while not training.done:
                stop.check()
                with told():
                    result = train_epoch(training)
                # of a batch that was halved the first epoch comes again
                session.history[result.epoch - 1 :] = [result]
                stop.check_place()
                _keep(session, training)
                log.epoch(result)
                heard.epoch(result)
        return finish(session, training, log, heard)


@contextmanager
def failures_told(what: str, where: str = "") -> Iterator[None]:
    """Say of a training that fails, or finds no memory, why, and what to change `where`: raise NasError."""
    from nas.training.device import memory_failures

    try:
        with memory_failures():
            yield
    except TrainingFailed as failed:
        is_high = failed.failure.reason == FailureReason.NAN_LOSS
        change = "give a lower --lr" if is_high else "give a smaller --batch or --resolution"
        raise NasError(f"{what}: {failed}; {change}{where}") from None


@contextmanager
def _ray_epochs(
    session: TrainSession, parts: Parts, heard: TrainObserver
) -> Iterator[Callable[[ClassifierTraining], EpochResult]]:
    """Give what trains the next epoch of a training by workers on Ray."""
    config = session.config
    heard.doing(f"Starting {config.workers} worker{'s' * (config.workers > 1)} on Ray Train")
    from nas.execution.ray_train import ray_workers

    with ray_workers(
        _make_part,
        parts,
        load=partial(load_plugins, session.evaluator.plugins),
        workers=config.workers,
        cpus=config.cpus or max(1, count_cores() // config.workers),
        use_gpu=session.evaluator.device == "cuda",
        address=config.address,
        on_step=heard.step,
        way_out=session.way_out,
    ) as train_epoch:
        yield train_epoch


def _make_part(parts: Parts, replicas: Replicas, on_step: Callable[[int, int], None]) -> ClassifierTraining:
    return make_training(*parts, replicas=replicas, on_step=on_step)


def count_norm_images(images: int) -> int:
    """Return how many of so many images to train on statistics of batch norm are estimated from."""
    return min(_MOST_NORMS, max(NORM_IMAGES, images // _NORM_SHARE))


def count_threads(config: TrainConfig, device: str) -> int | None:
    return None if device != "cpu" else config.cpus or count_cores()


def make_training(
    config: TrainConfig,
    evaluator: ProxyEvaluator,
    data: ImageData,
    initial: Mapping[str, Tensor],
    teacher: Teacher | None,
    *,
    replicas: Replicas | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> ClassifierTraining:
    from nas.training.loop import ClassifierTraining

    network = evaluator.network({})
    module = evaluator.build_module(network, None, config.seed)
    module.load_state_dict(initial)
    images = datasets.resize_dataset(data, network.input_shape[1])
    tuning = {
        "scratch": Tuning(),
        "finetune": Tuning(find_head(evaluator), BODY_RATE),
        "linear": Tuning(find_head(evaluator), 0.0),
    }[config.mode]
    return ClassifierTraining(
        module,
        images,
        config.recipe,
        seed=config.seed,
        device=evaluator.device,
        norm_images=count_norm_images(len(images.train_labels)),
        tuning=tuning,
        teacher=teacher,
        replicas=replicas,
        on_step=on_step,
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

    folder, best = session.folder, find_best_epoch(session.history)
    if best is session.history[-1]:
        write_atomically(folder.epoch_file(best.epoch), save(training.state_dict()))
    content = io.BytesIO()
    history = [asdict(result) for result in session.history]
    torch.save({"format": FORMAT, "training": training.checkpoint(), "history": history}, content)
    write_atomically(folder.checkpoint_file, content.getvalue())
    for file in folder.weights_folder.glob("epoch-*.safetensors"):
        if file != folder.epoch_file(best.epoch):
            file.unlink(missing_ok=True)
    write_curves(session)


def _take_checkpoint(session: TrainSession, training: ClassifierTraining) -> None:
    """Take over what `_keep` wrote, where it did."""
    import torch

    from nas.training.device import memory_failures

    file = session.folder.checkpoint_file
    if not file.exists():
        return
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
        history = [EpochResult(**entry) for entry in found["history"]]
        with memory_failures():
            training.restore(found["training"])
    except TrainingFailed:
        raise
    except Exception as error:  # torch has many for a damaged file
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{file}: the checkpoint cannot be read ({reason}); remove it to begin with the first epoch again"
        ) from None
    session.history[:] = history
