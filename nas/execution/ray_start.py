"""Ray, started here or joined.

Whoever imports ray imports this first: it is what Ray takes its settings from.
"""

# ruff: noqa: E402
from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from nas.execution.ray_address import check_address, find_short_folder, make_token, show_token
from nas.execution.ray_idle import INTERVALS, choose_dashboard_modules, environment

_SETTINGS = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns
    "RAY_AIR_NEW_OUTPUT": "0",  # the new output prints at any verbosity
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths stay what they are
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # prints no line of the raylets': a worker's death is told by the study
    "RAY_TRAIN_V2_ENABLED": "1",  # with another value the trainer takes a core of its own
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_gcs_rpc_server_connect_timeout_s": "60",  # a busy machine starts slowly: 5 s in Ray
    "RAY_raylet_client_num_connect_attempts": "60",  # seconds; 10 in Ray
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C comes to us as KeyboardInterrupt
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a failed trial has no score
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # the ledger is the only state
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
# Ray and Tune take these from the environment alone, some when they are imported.
os.environ.update(_SETTINGS)
os.environ.setdefault("RAY_timeout_ms_task_wait_for_death_info", "60000")  # of a node it is known after 15 s
show_token()

import ray
from ray.job_config import JobConfig

from nas.errors import NasError
from nas.importing import without_current_folder
from nas.machine import count_cores
from nas.passwords import hide_passwords


@contextmanager
def keep_ray(address: str, dashboard: bool, ahead: int = 0) -> Iterator[Callable[[], None]]:
    """Start or join Ray once for every `start_ray` of these arguments in here; it ends with the block.

    It starts when the first one needs it, or meanwhile, where what this gives is called. A block in another
    one has the same Ray, which ends with it. `ahead`: processes that a Ray that is started has ready for
    trials, with torch imported; 0 for one that is joined.
    """
    kept = _find_kept(address, dashboard)
    if kept is None:
        kept = _Kept(address, dashboard, ahead)
        _all_kept.append(kept)
    try:
        yield kept.begin
    finally:
        if kept in _all_kept:
            _all_kept.remove(kept)
        kept.end()


@contextmanager
def start_ray(address: str, dashboard: bool) -> Iterator[str | None]:
    """Start, join or keep Ray; return the dashboard's URL. Of one that was started no process is left."""
    if kept := _find_kept(address, dashboard):
        yield kept.wait_for_url()
        return
    with _start(address, dashboard) as url:
        yield url


def _find_kept(address: str, dashboard: bool) -> _Kept | None:
    return next((kept for kept in _all_kept if (kept.address, kept.dashboard) == (address, dashboard)), None)


class _Kept:
    """Ray in a thread of its own, which lives as long as Ray does: its processes end with the thread that
    began them."""

    def __init__(self, address: str, dashboard: bool, ahead: int) -> None:
        self.address, self.dashboard = address, dashboard
        self._ahead = ahead
        self._ready, self._unneeded = threading.Event(), threading.Event()
        self._url: str | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._keep, name="nas-ray", daemon=True)

    def begin(self) -> None:
        """Start it, if that was not done."""
        if self._thread.ident is None:
            self._thread.start()

    def wait_for_url(self) -> str | None:
        """Wait until it has started, and return the dashboard's URL. Raises what kept it from starting."""
        self.begin()
        self._ready.wait()
        if self._error is not None:
            raise self._error
        _take_back_sigterm(signal.getsignal(signal.SIGTERM))
        return self._url

    def end(self) -> None:
        """End it, if it was begun."""
        self._unneeded.set()
        while self._thread.is_alive():  # Ray gives SIGTERM back to the system on its way
            self._thread.join(_LOOK_S)
            _take_back_sigterm(signal.getsignal(signal.SIGTERM))

    def _keep(self) -> None:
        try:
            with _start(self.address, self.dashboard, self._ahead) as self._url:
                self._ready.set()
                self._unneeded.wait()
        except BaseException as error:  # who needs Ray raises it
            self._error = error
        finally:
            self._ready.set()


_LOOK_S = 0.002
"""A second request to end that comes between two looks kills the process, with nothing said."""
_all_kept: list[_Kept] = []


@contextmanager
def _start(address: str, dashboard: bool, ahead: int = 0) -> Iterator[str | None]:
    check_address(address)
    here: dict[str, Any] = {}
    if address == "local":
        make_token()
        here = {
            "include_dashboard": dashboard,
            "dashboard_host": "127.0.0.1",
            "num_cpus": count_cores(),
            "_temp_dir": find_short_folder(),
        }
    on_sigterm = signal.getsignal(signal.SIGTERM)
    job: Any = JobConfig()
    job._py_driver_sys_path = _OwnPath()
    try:
        with _discreet(), _lean(), _started_ahead(ahead):
            context = ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                job_config=job,
                **here,
            )
            _await_processes(ahead)
    except Exception as error:  # Ray has no class of its own for what it raises here
        ray.shutdown()
        first, *_ = (*str(error).strip().splitlines(), "")  # others are a traceback
        reason = f"{type(error).__name__}: {first}"
        raise NasError(
            f"Ray cannot start: {reason:.300}; mend the cause, or train without Ray by --workers 0"
        ) from None
    _take_back_sigterm(on_sigterm)
    session = find_own_session(address)
    try:
        url = context.dashboard_url
        yield f"http://{url}" if url else None
    finally:
        ray.shutdown()
        end_session(session)


def _take_back_sigterm(handler: Any) -> None:
    """Have nobody but Python's handler hear SIGTERM: Ray's prints a stack before. Only the main thread can;
    where Ray starts in another, it does so when it has waited for it."""
    with suppress(ValueError):  # raised outside the main thread
        signal.signal(signal.SIGTERM, handler)


def list_nodes() -> list[dict[str, float]]:
    """Return the resources of each node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def count_room(bundle: Mapping[str, float]) -> int:
    """Return how many bundles of resources the nodes that are alive have room for, were nothing else on
    them."""
    return sum(
        int(min(node.get(kind, 0) // amount for kind, amount in bundle.items())) for node in list_nodes()
    )


class OwnNode(NamedTuple):
    """The node of this machine: its id at Ray, its address, and where its raylet and the cluster's GCS are,
    as `host:port`."""

    id: str
    address: str
    raylet: str
    gcs: str


def find_own_node() -> OwnNode:
    """Return the node that this process is on. Ray has to have been started or joined."""
    here = ray.get_runtime_context()
    found = next(node for node in ray.nodes() if node["NodeID"] == here.get_node_id())  # type: ignore[no-untyped-call]
    address = found["NodeManagerAddress"]
    return OwnNode(here.get_node_id(), address, f"{address}:{found['NodeManagerPort']}", here.gcs_address)


def find_own_session(address: str) -> Path | None:
    """Return the folder of the Ray that was started here, to which its processes write what they print; None
    for one that was joined."""
    node: Any = ray._private.worker._global_node  # there is no public way
    return Path(node.get_session_dir_path()).resolve() if address == "local" else None


def end_session(session: Path | None) -> None:
    """End what is left of the processes of a session, as a worker is that waits for a head that has gone.

    They are found by where they write what they print, which only Linux tells.
    """
    if session is None:
        return
    for _ in range(_ROUNDS):  # one that starts meanwhile is found in the next
        found = list(_list_processes(session))
        for process in found:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if not found:
            return
        time.sleep(_ROUND_S)


_ROUNDS = 20
_ROUND_S = 0.1


def _list_processes(session: Path) -> Iterator[int]:
    for printed in Path("/proc").glob("[0-9]*/fd/1"):
        with suppress(OSError):  # it has ended, or is another user's
            if printed.readlink().is_relative_to(session):
                yield int(printed.parts[2])


@contextmanager
def swapped(owner: Any, **values: Any) -> Iterator[None]:
    """Have attributes of a module or a class of Ray's be others in here. It is for what Ray has neither a
    setting nor a public way for. They are what they were after it, however it ends."""
    before = {name: vars(owner)[name] for name in values}
    try:
        for name, value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


@contextmanager
def _discreet() -> Iterator[None]:
    """Start Ray in here: it shows the command line of a search on its dashboard and keeps it, which is to be
    without passwords; and its processes are to import nothing from the current folder."""
    utils: Any = ray._private.utils  # there is no public way
    described = utils.get_entrypoint_name
    with (
        swapped(utils, get_entrypoint_name=lambda: hide_passwords(described())),
        without_current_folder(),
    ):
        yield


@contextmanager
def _lean() -> Iterator[None]:
    """Start Ray in here sooner, and without what has nothing to do on one machine: the process that sends
    what workers print to a driver, which wants none of it, and the autoscaler's. Of itself Ray waits for its
    dashboard before it starts what trials wait for."""
    node: Any = ray._private.node.Node  # there is no public way
    start_processes, start_dashboard = node.start_ray_processes, node.start_api_server
    start = ray._private.services.start_ray_process
    wanted: dict[str, Any] = {}

    def start_process(command: list[str], kind: str, *args: Any, **kwargs: Any) -> Any:
        if kind == ray._private.ray_constants.PROCESS_TYPE_DASHBOARD and wanted["include_dashboard"]:
            command = [*command, *choose_dashboard_modules(ray.__version__)]
        return start(command, kind, *args, **kwargs)

    def start_dashboard_last(self: Any) -> None:
        start_processes(self)
        with environment({"TMPDIR": self.get_session_dir_path()}):  # what it leaves lies with all of Ray's
            start_dashboard(self, **wanted)

    with (
        environment({**INTERVALS, **os.environ}),
        swapped(ray._private.services, start_ray_process=start_process),
        swapped(
            node,
            start_log_monitor=lambda _: None,
            start_monitor=lambda _: None,
            start_api_server=lambda _, **options: wanted.update(options),
            start_ray_processes=start_dashboard_last,
        ),
    ):
        yield


@contextmanager
def _started_ahead(count: int) -> Iterator[None]:
    """Have the Ray that starts in here begin so many processes at once, which import what trials need. Of
    itself it begins one for each core, which imports nothing."""
    private: Any = ray._private  # there is no public way
    start = private.services.start_ray_process
    option = "--num_prestart_python_workers="

    def start_process(command: list[str], *args: Any, **kwargs: Any) -> Any:
        command = [f"{option}{count}" if part.startswith(option) else part for part in command]
        return start(command, *args, **kwargs)

    with (
        swapped(private.services, start_ray_process=start_process),
        environment(_AHEAD if count else {}),
    ):
        yield


_AHEAD = {
    "RAY_preload_python_modules": "nas.execution.ray_worker,torch",
    "RAY_idle_worker_killing_time_threshold_ms": "600000",  # data may take long to read: 1 s in Ray
}


def _await_processes(count: int) -> None:
    """Wait until so many processes are there that Ray starts ahead: for a trial that asks before, Ray would
    start another."""
    until = time.monotonic() + _AHEAD_S
    state: Any = ray._private.state  # there is no public way
    while len(state.workers()) < count and time.monotonic() < until:
        time.sleep(_LOOK_S)


_AHEAD_S = 30.0


class _OwnPath(list[str]):
    """What workers import from besides, which Ray extends by the driver's folder and puts before all else."""

    def extend(self, folders: Iterable[str]) -> None:
        known = {os.path.abspath(folder) for folder in sys.path}  # noqa: PTH100  # '' is the current folder
        super().extend(folder for folder in folders if folder in known)
