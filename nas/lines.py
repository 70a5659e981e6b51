"""Processes that are asked by lines of JSON: a request on their standard input, an answer on their standard
output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import nas
from nas.errors import NasError

Ask = Callable[[dict[str, Any]], dict[str, Any]]
"""Sends a request to a process, and returns its answer."""


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
            answer: dict[str, Any] = json.loads(line) if line else {"error": _describe_end(process, said)}
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


def _describe_end(process: subprocess.Popen[str], said: IO[bytes]) -> str:
    """Return how a process ended."""
    code = process.wait()
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()
    how = f"its process was ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"{how}, {lines[-1][:300]}" if lines else how


# In the process


def serve(begin: Callable[[dict[str, Any]], Callable[[dict[str, Any]], dict[str, Any]]]) -> None:
    """Answer requests on the standard input: `begin` is given the first, and gives what answers others."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    answer_to: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if answer_to is None:
                answer_to = begin(request)
                answer: dict[str, Any] = {}
            else:
                answer = answer_to(request)
        except Exception as error:  # runtimes have many
            answer = {"error": _shorten_error(error)}
        print(json.dumps(answer), file=channel, flush=True)


def _shorten_error(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
