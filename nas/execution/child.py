"""Trials one after the other in a process of their own, which may hang or die without harm to the search.

It is no `multiprocessing` process: that would run a user's script again, and a fork of this process would
take over threads and a GPU that do not survive one.
"""

from __future__ import annotations

import ctypes
import faulthandler
import math
import mmap
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import TYPE_CHECKING, Any, BinaryIO

from nas.errors import NasError
from nas.execution.base import (
    MACHINE,
    PROCESS,
    Attempt,
    AttemptStep,
    TrialObserver,
    TrialQueue,
    ask_for_trial,
    describe_error,
    describe_signal,
    find_place,
    take_death,
    tell,
)
from nas.execution.local import LocalExecutor
from nas.execution.worker_process import prepare_process
from nas.malloc import release_memory
from nas.study.records import Candidate
from nas.training.base import Evaluator, Failure, FailureReason, extend_limit, find_time_limit

if TYPE_CHECKING:
    from nas.training.base import Parent


class ChildExecutor:
    """Trains in one process beside this one, with so many `threads` of torch.

    The process is started once, and again after a trial that hangs past its time limit or dies. It ends with
    this one, however that ends.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads

    def run(self, queue: TrialQueue, evaluator: Evaluator, observer: TrialObserver) -> None:
        """Do as `Executor.run` does. What cannot be sent to a process, such as an object with a lock, trains
        in this one, with a warning. Raises NasError where the process cannot start."""
        if not queue.remaining:
            return
        try:
            observer.doing("Starting the process that trains")
            with _packed(evaluator, self._threads) as parcel, Child(parcel) as child:
                child.wait()
                while (candidate := ask_for_trial(queue, observer)) is not None:
                    parent, limit = queue.find_parent(candidate), find_time_limit(evaluator, candidate.number)
                    while True:
                        child.wait()
                        observer.started(candidate)
                        trial = _ChildAttempt(queue, child, candidate, parent, limit)
                        with suppress(_Again):
                            while tell(queue, observer, candidate, trial.step(), trial.dump_weights):
                                pass
                            break
        except _NotSent as error:
            warnings.warn(
                f"the evaluator cannot be sent to a process of its own ({error}); it trains in this one, "
                "which a trial that hangs or dies takes with it. in_process=True says that this is meant",
                stacklevel=2,
            )
            LocalExecutor(self._threads).run(queue, evaluator, observer)


class _NotSent(Exception):
    """An evaluator that cannot be pickled, or not be unpickled elsewhere."""


class _Ended(Exception):
    """The process is gone; says how. `what`: whether it died, or its machine ended it."""

    def __init__(self, how: str, code: int) -> None:
        super().__init__(how)
        # A system that stops a service or takes a machine back asks each process to end, this one too.
        self.what = MACHINE if code == -signal.SIGTERM else PROCESS


class _Again(Exception):
    """A trial whose process died is to be begun anew."""


class _Hung(Exception):
    """The process did not answer in time; says where it was."""


class _ChildAttempt:
    """A trial of a queue in the process, as `Attempt`."""

    def __init__(
        self,
        queue: TrialQueue,
        child: Child,
        candidate: Candidate,
        parent: Parent | None,
        limit: float | None,
    ) -> None:
        self._queue = queue
        self._child = child
        self._number = candidate.number
        self._begin = ("build", candidate.choices, candidate.number, parent)
        self._limit = limit
        self._taken_s = 0.0
        self._epoch = 0
        self._is_built = False
        self._weights = b""

    def step(self) -> AttemptStep:
        """Train one epoch. Raises _Again where the process dies and the trial may be tried once more."""
        allowed = extend_limit(self._limit) if self._limit else None
        try:
            if not self._is_built:
                failed: AttemptStep | None = self._child.ask(self._begin, allowed)
                self._is_built = True
                if failed is not None:
                    return failed
            start = time.monotonic()
            step: AttemptStep
            step, self._weights = self._child.ask(("step",), allowed and allowed - self._taken_s)
            self._taken_s += time.monotonic() - start
        except _Hung as error:
            where = f"epoch {self._epoch + 1}" if self._is_built else "its preparation"
            text = f"{self._limit:g} s were over in {where}, which did not end{error}"
            return AttemptStep(failure=Failure(FailureReason.TIMEOUT, text))
        except _Ended as error:
            how = str(error)
            failure = take_death(self._queue, self._number, error.what, lambda: how)
            if failure is None:
                raise _Again from None
            return AttemptStep(failure=failure)
        self._epoch = step.epoch.epoch if step.epoch else self._epoch
        return step

    def dump_weights(self) -> bytes:
        """Return the network's state after the last epoch, as safetensors."""
        return self._weights


class Child:
    """The process that trains. Use it as a context."""

    def __init__(self, parcel: _Parcel) -> None:
        self._parcel = parcel
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def wait(self) -> None:
        """Wait until the process is ready; where it is gone, start it anew.

        Raises NasError where it cannot start, _NotSent where it cannot unpack the evaluator.
        """
        if self._process is None:
            self._start()
        if self._is_ready:
            return
        try:
            problem = self._receive(None)
        except _Ended as error:
            raise NasError(
                f"the process that trains cannot start: {error}; mend the cause, or train in this one by "
                "--in-process"
            ) from None
        if problem:
            raise _NotSent(problem)
        self._is_ready = True

    def ask(self, request: tuple[Any, ...], seconds: float | None) -> Any:
        """Return the answer to a request.

        Raises _Hung where there is none within `seconds`, _Ended where the process dies; it is gone then.
        """
        with suppress(OSError):  # it has ended, which the wait for its answer tells
            self._connection.send_bytes(pickle.dumps(request))
        return self._receive(seconds)

    def _receive(self, seconds: float | None) -> Any:
        end = math.inf if seconds is None else time.monotonic() + seconds
        try:
            while not self._connection.poll(max(0.0, min(_LOOK_S, end - time.monotonic()))):
                if time.monotonic() >= end:
                    place = self._ask_place()
                    self._end()
                    raise _Hung(place)
                if self._is_gone():  # what it has started may hold the connection open
                    raise EOFError
            return pickle.loads(self._connection.recv_bytes())  # noqa: S301 - of our own process
        except (EOFError, OSError):
            code = self._end(_EXIT_S)
            raise _Ended(_describe_end(code) + self._parcel.place(), code) from None

    def _is_gone(self) -> bool:
        return (self._process is None or self._process.poll() is not None) and not self._connection.poll()

    def _start(self) -> None:
        self._connection, its = Pipe()
        self._is_ready = False
        self._parcel.trace.seek(0)
        self._parcel.trace.truncate()
        fds = [its.fileno(), self._parcel.file.fileno(), self._parcel.trace.fileno()]
        given = (*fds, self._parcel.parts, self._parcel.threads, os.getpid())
        code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve{given}"
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-u", "-c", code],
                stdin=subprocess.DEVNULL,
                pass_fds=fds,
                process_group=0,  # what it starts itself is killed with it
            )

    def _ask_place(self) -> str:
        """Ask a process that hangs where it is."""
        assert self._process is not None
        self._process.send_signal(_ASK_PLACE)
        time.sleep(_LOOK_S / 2)
        return self._parcel.place()

    def _end(self, patience_s: float = 0.0) -> int:
        """End the process, and what it has started, if it does not end by itself. Return its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        self._connection.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


_LOOK_S = 0.5
_EXIT_S = 5.0
"""Between the end of a process's connection and its own."""
_ASK_PLACE = signal.SIGUSR1


def _describe_end(code: int) -> str:
    if code < 0:
        return describe_signal(signal.Signals(-code).name)
    return f"its process ended with exit code {code}"


@dataclass(frozen=True)
class _Parcel:
    """An evaluator in a `file` that is mapped and so shared: arrays, then what refers to them.

    `parts`: where each begins and ends. `threads`: of torch. `trace`: where the process notes its place.
    """

    file: BinaryIO
    parts: list[tuple[int, int]]
    threads: int | None
    trace: BinaryIO

    def place(self) -> str:
        """Return the line at which the process was, as ` (blocks.py:12)`, if it has noted that."""
        return find_place(os.pread(self.trace.fileno(), _MOST_TRACE, 0).decode(errors="replace"))


_MOST_TRACE = 100_000


@contextmanager
def _packed(evaluator: Evaluator, threads: int | None) -> Iterator[_Parcel]:
    """Pack an evaluator. Raises _NotSent where it cannot be."""
    import cloudpickle

    arrays: list[pickle.PickleBuffer] = []
    try:
        pickled = cloudpickle.dumps(evaluator, protocol=5, buffer_callback=arrays.append)
    except Exception as error:  # whatever a user's object raises
        raise _NotSent(describe_error(error)) from None
    with _open_memory() as file, _open_memory() as trace:
        parts = []
        for content in (*(array.raw() for array in arrays), pickled):
            file.write(bytes(-file.tell() % mmap.ALLOCATIONGRANULARITY))
            start = file.tell()
            file.write(content)
            parts.append((start, file.tell()))
        file.flush()
        yield _Parcel(file, parts, threads, trace)


def _open_memory() -> BinaryIO:
    """Open a file that no one else sees, in memory where the system has such."""
    make: Callable[[str], int] | None = getattr(os, "memfd_create", None)
    return os.fdopen(make("nas"), "w+b") if make else tempfile.TemporaryFile()


# In the process


def serve(
    connection: int, file: int, trace: int, parts: Sequence[tuple[int, int]], threads: int | None, driver: int
) -> None:
    """Train what the driver asks for, until it is gone."""
    _end_with(driver)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which ends this process
    faulthandler.enable(trace, all_threads=False)
    faulthandler.register(_ASK_PLACE, trace, all_threads=False)
    with Connection(connection) as channel:
        evaluator, problem = _unpack(file, parts)
        prepare_process(threads)
        channel.send_bytes(pickle.dumps(problem))
        attempt: Attempt | None = None
        with suppress(EOFError, ConnectionError):
            while True:
                match pickle.loads(channel.recv_bytes()):  # noqa: S301 - of our own driver
                    case ("build", choices, number, parent):
                        attempt = None
                        release_memory()
                        attempt = Attempt(evaluator, choices, number, parent)
                        answer: Any = attempt.build()
                    case _:
                        assert attempt is not None
                        answer = (attempt.step(), attempt.dump_weights())
                channel.send_bytes(pickle.dumps(answer))


def _end_with(driver: int) -> None:
    """Have the system kill this process when the driver ends, where it can; else it ends when it answers."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != driver:
            os._exit(1)


_PR_SET_PDEATHSIG = 1


def _unpack(file: int, parts: Sequence[tuple[int, int]]) -> tuple[Any, str | None]:
    """Return the evaluator, or why there is none."""
    whole = memoryview(mmap.mmap(file, 0, access=mmap.ACCESS_COPY))  # what is never written to is shared
    *arrays, pickled = (whole[start:end] for start, end in parts)
    try:
        return pickle.loads(pickled, buffers=arrays), None  # noqa: S301 - of our own driver
    except Exception as error:  # such as of a module that is not there
        return None, describe_error(error)
