"""Architecture to a torch.fx.GraphModule."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from nas.errors import InputError
from nas.graph import Architecture
from nas.graph.piece import Piece
from nas.ops import Join, Unary


def build_module(architecture: Architecture) -> fx.GraphModule:
    """Build the network as a module, from `(N, *input_shape)` to `(N, *output_shape)`.

    Submodules are named by the nodes' places, so parameters read `s2.layer1.expand.conv.weight`; joins are
    functions, whose fx nodes have it as `meta["place"]`. Weights start as torch initialises each layer, from
    its global random state.

        >>> import nas
        >>> space = nas.load_space("mbconv")
        >>> module = nas.build_module(space.architecture(space.smallest()))
        >>> module(torch.zeros(1, 3, 224, 224)).shape
        torch.Size([1, 1000])

    Raises InputError for what is no architecture.
    """
    if not isinstance(architecture, Architecture):
        raise InputError(
            f"build_module: a {type(architecture).__name__} is no architecture; "
            "give space.architecture(point)"
        )
    return build_piece(Piece.of(architecture))


def build_piece(piece: Piece) -> fx.GraphModule:
    """Build a piece of a network as a module, from its inputs in order, each `(N, *shape)`, to its output."""
    root = nn.Module()
    graph = fx.Graph()
    names = ["x"] if len(piece.inputs) == 1 else [f"x{place}" for place in range(len(piece.inputs))]
    values = {value: graph.placeholder(name) for value, name in zip(piece.inputs, names, strict=True)}
    tracer = _PlacingTracer(graph)
    for node in piece.nodes:
        inputs = [values[name] for name in node.inputs]
        if isinstance(node.op, Join):
            tracer.place = node.name
            joined = node.op.apply([fx.Proxy(value, tracer) for value in inputs])
            values[node.name] = joined.node
        else:
            assert isinstance(node.op, Unary)
            _attach(root, node.name, node.op.layer(piece.shapes[node.inputs[0]]).build())
            values[node.name] = graph.call_module(node.name, (inputs[0],))
    graph.output(values[piece.nodes[-1].name])
    return fx.GraphModule(root, graph, class_name="Network")


class _PlacingTracer(fx.proxy.GraphAppendingTracer):
    place = ""

    def create_node(self, *args: Any, **options: Any) -> fx.Node:
        made = super().create_node(*args, **options)
        made.meta["place"] = self.place
        return made


def count_parameters(module: nn.Module) -> int:
    """Return the number of learnable values."""
    return sum(p.numel() for p in module.parameters())


def count_macs(module: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Return the multiply-accumulates of a forward pass of one image, as torch counts them while it runs."""
    from torch.utils.flop_counter import FlopCounterMode

    device = next(module.parameters()).device
    was_training = module.training
    module.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, *input_shape, device=device))
    module.train(was_training)
    return int(counter.get_total_flops()) // 2


def _attach(root: nn.Module, name: str, module: nn.Module) -> None:
    *scopes, last = name.split(".")
    for scope in scopes:
        if scope not in root._modules:
            root.add_module(scope, nn.Module())
        root = root.get_submodule(scope)
    root.add_module(last, module)
