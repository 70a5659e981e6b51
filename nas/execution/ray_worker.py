"""The half of the trials on Ray that is on its workers."""

from __future__ import annotations

import faulthandler
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import nas.execution.ray_start  # noqa: F401  # its settings come first

# isort: split
import numpy as np
import ray
from ray import tune

from nas.execution.base import Attempt, AttemptStep
from nas.execution.ray_mailbox import take_letter
from nas.execution.ray_metrics import harmless, to_ascii
from nas.execution.worker_process import prepare_process
from nas.importing import release_children
from nas.malloc import release_memory
from nas.training.base import Evaluator, extend_limit, find_time_limit

WEIGHTS = "weights"
"""What the last step of a trial has besides: `SentWeights`."""


@dataclass(frozen=True, slots=True, repr=False)
class SentWeights:
    """The state of a network, as safetensors. Tune makes a text of every result, twice, for lines of its log
    that nobody sees: of megabytes that would take longer than all else between two trials.

    As an array they are copied once on each side, and as bytes twice more."""

    content: np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """Where a step was trained: the address of the node, and the most memory that the trial has had of its
    GPU, None without one."""

    node: str
    gpu_bytes: int | None


class Worker(tune.Trainable):
    """Trains one trial after the other, an epoch per step."""

    _label = ""

    def __repr__(self) -> str:
        """Ray asks an actor for it once, when it starts: it is true of every trial that follows."""
        return f"{self._label.rpartition('/')[0]} worker"

    def setup(  # type: ignore[override]  # `with_parameters` gives the others
        self, config: dict[str, Any], evaluator: Evaluator, threads: int
    ) -> None:
        release_children()
        prepare_process(threads)
        self._evaluator = evaluator
        self._node = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._attempt: Attempt | None = None
        release_memory()
        self._number = new_config["number"]
        self._label = new_config["label"]
        _measure_gpu_anew()
        mailbox = new_config["mailbox"]
        try:
            parent = take_letter(mailbox, self._number) if mailbox else None
        except LookupError:
            return True  # the first step says so
        self._attempt = Attempt(self._evaluator, dict(new_config["choices"]), self._number, parent)
        limit = find_time_limit(self._evaluator, self._number)
        self._allowed_s = extend_limit(limit) if limit else None
        self._is_built = False
        return True

    def step(self) -> dict[str, Any]:
        if self._attempt is None:  # as what it was to start from is lost
            return {"done": True, "step": None, "place": WorkerPlace(self._node, None)}
        step = self._train_epoch(self._attempt)
        self._note(step)
        told: dict[str, Any] = {
            "done": step.done,
            "step": step,
            "place": WorkerPlace(self._node, _read_gpu_bytes()),
        }
        if step.done and step.epoch:
            told[WEIGHTS] = SentWeights(np.frombuffer(self._attempt.dump_weights(), np.uint8))
        return told

    def _note(self, step: AttemptStep) -> None:
        """Write a line of a step to this worker's log, which Ray's dashboard shows."""
        with harmless("a line of the log"):
            epoch = step.epoch
            said = f"failed: {step.failure or step.misuse}"
            if epoch is not None:
                loss = "" if epoch.loss is None else f", loss {epoch.loss:.4f}"
                said = f"epoch {epoch.epoch}: value {epoch.value:.4f}, score {epoch.score:.4f}{loss}"
                said += f", {epoch.seconds:.1f} s"
            print(to_ascii(f"{self._label} {said}"), flush=True)

    def _train_epoch(self, attempt: Attempt) -> AttemptStep:
        """Train an epoch, of which the first is built before. What does not end in time ends this process."""
        if not self._is_built:
            self._is_built = True
            with _ending(self._allowed_s):
                failed = attempt.build()
            if failed is not None:
                return failed
        start = time.monotonic()
        with _ending(self._allowed_s):
            step = attempt.step()
        if self._allowed_s is not None:
            self._allowed_s = max(0.001, self._allowed_s - (time.monotonic() - start))
        return step


def _read_gpu_bytes() -> int | None:
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return int(torch.cuda.max_memory_allocated())


def _measure_gpu_anew() -> None:
    if _read_gpu_bytes() is not None:
        sys.modules["torch"].cuda.reset_peak_memory_stats()


@contextmanager
def _ending(seconds: float | None) -> Iterator[None]:
    """End this process where the block takes longer, even one that holds Python's lock."""
    if seconds is not None:
        faulthandler.dump_traceback_later(seconds, file=2, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
