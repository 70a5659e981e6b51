"""Architecture: a graph of operators with known shapes, its simplest form and its identity."""

from __future__ import annotations

from nas.graph.architecture import Architecture, Node
from nas.graph.canonical import hash_network, hash_simplified
from nas.graph.simplify import simplify, simplify_part

__all__ = ["Architecture", "Node", "hash_network", "hash_simplified", "simplify", "simplify_part"]
