"""What the trials of a search train on."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Protocol

from nas.execution import make_executor
from nas.execution.base import ClusterExecutor
from nas.execution.config import ExecutorConfig
from nas.machine import count_cores
from nas.workflows.observer import Observer


class PlacedConfig(Protocol):
    """A config that says where trainings run."""

    @property
    def executor(self) -> ExecutorConfig: ...


def check_cluster(config: PlacedConfig, heard: Observer) -> None:
    """Tell which cluster is joined, if one is, and what it has.

    Raises InputError where no node of it has room for a trial, or one has another nas than this machine.
    """
    if config.executor.address == "local":
        return
    executor = make_executor(config.executor, count_trial_gpus(config))
    if isinstance(executor, ClusterExecutor):
        heard.noted(executor.check_cluster())


def count_gpus() -> tuple[int, str]:
    """Return how many GPUs torch can use here, and where there is none what CUDA says of that, if it does."""
    import torch

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return found, "" if found or not said else " ".join(str(said[0].message).split())[:_MOST_SAID]


_MOST_SAID = 300


def find_unusable_gpu() -> str | None:
    """Return in words a GPU of this machine that torch finds and has no code for, if there is one."""
    import torch

    for number in range(count_gpus()[0]):
        own = torch.cuda.get_device_capability(number)
        known = torch.cuda.get_arch_list()
        if known and torch.version.cuda and not any(_can_run(arch, own) for arch in known):
            name, capability = torch.cuda.get_device_name(number), "".join(map(str, own))
            return (
                f"torch {torch.__version__} has no code for the {name}, which is sm_{capability}, but for "
                f"{', '.join(known)}"
            )
    return None


def _can_run(arch: str, own: tuple[int, int]) -> bool:
    """Return whether code for an `arch`, such as sm_80, runs on a GPU: machine code on those of the same
    generation that are no older, an intermediate one such as compute_80 on all that are no older."""
    kind, _, number = arch.partition("_")
    of = divmod(int(number.rstrip("af")), 10)
    return of <= own and (kind == "compute" or of[0] == own[0])


def has_mps() -> bool:
    """Return whether NVIDIA's MPS runs here, by which the kernels of several processes run at a time."""
    return Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"), "control").exists()  # noqa: S108


def count_trial_gpus(config: PlacedConfig) -> float:
    """Return how many GPUs a trial gets."""
    if config.executor.gpus_per_trial is not None:
        return config.executor.gpus_per_trial
    if config.executor.accelerator is not None:
        return 1.0
    import torch

    return 1.0 if torch.cuda.is_available() else 0.0


def count_slots(config: PlacedConfig, device: str) -> int:
    """Return the trials at a time: as many as this machine has room for, and no more than the config says; on
    a cluster as many as it says, where it does."""
    executor = config.executor
    if executor.workers == 0:
        return 1
    if executor.address != "local" and executor.workers:
        return executor.workers
    return max(1, executor.count_slots(count_cores(), count_gpus()[0] if device == "cuda" else 0))


def find_device(config: PlacedConfig) -> str:
    """Return where trainings run, as torch names it. An Apple GPU, of which Ray does not know, all share."""
    import torch

    if count_trial_gpus(config):
        return "cuda"
    apple = config.executor.gpus_per_trial is None and config.executor.address == "local"
    return "mps" if apple and torch.backends.mps.is_available() else "cpu"


def name_device(config: PlacedConfig) -> str:
    """Return the name of the hardware that trials train on, for a person."""
    import torch

    device = find_device(config)
    return torch.cuda.get_device_name(0) if device == "cuda" and torch.cuda.is_available() else device
