"""What is measured of networks: the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from nas.errors import InputError
from nas.kinds import (
    BOOLEAN,
    SEED,
    THREADS,
    is_whole,
    listed,
    one_of,
    quote_or,
    whole,
)
from nas.latency import RUNTIMES, find_runtime
from nas.runs.common import NETWORK_INPUT
from nas.settings import Config, Option

_PANEL = "Profile"
_ON_CUDA = " and ".join(f"`{name}`" for name, runtime in RUNTIMES.items() if runtime.on_cuda)


def _read_runtime(name: Any) -> Any:
    """Return the name of a runtime. Raises InputError where there is none, or it lacks its library."""
    if isinstance(name, str):
        find_runtime(name)
    return name


def _read_size(plain: Any) -> Any:
    """Return a size of a batch; what is none stays as it is, for the rule."""
    return int(plain) if isinstance(plain, str) and plain.isascii() and plain.isdigit() else plain


@dataclass(frozen=True)
class ProfileConfig(Config):
    """Everything that decides a profile.

    `runtimes`: names of `nas.latency.RUNTIMES`. `batches`: images at a time. `rounds`: turns of each network,
    runtime and batch. `device`: cpu or cuda. `input`: side of the input that networks of files are fitted to,
    None for their own. `strict`: figures of a busy machine are refused.

    Raises InputError for a value of the wrong type or out of range, and for two that exclude each other.
    """

    runtimes: Annotated[
        tuple[str, ...],
        listed(
            "a list of runtimes; write it as text, such as torch,onnx",
            lambda name: isinstance(name, str),
            _read_runtime,
        ),
        Option(
            f"What applies networks: {quote_or(RUNTIMES)}; several, such as `torch,onnx`, side by side.",
            _PANEL,
            flags=("--runtime",),
        ),
    ] = ("torch",)
    batches: Annotated[
        tuple[int, ...],
        listed(
            "a list of sizes of a batch; each is a whole number from 1, as in 1,32",
            lambda size: is_whole(size, 1),
            _read_size,
        ),
        Option("Images at a time; several sizes as `1,32`.", _PANEL, flags=("--batch",)),
    ] = (1,)
    threads: Annotated[int, THREADS, Option("Threads of each runtime.", _PANEL)] = 1
    rounds: Annotated[
        int,
        whole("a number of rounds; it is a whole number, 2 or more", 2),
        Option("Turns that each has.", _PANEL),
    ] = 20
    seed: Annotated[int, SEED, Option("Of the order in each round.", _PANEL)] = 0
    device: Annotated[
        str,
        one_of("a device", ("cpu", "cuda")),
        Option(f"`cpu`, or of {_ON_CUDA} also `cuda`.", _PANEL),
    ] = "cpu"
    input: Annotated[
        int | None,
        NETWORK_INPUT,
        Option("Side in pixels of images that networks of files are fitted to, else their own.", _PANEL),
    ] = None
    strict: Annotated[bool, BOOLEAN, Option("Give no figure where the machine was not quiet.", _PANEL)] = (
        False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.device == "cpu":
            return
        for name in self.runtimes:
            if not find_runtime(name).on_cuda:
                raise InputError(
                    f"device: runtime '{name}' is measured on the CPU alone; leave it out, or the device"
                )
