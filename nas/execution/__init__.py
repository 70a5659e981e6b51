"""Where trainings run: in a process of their own, in this one, or on Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nas.machine import check_system, count_cores

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nas.execution.base import Executor
    from nas.execution.config import ExecutorConfig


def make_executor(
    config: ExecutorConfig,
    gpus_per_trial: float,
    way_out: str = "Nothing finished is lost",
    labels: Mapping[str, str] | None = None,
) -> Executor:
    """Return what trains by a config: with no workers a process without Ray, else Ray.

    `way_out`: how to go on where Ray is lost, as a message says it. `labels`: of what Ray shows, `run` and
    `sampler`.
    """
    if config.workers == 0 and config.in_process:
        from nas.execution.local import LocalExecutor

        return LocalExecutor(config.cpus_per_trial)
    if config.workers == 0:
        from nas.execution.child import ChildExecutor

        return ChildExecutor(config.cpus_per_trial)
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


@contextmanager
def keep_ready(config: ExecutorConfig) -> Iterator[Callable[[], None]]:
    """Start Ray once for all that a config's executors train in here, where it trains on a Ray of its own.

    Call what this gives to let Ray start meanwhile. A block in another one ends Ray: so it does while stops
    are still heard.
    """
    if config.workers == 0 or config.address != "local":
        yield lambda: None
        return
    check_system()  # before Ray is imported
    from nas.execution.ray_start import keep_ray

    gpus = 0 if config.gpus_per_trial == 0 else len([*Path("/dev").glob("nvidia[0-9]*")])  # torch waits
    with keep_ray(config.address, dashboard=True, ahead=config.count_slots(count_cores(), gpus)) as begin:
        yield begin
