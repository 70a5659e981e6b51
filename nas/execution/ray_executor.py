"""Trials on Ray Tune.

Tune places, runs and retries; the study decides what is tried, and when a trial stops: a searcher hands its
candidates to Tune, a scheduler asks it after every epoch. `ray.tune.search.optuna` is not used, as it reports
a trial that was stopped early as complete, with its score at that time.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from nas.execution.ray_start import end_session, own_session, start_ray

# isort: split
import ray
from ray import tune
from ray.tune.execution.tune_controller import TuneController
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nas import __version__
from nas.errors import InputError, NasError
from nas.execution.base import (
    TRIES,
    Step,
    TrialObserver,
    TrialQueue,
    describe_deaths,
    tell,
)
from nas.execution.ray_deaths import describe_death, went_with_its_machine
from nas.execution.ray_mailbox import Mailbox
from nas.execution.ray_metrics import Metered, name_tasks
from nas.execution.ray_watch import Watch
from nas.execution.ray_worker import Place, Worker
from nas.study.records import Candidate, TrialResult
from nas.training.base import Evaluator, Failure, FailureReason, seconds_allowed, time_limit


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
        """As `Executor.run`. Raises InputError for an address that does not answer and for trials that no
        node has room for."""
        if not queue.remaining:
            return
        observer.doing("Starting Ray" if self._address == "local" else "Joining Ray")
        with start_ray(self._address, self._dashboard) as dashboard:
            if dashboard:
                observer.dashboard(dashboard)
            observer.doing("Starting workers")
            self._check_room()
            here = ray.get_runtime_context()
            own = next(node for node in ray.nodes() if node["NodeID"] == here.get_node_id())  # type: ignore[no-untyped-call]
            raylet = f"{own['NodeManagerAddress']}:{own['NodeManagerPort']}"
            session = own_session(self._address)
            with Watch(here.gcs_address, raylet, self._way_out, lambda: end_session(session)) as watch:
                images = getattr(evaluator, "images_per_epoch", None)
                metered = Metered(observer, queue, self._labels, own["NodeManagerAddress"], images)
                try:
                    self._tune(_Trials(queue, metered, self, evaluator, watch), evaluator)
                except ray.exceptions.RayError as error:
                    watch.check()
                    raise NasError(self._broken(error)) from None

    def check_cluster(self) -> str:
        """Join Ray and leave it. Return in a line what it is.

        Raises InputError where no node has room for a trial, or one has another nas than this machine.
        """
        with start_ray(self._address, self._dashboard):
            self._check_room()
            _check_versions()
            nodes, slots = len(_nodes()), self.slots()
            has = ray.cluster_resources()  # type: ignore[no-untyped-call]
            counts = [(nodes, "node"), (has.get("CPU", 0), "CPU"), (has.get("GPU", 0), "GPU")]
            found = ", ".join(f"{count:g} {what}{'' if count == 1 else 's'}" for count, what in counts)
            at_once = f"{slots} trial{'' if slots == 1 else 's'} at a time"
            if (now := min(slots, self._room())) < slots:
                at_once = f"{now} of {at_once}, and more as it grows"
            return f"Ray cluster {ray.get_runtime_context().gcs_address}: {found}; {at_once}."

    def slots(self) -> int:
        """Return how many trials may be under way at a time, with those that wait for a node to join."""
        if self._concurrency is None:
            return self._room()
        return min(self._room(), self._concurrency) if self._address == "local" else self._concurrency

    def _room(self) -> int:
        """Return how many trials the nodes that are alive have room for, were nothing else on them."""
        return sum(
            int(min(node.get(kind, 0) // amount for kind, amount in self._bundle.items()))
            for node in _nodes()
        )

    def _check_room(self) -> None:
        """Raise InputError where no node has room for a trial, were nothing else on it."""
        if self._room():
            return
        wanted, nodes = self._accelerator, _nodes()
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

    def _tune(self, trials: _Trials, evaluator: Evaluator) -> None:
        given = {"evaluator": evaluator, "threads": self._threads, "mailbox": trials.mailbox}
        worker = tune.with_resources(
            tune.with_parameters(Worker, **given), tune.PlacementGroupFactory([self._bundle])
        )
        worker.__qualname__ = Worker.__qualname__  # which a dashboard shows; Tune's is of its own function
        with tempfile.TemporaryDirectory(prefix="nas-tune-") as folder:
            try:
                with patch.object(tune.tune, "TuneController", _Controller):
                    tune.run(
                        worker,
                        name="nas",
                        search_alg=_Searcher(trials),
                        callbacks=[_Listener(trials)],
                        scheduler=_Scheduler(trials),
                        num_samples=-1,
                        reuse_actors=True,
                        storage_path=folder,
                        checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                        trial_dirname_creator=_trial_name,
                        trial_name_creator=_trial_name,
                        raise_on_failed_trial=False,
                        verbose=0,
                    )
            except _Abort as abort:
                assert abort.__cause__ is not None
                raise abort.__cause__ from None

    def _broken(self, error: ray.exceptions.RayError) -> str:
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


_KIND = "accelerator_type:"
"""Starts the name of the resource by which Ray tells kinds of GPUs apart; a node has 1 of it."""
_MARK = 0.001
"""What Ray itself asks for of it: a thousand trials may share a node."""


def _nodes() -> list[dict[str, float]]:
    """Return the resources of each node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


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


# On the driver


_ANSWER_S = 20


class _Trials:
    """The queue's trials that are on Tune, by Tune's name for them."""

    def __init__(
        self,
        queue: TrialQueue,
        observer: Metered,
        executor: RayExecutor,
        evaluator: Evaluator,
        watch: Watch,
    ) -> None:
        self._queue = queue
        self._observer = observer
        self._executor = executor
        self._evaluator = evaluator
        self._watch = watch
        self._began: dict[str, float] = {}
        self._last: dict[str, TrialResult] = {}
        self._running: dict[str, Candidate] = {}
        self._again: list[Candidate] = []
        self._deaths: Counter[tuple[int, bool]] = Counter()
        self.slots = executor.slots()
        self.mailbox = f"nas-mailbox-{uuid4().hex}"  # one that was used before may not have ended yet

    def next(self, trial_id: str) -> Candidate | None:
        self._watch.check()
        self.slots = self._executor.slots()
        if len(self._running) >= self.slots:
            return None
        began, is_new = time.monotonic(), not self._again
        candidate = self._queue.ask() if is_new else self._again.pop()
        if candidate is not None:
            self._running[trial_id] = candidate
            self._observer.asked(candidate, time.monotonic() - began if is_new else None, self.slots)
        return candidate

    @property
    def has_more(self) -> bool:
        """Whether a worker that is free will have a trial."""
        return bool(self._again) or (not self._queue.exhausted and self._queue.remaining > 0)

    @property
    def finished(self) -> bool:
        """A trial that runs may yet have to start anew."""
        return not (self._running or self._again) and (self._queue.exhausted or not self._queue.remaining)

    def send_parent(self, candidate: Candidate) -> bool:
        """Put the weights that a trial starts from where its worker finds them, if it starts from any."""
        parent = self._queue.parent(candidate)
        if parent is not None:
            ray.get(self._mailbox.put.remote(candidate.number, parent))
        return parent is not None

    def label(self, candidate: Candidate) -> str:
        return self._observer.label(candidate)

    def started(self, trial_id: str, actor: Any) -> None:
        # Not earlier without need: it would take the process that Ray keeps ready for the first worker.
        _ = self._mailbox
        self._began[trial_id] = time.monotonic()
        candidate = self._running[trial_id]
        name_tasks(actor, lambda: self._observer.title(candidate))
        self._observer.started(candidate)

    def told(self, trial_id: str, step: Step, place: Place) -> bool:
        """Take a step, trained at a place. Return whether the trial goes on."""
        candidate = self._running.get(trial_id)
        if candidate is None:  # Tune calls a trial complete that it was told to stop
            return False
        self._last[trial_id] = step.result
        self._observer.stepped(candidate.number, place.node, place.gpu_bytes)
        goes_on = tell(
            self._queue,
            self._observer,
            candidate,
            step,
            lambda: ray.get(self._mailbox.take.remote(candidate.number)),
        )
        if not goes_on:
            del self._running[trial_id]
        return goes_on

    def died(self, trial_id: str, report: str) -> None:
        candidate = self._running.pop(trial_id)
        result = self._last.pop(trial_id, TrialResult())
        limit = time_limit(self._evaluator, candidate.number)
        began = self._began.get(trial_id, math.inf)
        if limit and time.monotonic() - began >= seconds_allowed(limit):  # its worker ended itself
            text = f"{limit:g} s were over in epoch {result.epochs + 1}, which did not end"
            failure = Failure(FailureReason.TIMEOUT, text)
            tell(self._queue, self._observer, candidate, Step(result, failure=failure), bytes)
            return
        # A machine that goes, as one that is lent for a while, is no fault of the network at first sight.
        with_machine = went_with_its_machine(report)
        self._deaths[candidate.number, with_machine] += 1
        if self._deaths[candidate.number, with_machine] < (_MACHINES if with_machine else TRIES):
            self._again.append(candidate)
        else:
            tries = sum(self._deaths[candidate.number, either] for either in (True, False))
            failure = describe_deaths(tries, describe_death(report))
            tell(self._queue, self._observer, candidate, Step(result, failure=failure), bytes)

    @cached_property
    def _mailbox(self) -> Any:
        """On this node; workers find it by its name."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        return ray.remote(Mailbox).options(name=self.mailbox, num_cpus=0, scheduling_strategy=here).remote()


class _Searcher(Searcher):
    """Hands the queue's candidates to Tune."""

    def __init__(self, trials: _Trials) -> None:
        super().__init__()
        self.trials = trials

    def suggest(self, trial_id: str) -> Any:
        with _aborting():
            candidate = self.trials.next(trial_id)
            if candidate is not None:
                # A list of pairs, for Tune gives a meaning of its own to some names in a config.
                choices = [*candidate.choices.items()]
                inherits = self.trials.send_parent(candidate)
                label = self.trials.label(candidate)
                number = candidate.number
                return {"number": number, "choices": choices, "inherits": inherits, "label": label}
            return Searcher.FINISHED if self.trials.finished else None

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """The scheduler hears of it too."""

    def save(self, checkpoint_path: str) -> None:
        """The study's ledger is the state."""


class _Controller(TuneController):
    """Has as many trials wait for a worker as the search has slots, which Tune takes from the environment,
    and leaves a trial to the worker that starts for it. Tune itself gives it to the first that is free, and
    ends the one that starts, so that with short trials no node that joins would ever have one."""

    @property
    def _of(self) -> _Trials:
        search: Any = self._search_alg
        trials: _Trials = search.searcher.trials
        return trials

    def _maybe_update_trial_queue(self) -> None:
        self._max_pending_trials = max(1, self._of.slots)
        super()._maybe_update_trial_queue()  # type: ignore[no-untyped-call]

    def _maybe_reuse_cached_actor(self, trial: Any) -> bool:
        if not (self._starts(trial) and self._of.has_more):
            return bool(super()._maybe_reuse_cached_actor(trial))
        others = [t for t in self._pending_trials & self._staged_trials if not self._starts(t)]
        if others:  # these wait for a place
            super()._maybe_reuse_cached_actor(min(others, key=lambda t: t.config["number"]))
        return False

    def _starts(self, trial: Any) -> bool:
        """Whether a worker of its own has a place, and is not ready yet."""
        actor = self._trial_to_actor.get(trial)
        return (
            actor is not None
            and actor not in self._started_actors
            and self._actor_manager.is_actor_started(actor)
        )


class _Scheduler(FIFOScheduler):
    """Asks the queue after each epoch whether a trial goes on."""

    def __init__(self, trials: _Trials) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._trials = trials

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        with _aborting():
            goes_on = self._trials.told(trial.trial_id, result["step"], result["place"])
            return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        with _aborting():
            self._trials.told(trial.trial_id, result["step"], result["place"])


class _Listener(tune.Callback):
    """Hears of trials that start, and of workers that die."""

    def __init__(self, trials: _Trials) -> None:
        self._trials = trials

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        with _aborting():
            self._trials.started(trial.trial_id, trial.temporary_state.ray_actor)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        with _aborting():
            report = Path(trial.error_file).read_text()
            if "raised in its creation task" in report:
                message = [line for line in report.splitlines() if line.strip()][-1].strip()
                raise NasError(
                    f"a worker cannot start: {message}; every node needs nas, and the modules that the "
                    "search uses"
                )
            self._trials.died(trial.trial_id, report)


_MACHINES = 5
"""How often a trial is begun whose machine goes."""


class _Abort(BaseException):
    """Carries an exception of ours out through Tune, which takes any Exception for a failed trial."""


@contextmanager
def _aborting() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise _Abort from error


def _trial_name(trial: Any) -> str:
    return f"trial-{trial.config['number']}-{trial.trial_id}"
