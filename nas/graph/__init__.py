"""Architecture: a graph of operators with known shapes, its simplest form and its identity."""

from __future__ import annotations

from nas.graph.architecture import Architecture, Node
from nas.graph.canonical import canonical_hash, hash_simplified
from nas.graph.simplify import simplify, simplify_part

__all__ = ["Architecture", "Node", "canonical_hash", "hash_simplified", "simplify", "simplify_part"]
