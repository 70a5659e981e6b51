"""Runs the trials of a study on Ray Tune. The only module that imports ray.

Tune schedules, the study decides: a searcher of our own hands the study's candidates to Tune, a callback
tells the study what became of them. `ray.tune.search.optuna` is not used, as it reports a trial that was
stopped early as complete, with its score at that time.
"""

# ruff: noqa: E402
from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.execution.ray_address import check_address, show_token

_SETTINGS = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns
    "RAY_AIR_NEW_OUTPUT": "0",  # the new output prints at any verbosity
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths stay what they are
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # prints no line of the raylets': a worker's death is told by the study
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C comes to us as KeyboardInterrupt
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a failed trial has no score
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # the ledger is the only state
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
# Ray and Tune take these from the environment alone, some when they are imported.
os.environ.update(_SETTINGS)
show_token()

import numpy as np
import ray
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nas.errors import InputError, NasError, did_you_mean
from nas.execution.local import (
    Attempt,
    Events,
    Mailbox,
    Progress,
    tell_end,
    tell_epoch,
    tell_stopped,
)

if TYPE_CHECKING:
    from nas.data.datasets import ImageData
    from nas.study.ledger import Trials
    from nas.study.records import Candidate
    from nas.training.base import MakeTraining


@dataclass(frozen=True, slots=True)
class Resources:
    """What trials get and where they run.

    `concurrency`: trials at a time, None for as many as there is room for. `scheduler`: None, or what stops
    poor trials early, `asha` (Li et al. 2020) or `hyperband` (Li et al. 2018). `address`: `local` starts Ray
    here, `auto` joins the cluster on this machine, `host:port` any other. `max_failures`: how often a trial
    whose worker died starts anew.
    """

    cpus_per_trial: int = 1
    gpus_per_trial: float = 0
    concurrency: int | None = None
    scheduler: str | None = None
    address: str = "local"
    max_failures: int = 3
    dashboard: bool = True

    def __post_init__(self) -> None:
        if self.scheduler is not None and self.scheduler not in _SCHEDULERS:
            raise InputError(
                f"unknown scheduler '{self.scheduler}'{did_you_mean(self.scheduler, list(_SCHEDULERS))}"
            )


def run(
    study: Trials,
    make_training: MakeTraining,
    data: ImageData,
    events: Events,
    resources: Resources,
    *,
    epochs: int,
) -> None:
    """Train what `study` asks for until it asks no more. `epochs`: of a full training.

    Raises InputError for an address that does not answer and for trials that no node has room for. On
    KeyboardInterrupt and any other exception trials under way stay running in the study, to be resumed.
    """
    if not study.remaining:
        return
    with _ray(resources) as dashboard:
        if dashboard:
            events.dashboard(dashboard)
        slots = _slots(resources)
        if not slots:
            raise InputError(_no_room(resources))
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots)
        _tune(study, make_training, data, events, resources, epochs)


def _tune(
    study: Trials,
    make_training: MakeTraining,
    data: ImageData,
    events: Events,
    resources: Resources,
    epochs: int,
) -> None:
    worker = tune.with_parameters(
        _Worker, make_training=make_training, data=data, threads=resources.cpus_per_trial
    )
    trials = _Trials(study, events, resources)
    with tempfile.TemporaryDirectory(prefix="nas-tune-") as folder:
        try:
            tune.run(
                tune.with_resources(worker, tune.PlacementGroupFactory([_bundle(resources)])),
                name="nas",
                search_alg=_Searcher(trials),
                callbacks=[_Listener(trials)],
                scheduler=_scheduler(resources, epochs),
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


# On the driver


class _Trials:
    """The study's trials that are on Tune, by Tune's name for them."""

    def __init__(self, study: Trials, events: Events, resources: Resources) -> None:
        self._study = study
        self._events = events
        self._resources = resources
        self._running: dict[str, Candidate] = {}
        self._again: list[Candidate] = []
        self._deaths: dict[int, int] = {}

    def next(self, trial_id: str) -> Candidate | None:
        if len(self._running) >= _slots(self._resources):
            return None
        candidate = self._again.pop() if self._again else self._study.ask()
        if candidate is not None:
            self._running[trial_id] = candidate
        return candidate

    @property
    def finished(self) -> bool:
        """A trial that runs may yet have to start anew."""
        return not (self._running or self._again) and (self._study.exhausted or not self._study.remaining)

    def send_parent(self, candidate: Candidate) -> bool:
        """Put the weights that a trial starts from where its worker finds them, if it starts from any."""
        parent = self._events.parent(candidate)
        if parent is not None:
            ray.get(self._mailbox.put.remote(candidate.number, parent))
        return parent is not None

    def started(self, trial_id: str) -> None:
        # Not earlier without need: it would take the process that Ray keeps ready for the first worker.
        _ = self._mailbox
        self._events.started(self._running[trial_id])

    def trained(self, trial_id: str, progress: Progress, stopped: bool) -> None:
        """A step is done; `stopped` when there will be no other."""
        candidate = self._running[trial_id]
        if not stopped:
            tell_epoch(self._study, self._events, candidate, progress)
            return
        if progress.done:
            weights = b"" if progress.reason else ray.get(self._mailbox.take.remote(candidate.number))
            tell_end(self._study, self._events, candidate, progress, weights)
        else:
            tell_stopped(self._study, self._events, candidate, progress)
        del self._running[trial_id]

    def died(self, trial_id: str, message: str) -> None:
        candidate = self._running.pop(trial_id)
        deaths = self._deaths[candidate.number] = self._deaths.get(candidate.number, 0) + 1
        if deaths <= self._resources.max_failures:
            self._again.append(candidate)
        else:
            failure = Progress(done=True, reason="worker_died", message=f"{deaths} times; {message}")
            tell_end(self._study, self._events, candidate, failure, b"")

    @cached_property
    def _mailbox(self) -> Any:
        """On this node; workers find it by its name."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        return ray.remote(Mailbox).options(name=_MAILBOX, num_cpus=0, scheduling_strategy=here).remote()


_MAILBOX = "nas-mailbox"


class _Searcher(Searcher):
    """Hands the study's candidates to Tune."""

    def __init__(self, trials: _Trials) -> None:
        super().__init__()
        self._trials = trials

    def suggest(self, trial_id: str) -> Any:
        with _aborting():
            candidate = self._trials.next(trial_id)
            if candidate is not None:
                # As text, for Tune gives a meaning of its own to some values and names in a config.
                choices, inherits = json.dumps(candidate.choices), self._trials.send_parent(candidate)
                return {"number": candidate.number, "choices": choices, "inherits": inherits}
            return Searcher.FINISHED if self._trials.finished else None

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """The listener hears of it too, and with the error."""

    def save(self, checkpoint_path: str) -> None:
        """The study's ledger is the state."""


class _Listener(tune.Callback):
    """Tells the study what Tune's trials do."""

    def __init__(self, trials: _Trials) -> None:
        self._trials = trials

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        with _aborting():
            self._trials.started(trial.trial_id)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        with _aborting():
            self._trials.trained(trial.trial_id, Progress(**result["progress"]), result["done"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        with _aborting():
            report = Path(trial.error_file).read_text()
            message = [line for line in report.splitlines() if line.strip()][-1].strip()
            if "raised in its creation task" in report:
                raise NasError(
                    f"a worker cannot start: {message}; every node needs nas, and the modules that the "
                    "search uses"
                )
            self._trials.died(trial.trial_id, message)


class _Abort(BaseException):
    """Carries an exception of ours out through Tune, which takes any Exception for a failed trial."""


@contextmanager
def _aborting() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise _Abort from error


def _scheduler(resources: Resources, epochs: int) -> TrialScheduler | None:
    return _SCHEDULERS[resources.scheduler](epochs) if resources.scheduler else None


def _asha(epochs: int) -> TrialScheduler:
    """ASHA with its first rung at a third of the training: scores earlier than that rank poorly."""
    return AsyncHyperBandScheduler(**_HALVING, max_t=epochs, grace_period=max(1, epochs // 3))


def _hyperband(epochs: int) -> TrialScheduler:
    """Hyperband, asynchronous: brackets whose first rung is at 1, 3, 9, ... epochs, and one without rungs."""
    rungs = sum(3**k < epochs for k in range(32))
    return _Hyperband(**_HALVING, max_t=epochs, grace_period=1, brackets=rungs + 1)


class _Hyperband(AsyncHyperBandScheduler):
    """Ray's draws the bracket of a trial from numpy's global state; here the trial's number decides it."""

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        state = np.random.get_state()
        np.random.seed(trial.config["number"])
        super().on_trial_add(tune_controller, trial)
        np.random.set_state(state)


_HALVING: dict[str, Any] = {
    "time_attr": "epoch",
    "metric": "score",
    "mode": "max",
    "reduction_factor": 3,
    "stop_last_trials": False,
}
_SCHEDULERS: dict[str, Callable[[int], TrialScheduler]] = {"asha": _asha, "hyperband": _hyperband}


def _trial_name(trial: Any) -> str:
    return f"trial-{trial.config['number']}-{trial.trial_id}"


# On the workers


class _Worker(tune.Trainable):
    """Trains one trial after the other, an epoch per step."""

    def setup(  # type: ignore[override]  # `with_parameters` gives the others
        self, config: dict[str, Any], make_training: MakeTraining, data: ImageData, threads: int
    ) -> None:
        import torch

        torch.set_num_threads(threads)
        self._make_training = make_training
        self._data = data
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._number = new_config["number"]
        choices = json.loads(new_config["choices"])
        letters = [ray.get_actor(_MAILBOX).take.remote(self._number)] if new_config["inherits"] else []
        self._attempt = Attempt(self._make_training, choices, self._number, self._data, *ray.get(letters))
        return True

    def step(self) -> dict[str, Any]:
        progress = self._attempt.step()
        result = {"done": progress.done, "progress": dataclasses.asdict(progress)}
        if progress.reason:
            return result
        if progress.done:
            mailbox = ray.get_actor(_MAILBOX)
            ray.get(mailbox.put.remote(self._number, self._attempt.weights()))
        return {**result, "epoch": progress.epoch, "score": progress.accuracy}


# The cluster


def _bundle(resources: Resources) -> dict[str, float]:
    bundle: dict[str, float] = {"CPU": resources.cpus_per_trial}
    return {**bundle, "GPU": resources.gpus_per_trial} if resources.gpus_per_trial else bundle


def _slots(resources: Resources) -> int:
    """How many trials may run at a time on the nodes that are alive."""
    bundle = _bundle(resources)
    room = sum(int(min(node.get(kind, 0) // amount for kind, amount in bundle.items())) for node in _nodes())
    return room if resources.concurrency is None else min(room, resources.concurrency)


def _no_room(resources: Resources) -> str:
    def named(amounts: Mapping[str, float]) -> str:
        return " and ".join(f"{amounts.get(kind, 0):g} {kind}s" for kind in _bundle(resources))

    nodes = ", ".join(named(node) for node in _nodes())
    return (
        f"a trial asks for {named(_bundle(resources))}, and no node of the Ray cluster has that ({nodes}); "
        "lower --cpus-per-trial or --gpus-per-trial"
    )


def _nodes() -> list[dict[str, float]]:
    """The resources of each node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


@contextmanager
def _ray(resources: Resources) -> Iterator[str | None]:
    """Ray, started or joined; gives the dashboard's URL."""
    check_address(resources.address)
    here: dict[str, Any] = {"include_dashboard": resources.dashboard, "dashboard_host": "127.0.0.1"}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    context = ray.init(
        address=resources.address,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
        **(here if resources.address == "local" else {}),
    )
    with suppress(ValueError):  # raised outside the main thread, which gets no signals
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own handler prints a stack and exits
    try:
        url = context.dashboard_url
        yield f"http://{url}" if url else None
    finally:
        ray.shutdown()
