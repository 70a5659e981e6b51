"""How a worker on Ray ended, in a few words."""

from __future__ import annotations

import re
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import nas.execution.ray_start  # noqa: F401  # its settings come first

# isort: split
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nas.execution.base import describe_signal, find_place


def _find_exit_code(report: str) -> int | None:
    code = re.search(r"exit code (?!2\. End of file)(-?\d+)", report.replace("error code", "exit code"))
    return int(code[1]) if code else None


def is_ended_by_ray(report: str) -> bool:
    """Return whether Ray has ended a worker as the memory of its machine was nearly full."""
    return _ENDED_BY_RAY.search(report) is not None


_ENDED_BY_RAY = re.compile("low on memory|OutOfMemoryError")


def has_lost_machine(report: str) -> bool:
    """Return whether it was not the worker alone that went, by Ray's report: its machine did, or Ray on it,
    or the way there. Of a machine that is shut down the processes end in any order: a worker that died alone
    by its report is one of those where its raylet goes with it."""
    if is_ended_by_ray(report):
        return False
    if _DIED_ALONE.search(report):
        return _is_going_too(report)
    return _LOST.search(report) is not None


_LOST = re.compile(r"The actor (?!died because of an error)(\S+ )?(died|is )|node (has died|died|was )|owner")
"""What Ray reports of an actor that has gone, and not of an error that its code has raised."""
_DIED_ALONE = re.compile(
    r"worker process has died\. Worker exit type: (?!INTENDED_SYSTEM_EXIT)(?!.*receives a SIGTERM)"
)
"""What Ray reports of a process that neither it nor the system has asked to end."""


def _is_going_too(report: str) -> bool:
    """Return whether the raylet of a worker goes within a second of it."""
    actor = re.search(r"^\s*actor_id: (\w+)", report, re.M)
    found: Any = ray._private.state.actors(actor[1]) if actor else None  # there is no public way
    node = found and next((n for n in ray.nodes() if n["NodeID"] == found["Address"]["NodeID"]), None)  # type: ignore[no-untyped-call]
    if not node:
        return False
    raylet = f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
    end = time.monotonic() + _GOING_S
    while _can_connect(raylet):
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK_S)
    return True


def _can_connect(address: str) -> bool:
    """Return whether something listens; of a machine that has gone nothing answers at all."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_GOING_S).close()
    except OSError:
        return False
    return True


_GOING_S = 1.0
_LOOK_S = 0.1


def is_crowded_out(report: str, has_begun: bool) -> bool:
    """Return whether Ray ended a worker as the memory of its machine was nearly full, and not by the trial on
    it: another worker had more by the report, or no trial had begun. Whom Ray ends it chooses by when they
    began, so that one that allocates without end takes its neighbours with it.

    Processes that are none of Ray's do not count, as a driver or a database has what it has. A report that
    does not tell what the worker had blames nobody."""
    if not is_ended_by_ray(report):
        return False
    process = _find_ended(report)
    rows = re.findall(r"(?:^|, )(\d+)\t([\d.]+)\t(ray::)?", report, re.M)
    used = {pid: float(gigabytes) for pid, gigabytes, is_ray in rows if is_ray or pid == process}
    return not has_begun or process not in used or used[process] < max(used.values())


def _find_ended(report: str) -> str | None:
    """Return the process of the worker that Ray ended, by its actor, or as the only one: Ray names several
    since 2.56."""
    actor = re.search(r"^\s*actor_id: (\w+)", report, re.M)  # of a worker that has started
    process = actor and re.search(rf"{actor[1]}\b.*?\bpid=(\d+)", report)
    process = process or re.search(r"where the (?:task|lease) \(.*?\bpid=(\d+)", report)
    return process[1] if process else None


def may_have_run_out(report: str) -> bool:
    """Return whether a worker that died alone may have ended itself, as the time of its trial was over:
    `faulthandler`, which does that, prints so."""
    if is_ended_by_ray(report):
        return False
    printed = _ask_for_printed(report)
    return not printed or "Timeout (" in printed


def describe_death(report: str) -> str:
    """Return in a few words how a worker ended that died alone, by Ray's report of it, and by what it printed
    in the end."""
    if is_ended_by_ray(report):
        return describe_full(report)
    code = _find_exit_code(report)
    if code is not None and code >= 0:
        return f"its process ended with exit code {code}"
    printed = _ask_for_printed(report)
    if code is not None:
        return describe_signal(signal.Signals(-code).name) + find_place(printed)
    for text, name in _FATAL.items():
        if f"Fatal Python error: {text}" in printed:
            return describe_signal(name) + find_place(printed)
    return f"{describe_signal('SIGKILL')}, or ended itself by os._exit"


def describe_loss(report: str) -> str:
    """Return in a few words how a worker ended by no doing of the trial on it."""
    if is_ended_by_ray(report):
        return f"{describe_full(report)}; another process had more, or its trial had not begun"
    return "its machine or Ray on it has gone, or has ended it"


def describe_full(report: str, process: str = "its process") -> str:
    """Return in a few words that Ray ended a worker as memory was nearly full, by Ray's report of it."""
    used = re.search(r"Memory on the node .*? was ([\d.]+GB.*?) \(", report)
    allowed = re.search(
        r"exceeded threshold of \S+ \(([\d.]+%)|exceeds the memory usage threshold of (\d+(?:\.\d+)?)", report
    )
    share = allowed and (allowed[1] or f"{float(allowed[2]):.1%}")
    full = f", {used[1]}, and Ray allows {share} of it" if used and share else ""
    return f"Ray ended {process}, as the memory of its machine was nearly full{full}"


_FATAL = {
    "Segmentation fault": "SIGSEGV",
    "Aborted": "SIGABRT",
    "Bus error": "SIGBUS",
    "Illegal instruction": "SIGILL",
    "Floating": "SIGFPE",
}
"""What `faulthandler` prints, which Ray has each worker do."""


def _ask_for_printed(report: str) -> str:
    """Return what the worker that a report is of printed in the end, "" where that is out of reach."""
    process, ip = re.search(r"^\s*pid: (\d+)", report, re.M), re.search(r"^\s*ip: (\S+)", report, re.M)
    if not process or not ip:
        return ""
    pid = int(process[1])
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        if node["Alive"] and node["NodeManagerAddress"] == ip[1]:
            where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            reader = ray.remote(_read_printed).options(num_cpus=0, scheduling_strategy=where)
            with suppress(ray.exceptions.RayError):  # the machine is going, or too busy
                return str(ray.get(reader.remote(pid), timeout=_READ_S))
    return ""


_READ_S = 20


def _read_printed(pid: int) -> str:
    """Return the end of what a worker of this machine printed as errors, such as where it crashed."""
    node: Any = ray._private.worker._global_node  # there is no public way
    files = Path(node.get_logs_dir_path()).glob(f"worker-*-{pid}.err")
    texts = [file.read_bytes()[-_MOST_BYTES:] for file in files]
    return b"".join(texts).decode(errors="replace")


_MOST_BYTES = 100_000
