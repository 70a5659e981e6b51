"""What torch.export gives knows of each node where it stands in the network, also of joins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import fx

from nas.blocks import Builder
from nas.exporters.program import export_named
from nas.graph.module import build_module
from nas.ops import Add, Join, Shape


@dataclass(frozen=True)
class Mean(Join):
    """A join as of a file of one's own: two functions and a method, of which torch.export makes more."""

    name: ClassVar[str] = "mean"

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def apply(self, inputs: Sequence[Any]) -> Any:
        return torch.nn.functional.softsign(torch.stack(list(inputs)).mean(0))

    def expression(self, inputs: Sequence[str]) -> str:
        return f"torch.nn.functional.softsign(torch.stack([{', '.join(inputs)}]).mean(0))"


def joined(op: Join, name: str) -> fx.GraphModule:
    """A network with a gate of SE and a join of three branches."""
    net = Builder((3, 8, 8), 4)
    x = net.conv_norm_act(net.input, 4, 3, name="stem")
    with net.scope("s1"):
        y = net.squeeze_excite(x, 2, act="relu")
        z = net.conv_norm_act(y, 4, name="last")
        x = net.add(op, x, y, z, name=name)
    return build_module(net.architecture(net.conv_norm_act(x, 4, name="head"))).eval()


def list_places(network: fx.GraphModule) -> list[tuple[str, str]]:
    """The operator and the place of each node that torch.export makes of a network, checked to be equal."""
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    program = export_named(network, images)
    torch.testing.assert_close(program.module()(images), network(images))
    assert program.state_dict.keys() == network.state_dict().keys()
    return [
        (str(node.target).split(".")[1], [path for path, _ in node.meta["nn_module_stack"].values()][-1])
        for node in program.graph.nodes
        if node.op == "call_function" and isinstance(node.meta["val"], torch.Tensor)
    ]


def test_joins_have_their_places() -> None:
    network = joined(Add(), "sum")
    before = network.code
    found = list_places(network)
    assert all(path.partition(".")[0] in ("stem", "s1", "head") for _, path in found)
    places = [(op, path.rpartition("_call")[0]) for op, path in found if "_call" in path]
    assert places == [("mul", "s1.se.scale"), ("add", "s1.sum"), ("add", "s1.sum")]
    assert network.code == before


def test_a_join_that_comes_to_more_operators_takes_no_place_from_others() -> None:
    """Its name is that of a method of torch's modules too."""
    found = [(op, path.rpartition("_call")[0]) for op, path in list_places(joined(Mean(), "half"))]
    assert ("mul", "s1.se.scale") in found
    own = [op for op, place in found if place == "s1.half"]
    assert own[:2] == ["stack", "mean"] and len(own) > 3
    assert found[-1][0] == "relu"
