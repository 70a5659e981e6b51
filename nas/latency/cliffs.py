"""What is known to be slow in a runtime beyond what its MACs say, and what to choose instead.

`docs/latency.md` has the measurements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from nas.graph import Architecture, Node
from nas.ops import Act, Conv2d, Multiply

_SLOW_ACTIVATIONS = {"mish": "5 to 15", "elu": "3 to 4", "gelu": "2"}
"""In ONNX Runtime: how many times as long a network takes as with ReLU."""
_MOST_TAPS = 25
"""Of a depthwise kernel, for which XNNPACK has fast code."""
XNNPACK = ("executorch", "litert")
"""Runtimes that it computes for."""
_CHANNELS_TOGETHER = 4
"""Of a depthwise convolution, whose channels are a multiple of them where ONNX Runtime has fast code."""


def find_cliffs(networks: Mapping[str, Architecture], runtimes: Iterable[str]) -> Iterator[str]:
    """Give a line for each network, by name, and runtime in which something of it is slow."""
    for runtime in runtimes:
        for name, architecture in networks.items():
            if runtime == "onnx":
                yield from (f"{name}: {text}" for text in _find_in_onnx(architecture))
            if runtime in XNNPACK:
                yield from (f"{name}: {text}" for text in _find_in_xnnpack(architecture, runtime))


def _find_in_onnx(architecture: Architecture) -> Iterator[str]:
    for function, times in _SLOW_ACTIVATIONS.items():
        nodes = [n for n in architecture.nodes if isinstance(n.op, Act) and n.op.kind == function]
        if nodes:
            yield (
                f"{_format_places(nodes)}: with {function} a network takes {times} times as long in onnx as "
                "with relu, and less in openvino; choose relu or relu6, or openvino"
            )
    shapes = architecture.shapes
    nodes = [
        node
        for node in architecture.nodes
        if _count_taps(architecture, node) > 1 and shapes[node.name][0] % _CHANNELS_TOGETHER
    ]
    if nodes:
        yield (
            f"{_format_places(nodes)}: a depthwise convolution of {shapes[nodes[0].name][0]} channels, no "
            f"multiple of {_CHANNELS_TOGETHER}, has no fast code in onnx: it takes 4 (3 x 3) to 10 (7 x 7) "
            "times as long as one of the next multiple; choose such a width, or openvino"
        )


def _find_in_xnnpack(architecture: Architecture, runtime: str) -> Iterator[str]:
    nodes = [node for node in architecture.nodes if _count_taps(architecture, node) > _MOST_TAPS]
    if nodes:
        yield (
            f"{_format_places(nodes)}: a depthwise kernel of more than {_MOST_TAPS} taps has no fast code in "
            f"{runtime}: 7 x 7 takes 17 to 40 times as long as 5 x 5; choose 5 x 5 followed by 3 x 3, which "
            "sees as far and takes 1.2 to 1.4 times as long"
        )


def describe_limits(runtime: str) -> str:
    """Say what a space that is for a runtime of XNNPACK leaves out."""
    return (
        f"A space for {runtime} leaves out depthwise kernels of more than {_MOST_TAPS} taps, such as 7 x 7, "
        "which have no fast code there; 5 x 5 followed by 3 x 3 sees as far"
    )


def _count_taps(architecture: Architecture, node: Node) -> int:
    """Return the taps of a depthwise convolution, 0 of all else."""
    op = node.op
    if not isinstance(op, Conv2d) or op.groups == 1 or op.groups != architecture.shapes[node.inputs[0]][0]:
        return 0
    return op.kernel**2 if isinstance(op.kernel, int) else op.kernel[0] * op.kernel[1]


def _format_places(nodes: list[Node]) -> str:
    more = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
    return f"'{nodes[0].name}'{more}"


def find_int8_costs(architecture: Architecture, runtime: str) -> Iterator[str]:
    """Give what of a network gains nothing by int8 in a runtime, and what to choose instead."""
    if runtime == "pt2":
        yield (
            "torch works with floats between the integers until it is compiled; apply it by torch.compile "
            "with torch._inductor.config.freezing"
        )
        return
    shapes = architecture.shapes
    acts = [node for node in architecture.nodes if isinstance(node.op, Act) and shapes[node.name][-1] > 1]
    for kind in dict.fromkeys(node.op.kind for node in acts if isinstance(node.op, Act)):
        if kind not in ("relu", "relu6", "none"):
            nodes = [node for node in acts if node.op == Act(kind)]
            yield (
                f"{_format_places(nodes)}: {kind} is worked out after its convolution, of integers; choose "
                "relu or relu6, which cost nothing there"
            )
    if gates := [node for node in architecture.nodes if isinstance(node.op, Multiply)]:
        yield (
            f"{_format_places(gates)}: squeeze-and-excitation reads its map twice more; choose blocks "
            "without it"
        )
