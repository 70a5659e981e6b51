from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from nas.training.convolutions import FastConv2d, speed_up_convolutions


def run(conv: nn.Module, images: Tensor) -> list[Tensor]:
    """Return the outputs of a module, and the gradients of what it is given and of its parameters."""
    images = images.clone().requires_grad_()
    outputs = conv(images)
    generator = torch.Generator().manual_seed(1)
    loss = (outputs * torch.randn(outputs.shape, generator=generator, dtype=outputs.dtype)).sum()
    return [outputs.detach(), *torch.autograd.grad(loss, (images, *conv.parameters()))]


@given(
    kernel=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    half=st.booleans(),
    groups=st.sampled_from([1, 2, 4]),
    out=st.sampled_from([4, 8]),
    bias=st.booleans(),
)
def test_outputs_and_gradients_are_those_of_torch(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    size: tuple[int, int],
    half: bool,
    groups: int,
    out: int,
    bias: bool,
) -> None:
    padding = (kernel[0] // 2, kernel[1] // 2) if half else (0, 0)
    if any(n + 2 * p < k for n, p, k in zip(size, padding, kernel, strict=True)):
        return  # no room for the kernel
    torch.manual_seed(0)
    theirs = nn.Conv2d(4, out, kernel, stride, padding, groups=groups, bias=bias, dtype=torch.float64)
    ours = copy.deepcopy(theirs)
    speed_up_convolutions(ours)
    assert type(ours) is FastConv2d
    images = torch.randn(3, 4, *size, dtype=torch.float64).to(memory_format=torch.channels_last)
    for given_, wanted in zip(run(ours, images), run(theirs, images), strict=True):
        torch.testing.assert_close(given_, wanted)


def test_small_maps_are_not_left_to_the_convolution() -> None:
    """Depthwise, pointwise and dense convolutions of one pixel are products."""
    network = nn.Sequential(
        nn.Conv2d(8, 8, 7, padding=3, groups=8), nn.Conv2d(8, 16, 1), nn.Conv2d(16, 8, 3, padding=1)
    )
    speed_up_convolutions(network)
    with torch.profiler.profile(acc_events=True) as profile:
        network(torch.rand(2, 8, 1, 1))
        network(torch.rand(2, 8, 1, 1)).sum().backward()
    names = {event.key for event in profile.key_averages()}
    assert "aten::linear" in names and not {name for name in names if "convolution" in name}


def test_wide_kernels_are_taken_in_parts_and_stay_bit_equal_forward() -> None:
    torch.manual_seed(0)
    theirs = nn.Conv2d(8, 8, 7, padding=3, groups=8, bias=False)
    ours = copy.deepcopy(theirs)
    speed_up_convolutions(ours)
    images = torch.randn(4, 8, 9, 9).to(memory_format=torch.channels_last)
    with torch.profiler.profile(acc_events=True) as profile:
        (outputs, *gradients), wanted = run(ours, images), run(theirs, images)
    assert outputs.equal(wanted[0]) and gradients[0].equal(wanted[1])
    torch.testing.assert_close(gradients[1], wanted[2], rtol=1e-4, atol=1e-4)
    (calls,) = (event.count for event in profile.key_averages() if event.key == "aten::convolution_backward")
    assert calls == 1 + 3 + 1  # the input's, of columns 0 to 2, 3 to 5 and 6; torch's


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=2),
        nn.ConvTranspose2d(4, 4, 3),
    ],
)
def test_others_stay_as_they_are(conv: nn.Module) -> None:
    before = type(conv)
    speed_up_convolutions(conv)
    assert type(conv) is before
