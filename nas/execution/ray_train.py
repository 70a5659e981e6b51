"""One training in several processes, on Ray Train.

The driver owns the training: it gives the workers a checkpoint, they train one epoch from it and answer with
the next. A worker that dies costs the epoch that is under way, and no folder has to be shared.
"""

from __future__ import annotations

import io
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from nas.execution.ray_start import count_room, end_session, find_own_node, find_own_session, start_ray

# isort: split
import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig, WorkerGroupError
from ray.train.torch import TorchTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nas.errors import InputError, NasError
from nas.execution.ray_deaths import describe_full, is_ended_by_ray
from nas.execution.ray_desk import Desk
from nas.execution.ray_watch import Watch
from nas.execution.worker_process import prepare_process
from nas.importing import release_children
from nas.training.base import EpochResult, Limit, TrainingFailed
from nas.training.replicas import Replicas

if TYPE_CHECKING:
    from nas.training.loop import ClassifierTraining

Argument = TypeVar("Argument")
OnStep = Callable[[int, int], None]
Make = Callable[[Argument, Replicas, OnStep], "ClassifierTraining"]
"""Makes a training of an argument that all workers have, by a function of a module."""

_MOST_DEATHS = 3
"""Of workers, after which a training fails."""
_LOOK_S = 0.2
_END_S = 10.0


@contextmanager
def ray_workers(
    make: Make[Argument],
    argument: Argument,
    *,
    load: Callable[[], object],
    workers: int,
    cpus: int,
    use_gpu: bool,
    address: str,
    on_step: OnStep,
    way_out: str,
) -> Iterator[Callable[[ClassifierTraining], EpochResult]]:
    """Start workers on Ray, of so many `cpus` each; give what trains the next epoch of a training by them.

    `load`: loads code of the user's own, before the `argument` is read that may be made of it. `address`:
    `local` starts Ray here. `way_out`: how to go on where Ray is lost, as a message says it.

    Raises InputError for a cluster without room. What it gives raises TrainingFailed as an epoch does, and
    NasError where workers die again and again.
    """
    with start_ray(address, dashboard=False), tempfile.TemporaryDirectory(prefix="nas-train-") as storage:
        _check_room(workers, cpus, use_gpu)
        node, session = find_own_node(), find_own_session(address)
        place = NodeAffinitySchedulingStrategy(node.id, soft=False)
        desk: Any = ray.remote(Desk).options(num_cpus=0, scheduling_strategy=place).remote()
        trainer = TorchTrainer(
            _work,
            train_loop_config={
                "make": make,
                "argument": ray.put(argument),
                "load": load,
                "threads": cpus,
                "desk": desk,
            },
            scaling_config=ScalingConfig(
                num_workers=workers, use_gpu=use_gpu, resources_per_worker=_make_resources(cpus, use_gpu)
            ),
            run_config=RunConfig(
                name="nas", storage_path=storage, failure_config=FailureConfig(max_failures=_MOST_DEATHS)
            ),
        )
        with Watch(node.gcs, node.raylet, way_out, lambda: end_session(session)) as watch:
            fitting = _Fitting(trainer)
            try:
                yield lambda training: _train_epoch(training, desk, fitting, on_step)
            except ray.exceptions.RayError as error:
                watch.check()
                raise NasError(f"Ray: {_name_cause(error)}. {way_out}") from None
            finally:
                with suppress(ray.exceptions.RayError):
                    desk.end.remote()
                    fitting.join(_END_S)


class _Fitting(threading.Thread):
    """Runs a trainer, of which `error` is what ended it."""

    def __init__(self, trainer: TorchTrainer) -> None:
        super().__init__(name="nas-ray-train", daemon=True)
        self._trainer = trainer
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._trainer.fit()
        except BaseException as error:  # told by who waits for an epoch
            self.error = error


def _train_epoch(training: ClassifierTraining, desk: Any, fitting: _Fitting, on_step: OnStep) -> EpochResult:
    asked = desk.ask.remote(_pack(training.checkpoint()))
    shown = (0, 0)
    while not ray.wait([asked], timeout=_LOOK_S)[0]:
        if not fitting.is_alive():
            reason = _name_cause(fitting.error) if fitting.error else "they ended"
            raise NasError(
                f"the workers on Ray failed: {reason}; mend the cause, or train in this process by "
                "--workers 0"
            )
        if (steps := tuple(ray.get(desk.steps.remote()))) != shown:
            shown = steps
            on_step(*steps)
    answer = _unpack(ray.get(asked))
    if "failure" in answer:
        raise TrainingFailed(*answer["failure"])
    training.restore(answer["state"])
    result = answer["result"]
    return EpochResult(**{**result, "limit": result["limit"] and Limit(**result["limit"])})


def _work(config: dict[str, Any]) -> None:
    """Train epochs from the checkpoints that the desk has, until it has none."""
    release_children()
    prepare_process(config["threads"])
    import torch.distributed as dist

    replicas, desk = Replicas.of_group(), config["desk"]
    leads = replicas.rank == 0

    def note(done: int, steps: int) -> None:
        if leads:
            desk.note.remote(done, steps)

    config["load"]()
    training = config["make"](ray.get(config["argument"]), replicas, note)
    while True:
        orders = [ray.get(desk.take.remote()) if leads else None]
        dist.broadcast_object_list(orders)
        if not orders[0]:
            return
        training.restore(_unpack(orders[0]))
        try:
            result = training.epoch()
        except TrainingFailed as failed:  # perhaps of this worker alone: Ray ends the others
            reason = (str(failed.failure.reason), failed.failure.message)
            ray.get(desk.answer.remote(_pack({"failure": reason})))
            raise
        if leads:
            answer = {"result": asdict(result), "state": training.checkpoint()}
            ray.get(desk.answer.remote(_pack(answer)))


def _pack(content: Any) -> bytes:
    """Return tensors and plain values as bytes."""
    import torch

    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _unpack(content: Any) -> Any:
    """Return what `_pack` was given; no code is run."""
    import torch

    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _make_resources(cpus: int, use_gpu: bool) -> dict[str, float]:
    return {"CPU": cpus, "GPU": 1} if use_gpu else {"CPU": cpus}


def _check_room(workers: int, cpus: int, use_gpu: bool) -> None:
    """Raise InputError where the cluster, were nothing else on it, has no room for the workers."""
    wanted = _make_resources(cpus, use_gpu)
    if (room := count_room(wanted)) < workers:
        named = " and ".join(f"{amount:g} {kind}" for kind, amount in wanted.items())
        raise InputError(
            f"workers: {workers} of {named} each are asked for, and the Ray cluster has room for {room}; "
            "give fewer --workers" + (" or --cpus" if cpus > 1 else "") + ", also to 'nas resume'"
        )


def _name_cause(error: BaseException) -> str:
    """Return what Ray's memory monitor has ended, or else the last line of an error: those of Ray are a
    traceback, and then what was raised."""
    causes = error.worker_failures.values() if isinstance(error, WorkerGroupError) else [error]
    for report in map(str, causes):
        if is_ended_by_ray(report):
            return describe_full(report, "a process")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
