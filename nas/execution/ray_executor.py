"""Trials on Ray Tune.

Tune places, runs and retries; the study decides what is tried, and when a trial stops: a searcher hands its
candidates to Tune, a scheduler asks it after every epoch. `ray.tune.search.optuna` is not used, as it reports
a trial that was stopped early as complete, with its score at that time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any

from nas.execution.ray_start import (
    count_room,
    end_session,
    find_own_node,
    find_own_session,
    list_nodes,
    start_ray,
    swapped,
)

# isort: split
import ray
from ray import tune
from ray.tune.execution import class_cache, tune_controller
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nas import __version__
from nas.errors import InputError, NasError
from nas.execution.base import TrialObserver, TrialQueue
from nas.execution.ray_metrics import MeteredObserver
from nas.execution.ray_trials import (
    Abort,
    Actors,
    Controller,
    Listener,
    QueueScheduler,
    QueueSearcher,
    Trials,
    name_trial,
)
from nas.execution.ray_watch import Watch
from nas.execution.ray_worker import Worker
from nas.importing import format_error
from nas.training.base import Evaluator, EvaluatorError


class RayExecutor:
    """Trains on Ray, started here or joined.

    `concurrency`: trials at a time, None for as many as there is room for; a cluster that is joined is asked
    for more than it has. `accelerator`: the kind of GPU that nodes must have, as Ray names it. `address`:
    `local` starts Ray here, `auto` joins the cluster on this machine, `host:port` any other. `way_out`: how
    to go on where Ray is lost, as a message says it. `labels`: of its metrics, `run` and `sampler`.
    """

    def __init__(
        self,
        *,
        cpus_per_trial: int = 1,
        gpus_per_trial: float = 0,
        concurrency: int | None = None,
        accelerator: str | None = None,
        address: str = "local",
        dashboard: bool = True,
        way_out: str = "Nothing finished is lost",
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self._bundle: dict[str, float] = {"CPU": cpus_per_trial}
        if gpus_per_trial:
            self._bundle["GPU"] = gpus_per_trial
        if accelerator is not None:
            self._bundle[_KIND + accelerator] = _MARK
        self._accelerator = accelerator
        self._threads = cpus_per_trial
        self._concurrency = concurrency
        self._address = address
        self._dashboard = dashboard
        self._way_out = way_out
        self._labels = labels or {"run": "nas", "sampler": ""}

    def run(self, queue: TrialQueue, evaluator: Evaluator, observer: TrialObserver) -> None:
        """Do as `Executor.run` does. Raises InputError for an address that does not answer and for trials
        that no node has room for."""
        if not queue.remaining:
            return
        observer.doing("Starting Ray" if self._address == "local" else "Joining Ray")
        with start_ray(self._address, self._dashboard) as dashboard:
            if dashboard:
                observer.dashboard(dashboard)
            observer.doing("Starting workers")
            self._check_room()
            own = find_own_node()
            session = find_own_session(self._address)
            with Watch(own.gcs, own.raylet, self._way_out, lambda: end_session(session)) as watch:
                metered = MeteredObserver(observer, queue, self._labels, own.address)
                slots = self.count_slots()
                count_slots = (lambda: slots) if self._address == "local" else self.count_slots
                try:
                    with _without_start_hooks():
                        self._tune(Trials(queue, metered, count_slots, evaluator, watch), evaluator)
                except ray.exceptions.RayError as error:
                    watch.check()
                    raise NasError(self._describe_error(error)) from None

    def check_cluster(self) -> str:
        """Join Ray and leave it. Return in a line what it is.

        Raises InputError where no node has room for a trial, or one has another nas than this machine.
        """
        with start_ray(self._address, self._dashboard):
            self._check_room()
            _check_versions()
            nodes, slots = len(list_nodes()), self.count_slots()
            has = ray.cluster_resources()  # type: ignore[no-untyped-call]
            counts = [(nodes, "node"), (has.get("CPU", 0), "CPU"), (has.get("GPU", 0), "GPU")]
            found = ", ".join(f"{count:g} {what}{'' if count == 1 else 's'}" for count, what in counts)
            at_once = f"{slots} trial{'' if slots == 1 else 's'} at a time"
            if (now := min(slots, self._count_room())) < slots:
                at_once = f"{now} of {at_once}, and more as it grows"
            return f"Ray cluster {ray.get_runtime_context().gcs_address}: {found}; {at_once}."

    def count_slots(self) -> int:
        """Return how many trials may be under way at a time, with those that wait for a node to join."""
        if self._concurrency is None:
            return self._count_room()
        return min(self._count_room(), self._concurrency) if self._address == "local" else self._concurrency

    def _count_room(self) -> int:
        """Return how many trials the nodes that are alive have room for, were nothing else on them."""
        return count_room(self._bundle)

    def _check_room(self) -> None:
        """Raise InputError where no node has room for a trial, were nothing else on it."""
        if self._count_room():
            return
        wanted, nodes = self._accelerator, list_nodes()
        kinds = sorted(
            {kind.removeprefix(_KIND) for node in nodes for kind in node if kind.startswith(_KIND)}
        )
        if wanted is not None and wanted not in kinds:
            known = f"its nodes have {' and '.join(kinds)}" if kinds else "Ray knows of none there"
            raise InputError(
                f"accelerator: no node of the Ray cluster has '{wanted}', {known}; give one that it has, or "
                "leave --accelerator out"
            )

        def named(amounts: Mapping[str, float]) -> str:
            shown = [f"{amounts.get(kind, 0):g} {kind}s" for kind in self._bundle if kind in ("CPU", "GPU")]
            shown += [kind.removeprefix(_KIND) for kind in amounts if kind.startswith(_KIND)]
            return " and ".join(shown)

        raise InputError(
            f"a trial asks for {named(self._bundle)}, and no node of the Ray cluster has that "
            f"({', '.join(map(named, nodes))}); lower --cpus-per-trial or --gpus-per-trial"
        )

    def _tune(self, trials: Trials, evaluator: Evaluator) -> None:
        try:
            sent = tune.with_parameters(Worker, evaluator=evaluator, threads=self._threads)
        except (ray.exceptions.RayError, OSError):
            raise
        except Exception as error:  # whatever a user's object raises when it is pickled
            why = format_error(error.__cause__ or error)
            raise EvaluatorError(
                f"evaluator {evaluator}: cannot be sent to workers ({why}); let it make what it holds "
                "where it trains, or train in this process by --workers 0 --in-process"
            ) from error
        worker = tune.with_resources(sent, tune.PlacementGroupFactory([self._bundle]))
        worker.__qualname__ = Worker.__qualname__  # which a dashboard shows; Tune's is of its own function
        with tempfile.TemporaryDirectory(prefix="nas-tune-") as folder:
            try:
                with (
                    swapped(tune.tune, TuneController=Controller),
                    swapped(tune_controller, RayActorManager=Actors),
                    _without_environment(),
                ):
                    tune.run(
                        worker,
                        name="nas",
                        search_alg=QueueSearcher(trials),
                        callbacks=[Listener(trials)],
                        scheduler=QueueScheduler(trials),
                        num_samples=-1,
                        reuse_actors=True,
                        storage_path=folder,
                        checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                        trial_dirname_creator=name_trial,
                        trial_name_creator=name_trial,
                        raise_on_failed_trial=False,
                        verbose=0,
                    )
            except Abort as abort:
                if abort.__cause__ is not None:
                    raise abort.__cause__ from None

    def _describe_error(self, error: ray.exceptions.RayError) -> str:
        """Return what is told of an error of Ray that ends a search."""
        full = (ray.exceptions.ObjectStoreFullError, ray.exceptions.OutOfDiskError)
        if isinstance(error, full):
            return (
                "what workers are sent has no room in Ray's object store on this machine, nor on the disk "
                "that it goes on with; make room in the temporary folder of Ray, give its store more by `ray "
                f"start --object-store-memory`, or send less by --max-images. {self._way_out}"
            )
        first, *_ = str(error).strip().splitlines() or [""]
        return f"Ray failed: {type(error).__name__}: {first:.300}. {self._way_out}"


def _without_environment() -> AbstractContextManager[None]:
    """Have Tune ask for workers without environment variables: a process that started ahead has none, and is
    not given to who asks for some. What Tune's would say, importing `ray_start` says."""
    return swapped(class_cache, DEFAULT_ENV_VARS={}, ENV_VARS_TO_PROPAGATE=())


def _without_start_hooks() -> AbstractContextManager[None]:
    """Have Ray forget what Tune wants done at its next start in this process, which is to send the evaluator
    again: after one that cannot be sent no Ray would start."""
    worker: Any = ray._private.worker  # there is no public way
    return swapped(worker, _post_init_hooks=[*worker._post_init_hooks])


_KIND = "accelerator_type:"
"""Starts the name of the resource by which Ray tells kinds of GPUs apart; a node has 1 of it."""
_MARK = 0.001
"""What Ray itself asks for of it: a thousand trials may share a node."""


def _check_versions() -> None:
    """Raise InputError where a node has another nas than this machine, or none."""

    def look() -> str:  # of no module: a node that has no nas takes it too
        try:
            import nas

            return f"nas {nas.__version__}"
        except ImportError as error:
            return f"no nas ({error})"

    asked = {}
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        if node["Alive"]:
            where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            run = ray.remote(look).options(num_cpus=0, scheduling_strategy=where)
            asked[run.remote()] = node["NodeManagerAddress"]
    answered, _ = ray.wait([*asked], num_returns=len(asked), timeout=_ANSWER_S)
    for answer in answered:
        with suppress(ray.exceptions.RayError):  # a node that goes, of which trials tell
            found, own = ray.get(answer), f"nas {__version__}"
            if found != own:
                raise InputError(
                    f"node {asked[answer]} of the Ray cluster has {found}, and this machine {own}; install "
                    "the same on both"
                )


_ANSWER_S = 20
