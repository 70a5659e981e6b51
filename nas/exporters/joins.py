"""Joins as modules, so that their places stay with what torch.export makes of them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from torch import fx, nn


class _JoinCall(nn.Module):
    """What one node of a join calls: a function, or a method of its first input."""

    def __init__(self, node: fx.Node) -> None:
        super().__init__()
        self._target: Any = node.target
        self._is_method = node.op == "call_method"

    def forward(self, *inputs: Any, **options: Any) -> Any:
        if self._is_method:
            return getattr(inputs[0], self._target)(*inputs[1:], **options)
        return self._target(*inputs, **options)


def wrap_joins(network: fx.GraphModule) -> fx.GraphModule:
    """Return a network whose joins are modules, named by their places; its other modules are shared.

    A join may be several nodes, such as the sums of three branches: each is a module of its own. No name is
    that of another node, or a word of torch.
    """
    wrapped = fx.GraphModule(network, deepcopy(network.graph))
    for number, node in enumerate([*wrapped.graph.nodes]):
        if "place" in node.meta and node.op in ("call_function", "call_method"):
            scope, _, name = node.meta["place"].rpartition(".")
            path = f"{scope or name}.{name}_call{number}"
            wrapped.add_submodule(path, _JoinCall(node))
            with wrapped.graph.inserting_before(node):
                node.replace_all_uses_with(wrapped.graph.call_module(path, node.args, node.kwargs))
            wrapped.graph.erase_node(node)
    wrapped.recompile()
    return wrapped
