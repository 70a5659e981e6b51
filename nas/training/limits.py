"""How fast a device could train a network: the bound that what was reached is a share of."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import torch

from nas.graph.architecture import INPUT
from nas.ops import Join
from nas.training.base import Limit

if TYPE_CHECKING:
    from nas.graph import Architecture


def find_limit(architecture: Architecture, batch: int, device: str) -> Limit | None:
    """Return the most images per second that a device, as torch names it, can be trained with; None where it
    has no memory left to be measured.

    Either the arithmetic binds or the memory. A step has three multiply-accumulates for each of a forward
    pass, at the speed of a large product of matrices. It moves what `count_moved` counts, and for each
    parameter eight numbers of float32, at the speed of a copy: forward and backward pass read it, its
    gradient is written, and the optimizer reads the gradient and reads and writes parameter and momentum.
    """
    speeds = measure_speeds(device, torch.get_num_threads())
    if speeds is None:
        return None
    cost = architecture.cost
    moved = count_moved(architecture) * _DTYPES.get(device, torch.float32).itemsize
    kept = 8 * torch.float32.itemsize * cost.params / batch
    seconds = {
        "arithmetic": 3 * cost.macs / speeds.macs_s,
        "memory bandwidth": (moved + kept) / speeds.bytes_s,
    }
    binding = max(seconds, key=lambda what: seconds[what])
    return Limit(1 / seconds[binding], binding)


def count_moved(architecture: Architecture) -> int:
    """Return how many elements of activations a training step of one image reads and writes at least, where
    each operator runs by itself.

    Forward it reads its input and writes its output; backward it reads the gradient of its output and its
    input, and writes the gradient of that. Views move nothing; joins hand their gradients on.
    """
    moved = 0
    for node in architecture.nodes:
        if node.op.is_view or node.op.is_identity:
            continue
        read, written = sum(prod(architecture.shapes[name]) for name in node.inputs), prod(node.shape)
        moved += read + written
        if not isinstance(node.op, Join):
            moved += (1 if INPUT in node.inputs else 2) * read + written
    return moved


class Speeds(NamedTuple):
    """What a device does in a second: multiply-accumulates, and bytes read or written."""

    macs_s: float
    bytes_s: float


@cache
def measure_speeds(device: str, threads: int) -> Speeds | None:
    """Measure a device, once in a process and for so many `threads` of torch: a product of matrices in the
    numbers that trainings have there, and a copy. It takes less than a second; None where it has no memory
    left."""
    side, elements = _SIZES.get(device, _SIZES["cpu"])
    try:
        matrix = torch.ones(side, side, dtype=_DTYPES.get(device, torch.float32), device=device)
        source = torch.ones(elements, dtype=torch.uint8, device=device)
        target = torch.empty_like(source)
        product_s = _time_shortest(lambda: matrix @ matrix, device)
        copy_s = _time_shortest(lambda: target.copy_(source), device)
    except (RuntimeError, MemoryError):
        return None
    return Speeds(side**3 / product_s, 2 * elements / copy_s)


_DTYPES = {"cuda": torch.bfloat16}
"""What trainings compute in, where that is not float32."""
_SIZES = {"cpu": (512, 2**23), "mps": (2048, 2**27), "cuda": (8192, 2**28)}
"""Side of the matrices, and bytes that are copied: on a CPU as many as the activations of a batch, which its
caches hold, on a GPU more than those do."""
_TIMES = 10


def _time_shortest(work: Callable[[], object], device: str) -> float:
    """Return the seconds of a call, the least of some after a first one."""
    found = []
    for _ in range(1 + _TIMES):
        start = time.perf_counter()
        work()
        if device != "cpu":
            getattr(torch, device).synchronize()
        found.append(time.perf_counter() - start)
    return min(found[1:])
