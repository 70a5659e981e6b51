"""Networks and runtimes in turn: every one once in each round, in an order that is drawn anew."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import NasError
from nas.latency.runtimes import RUNTIMES
from nas.latency.stage_clocks import count_stage_macs
from nas.latency.summary import Latency, Turn, compute_stage_times, summarise_turns
from nas.lines import Ask, start_worker

if TYPE_CHECKING:
    from nas.graph import Architecture


@dataclass(frozen=True)
class Workload:
    """A network in a runtime, for batches of one size. `file`: of the runtime's format; `weights`: a file of
    safetensors, for torch's own runtimes. `plugins`: files that the operators need. `by_stage`: whether its
    stages are timed too, where the runtime tells their time."""

    network: str
    architecture: Architecture
    runtime: str
    batch: int
    threads: int
    device: str
    file: Path | None = None
    weights: Path | None = None
    plugins: tuple[Path, ...] = ()
    by_stage: bool = False

    @property
    def stages(self) -> dict[str, int]:
        """MACs of the stages that are timed too, by name in order."""
        has_clock = RUNTIMES[self.runtime].make_clock is not None
        return count_stage_macs(self.architecture) if self.by_stage and has_clock else {}

    def make_request(self) -> dict[str, Any]:
        """Return what its process is told."""
        return {
            "runtime": self.runtime,
            "architecture": self.architecture.to_json() if self.file is None else None,
            "shape": [self.batch, *self.architecture.input_shape],
            "threads": self.threads,
            "device": self.device,
            "file": str(self.file or ""),
            "weights": str(self.weights or ""),
            "plugins": [str(file.absolute()) for file in self.plugins] if self.file is None else [],
            "stages": list(self.stages),
        }


def measure(
    works: Sequence[Workload], rounds: int, seed: int, progress: Callable[[str], None]
) -> tuple[Latency, ...]:
    """Return how long each takes, in `rounds`, two at least; their order is drawn with a `seed`.

    Each has a process of its own, so that none disturbs the threads and memory of another; while one is at
    work all others wait. Raises NasError where a runtime cannot load or apply a network.
    """
    turns: list[list[Turn]] = [[] for _ in works]
    memory: list[int | None] = [None for _ in works]
    with ExitStack() as running:
        processes = []
        for number, work in enumerate(works):
            progress(f"loading {work.network} in {work.runtime} ({number + 1} of {len(works)})")
            processes.append(running.enter_context(_process(work)))
        start = time.monotonic()
        for number, order in enumerate(shuffle_rounds(len(works), rounds, seed)):
            left = (time.monotonic() - start) / number * (rounds - number) if number else None
            progress(f"round {number + 1} of {rounds}" + (f", {left:.0f} s left" if left is not None else ""))
            for i in order:
                answer = processes[i]({})
                memory[i] = answer.pop("peak_bytes")
                turns[i].append(Turn(**answer))
    return tuple(map(_make_latency, works, turns, memory))


def shuffle_rounds(count: int, rounds: int, seed: int) -> Iterator[list[int]]:
    """Give the order of each round, in which every number below `count` is once."""
    draw = random.Random(seed)
    for _ in range(rounds):
        yield draw.sample(range(count), count)


def _make_latency(work: Workload, turns: Sequence[Turn], memory: int | None) -> Latency:
    return Latency(
        work.network,
        work.runtime,
        work.batch,
        work.threads,
        work.device,
        work.architecture.cost.macs,
        memory_bytes=memory,
        stages=compute_stage_times(turns, work.stages),
        **summarise_turns(turns),
    )


@contextmanager
def _process(work: Workload) -> Iterator[Ask]:
    """Start the process of a network, and give what asks it for a turn. Raises NasError."""

    def fail(why: str) -> NasError:
        return NasError(
            f"{work.network}: runtime '{work.runtime}' cannot apply it to {work.batch} at a time: {why}; "
            "leave the runtime out, or the network"
        )

    with start_worker("nas.latency.worker", work.threads, fail) as ask:
        ask(work.make_request())
        yield ask
