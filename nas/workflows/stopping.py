"""Ending a run that another process of this machine works in, as Ctrl-C there would."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from pathlib import Path
from shlex import quote

from nas.deadline import dump_duration
from nas.errors import InputError, NasError
from nas.runs.coefficients import CoefficientsFolder
from nas.runs.comparison import VersusFolder
from nas.runs.folder import RunFolder, TrainingFolder
from nas.runs.holder import Holder, holds_lock
from nas.runs.job import has_job
from nas.runs.pipeline import PipelineFolder

WAIT_S = 60.0
"""Seconds that an epoch, an export or Ray may take to end."""


def stop(run: Path | str, *, timeout_s: float = WAIT_S) -> Holder:
    """Ask the process that works in a run folder to stop, and wait until it has ended. Return which it was.

    It gets SIGTERM, and nobody else does: a process is signalled only where the system says that it holds
    the folder's lock. Raises InputError where none works in it, or one that this machine cannot signal;
    NasError where it has not ended after `timeout_s` seconds.
    """
    path = Path(run)
    if has_job(path) and not RunFolder(path).manifest_file.is_file():
        raise InputError(
            f"{path}: runs on a cluster; stop it with: nas stop {quote(str(path))} --address ADDRESS"
        )
    folder = _find_folder(path)
    holder = folder.holder
    if holder is None:
        raise InputError(f"{path}: is not running; see how far it is with: nas status {quote(str(path))}")
    if holder.pid is None:
        raise InputError(f"{path}: a process works in it that does not say who it is; try again in a second")
    if not holder.is_here:
        raise InputError(
            f"{path}: {holder} works in it, and signals do not leave a machine; stop it on {holder.host}, by "
            f"nas stop or kill {holder.pid}"
        )
    _end(folder, holder, holder.pid, timeout_s)
    return holder


def _find_folder(path: Path) -> RunFolder:
    """Return the folder whose lock is that of what works in a run of any kind. Raises InputError for none."""
    for kind in (TrainingFolder, VersusFolder, CoefficientsFolder):
        if (path / kind.MANIFEST).is_file():
            return kind.open(path)
    return (
        PipelineFolder(path / PipelineFolder.STEPS) if PipelineFolder.is_one(path) else RunFolder.open(path)
    )


def _end(folder: RunFolder, holder: Holder, pid: int, timeout_s: float) -> None:
    """Send SIGTERM to the process that holds the lock of a folder, and to none that got its number since."""
    process = -1
    with suppress(OSError, AttributeError):  # it has ended; no Linux
        process = os.pidfd_open(pid)
    try:
        if process < 0 or not holds_lock(pid, folder.lock_file):
            if folder.holder != holder:
                return  # it has ended by itself
            raise InputError(
                f"{folder.path}: that {holder} works in it cannot be checked here, so it is not signalled; "
                f"where you know that it does: kill {pid}"
            )
        with suppress(ProcessLookupError):  # it has just ended by itself
            signal.pidfd_send_signal(process, signal.SIGTERM)
        ended, *_ = select.select([process], [], [], timeout_s)
    finally:
        if process >= 0:
            os.close(process)
    if not ended:
        raise NasError(
            f"{folder.path}: {holder} was asked to stop and has not ended after {dump_duration(timeout_s)}; "
            f"wait for it, or end it with kill -9 {pid}, which loses nothing finished"
        )
