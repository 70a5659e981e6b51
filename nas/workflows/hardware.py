"""What the trials of a search train on."""

from __future__ import annotations

from nas.execution import make_executor
from nas.runs.config import SearchConfig


def check_cluster(config: SearchConfig) -> str:
    """Return in a line which cluster a search joins, and what it has.

    Raises InputError where no node of it has room for a trial, or one has another nas than this machine.
    """
    from nas.execution.ray_executor import RayExecutor

    executor = make_executor(config.executor, gpus_of(config))
    assert isinstance(executor, RayExecutor), "a cluster is Ray's"
    return executor.check_cluster()


def gpus_of(config: SearchConfig) -> float:
    """Return how many GPUs a trial gets."""
    if config.executor.gpus_per_trial is not None:
        return config.executor.gpus_per_trial
    import torch

    return 1.0 if torch.cuda.is_available() else 0.0


def device_of(config: SearchConfig) -> str:
    """Return where trials train, as torch names it. An Apple GPU, of which Ray does not know, all share."""
    import torch

    if gpus_of(config):
        return "cuda"
    apple = config.executor.gpus_per_trial is None and config.executor.address == "local"
    return "mps" if apple and torch.backends.mps.is_available() else "cpu"


def device_name(config: SearchConfig) -> str:
    """Return the name of the hardware that trials train on, for a person."""
    import torch

    device = device_of(config)
    return torch.cuda.get_device_name(0) if device == "cuda" and torch.cuda.is_available() else device
