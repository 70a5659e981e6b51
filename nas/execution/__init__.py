"""Where trainings run: in a process of their own, in this one, or on Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nas.machine import check_system, count_cores

if TYPE_CHECKING:
    from nas.execution.base import Executor
    from nas.execution.config import ExecutorConfig

Ready = AbstractContextManager[Callable[[], None]]
"""Keeps something for as long as it is entered. What it gives lets that start meanwhile."""


def _keep_nothing(config: ExecutorConfig) -> Ready:
    return nullcontext(lambda: None)


def _check_nothing(config: ExecutorConfig) -> None:
    pass


@dataclass(frozen=True)
class ExecutorRow:
    """When an executor trains, and how it is made.

    `is_chosen`: whether it is the one of these settings. `make`: of settings, the GPUs of a trial, how to go
    on where what it runs on is lost, and the labels `run` and `sampler` of what it shows. `addresses`: what
    the setting `address` has for it, in place of `local`. `check`: raises InputError for settings that it
    cannot train by. `keep_ready`: begins once what all executors of the settings train in.
    """

    is_chosen: Callable[[ExecutorConfig], bool]
    make: Callable[[ExecutorConfig, float, str, Mapping[str, str] | None], Executor]
    addresses: tuple[str, ...] = ()
    check: Callable[[ExecutorConfig], None] = _check_nothing
    keep_ready: Callable[[ExecutorConfig], Ready] = _keep_nothing


def _make_local(config: ExecutorConfig, *_: object) -> Executor:
    from nas.execution.local import LocalExecutor

    return LocalExecutor(config.cpus_per_trial)


def _make_child(config: ExecutorConfig, *_: object) -> Executor:
    from nas.execution.child import ChildExecutor

    return ChildExecutor(config.cpus_per_trial)


def _make_ray(
    config: ExecutorConfig, gpus_per_trial: float, way_out: str, labels: Mapping[str, str] | None
) -> Executor:
    from nas.execution.ray_executor import RayExecutor

    return RayExecutor(
        cpus_per_trial=config.cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        accelerator=config.accelerator,
        concurrency=config.workers,
        address=config.address,
        way_out=way_out,
        labels=labels,
    )


def _check_ray(config: ExecutorConfig) -> None:
    from nas.execution.ray_address import check_address

    check_address(config.address)


@contextmanager
def _keep_ray(config: ExecutorConfig) -> Iterator[Callable[[], None]]:
    """Start Ray, where it is not joined. A block in another one ends Ray: so it does while stops are still
    heard."""
    if config.address != "local":
        yield lambda: None
        return
    check_system()  # before Ray is imported
    from nas.execution.ray_start import keep_ray

    gpus = 0 if config.gpus_per_trial == 0 else len([*Path("/dev").glob("nvidia[0-9]*")])  # torch waits
    with keep_ray(config.address, dashboard=True, ahead=config.count_slots(count_cores(), gpus)) as begin:
        yield begin


EXECUTORS: dict[str, ExecutorRow] = {
    "this process": ExecutorRow(lambda config: config.workers == 0 and config.in_process, _make_local),
    "a child process": ExecutorRow(lambda config: config.workers == 0, _make_child),
    "Ray": ExecutorRow(lambda config: True, _make_ray, ("auto", "HOST:PORT"), _check_ray, _keep_ray),
}
"""The first that is chosen trains."""


def find_executor(config: ExecutorConfig) -> ExecutorRow:
    """Return the row of what trains by these settings."""
    return next(row for row in EXECUTORS.values() if row.is_chosen(config))


def make_executor(
    config: ExecutorConfig,
    gpus_per_trial: float,
    way_out: str = "Nothing finished is lost",
    labels: Mapping[str, str] | None = None,
) -> Executor:
    """Return what trains by these settings, as `ExecutorRow.make` does."""
    return find_executor(config).make(config, gpus_per_trial, way_out, labels)


def keep_ready(config: ExecutorConfig) -> Ready:
    """Return what is kept while executors of these settings train, as `ExecutorRow.keep_ready` does."""
    return find_executor(config).keep_ready(config)
