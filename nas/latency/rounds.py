"""Networks and runtimes in turn: every one once in each round, in an order that is drawn anew."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import nas
from nas.errors import NasError
from nas.graph import Architecture
from nas.latency.figures import Latency, StageTime, Turn, figures_of, stage_times

Ask = Callable[[dict[str, Any]], dict[str, Any]]
"""Sends a request to a process, and returns its answer."""


@dataclass(frozen=True)
class Work:
    """A network in a runtime, for batches of one size. `file`: of the runtime's format; `weights`: a file of
    safetensors, for torch's own runtimes. `plugins`: files that the operators need."""

    network: str
    architecture: Architecture
    runtime: str
    batch: int
    threads: int
    device: str
    file: Path | None = None
    weights: Path | None = None
    plugins: tuple[Path, ...] = ()

    @property
    def has_stages(self) -> bool:
        """Whether its stages are timed too."""
        return self.runtime == "torch"

    def request(self) -> dict[str, Any]:
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
            "stages": self.has_stages,
        }


def measure(
    works: Sequence[Work], rounds: int, seed: int, progress: Callable[[str], None]
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
        for number, order in enumerate(draw_orders(len(works), rounds, seed)):
            left = (time.monotonic() - start) / number * (rounds - number) if number else None
            progress(f"round {number + 1} of {rounds}" + (f", {left:.0f} s left" if left is not None else ""))
            for i in order:
                answer = processes[i]({})
                memory[i] = answer.pop("peak_bytes")
                turns[i].append(Turn(**answer))
    return tuple(map(_latency, works, turns, memory))


def draw_orders(count: int, rounds: int, seed: int) -> Iterator[list[int]]:
    """Give the order of each round, in which every number below `count` is once."""
    draw = random.Random(seed)
    for _ in range(rounds):
        yield draw.sample(range(count), count)


def _latency(work: Work, turns: Sequence[Turn], memory: int | None) -> Latency:
    stages: tuple[StageTime, ...] = ()
    if work.has_stages:
        from nas.latency.torch_network import stages as macs_of

        stages = stage_times(turns, macs_of(work.architecture))
    return Latency(
        work.network,
        work.runtime,
        work.batch,
        work.threads,
        work.device,
        work.architecture.cost.macs,
        memory_bytes=memory,
        stages=stages,
        **figures_of(turns),
    )


@contextmanager
def _process(work: Work) -> Iterator[Ask]:
    """Start the process of a network, and give what asks it for a turn. Raises NasError."""

    def fail(why: str) -> NasError:
        return NasError(
            f"{work.network}: runtime '{work.runtime}' cannot apply it to {work.batch} at a time: {why}; "
            "leave the runtime out, or the network"
        )

    with start_worker("nas.latency.worker", work.threads, fail) as ask:
        ask(work.request())
        yield ask


@contextmanager
def start_worker(module: str, threads: int, fail: Callable[[str], NasError]) -> Iterator[Ask]:
    """Start a process of so many threads that runs a module, and give what asks it: a request and its answer
    are a line of JSON each. Where it ends, or its answer is an error, what `fail` makes of that is raised."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    package = str(Path(nas.__file__).parents[1])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    with TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env={**os.environ, **dict.fromkeys(names, str(threads)), "PYTHONPATH": path},
            process_group=0,  # Ctrl-C is for this process, which ends that one
        )
        assert process.stdin is not None and process.stdout is not None

        def ask(request: dict[str, Any]) -> dict[str, Any]:
            assert process.stdin is not None and process.stdout is not None
            with suppress(OSError):  # it has ended, as its answer tells
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
            line = process.stdout.readline()
            answer: dict[str, Any] = json.loads(line) if line else {"error": _end(process, said)}
            if "error" in answer:
                raise fail(answer["error"])
            return answer

        try:
            yield ask
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            with suppress(OSError):
                process.stdin.close()
            process.stdout.close()


def _end(process: subprocess.Popen[str], said: IO[bytes]) -> str:
    """Return how a process ended."""
    code = process.wait()
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()
    how = f"its process was ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"{how}, {lines[-1][:300]}" if lines else how
