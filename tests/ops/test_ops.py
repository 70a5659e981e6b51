"""Every operator against the torch layer that it stands for, and what is special about each."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from nas.cost import Cost
from nas.ops import (
    OPERATORS,
    Act,
    Add,
    AvgPool,
    BatchNorm,
    ChannelShuffle,
    ChannelSlice,
    ColumnMean,
    Concat,
    Conv2d,
    Dropout,
    DropPath,
    Flatten,
    GlobalPool,
    Identity,
    Join,
    Linear,
    LocalResponseNorm,
    MaxPool,
    Multiply,
    Operator,
    PadChannels,
    ScaledConv2d,
    Shape,
    ShapeError,
    Shift,
    Times,
    Unary,
    Zero,
    layers,
)
from nas.ops.arguments import ACTIVATIONS, list_arguments
from nas.testing.cases import OperatorCase, operator_cases
from nas.testing.operators import OperatorSuite

IMAGE = (6, 9, 8)
PIXEL = (6, 1, 1)
_CASES: list[tuple[Operator, tuple[Shape, ...]]] = [
    (Conv2d(4), (IMAGE,)),
    (Conv2d(4, 3, 2), (IMAGE,)),
    (Conv2d(12, 5, groups=6, bias=True), (IMAGE,)),
    (Conv2d(3, (1, 7), padding=(0, 4), dilation=2, groups=3), (IMAGE,)),
    (Conv2d(3, (5, 1), 2), (IMAGE,)),
    (Conv2d(4, 3, padding=0), (IMAGE,)),
    (ScaledConv2d(4, 3, gamma=1.7, gain=0.5), (IMAGE,)),
    (ScaledConv2d(4, gain=1), (IMAGE,)),
    (ScaledConv2d(6, (1, 3), 2, groups=3, bias=False), (IMAGE,)),
    (BatchNorm(), (IMAGE,)),
    (BatchNorm(eps=1e-3, momentum=0.01), (IMAGE,)),
    (BatchNorm(gamma=0.0), (IMAGE,)),
    *((Act(kind), (shape,)) for kind in ("none", *ACTIVATIONS) for shape in (IMAGE, (5,))),
    (Linear(7), ((5,),)),
    (Linear(7, bias=False), ((5,),)),
    (Flatten(), (IMAGE,)),
    (Flatten(), ((5,),)),
    (Dropout(), (IMAGE,)),
    (Dropout(0.2), ((5,),)),
    (Dropout(0), ((5,),)),
    (DropPath(), (IMAGE,)),
    (DropPath(0), (IMAGE,)),
    (Identity(), (IMAGE,)),
    (Identity(), ((5,),)),
    (Zero(), (IMAGE,)),
    (Zero(2), (IMAGE,)),
    (PadChannels(10), (IMAGE,)),
    (ChannelShuffle(), (IMAGE,)),
    (ChannelShuffle(3), (IMAGE,)),
    (ChannelShuffle(1), (IMAGE,)),
    (ChannelShuffle(6), (IMAGE,)),
    (ChannelSlice(1, 4), (IMAGE,)),
    (ChannelSlice(0, 6), (IMAGE,)),
    (PadChannels(6), (IMAGE,)),
    (ColumnMean(), (IMAGE,)),
    (ColumnMean(3, 0.15), (IMAGE,)),
    (ColumnMean(1), (IMAGE,)),
    (Times(0.17), (IMAGE,)),
    (Times(2), ((5,),)),
    (Times(1), (IMAGE,)),
    (LocalResponseNorm(), (IMAGE,)),
    (LocalResponseNorm(k=0.5), (IMAGE,)),
    (Shift(), (IMAGE,)),
    (MaxPool(), (IMAGE,)),
    (MaxPool(3, 2, ceil=True), (IMAGE,)),
    (MaxPool(3, 1, (1, 0)), (IMAGE,)),
    (AvgPool(), (IMAGE,)),
    (AvgPool(3, 2, ceil=True, count_pad=False), (IMAGE,)),
    (GlobalPool(), (IMAGE,)),
    (GlobalPool(4), (IMAGE,)),
    (GlobalPool(4), ((6, 4, 4),)),
    (GlobalPool(), (PIXEL,)),
    (MaxPool(1, 1), (IMAGE,)),
    (MaxPool(3, 1), (PIXEL,)),
    (AvgPool(1, 1), (IMAGE,)),
    (AvgPool(3, 1), (PIXEL,)),
    (AvgPool(3, 1, count_pad=False), (PIXEL,)),
    (Add(), (IMAGE, IMAGE, IMAGE)),
    (Multiply(), (IMAGE, (6, 1, 1))),
    (Multiply(), (IMAGE, IMAGE)),
    (Concat(), (IMAGE, (2, 9, 8), (1, 9, 8))),
]
CASES = [OperatorCase(op, inputs) for op, inputs in _CASES]
every_case = pytest.mark.parametrize("case", CASES, ids=str)


class TestOperators(OperatorSuite):
    cases = CASES


def test_every_operator_has_a_case() -> None:
    assert {case.op.name for case in CASES} == set(OPERATORS)


@every_case
def test_activations_are_those_of_convolutions_and_linear_layers(case: OperatorCase) -> None:
    cost = case.op.cost(*case.inputs)
    weighted = isinstance(case.op, Conv2d | Linear)
    assert cost.activations == (math.prod(case.op.output_shape(*case.inputs)) if weighted else 0)
    if isinstance(case.op, Join):
        assert cost == Cost()


@pytest.mark.parametrize("name", OPERATORS)
def test_cases_are_found_for_every_operator_from_the_kinds_of_its_arguments(name: str) -> None:
    cases = operator_cases(name)
    assert cases and all(case.op.output_shape(*case.inputs) for case in cases)
    tried = {key for case in cases for key in case.op.arguments()}
    assert tried == set(OPERATORS[name](**cases[0].op.arguments()).arguments())


@pytest.mark.parametrize("op", [Dropout(0), DropPath(0), Dropout(0.4), DropPath(0.4)])
def test_random_drops_are_identities_at_rate_zero_only(op: Unary) -> None:
    torch.manual_seed(0)
    x = torch.randn(64, *IMAGE)
    out = op.layer(IMAGE).build().train()(x)
    assert torch.equal(out, x) == op.is_identity
    kept = out != 0
    if not op.is_identity:
        assert torch.allclose(out[kept], x[kept] / 0.6)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 3)])
def test_a_shift_is_padding_by_a_negative_amount_said_without_one(size: tuple[int, int]) -> None:
    x, shift = torch.randn(2, 3, *size), Shift().layer((3, *size)).build()
    assert torch.equal(shift(x), torch.nn.functional.pad(x, (-1, 1, -1, 1)))
    assert "-1" not in str(torch.export.export(shift, (x,)).graph)


def test_stochastic_depth_drops_whole_images() -> None:
    torch.manual_seed(0)
    out = DropPath(0.5).layer(IMAGE).build().train()(torch.ones(200, *IMAGE))
    kept = out.flatten(1).any(dim=1)
    assert torch.equal(kept, out.flatten(1).all(dim=1))
    assert 70 <= int(kept.sum()) <= 130  # 100 expected, sd 7


def test_a_mean_leaves_columns_out_while_training_but_one() -> None:
    """Larsson et al. 2017, section 3: each at the rate, the mean over those that stay."""
    torch.manual_seed(0)
    columns = torch.tensor([1.0, 2.0, 4.0]).reshape(1, 3, 1, 1).expand(20_000, 3, 1, 1)
    mean = layers.ColumnMean(3, 0.4).train()
    rates = Counter(round(float(value), 3) for value in mean(columns).flatten())
    stay = {1.0: [0], 2.0: [1], 4.0: [2], 1.5: [0, 1], 2.5: [0, 2], 3.0: [1, 2], 2.333: [0, 1, 2]}
    assert set(rates) == set(stay)
    for value, who in stay.items():
        alone = 0.4**3 / 3 if len(who) == 1 else 0.0
        expected = 0.6 ** len(who) * 0.4 ** (3 - len(who)) + alone
        assert rates[value] / 20_000 == pytest.approx(expected, abs=0.012)
    torch.testing.assert_close(mean.eval()(columns), torch.full((20_000, 1, 1, 1), 7 / 3))


sides = st.integers(1, 14)
odd = st.sampled_from([1, 3, 5, 7])


@st.composite
def convolutions(draw: Any) -> tuple[Conv2d, Shape]:
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    op = Conv2d(
        out=groups * draw(st.integers(1, 3)),
        kernel=draw(odd | st.tuples(odd, odd)),
        stride=draw(st.integers(1, 3)),
        padding=draw(st.none() | st.integers(0, 3) | st.tuples(st.integers(0, 3), st.integers(0, 3))),
        groups=groups,
        dilation=draw(st.integers(1, 2)),
        bias=draw(st.booleans()),
    )
    return op, (draw(st.sampled_from([groups, 2 * groups, 5])), draw(sides), draw(sides))


@st.composite
def pools(draw: Any) -> tuple[MaxPool | AvgPool, Shape]:
    kernel = draw(st.integers(1, 6))
    pad = st.integers(0, kernel // 2 + 1)
    make: type[MaxPool] | type[AvgPool] = draw(st.sampled_from([MaxPool, AvgPool]))
    op = make(
        kernel=kernel,
        stride=draw(st.integers(1, 4)),
        padding=draw(st.none() | pad | st.tuples(pad, pad)),
        ceil=draw(st.booleans()),
    )
    return op, (2, draw(sides), draw(sides))


@given(convolutions() | pools())
@example((MaxPool(kernel=4, stride=2, padding=0, ceil=True), (2, 3, 3)))
@example((AvgPool(kernel=6, stride=2, padding=0, ceil=True), (2, 3, 3)))
def test_windows_give_the_shape_and_cost_that_torch_counts(case: tuple[Any, Shape]) -> None:
    op, shape = case
    try:
        expected: Shape | None = op.output_shape(shape)
    except ShapeError as error:
        expected = None
        if "stride" in str(error):  # stricter than torch: a stride larger than the image is refused
            assert op.stride > min(shape[1:])
            return
    try:
        with torch.device("meta"):
            layer = op.layer(shape).build()
            with FlopCounterMode(display=False) as counter:
                real: Shape | None = tuple(layer(torch.empty(1, *shape)).shape[1:])
    except (RuntimeError, ValueError):
        real = None
    assert real == expected
    if expected:
        assert op.cost(shape).macs == counter.get_total_flops() // 2
        assert op.cost(shape).params == sum(p.numel() for p in layer.parameters())


@given(st.integers(1, 9), sides, sides)
def test_padding_left_out_keeps_the_size_of_odd_windows(k: int, height: int, width: int) -> None:
    shape = (2, height, width)
    if k % 2:
        assert Conv2d(2, k).output_shape(shape) == shape
        assert MaxPool(k, 1).output_shape(shape) == AvgPool(k, 1).output_shape(shape) == shape
        assert Conv2d(2, k) == Conv2d(2, (k, k), padding=(k // 2, k // 2))


@pytest.mark.parametrize(
    ("op", "inputs", "message"),
    [
        (Conv2d(8, groups=3), [(6, 4, 4)], "8 channels are not divisible by 3 groups; "
         "input and output channels (6, 8) must both be multiples of the groups"),
        (Conv2d(8, groups=4), [(6, 4, 4)], "6 channels are not divisible by 4 groups; "
         "input and output channels (6, 8) must both be multiples of the groups"),
        (Conv2d(8, 3, 2), [(6, 1, 4)], "stride 2 shrinks an image of 1 x 4 below 1 x 1; "
         "use fewer strides or a larger input"),
        (Conv2d(8, 7, padding=0), [(6, 4, 9)], "a window of 7 pixels does not fit into 4 pixels "
         "with padding 0; use a smaller kernel, more padding or a larger input"),
        (Conv2d(8), [(6,)], "needs an image (C, H, W), got a vector of 6 features after flatten"),
        (MaxPool(2, padding=2), [IMAGE], "padding 2 is more than half the pooling window 2; "
         "use at most half"),
        (MaxPool(4, 4), [(6, 3, 3)], "stride 4 shrinks an image of 3 x 3 below 1 x 1; "
         "use fewer strides or a larger input"),
        (Linear(4), [(6, 2, 2)], "linear needs a vector, got an image of 6 x 2 x 2; put flatten before it"),
        (ChannelShuffle(4), [IMAGE], "6 channels cannot be shuffled in 4 groups; the channels must be a "
         "multiple of the groups"),
        (ChannelSlice(2, 7), [IMAGE], "channels 2 to 7 are not a slice of 6; a slice has start < stop <= "
         "channels"),
        (PadChannels(4), [IMAGE], "cannot pad 6 channels to 4; pad to at least as many"),
        (ColumnMean(4), [IMAGE], "6 channels are not 4 columns of one width; "
         "the channels must be a multiple of the columns"),
        (Add(), [(6, 2, 2), (4, 2, 2)], "add needs equal shapes, got 6 x 2 x 2 and 4 x 2 x 2; "
         "give the branches the same channels and stride, or join them by concat"),
        (Concat(), [(6, 2, 2), (4, 2, 1)], "concat needs one height and width, got 6 x 2 x 2 and 4 x 2 x 1; "
         "give the branches the same stride"),
        (Concat(), [(6, 2, 2), (4,)], "needs an image (C, H, W), got a vector of 4 features after flatten"),
        (Multiply(), [(6, 2, 2), (4, 1, 1)], "multiply needs equal channels, got 6 x 2 x 2 and 4 x 1 x 1"),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit_are_refused(op: Operator, inputs: list[Shape], message: str) -> None:
    with pytest.raises(ShapeError) as error:
        op.output_shape(*inputs)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("op", "key", "value", "message"),
    [
        ("conv2d", "out", 0, "0 is not a number of channels; "
         "channels are a whole number from 1 to 1,000,000"),
        ("conv2d", "out", 1_000_001, "1000001 is not a number of channels; "
         "channels are a whole number from 1 to 1,000,000"),
        ("conv2d", "out", 2.0, "2.0 is not a number of channels; "
         "channels are a whole number from 1 to 1,000,000"),
        ("conv2d", "out", True, "true is not a number of channels; "
         "channels are a whole number from 1 to 1,000,000"),
        ("conv2d", "out", None, "null is not a number of channels; "
         "channels are a whole number from 1 to 1,000,000"),
        ("conv2d", "kernel", 4, "4 is not an odd kernel size; a kernel is 1, 3, 5, 7, ... "
         "or a pair of these, such as [1, 7]"),
        ("conv2d", "kernel", [3, 4], "[3, 4] is not an odd kernel size; a kernel is 1, 3, 5, 7, ... "
         "or a pair of these, such as [1, 7]"),
        ("conv2d", "stride", 0, "0 is not a stride; a stride is a whole number, 1 or more"),
        ("conv2d", "padding", -1, "-1 is not a padding; a padding is a whole number of pixels, 0 or more, "
         "or a pair of these"),
        ("conv2d", "groups", "all", "'all' is not a count; a count is a whole number, 1 or more"),
        ("conv2d", "bias", 1, "1 is not true or false"),
        ("max_pool", "kernel", 0, "0 is not a pooling window; "
         "a window is a whole number of pixels, 1 or more"),
        ("dropout", "p", 1, "1 is not a probability; it is a number from 0 to below 1"),
        ("batch_norm", "eps", 0, "0 is not a positive number"),
        ("batch_norm", "eps", math.inf, "inf is not a positive number"),
        ("activation", "kind", "swish", "'swish' is not an activation; an activation is none, relu, relu6, "
         "leaky_relu, elu, gelu, silu, hardswish, mish, tanh, sigmoid, hardsigmoid"),
    ],
)  # fmt: skip
def test_values_of_another_kind_are_refused(op: str, key: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        list_arguments(OPERATORS[op])[key].kind.read(value)
    assert str(error.value) == message
