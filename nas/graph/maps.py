"""Maps of features: how far apart their pixels stand in the image, and which one the head is given."""

from __future__ import annotations

import math
from collections.abc import Mapping

from nas.errors import InputError
from nas.graph.architecture import INPUT, Architecture, Node
from nas.ops import Unary

_ROOM = math.lcm(*range(1, 33))
"""Pixels that an image is made higher by: a multiple of every stride."""


def find_strides(architecture: Architecture) -> dict[str, int]:
    """Return the stride of each node that gives a map: pixels of the image from one of the map's to the next.

    A node whose output is as large for a larger image, as behind a global pool, gives none.
    """
    strides = {INPUT: 1}
    for node in architecture.nodes:
        given = [strides[name] for name in node.inputs if name in strides]
        growth = _find_growth(node, architecture) if given else 0
        if growth:
            strides[node.name] = max(given) * _ROOM // growth
    return strides


def _find_growth(node: Node, architecture: Architecture) -> int:
    """Return by how much the output is higher for an input that is higher by `_ROOM`."""
    if not isinstance(node.op, Unary):
        return _ROOM
    channels, height, width = architecture.shapes[node.inputs[0]]
    shape = node.op.output_shape((channels, height + _ROOM, width))
    return shape[1] - node.shape[1] if len(shape) == 3 else 0


def find_classifier(architecture: Architecture) -> Node:
    """Return the layer that gives the scores: the last with filters. Raises InputError where none does."""
    found = [node for node in architecture.nodes if node.op.has_filters]
    if not found or found[-1].shape[0] != architecture.nodes[-1].shape[0]:
        raise InputError("the network has no last layer with weights that gives its scores")
    return found[-1]


def find_last_map(architecture: Architecture, strides: Mapping[str, int]) -> str:
    """Return the name of the node whose map all that is behind it is made of: pool, classifier, scores.

    Where the classifier is a convolution, the map is its input, before dropout. Raises InputError where there
    is no such map.
    """
    made_by = {node.name: node for node in architecture.nodes}
    (name,) = find_classifier(architecture).inputs
    if name not in strides:
        name = [node.name for node in architecture.nodes if node.name in strides][-1]
    while name in made_by and made_by[name].op.is_training_only:
        (name,) = made_by[name].inputs
    behind = _list_behind(architecture, name)
    if name == INPUT or any(
        source not in {name, *behind} for node in behind.values() for source in node.inputs
    ):
        raise InputError("the network has no one map that its classifier is made of")
    return name


def _list_behind(architecture: Architecture, name: str) -> dict[str, Node]:
    names = [node.name for node in architecture.nodes]
    first = names.index(name) + 1 if name in names else 0
    return {node.name: node for node in architecture.nodes[first:]}


def cut_head(architecture: Architecture) -> Architecture:
    """Return the network up to the last map, without pool and classifier.

    Raises InputError where there is no such map.
    """
    behind = _list_behind(architecture, find_last_map(architecture, find_strides(architecture)))
    return Architecture(architecture.input_shape, architecture.nodes[: len(architecture.nodes) - len(behind)])
