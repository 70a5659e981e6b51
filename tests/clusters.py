"""Real Ray clusters of several raylets on this machine, and the processes of a driver."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


class Cluster:
    """Ray started by its own command on a free port, every node a process group that can be killed.
    `python`: the interpreter that starts it."""

    def __init__(
        self, folder: Path, *flags: str, dashboard: bool = False, python: str = sys.executable
    ) -> None:
        port = free_port()
        self.dashboard = f"http://127.0.0.1:{free_port()}" if dashboard else None
        self.address = f"127.0.0.1:{port}"
        # Socket paths are limited to 107 characters, too short for pytest's folders.
        self._folder = Path("/tmp") / f"nas-test-ray-{os.getpid()}-{port}"
        self._processes: list[subprocess.Popen[str]] = []
        self._log = folder.with_suffix(".log").open("w")
        self._token()
        self._flags, self._python = flags, python
        self.head = self._start("--head", f"--port={port}", f"--temp-dir={self._folder}", "--num-cpus=0")

    def _token(self) -> None:
        command = [sys.executable, "-m", "ray.scripts.scripts", "get-auth-token", "--generate"]
        subprocess.run(command, check=True, capture_output=True)

    def node(self, cpus: int, *flags: str, **environment: str) -> subprocess.Popen[str]:
        return self._start(f"--address={self.address}", f"--num-cpus={cpus}", *flags, **environment)

    def claim_python(self, version: str) -> str:
        """Have the head tell whoever joins that its Python is of a version. Return what it told before."""
        import nas.execution.ray_start  # noqa: F401  # its settings come first

        # isort: split
        import ray
        from ray._common.usage.usage_constants import CLUSTER_METADATA_KEY as KEY
        from ray._private.ray_constants import KV_NAMESPACE_CLUSTER as SPACE

        raylet: Any = ray._raylet  # there is no public way
        gcs = raylet.GcsClient(address=self.address)
        told = json.loads(gcs.internal_kv_get(KEY, namespace=SPACE))
        gcs.internal_kv_put(KEY, json.dumps({**told, "python_version": version}).encode(), True, SPACE)
        return str(told["python_version"])

    def _dashboard(self, *flags: str) -> list[str]:
        agent = f"--dashboard-agent-listen-port={free_port()}"  # else one of another cluster may have it
        if "--head" not in flags:
            return [agent]
        if self.dashboard is None:
            return [agent, "--include-dashboard=false"]
        return [agent, f"--dashboard-port={self.dashboard.rpartition(':')[2]}"]

    def _start(self, *flags: str, **environment: str) -> subprocess.Popen[str]:
        for _ in range(_TRIES):
            if (process := self._begin(*flags, **environment)) is not None:
                return process
        raise AssertionError(f"ray start {flags} did not start: {Path(self._log.name).read_text()}")

    def _begin(self, *flags: str, **environment: str) -> subprocess.Popen[str] | None:
        command = [self._python, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
        process = subprocess.Popen(
            [*command, *flags, *self._flags, *self._dashboard(*flags)],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "RAY_AUTH_MODE": "token", **environment},
        )
        self._processes.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            if "Ray runtime started" in line:
                return process
        kill_tree(process)
        return None

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *error: object) -> None:
        import shutil

        for process in reversed(self._processes):
            kill_tree(process)
            assert process.stdout is not None
            process.stdout.close()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)


_TRIES = 3
"""Ray gives a node up that takes 30 s to start, as it may on a busy machine."""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def kill_tree(process: subprocess.Popen[str]) -> None:
    for pid in [*descendants(process.pid), process.pid]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def descendants(pid: int) -> list[int]:
    """The processes below one, whichever of its threads began them."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it has ended
            found += map(int, children.read_text().split())
    return [*found, *(below for child in found for below in descendants(child))]


def works(pid: int) -> bool:
    """Whether the process lives. Ray's two agents notice after a minute that their raylet is gone."""
    command = Path(f"/proc/{pid}/cmdline")
    try:
        name = command.read_bytes()
        return name != b"" and b"Agent" not in name
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
