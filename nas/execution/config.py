"""Where trials run: the settings of executors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain
from typing import Annotated

from nas.errors import InputError
from nas.execution import EXECUTORS
from nas.kinds import BOOLEAN, CPUS, WORKERS, Kind, join_or, number, optional, quote_or, text
from nas.settings import Config, Option

_PANEL = "Workers"
_CLUSTERS = tuple(name for name, row in EXECUTORS.items() if row.addresses)
RAY = "Ray"
"""The cluster that workers of a full training are on."""


def address_of(*clusters: str) -> Kind:
    """Return the kind of addresses of some clusters, and of this machine."""
    own = chain(*(EXECUTORS[name].addresses for name in clusters))
    return text(f"an address; it is {join_or(['local', *own])}")


def address_option(panel: str, *clusters: str) -> Option:
    """Return the option of the address of some clusters, or of this machine."""
    own = ", ".join(f"{quote_or(EXECUTORS[name].addresses)} of {name}" for name in clusters)
    return Option(
        f"The cluster to join, {own}; `local` starts Ray here.",
        panel,
        resumable=True,
        again=lambda value: value != "local",
    )


def check_address_used(address: str, workers: int | None) -> None:
    """Raise InputError where a cluster is named, and there are no workers to join it."""
    if workers == 0 and address != "local":
        raise InputError(
            f"address: {address} is of a cluster, and workers: 0 trains on this machine; give 1 worker or "
            "more, or leave the address out"
        )


@dataclass(frozen=True)
class ExecutorConfig(Config):
    """How many trials run at a time, with what, and where.

    `workers`: None for as many as the cluster has room for, 0 for one process beside this one, without Ray;
    with `in_process` for this one. `gpus_per_trial`: None for 1 where this machine has a GPU, or a kind of
    GPU is asked for, and 0 elsewhere. `address`: `local` starts Ray here.
    """

    workers: Annotated[
        int | None,
        optional(WORKERS),
        Option(
            "Trials at a time, else as many as fit; 0 runs them in one process, without Ray.",
            _PANEL,
            flags=("--workers", "--concurrency"),
            resumable=True,
        ),
    ] = None
    in_process: Annotated[
        bool,
        Kind(f"{BOOLEAN.rule}; true trains in this process", BOOLEAN.accepts),
        Option(
            "With --workers 0, train in this process: a trial that hangs or dies takes the search with it.",
            _PANEL,
            resumable=True,
        ),
    ] = False
    cpus_per_trial: Annotated[
        int,
        CPUS,
        Option("CPU threads of a trial.", _PANEL, resumable=True),
    ] = 1
    gpus_per_trial: Annotated[
        float | None,
        optional(
            number(
                "a number of GPUs; it is a number, 0 or more, and 0.5 lets two trials share one",
                lambda v: v >= 0,
            )
        ),
        Option(
            "GPUs of a trial, else 1 where there is a GPU or --accelerator; 0.5 lets two share one.",
            _PANEL,
            resumable=True,
        ),
    ] = None
    accelerator: Annotated[
        str | None,
        optional(
            Kind(
                "a kind of GPU as Ray names it, such as A100",
                lambda v: isinstance(v, str) and re.fullmatch(r"[\w.-]+", v) is not None,
            )
        ),
        Option(
            "Train on nodes with this kind of GPU alone, as Ray names it: `T4`, `A100`, `H100`.",
            _PANEL,
            resumable=True,
        ),
    ] = None
    trial_timeout: Annotated[
        float | None,
        optional(number("a number of seconds above 0", lambda v: v > 0)),
        Option("Seconds after which a training fails, and is ended if it hangs; else none.", _PANEL),
    ] = None
    address: Annotated[str, address_of(*_CLUSTERS), address_option(_PANEL, *_CLUSTERS)] = "local"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_address_used(self.address, self.workers)
        if self.workers == 0 and self.accelerator is not None:
            raise InputError(
                f"accelerator: {self.accelerator} is found by Ray, and workers: 0 runs without it; give 1 "
                "worker or more, or leave the accelerator out"
            )
        if self.in_process and self.workers != 0:
            raise InputError("in-process: true is of workers: 0 alone; give --workers 0, or --no-in-process")

    def count_slots(self, cores: int, gpus: int) -> int:
        """Return how many trials at a time so many cores and GPUs have room for, and no more than `workers`;
        0 GPUs where trials are trained on CPUs."""
        room = cores // self.cpus_per_trial
        if gpus:
            each = self.gpus_per_trial or 1  # a part of one GPU, or whole ones
            room = min(room, gpus * int(1 / each) if each < 1 else int(gpus / each))
        return room if self.workers is None else min(room, self.workers)
