"""Architecture to a torch.fx.GraphModule."""

from __future__ import annotations

import math

import torch
from torch import fx, nn

from nas.graph import Architecture
from nas.graph.architecture import INPUT
from nas.ops import Join, Unary


def build_module(architecture: Architecture) -> fx.GraphModule:
    """The network as a module, from `(N, *input_shape)` to `(N, *output shape)`.

    Submodules are named by the nodes' places, so parameters read `s2.layer1.expand.conv.weight`. Convolutions
    start from He et al. 2015 (normal, fan out) and linear layers from a uniform of 1/sqrt(out), as
    torchvision's EfficientNet does; torch's global random state decides the values.
    """
    root = nn.Module()
    graph = fx.Graph()
    values = {INPUT: graph.placeholder("x")}
    tracer = fx.proxy.GraphAppendingTracer(graph)
    for node in architecture.nodes:
        inputs = [values[name] for name in node.inputs]
        if isinstance(node.op, Join):
            joined = node.op.apply([fx.Proxy(value, tracer) for value in inputs])
            values[node.name] = joined.node
        else:
            assert isinstance(node.op, Unary)
            _attach(root, node.name, node.op.layer(architecture.shapes[node.inputs[0]]).build())
            values[node.name] = graph.call_module(node.name, (inputs[0],))
    graph.output(values[architecture.output])
    module = fx.GraphModule(root, graph, class_name="Network")
    initialise(module)
    return module


def initialise(module: nn.Module) -> None:
    """Draw fresh initial weights for convolution, norm and linear layers."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear):
            bound = 1.0 / math.sqrt(layer.out_features)
            nn.init.uniform_(layer.weight, -bound, bound)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def count_parameters(module: nn.Module) -> int:
    """Number of learnable values."""
    return sum(p.numel() for p in module.parameters())


def count_macs(module: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of one forward pass of one image, counted by torch while it runs."""
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
