"""What every block keeps to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from nas.blocks import BLOCKS, get_block_arguments
from nas.exporters.source import write_source
from nas.graph import Architecture, simplify
from nas.graph.module import build_module, count_macs, count_parameters
from nas.ops import DropPath
from nas.space.language.names import find_name_problem
from nas.testing.cases import BlockCase


class BlockSuite:
    """A block as a network of its own; subclass it with `cases`."""

    cases: Sequence[BlockCase] = ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", self.cases, ids=str)
        if "block" in metafunc.fixturenames:
            metafunc.parametrize("block", list(dict.fromkeys(case.name for case in self.cases)))

    def test_shape_and_cost_are_the_modules(self, case: BlockCase) -> None:
        architecture = case.network()
        module = build_module(architecture)
        out = module.eval()(torch.randn(2, *case.shape))
        assert tuple(out.shape[1:]) == architecture.nodes[-1].shape
        assert architecture.cost.params == count_parameters(module)
        if architecture.cost.params:
            assert architecture.cost.macs == count_macs(module, case.shape)

    def test_every_parameter_gets_a_gradient(self, case: BlockCase) -> None:
        torch.manual_seed(0)
        module = build_module(case.network()).train()
        out = module(torch.randn(4, *case.shape))
        assert bool(torch.isfinite(out).all())
        if list(module.parameters()):
            (out * torch.randn_like(out)).sum().backward()
        for key, parameter in module.named_parameters():
            assert parameter.grad is not None, key
            assert bool(torch.isfinite(parameter.grad).all()), key

    def test_a_stride_divides_the_image(self, case: BlockCase) -> None:
        """The image is as many times smaller than it is with a stride of 1."""
        if "stride" not in case.arguments or len(case.shape) != 3:
            return
        stride = case.arguments["stride"]
        whole = replace(case, arguments={**case.arguments, "stride": 1}).network().nodes[-1].shape
        for before, after in zip(whole[1:], case.network().nodes[-1].shape[1:], strict=True):
            assert after in (before // stride, -(-before // stride))

    def test_it_drops_at_the_rate_of_its_layer_alone(self, case: BlockCase) -> None:
        drops = [n.op for n in case.network(drop_path=0.25).nodes if isinstance(n.op, DropPath)]
        assert all(drop == DropPath(0.25) for drop in drops)
        assert not [node for node in case.network().nodes if isinstance(node.op, DropPath)]

    def test_names_can_be_attributes(self, case: BlockCase) -> None:
        parts = {part for node in case.network().nodes for part in node.name.split(".")}
        assert {part: problem for part in parts if (problem := find_name_problem(part))} == {}

    def test_the_same_arguments_give_the_same_network_and_it_passes_through_json(
        self, case: BlockCase
    ) -> None:
        assert case.network() == case.network()
        assert Architecture.from_json(case.network().to_json()) == case.network()

    def test_the_exported_text_gives_the_same(self, case: BlockCase) -> None:
        network = simplify(case.network())
        own = build_module(network).eval()
        names: dict[str, Any] = {"__file__": "network.py"}
        exec(write_source(network, title="T", facts={}), names)  # noqa: S102  # our own text
        exported = names["Network"]().eval()
        exported.load_state_dict(own.state_dict())
        x = torch.randn(2, *network.input_shape)
        with torch.no_grad():
            torch.testing.assert_close(exported(x), own(x), rtol=1e-5, atol=1e-6)

    def test_defaults_are_of_their_own_kind(self, block: str) -> None:
        for key, argument in get_block_arguments(block).items():
            if not argument.required:
                assert argument.kind.read(argument.default) == argument.default, key

    def test_it_says_what_it_is(self, block: str) -> None:
        first, *_ = (BLOCKS[block].__doc__ or "").splitlines() or [""]
        assert first.strip(), "write a docstring: what the block is, and its paper"
