"""Networks that start as their shortcuts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from nas.graph import Architecture
from nas.graph.architecture import INPUT, Node
from nas.ops import Add, BatchNorm, Multiply, Operator

if TYPE_CHECKING:
    import networkx as nx


def zero_init_residuals(network: Architecture) -> Architecture:
    """Set the scale of the last norm of each residual branch to 0 at the start (Goyal et al. 2017, 5.1).

    A residual branch is one that is added to a value it is computed from, and that nothing but the sum reads.
    In one without a norm at its end, and beside a shortcut with weights, nothing changes.
    """
    by_name = {node.name: node for node in network.nodes}
    zeros = {
        norm
        for node in network.nodes
        if isinstance(node.op, Add)
        for branch in node.inputs
        if (norm := _find_last_norm(by_name, branch)) and _is_residual(network.graph, norm, branch, node.name)
    }
    nodes = (
        replace(n, op=replace(n.op, gamma=0)) if isinstance(n.op, BatchNorm) and n.name in zeros else n
        for n in network.nodes
    )
    return Architecture(network.input_shape, tuple(nodes))


def _find_last_norm(nodes: Mapping[str, Node], branch: str) -> str | None:
    """Return the norm that a branch ends with, if any."""
    while branch != INPUT:
        node = nodes[branch]
        if not _can_follow(node.op):
            return branch if isinstance(node.op, BatchNorm) else None
        branch = node.inputs[0]
    return None


def _can_follow(op: Operator) -> bool:
    """Return whether a branch may have this behind its last norm: of a product, the norm is its first input.

    An activation is not among them, as the gradient of one may be zero there.
    """
    return op.is_training_only or isinstance(op, Multiply)


def _is_residual(graph: nx.DiGraph[str], norm: str, branch: str, total: str) -> bool:
    """Return whether a branch is added to what it is computed from, and its norm has no other reader."""
    import networkx as nx

    before = nx.ancestors(graph, branch)
    shortcuts = before.intersection(graph.predecessors(total))
    inside = nx.descendants(graph, norm) & before | {norm, branch}
    return bool(shortcuts - inside) and all(
        inside.issuperset(set(graph.successors(name)) - {total}) for name in inside
    )
