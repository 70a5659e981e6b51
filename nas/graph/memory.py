"""The memory that a network needs: a walk along its operators that keeps what is still to be read."""

from __future__ import annotations

from math import prod

from nas.cost import BYTES
from nas.errors import NasError
from nas.graph.architecture import INPUT, Architecture
from nas.machine import read_memory_bytes


def compute_peak_memory(architecture: Architecture) -> int:
    """Return the bytes that inference of one image takes at most, in float32, the weights included.

    Operators run one after the other in the order of `nodes`, which is the order of the built module. While
    one runs, all of its inputs and its whole output are there: no operator works in place. A value is freed
    after its last reader; the image is such a value, and the network's output is kept. Flatten, dropout,
    stochastic depth and a slice of channels (`Operator.is_view`) give a view, which takes nothing of its own
    and keeps what it is a view of. The learnable numbers are there all the time.

    Not counted is what depends on the runtime: what an operator needs inside, such as the workspace of a
    convolution, and the running statistics of batch norm, which are folded into weights where a network is
    deployed.
    """
    owners = {INPUT: INPUT}
    last_use = {INPUT: 0}
    for i, node in enumerate(architecture.nodes):
        is_view = node.op.is_view or node.op.is_identity
        owners[node.name] = owners[node.inputs[0]] if is_view else node.name
        last_use.update((owners[name], i) for name in (node.name, *node.inputs))
    last_use[owners[architecture.output]] = len(architecture.nodes)
    freed: dict[int, list[str]] = {}
    for name, i in last_use.items():
        freed.setdefault(i, []).append(name)
    sizes = {name: prod(architecture.shapes[name]) for name in owners}
    live = peak = sizes[INPUT]
    for i, node in enumerate(architecture.nodes):
        if owners[node.name] == node.name:
            live += sizes[node.name]
        peak = max(peak, live)
        live -= sum(sizes[name] for name in freed.get(i, ()))
    return BYTES * (architecture.cost.params + peak)


def check_memory(architecture: Architecture) -> None:
    """Raise NasError where the network needs more memory than the machine has, before any is taken."""
    needed, own = compute_peak_memory(architecture), read_memory_bytes()
    if needed > own:
        raise NasError(
            f"the network needs {needed / 2**30:,.0f} GiB of memory for one image, and this machine has "
            f"{own / 2**30:,.0f}; give it fewer channels or a smaller input"
        )
