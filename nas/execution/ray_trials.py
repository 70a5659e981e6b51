"""The trials of a queue as Ray Tune has them on the driver: what Tune asks and tells."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import nas.execution.ray_start  # noqa: F401  # its settings come first

# isort: split
from ray import tune
from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution.tune_controller import TuneController
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from nas.errors import NasError
from nas.execution.base import MACHINE, PROCESS, AttemptStep, TrialQueue, ask_for_trial, take_death, tell
from nas.execution.ray_deaths import (
    describe_death,
    describe_loss,
    has_lost_machine,
    is_crowded_out,
    may_have_run_out,
)
from nas.execution.ray_mailbox import MAILBOX_LOST, Post
from nas.execution.ray_metrics import MeteredObserver, name_tasks
from nas.execution.ray_watch import Watch
from nas.execution.ray_worker import WEIGHTS, WorkerPlace
from nas.study.records import Candidate
from nas.training.base import Evaluator, Failure, FailureReason, extend_limit, find_time_limit


class Trials:
    """The queue's trials that are on Tune, by Tune's name for them."""

    def __init__(
        self,
        queue: TrialQueue,
        observer: MeteredObserver,
        count_slots: Callable[[], int],
        evaluator: Evaluator,
        watch: Watch,
    ) -> None:
        self._queue = queue
        self._observer = observer
        self._evaluator = evaluator
        self._watch = watch
        self._began: dict[str, float] = {}
        self._epochs: dict[str, int] = {}
        self._running: dict[str, Candidate] = {}
        self._weights: dict[str, bytes] = {}
        self._again: list[Candidate] = []
        self._crowded: list[Candidate] = []
        self._count_slots = count_slots
        self.slots, self._counted = count_slots(), time.monotonic()
        self._post = Post()

    def ask(self, trial_id: str) -> Candidate | None:
        """Return the next network to train, None where there is none now. Raises Abort as `_tell`."""
        self._watch.check()
        self._check_queue()
        if self._crowded and not (self._running or self._again):
            self._await_room()
        if time.monotonic() - self._counted >= _COUNT_S:  # Tune asks after each event
            self.slots, self._counted = self._count_slots(), time.monotonic()
        if len(self._running) >= self.slots or (self._crowded and not self._again):
            return None
        began, is_new = time.monotonic(), not self._again
        candidate = ask_for_trial(self._queue, self._observer) if is_new else self._again.pop(0)
        if candidate is not None:
            self._running[trial_id] = candidate
            self._observer.note_ask(candidate, time.monotonic() - began if is_new else None, self.slots)
        return candidate

    @property
    def has_more(self) -> bool:
        """Whether a worker that is free will have a trial."""
        has_new = not self._queue.exhausted and self._queue.remaining > 0
        return bool(self._again) or (has_new and not self._crowded)

    @property
    def finished(self) -> bool:
        """A trial that runs may yet have to start anew."""
        under_way = self._running or self._again or self._crowded
        return not under_way and (self._queue.exhausted or not self._queue.remaining)

    def send_parent(self, trial_id: str) -> str | None:
        """Put the weights that a trial starts from where its worker finds them. Return the name of that
        mailbox, "" where it starts from none, None where it has none now: the trial is begun later."""
        candidate = self._running[trial_id]
        parent = self._queue.find_parent(candidate)
        try:
            return self._post.send(candidate.number, parent) if parent is not None else ""
        except MAILBOX_LOST as error:
            del self._running[trial_id]
            self._take_loss(candidate, partial(describe_loss, f"{error}"))
            return None

    def label(self, candidate: Candidate) -> str:
        return self._observer.label(candidate)

    def start(self, trial_id: str, actor: Any) -> None:
        self._began[trial_id] = time.monotonic()
        candidate = self._running[trial_id]
        name_tasks(actor, lambda: self._observer.make_title(candidate))
        self._observer.started(candidate)

    def take_weights(self, trial_id: str, result: dict[str, Any]) -> None:
        """Take the weights out of a trial's last result, which Tune keeps."""
        if WEIGHTS in result:
            self._weights[trial_id] = result.pop(WEIGHTS).content.tobytes()

    def take_step(self, trial_id: str, step: AttemptStep | None, place: WorkerPlace) -> bool:
        """Take a step, trained at a place; None where what the trial was to start from is lost. Return
        whether the trial goes on."""
        candidate = self._running.get(trial_id)
        if candidate is None:  # Tune calls a trial complete that it was told to stop
            return False
        if step is None:
            del self._running[trial_id]
            self._take_loss(
                candidate, lambda: "the weights that it was to start from were lost with a process of Ray"
            )
            return False
        if step.epoch:
            self._epochs[trial_id] = step.epoch.epoch
        self._observer.note_step(candidate.number, place.node, place.gpu_bytes)
        goes_on = self._tell(candidate, step, lambda: self._weights.pop(trial_id))
        if not goes_on:
            del self._running[trial_id]
            self._make_room()
        return goes_on

    def take_death(self, trial_id: str, report: str) -> None:
        candidate = self._running.pop(trial_id)
        if is_crowded_out(report, trial_id in self._began):
            self._take_loss(candidate, partial(describe_loss, report))
            return
        self._make_room()
        limit = find_time_limit(self._evaluator, candidate.number)
        taken_s = time.monotonic() - self._began.get(trial_id, math.inf)
        is_lost = has_lost_machine(report)
        if limit and taken_s >= extend_limit(limit) and not is_lost and may_have_run_out(report):
            text = f"{limit:g} s were over in epoch {self._epochs.get(trial_id, 0) + 1}, which did not end"
            failure = Failure(FailureReason.TIMEOUT, text)
            self._tell(candidate, AttemptStep(failure=failure), bytes)
            return
        # A machine that goes is no fault of the network at first sight.
        describe = partial(describe_loss if is_lost else describe_death, report)
        self._take_end(candidate, MACHINE if is_lost else PROCESS, describe, self._again)

    def _take_loss(self, candidate: Candidate, describe: Callable[[], str]) -> None:
        """Take it that a trial has ended as memory was full, by no doing of its own. It is begun anew once
        there may be room: Ray ends first what began last, whatever that has."""
        self._take_end(candidate, MACHINE, describe, self._crowded)

    def _take_end(
        self, candidate: Candidate, what: str, describe: Callable[[], str], later: list[Candidate]
    ) -> None:
        """Take a death, and put the trial where it is begun anew from, unless it has failed by it."""
        died = take_death(self._queue, candidate.number, what, describe)
        if died is None:
            later.append(candidate)
        else:
            self._tell(candidate, AttemptStep(failure=died), bytes)

    def _await_room(self) -> None:
        """Wait until those that were crowded out may begin anew where no trial is left that could end: what
        has the memory is none of Ray's, and may take its time. Raises Abort as `_tell`."""
        deaths = max(self._queue.count_deaths(candidate.number)[MACHINE] for candidate in self._crowded)
        wait_s = _ROOM_S * 2 ** (deaths - 1)
        self._observer.doing(f"Waiting {wait_s:g} s for memory, which was nearly full")
        end = time.monotonic() + wait_s
        while (left_s := end - time.monotonic()) > 0:
            time.sleep(min(left_s, _LOOK_S))
            self._watch.check()
            self._check_queue()
        self._make_room()

    def _make_room(self) -> None:
        """Have those that were crowded out begin anew, as another trial has ended, or has had its time to:
        the oldest of them first, as Ray has ended it last."""
        self._again += reversed(self._crowded)
        self._crowded.clear()

    def _tell(self, candidate: Candidate, step: AttemptStep, weights: Callable[[], bytes]) -> bool:
        """Do as `tell` does. Raises Abort where the queue gives up: other trials are under way."""
        goes_on = tell(self._queue, self._observer, candidate, step, weights)
        self._check_queue()
        return goes_on

    def _check_queue(self) -> None:
        if self._queue.given_up:
            raise Abort


_COUNT_S = 1.0
"""Seconds from one look at the cluster's nodes to the next."""
_ROOM_S = 2.0
"""Seconds that a trial waits after it was crowded out for the first time, and each time twice as long."""
_LOOK_S = 0.1
_NEXT_S = 0.5
"""Seconds that Tune waits for an event, in which Ctrl-C is not heard and nothing is asked for."""


class QueueSearcher(Searcher):
    """Hands the queue's candidates to Tune."""

    def __init__(self, trials: Trials) -> None:
        super().__init__()
        self.trials = trials

    def suggest(self, trial_id: str) -> Any:
        with _aborting():
            candidate = self.trials.ask(trial_id)
            if candidate is not None:
                # A list of pairs, for Tune gives a meaning of its own to some names in a config.
                choices = [*candidate.choices.items()]
                mailbox = self.trials.send_parent(trial_id)
                if mailbox is None:
                    return None
                label = self.trials.label(candidate)
                number = candidate.number
                return {"number": number, "choices": choices, "mailbox": mailbox, "label": label}
            return Searcher.FINISHED if self.trials.finished else None

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Tell the scheduler too."""

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the study's ledger is the state."""


class Controller(TuneController):
    """Has as many trials wait for a worker as the search has slots, which Tune takes from the environment,
    and leaves a trial to the worker that starts for it. Tune itself gives it to the first that is free, and
    ends the one that starts, so that with short trials no node that joins would ever have one."""

    @property
    def _of(self) -> Trials:
        search: Any = self._search_alg
        trials: Trials = search.searcher.trials
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
        """Return whether a worker of its own has a place, and is not ready yet."""
        actor = self._trial_to_actor.get(trial)
        return (
            actor is not None
            and actor not in self._started_actors
            and self._actor_manager.is_actor_started(actor)
        )


class Actors(RayActorManager):
    """Has a worker that Ray's memory monitor ends be one that died: what Ray raises of it is no error of an
    actor to Tune, which ends the search by it. And waits longer for what happens next than Tune, which looks
    ten times a second: a third of what the driver takes of a core while workers train."""

    def next(self, timeout: float | None = None) -> bool:
        return bool(super().next(None if timeout is None else max(timeout, _NEXT_S)))

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            actor, _ = self._live_actors_to_ray_actors_resources[tracked_actor_task._tracked_actor]
            name = actor._actor_id.hex()
            exception = RayActorError(name, f"actor_id: {name}\n{exception}")
        super()._actor_task_failed(tracked_actor_task, exception)


class QueueScheduler(FIFOScheduler):
    """Asks the queue after each epoch whether a trial goes on."""

    def __init__(self, trials: Trials) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._trials = trials

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        with _aborting():
            goes_on = self._trials.take_step(trial.trial_id, result["step"], result["place"])
            return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        with _aborting():
            self._trials.take_step(trial.trial_id, result["step"], result["place"])


class Listener(tune.Callback):
    """Hears of trials that start, of what they send, and of workers that die."""

    def __init__(self, trials: Trials) -> None:
        self._trials = trials

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        with _aborting():
            self._trials.start(trial.trial_id, trial.temporary_state.ray_actor)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._trials.take_weights(trial.trial_id, result)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        with _aborting():
            report = Path(trial.error_file).read_text()
            if "raised in its creation task" in report:
                message = [line for line in report.splitlines() if line.strip()][-1].strip()
                raise NasError(
                    f"a worker cannot start: {message}; every node needs nas, and the modules that the "
                    "search uses"
                )
            self._trials.take_death(trial.trial_id, report)


class Abort(BaseException):
    """Ends Tune, which takes any Exception for a failed trial; its cause is an exception of ours, if that is
    why."""


@contextmanager
def _aborting() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise Abort from error


def name_trial(trial: Any) -> str:
    return f"trial-{trial.config['number']}-{trial.trial_id}"
