"""How a network is taken apart for timm: layers up to the last map, maps of features among them, the head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from nas.errors import InputError
from nas.exporters.scopes import Item, Leaf, Scope, build_scopes
from nas.graph import Architecture
from nas.graph.architecture import INPUT
from nas.graph.maps import find_classifier, find_last_map, find_strides
from nas.ops import Conv2d, GlobalPool, Join


@dataclass(frozen=True)
class Map:
    """A map of features: the node that gives it, the layer whose output it is, its channels and stride."""

    node: str
    layer: str
    channels: int
    stride: int


@dataclass(frozen=True)
class TimmPlan:
    """`body`: the layers up to the last map, whose node is `last`, with full names. `maps`: the last of each
    stride. `head`: what is behind, one after the other, `classifier` among it. `opened`: scopes whose layers
    are among these. `first`, `pool`: the convolution of the image and the global pool, where they are.
    """

    body: tuple[Item, ...]
    maps: tuple[Map, ...]
    last: str
    head: tuple[Leaf, ...]
    classifier: str
    first: str | None
    pool: str | None
    opened: tuple[str, ...]

    @property
    def scope(self) -> Scope:
        """The body as a scope that gives the maps and, where it is not one of them, the last map."""
        return Scope(
            "", "", self.body, (INPUT,), tuple(dict.fromkeys([*(m.node for m in self.maps), self.last]))
        )


def make_plan(architecture: Architecture) -> TimmPlan:
    """Return how a network is taken apart.

    Raises InputError where no one map is before its classifier, or what is behind that is not a chain.
    """
    strides = find_strides(architecture)
    last = find_last_map(architecture, strides)
    position = {node.name: number for number, node in enumerate(architecture.nodes)}
    opened: list[str] = []

    def take_apart(scope: Scope) -> Iterator[Item]:
        for item in scope.items:
            if isinstance(item, Leaf):
                yield replace(item, name=item.outputs[0])
            elif position[_list_nodes(item)[-1]] > position[last] or _has_maps_within(item, strides):
                opened.append(item.path)
                yield from take_apart(item)
            else:
                yield replace(item, name=item.path)

    items = list(take_apart(build_scopes(architecture)))
    body = tuple(item for item in items if position[_list_nodes(item)[-1]] <= position[last])
    head = tuple(item for item in items[len(body) :] if isinstance(item, Leaf))
    if any(step.inputs != (before,) for step, before in zip(head, _list_values(last, head), strict=True)):
        raise InputError("the layers behind the last map of the network do not follow one another")
    readers = [node for node in architecture.nodes if INPUT in node.inputs]
    return TimmPlan(
        body,
        tuple(_find_maps(body, strides, architecture)),
        last,
        head,
        find_classifier(architecture).name,
        readers[0].name if len(readers) == 1 and isinstance(readers[0].op, Conv2d) else None,
        next((s.name for s in head if isinstance(s.op, GlobalPool) and s.op.size == 1), None),
        tuple(opened),
    )


def _list_values(last: str, head: Sequence[Leaf]) -> list[str]:
    """Return what each step of a head is to be given."""
    return [last, *(step.outputs[0] for step in head)][: len(head)]


def _list_nodes(item: Item) -> list[str]:
    if isinstance(item, Leaf):
        return [item.outputs[0]]
    return [name for inner in item.items for name in _list_nodes(inner)]


def _has_maps_within(scope: Scope, strides: Mapping[str, int]) -> bool:
    """Return whether maps of more than one stride are made within, as in a stack of cells, and can be had."""
    ends = [strides[value] for value in (*scope.inputs, *scope.outputs) if value in strides]
    within = [strides[value] for item in scope.items for value in item.outputs if value in strides]
    can_be_had = not any(hasattr(nn.Sequential, item.name) for item in scope.items)
    return can_be_had and any(min(ends) < stride < max(ends) for stride in within)


def _find_maps(body: Sequence[Item], strides: Mapping[str, int], architecture: Architecture) -> Iterator[Map]:
    """Give the last map of each stride that is a layer's and that the next layer reads.

    As in timm, a pointwise convolution in the end, which makes the classifier's features of a narrow map, is
    none where that is there.
    """
    found: dict[int, Map] = {}
    following: Sequence[Item | None] = [*body[1:], None]
    for item, reader in zip(body, following, strict=True):
        (value, *more) = item.outputs
        is_layer = not more and not (isinstance(item, Leaf) and isinstance(item.op, Join))
        if not is_layer or value not in strides or (reader and value not in reader.inputs):
            continue
        before, stride = found.get(strides[value]), strides[value]
        if reader is None and before and _is_pointwise(item) and item.inputs == (before.node,):
            continue
        found = {s: known for s, known in found.items() if s < stride}
        found[stride] = Map(value, item.name, architecture.shapes[value][0], stride)
    yield from found.values()


def _is_pointwise(item: Item) -> bool:
    """Return whether a 1x1 convolution is all that an item learns filters of."""
    ops = [item.op] if isinstance(item, Leaf) else [step.op for step in _list_leaves(item)]
    filters = [op for op in ops if op.has_filters]
    return len(filters) == 1 and isinstance(filters[0], Conv2d) and filters[0].kernel == 1


def _list_leaves(scope: Scope) -> Iterator[Leaf]:
    for item in scope.items:
        if isinstance(item, Leaf):
            yield item
        else:
            yield from _list_leaves(item)
