"""What must hold between a stage and the nodes of its layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nas.space.language.tree import (
    Alternative,
    Call,
    Choice,
    LayerNodes,
    Node,
    PerLayer,
    SameAs,
    Stage,
    StageStride,
    Value,
    list_children,
    list_own_values,
    walk,
)


def takes_stride(node: Node, stage: str) -> bool:
    """Return whether the first layer of the stage takes its stride, whatever is chosen."""
    inside = (takes_stride(child, stage) for child in list_children(node))
    match node:
        case Alternative():
            return all(inside)
        case LayerNodes() if node.stage == stage:
            return next(inside)
        case _:
            return any(inside) or any(_is_stride(value, stage) for value in list_own_values(node))


def _is_stride(value: Value, stage: str) -> bool:
    """Return whether a value of the first layer is the stage's stride."""
    if isinstance(value, PerLayer):
        return any(_is_stride(first, stage) for first in value.values[:1])
    return isinstance(value, StageStride) and value.stage == stage


def find_max_depth(depth: Value, declared: Mapping[str, Choice]) -> int:
    """Return the largest value that a depth can have."""
    if isinstance(depth, SameAs):
        depth = declared[depth.target]
    if isinstance(depth, Choice | PerLayer):
        return max(find_max_depth(value, declared) for value in depth.values)
    return int(depth)


def count_nodes(node: Node, declared: Mapping[str, Choice]) -> int:
    """Return the number of nodes of the largest network, each layer's by itself."""
    inside = [count_nodes(child, declared) for child in list_children(node)]
    match node:
        case Stage():
            return sum(inside) * find_max_depth(node.depth, declared)
        case Alternative():
            return max(inside)
        case LayerNodes():
            return sum(inside) // len(inside)
        case Call():
            return 1
        case _:
            return sum(inside)


def find_list_lengths(node: Node, stage: str) -> list[int]:
    """Return the lengths of the lists inside that give one value or node for each layer of the stage."""
    sizes = [len(n.nodes) for n in walk(node) if isinstance(n, LayerNodes) and n.stage == stage]
    values = [v for n in walk(node) for own in list_own_values(n) for v in _list_layers(own)]
    return sizes + [len(v.values) for v in values if v.stage == stage]


def _list_layers(value: Value) -> Iterator[PerLayer]:
    """Yield a list of values for layers, and those in it."""
    if isinstance(value, PerLayer):
        yield value
        for inner in value.values:
            yield from _list_layers(inner)
