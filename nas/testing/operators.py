"""What every operator keeps to."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nas.exporters.source import write_source
from nas.graph import Architecture, Node
from nas.graph.architecture import INPUT
from nas.graph.module import build_module
from nas.ops import OPERATORS, Join, Layer, Shape, Unary, layers
from nas.ops.arguments import list_arguments
from nas.ops.ranges import ANY, Range
from nas.testing.cases import OperatorCase


class OperatorSuite:
    """An operator against the torch layer that it stands for; subclass it with `cases`."""

    cases: Sequence[OperatorCase] = ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        kinds = {"case": object, "unary": Unary, "join": Join}
        for name in kinds.keys() & set(metafunc.fixturenames):
            cases = [case for case in self.cases if isinstance(case.op, kinds[name])]
            metafunc.parametrize(name, cases, ids=str)
        if "operator" in metafunc.fixturenames:
            metafunc.parametrize("operator", list(dict.fromkeys(case.op.name for case in self.cases)))

    def test_arguments_pass_through_json(self, case: OperatorCase) -> None:
        given_back = json.loads(json.dumps(case.op.arguments()))
        kinds = list_arguments(type(case.op))
        again = OPERATORS[case.op.name](**{k: kinds[k].kind.read(v) for k, v in given_back.items()})
        assert again == case.op
        assert hash(case.op) == hash(type(case.op)(**case.op.arguments()))

    def test_a_network_passes_through_json(self, case: OperatorCase) -> None:
        if len(case.inputs) == 1:
            assert Architecture.from_json(network_of(case).to_json()) == network_of(case)

    def test_defaults_are_of_their_own_kind_and_nonsense_is_not(self, operator: str) -> None:
        for argument in list_arguments(OPERATORS[operator]).values():
            if not argument.required:
                assert argument.kind.read(argument.default) == argument.default
            nonsenses: list[object] = ["nonsense", -1, math.nan, [1, 2, 3], {}]
            for nonsense in nonsenses:
                with pytest.raises(ValueError, match=r" is not "):
                    argument.kind.read(nonsense)

    def test_the_layer_gives_the_shape_and_has_the_cost(self, unary: OperatorCase) -> None:
        op, (shape,) = _expect_unary(unary), unary.inputs
        module = built(op, shape)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            out = module(torch.randn(1, *shape))
        assert tuple(out.shape[1:]) == op.output_shape(shape)
        assert op.cost(shape).macs == counter.get_total_flops() // 2
        assert op.cost(shape).params == sum(p.numel() for p in module.parameters())

    def test_every_parameter_gets_a_gradient(self, unary: OperatorCase) -> None:
        op, (shape,) = _expect_unary(unary), unary.inputs
        module = built(op, shape).train()
        out = module(torch.randn(4, *shape))
        assert bool(torch.isfinite(out).all())
        if list(module.parameters()):
            (out * torch.randn_like(out)).sum().backward()
        for key, parameter in module.named_parameters():
            assert parameter.grad is not None, key
            assert bool(torch.isfinite(parameter.grad).all()), key

    def test_images_do_not_see_each_other_in_evaluation(self, unary: OperatorCase) -> None:
        op, (shape,) = _expect_unary(unary), unary.inputs
        module, x = built(op, shape), torch.randn(3, *shape)
        with torch.no_grad():
            torch.testing.assert_close(module(x)[1:2], module(x[1:2]), rtol=1e-4, atol=1e-5)

    def test_the_source_text_is_the_layer(self, unary: OperatorCase) -> None:
        """Of a layer of one's own, the text that an export carries needs torch alone."""
        layer = _expect_unary(unary).layer(unary.inputs[0])
        assert repr(eval(layer.source(), _list_names(layer))) == repr(layer.build())  # noqa: S307  # our own text

    def test_the_exported_text_gives_the_same(self, unary: OperatorCase) -> None:
        network = network_of(unary)
        own = build_module(network).eval()
        names: dict[str, Any] = {"__file__": "network.py"}
        exec(write_source(network, title="T", facts={}), names)  # noqa: S102  # our own text
        exported = names["Network"]().eval()
        exported.load_state_dict(own.state_dict())
        x = torch.randn(2, *network.input_shape)
        with torch.no_grad():
            torch.testing.assert_close(exported(x), own(x), rtol=1e-5, atol=1e-6)

    def test_identity_and_zero_are_true_of_the_layer(self, unary: OperatorCase) -> None:
        op, (shape,) = _expect_unary(unary), unary.inputs
        module, x = built(op, shape), torch.randn(2, *shape)
        with torch.no_grad():
            out, of_zeros = module(x), module(torch.zeros_like(x))
        is_same = op.output_shape(shape) == shape and torch.equal(out, x)
        assert is_same == (op.is_training_only or _is_idle(op, shape, ANY))
        assert bool((out == 0).all()) == op.gives_zero([False])
        assert bool((of_zeros == 0).all()) == op.gives_zero([True])

    def test_what_it_says_of_values_is_true_while_training_too(self, unary: OperatorCase) -> None:
        op, (shape,) = _expect_unary(unary), unary.inputs
        for values, training in product(_RANGES, (False, True)):
            module, x = built(op, shape).train(training), _sample(values, shape)
            with torch.no_grad():
                out = module(x)
                if op.is_idempotent:
                    assert not op.cost(shape).params and torch.equal(module(out), out)
            _assert_inside(out, op.output_range(values))
            if _is_idle(op, shape, values):
                assert torch.equal(out, x)

    def test_it_absorbs_what_it_says(self, unary: OperatorCase) -> None:
        op, (shape,) = _expect_unary(unary), unary.inputs
        others = [case.op for case in self.cases if case.inputs == (shape,) and op.absorbs(case.op)]
        for before, training in product(others, (False, True)):
            assert isinstance(before, Unary)
            module, x = built(op, shape).train(training), _sample(ANY, shape)
            with torch.no_grad():
                assert torch.equal(module(built(before, shape).train(training)(x)), module(x))

    def test_what_a_join_says_of_values_is_true(self, join: OperatorCase) -> None:
        op, inputs = _join(join), join.inputs
        for ranges in product(_RANGES, repeat=len(inputs)):
            xs = [_sample(values, shape) for values, shape in zip(ranges, inputs, strict=True)]
            _assert_inside(op.apply(xs), op.output_range(*ranges))

    def test_a_channelwise_operator_keeps_channels_apart(self, unary: OperatorCase) -> None:
        op, (shape,) = _expect_unary(unary), unary.inputs
        if not op.is_channelwise:
            return
        module, x = built(op, shape), torch.randn(2, *shape)
        changed = x.clone()
        changed[:, 1] += 1
        with torch.no_grad():
            same = (module(x) == module(changed)).transpose(0, 1).flatten(1).all(dim=1)
        assert op.output_shape(shape)[0] == shape[0]
        assert bool(same[0]) and bool(same[2:].all())
        assert all(p.shape[0] == shape[0] for p in module.parameters())

    def test_filters_are_one_for_each_output_channel(self, unary: OperatorCase) -> None:
        op, (shape,) = _expect_unary(unary), unary.inputs
        if not op.has_filters:
            return
        state, channels = built(op, shape).state_dict(), op.output_shape(shape)[0]
        assert state["weight"].ndim >= 2
        assert all(value.shape[0] == channels for value in state.values())

    def test_a_join_gives_its_shape_and_its_expression_is_the_same(self, join: OperatorCase) -> None:
        op, inputs = _join(join), join.inputs
        torch.manual_seed(0)
        xs = [torch.randn(2, *shape) for shape in inputs]
        names = {f"x{i}": x for i, x in enumerate(xs)}
        out = op.apply(xs)
        assert tuple(out.shape[1:]) == op.output_shape(*inputs)
        assert torch.equal(out, eval(op.expression([*names]), {"torch": torch, **names}))  # noqa: S307
        assert op.output_shape(*reversed(inputs)) == op.output_shape(*inputs)

    def test_a_join_has_the_cost_that_torch_counts(self, join: OperatorCase) -> None:
        op, inputs = _join(join), join.inputs
        with FlopCounterMode(display=False) as counter:
            op.apply([torch.randn(1, *shape) for shape in inputs])
        assert op.cost(*inputs).macs == counter.get_total_flops() // 2
        assert op.cost(*inputs).params == 0

    def test_zeros_of_a_join_are_true(self, join: OperatorCase) -> None:
        op, inputs = _join(join), join.inputs
        torch.manual_seed(0)
        for at in (*range(len(inputs)), None):
            zeros = [at is None or slot == at for slot in range(len(inputs))]
            pairs = zip(inputs, zeros, strict=True)
            xs = [torch.zeros(2, *s) if is_zero else torch.randn(2, *s) for s, is_zero in pairs]
            out = op.apply(xs)
            assert bool((out == 0).all()) == op.gives_zero(zeros)
            if op.leaves_out_zeros and at is not None:
                assert torch.equal(out, op.apply([x for slot, x in enumerate(xs) if slot != at]))


_RANGES: list[Range] = [ANY, (0, math.inf), (0, 6), (-1, 1), (2, 8), (-8, -2)]
"""Of values that operators are tried on."""


def _sample(values: Range, shape: Shape) -> torch.Tensor:
    """Return four images of values in a range."""
    low, high = max(values[0], -20), min(values[1], 20)
    return torch.rand(4, *shape) * (high - low) + low


def _assert_inside(out: torch.Tensor, values: Range) -> None:
    low, high = values
    slack = 1e-5 * float(out.abs().max())  # of rounding
    assert low - slack <= float(out.min()) and float(out.max()) <= high + slack


def _is_idle(op: Unary, shape: Shape, values: Range) -> bool:
    return op.output_shape(shape) == shape and op.is_identity_on(shape, values)


def built(op: Unary, shape: Shape) -> nn.Module:
    """Return the layer in evaluation, with weights and statistics that are neither 0 nor 1."""
    torch.manual_seed(0)
    module = op.layer(shape).build().eval()
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5, 1.5)
    torch.manual_seed(1)
    return module


def network_of(case: OperatorCase) -> Architecture:
    """Return the network of an operator of one input alone."""
    (shape,) = case.inputs
    return Architecture(shape, (Node(case.op.name, case.op, (INPUT,), case.op.output_shape(shape)),))


def _expect_unary(case: OperatorCase) -> Unary:
    assert isinstance(case.op, Unary)
    return case.op


def _join(case: OperatorCase) -> Join:
    assert isinstance(case.op, Join)
    return case.op


def _list_names(layer: Layer) -> dict[str, Any]:
    """Return the names that the text of a layer reads; a class of one's own as an exported file has it."""
    import inspect

    names: dict[str, Any] = {"torch": torch, "nn": nn}
    kind = layer.carried()
    if kind is None or kind.__module__ == layers.__name__:
        return names | {name: getattr(layers, name) for name in dir(layers) if name[0].isupper()}
    exec(inspect.getsource(kind), names)  # noqa: S102  # our own text
    return names
