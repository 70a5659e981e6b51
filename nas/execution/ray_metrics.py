"""What whoever watches Ray sees of a search: metrics for Prometheus, and tasks with the names of trials.

Nothing here may end a trial, or keep it waiting: what Ray refuses is left out, with one warning.
"""

from __future__ import annotations

import logging
import math
import re
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import nas.execution.ray_start  # noqa: F401  # its settings come first

# isort: split
from ray.util.metrics import Gauge

from nas.cost import format_count
from nas.execution.base import TrialObserver, TrialQueue
from nas.study.records import Candidate, RejectionReason, Trial
from nas.training.base import EpochResult, FailureReason

METRICS = {
    "trials": "Trials of the run by state: running, complete, pruned, failed",
    "best_score": "Score of the best trial that is complete",
    "last_score": "Score of the last trial that became complete",
    "last_macs": "MACs of the last trial that ended",
    "epoch_seconds": "Seconds of the last epoch",
    "images_per_second": "Images that the last epoch trained on, a second of its steps",
    "time_share": "Share of the time of all workers since the driver began: training, starting, waiting",
    "proposals_refused": f"Proposals of the sampler that did not become trials: {', '.join(RejectionReason)}",
    "ask_seconds": "Seconds that the last trial took to be proposed",
    "failures": "Failed trials of the run by reason",
    "gpu_memory_bytes": "Most memory that torch has had of the GPU in the last epoch's trial",
}
"""What each is, by its name without `ray_nas_`. All are gauges with the labels run, sampler and node."""


class Gauges:
    """Gauges of Ray's metrics, made when they are first set; each has `labels` and those that it is set with.

    Any number and any text is taken. One that is not finite is left out, as Ray would show no line for it;
    characters beyond printable ASCII, which Ray refuses, are percent-encoded, and of a name they become `_`.
    """

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = {key: to_ascii(value) for key, value in labels.items()}
        self._made: dict[tuple[str, ...], Gauge] = {}

    def set(self, name: str, value: Any, **labels: str) -> None:
        """Set `ray_nas_NAME`."""
        with harmless(name):
            number = float(value)  # Ray refuses the numbers of numpy
            if not math.isfinite(number):
                return
            tags = {**self._labels, **{key: to_ascii(text) for key, text in labels.items()}}
            key = (name, *tags)
            if key not in self._made:
                # Of a name with a dot Ray shows nothing.
                full = "nas_" + re.sub(r"[^a-zA-Z0-9_]", "_", name)
                self._made[key] = Gauge(full, METRICS.get(name, ""), tag_keys=tuple(tags))
            self._made[key].set(number, tags)


class MeteredObserver:
    """Measures a run while it tells another observer of it. `node`: of the driver."""

    def __init__(
        self, observer: TrialObserver, queue: TrialQueue, labels: Mapping[str, str], node: str
    ) -> None:
        self._observer = observer
        self._queue = queue
        self._run = labels.get("run", "")
        self._node = node
        self._gauges = Gauges(labels)
        self._failures = Counter(trial.failure.reason for trial in queue.trials if trial.failure)
        self._places: dict[int, str] = {}
        self._epochs: dict[int, int] = {}
        self._since: dict[int, float] = {}
        self._slots = 1
        self._began = time.monotonic()
        self._spent = {"training": 0.0, "starting": 0.0}
        self._count()

    # What an executor tells besides

    def note_ask(self, candidate: Candidate, seconds: float | None, slots: int) -> None:
        """A trial is to start, proposed in so many `seconds`, on one of `slots` workers."""
        self._slots = slots
        self._since[candidate.number] = time.monotonic()
        self._epochs[candidate.number] = 0
        if seconds is not None:
            self._gauges.set("ask_seconds", seconds, node=self._node)
        self._count()

    def note_step(self, number: int, node: str, gpu_bytes: int | None) -> None:
        """A trial has taken a step on a node, with so much memory of its GPU."""
        self._places[number] = node
        if gpu_bytes is not None:
            self._gauges.set("gpu_memory_bytes", gpu_bytes, node=node)

    def label(self, candidate: Candidate) -> str:
        """Return `mbconv-1/0012 312M`, the name of a trial; of a long training the name of its job."""
        job = next(t.job for t in reversed(self._queue.trials) if t.number == candidate.number)
        return to_ascii(f"{self._run}/{job or f'{candidate.number:04}'} {format_count(candidate.cost.macs)}")

    def make_title(self, candidate: Candidate) -> str:
        """Return `mbconv-1/0012 312M epoch 2, best 0.9944`, the name of a task that trains an epoch."""
        best = next(iter(self._queue.best(1)), None)
        so_far = "" if best is None else f", best {best.score:.4f}"
        return f"{self.label(candidate)} epoch {self._epochs.get(candidate.number, 0) + 1}{so_far}"

    # TrialObserver

    def doing(self, what: str) -> None:
        self._observer.doing(what)

    def dashboard(self, url: str) -> None:
        self._observer.dashboard(url)

    def started(self, candidate: Candidate) -> None:
        self._observer.started(candidate)
        self._count()

    def epoch(self, candidate: Candidate, result: EpochResult) -> None:
        self._observer.epoch(candidate, result)
        with harmless("epoch"):
            number, now = candidate.number, time.monotonic()
            node = self._places.get(number, "")
            since, self._since[number] = self._since.get(number, now), now
            first = not self._epochs.get(number)
            self._epochs[number] = result.epoch
            if math.isfinite(result.seconds):
                self._spent["training"] += result.seconds
                self._spent["starting"] += max(0.0, now - since - result.seconds) if first else 0.0
            self._gauges.set("epoch_seconds", result.seconds, node=node)
            if result.images and result.train_s > 0:
                self._gauges.set("images_per_second", result.images / result.train_s, node=node)
            self._share(now)

    def trained(self, candidate: Candidate, score: float, weights: bytes) -> None:
        self._observer.trained(candidate, score, weights)

    def finished(self, trial: Trial) -> None:
        self._observer.finished(trial)
        with harmless("finished"):
            self._since.pop(trial.number, None)
            self._epochs.pop(trial.number, None)
            node = self._places.pop(trial.number, "")
            if trial.failure:
                self._failures[trial.failure.reason] += 1
            if trial.score is not None:
                self._gauges.set("last_score", trial.score, node=node)
            self._gauges.set("last_macs", trial.candidate.cost.macs, node=node)
            self._share(time.monotonic())
        self._count()

    def _count(self) -> None:
        with harmless("counts"):
            counts = self._queue.counts
            for state in ("running", "complete", "pruned", "failed"):
                self._gauges.set("trials", getattr(counts, state), node=self._node, state=state)
            for rejection, refused in counts.rejected.items():
                self._gauges.set("proposals_refused", refused, node=self._node, reason=str(rejection))
            for reason in FailureReason:
                self._gauges.set("failures", self._failures[reason], node=self._node, reason=str(reason))
            for best in self._queue.best(1):
                self._gauges.set("best_score", best.score, node=self._node)

    def _share(self, now: float) -> None:
        """Set where the time of the workers went. That of the epochs under way does not count: what they come
        to is not known yet."""
        total = self._slots * (now - self._began) - sum(now - since for since in self._since.values())
        if total <= 0:
            return
        shares = {phase: min(1.0, seconds / total) for phase, seconds in self._spent.items()}
        shares["waiting"] = max(0.0, 1.0 - sum(shares.values()))
        for phase, share in shares.items():
            self._gauges.set("time_share", share, node=self._node, phase=phase)


def name_tasks(actor: Any, title: Callable[[], str]) -> None:
    """Have the tasks that train on Tune's actor named by `title`, which Tune itself has no setting for."""
    with harmless("task names"):
        actor.train = _Named(weakref.ref(actor), title)


class _Named:
    """Stands for an actor's `train`. It must not keep the actor, which lives as long as its handle."""

    def __init__(self, actor: Callable[[], Any], title: Callable[[], str]) -> None:
        self._actor = actor
        self._title = title

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        actor = self._actor()
        train = type(actor).__getattr__(actor, "train")
        with harmless("task names"):
            train = train.options(name=self._title())
        return train.remote(*args, **kwargs)


def to_ascii(text: str) -> str:
    """Return a text as Ray takes it: what is not printable ASCII is percent-encoded.

    >>> to_ascii("größe 2")
    'gr%C3%B6%C3%9Fe 2'
    """
    return "".join(c if c.isascii() and c.isprintable() else quote(c, errors="replace") for c in text)


@contextmanager
def harmless(what: str) -> Iterator[None]:
    """Have whatever goes wrong in here end in one warning."""
    try:
        yield
    except Exception as error:
        if what not in _warned:
            _warned.add(what)
            _log.warning("%s is not shown on Ray: %s: %s", what, type(error).__name__, error)


_log = logging.getLogger(__name__)
_warned: set[str] = set()
