"""Convolutions in the cheapest way on a CPU that computes the same.

oneDNN takes the longest for what matters least. Times are of forward and backward pass, 64 images, one thread
of AVX-512, torch 2.14:

- A network that is made for large images sees maps of 2 x 2 and 1 x 1 pixels in a proxy training, where most
  of a kernel lies on the padding. A depthwise 7 x 7 of 576 channels and 2 x 2 pixels takes 8.3 ms, without
  the taps on padding 0.7 ms; one of 1,280 channels and one pixel 34 ms, as a product 0.2 ms.
- The gradient of the weights of a depthwise convolution is slow for kernels wider than three columns: on 96
  channels of 16 x 16 pixels 12 ms for 5 x 5, and 1.2 ms for 3 x 3. It is taken three columns at a time.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def speed_up_convolutions(module: nn.Module) -> None:
    """Have the convolutions of a module, in place, compute in the cheapest way on a CPU.

    Parameters and their names stay as they are, and outputs and gradients are equal but for rounding.
    """
    for child in module.modules():
        if type(child) is nn.Conv2d and _is_plain(child):
            child.__class__ = FastConv2d


def _is_plain(conv: nn.Conv2d) -> bool:
    return (
        conv.padding_mode == "zeros"
        and conv.dilation == (1, 1)
        and not isinstance(conv.padding, str)
        and all(2 * pad <= length for pad, length in zip(conv.padding, conv.kernel_size, strict=True))
    )


class FastConv2d(nn.Conv2d):
    """`nn.Conv2d` without dilation, padded with zeros, by at most half of its kernel."""

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H', W')."""
        rows, columns = (self._find_seen(axis, input.shape[2 + axis]) for axis in (0, 1))
        weight = self.weight[:, :, rows, columns]
        padding = (int(self.padding[0]) - rows.start, int(self.padding[1]) - columns.start)
        is_small = input.shape[2:].numel() <= _SMALL
        is_depthwise = self.groups == self.in_channels == self.out_channels
        if is_small and weight.shape[2:] == (1, 1) and padding == (0, 0):
            seen = input[:, :, :: self.stride[0], :: self.stride[1]]
            if is_depthwise:
                product = seen * weight.view(1, -1, 1, 1)
                return product if self.bias is None else product + self.bias.view(1, -1, 1, 1)
            if self.groups == 1:
                return F.linear(seen.permute(0, 2, 3, 1), weight.flatten(1), self.bias).permute(0, 3, 1, 2)
        if is_depthwise and is_small:  # the gradient of its weights is quick where no tap is on padding
            input, padding = F.pad(input, (padding[1], padding[1], padding[0], padding[0])), (0, 0)
        elif is_depthwise and self.stride == (1, 1) and self._is_wide(weight, input) and self.bias is None:
            wide: Tensor = _WideDepthwise.apply(input, weight, padding)
            return wide
        return F.conv2d(input, weight, self.bias, self.stride, padding, groups=self.groups)

    def _find_seen(self, axis: int, length: int) -> slice:
        """Return the taps of the kernel that lie on the map, at some step, and not on padding alone."""
        kernel, stride, pad = self.kernel_size[axis], self.stride[axis], int(self.padding[axis])
        steps = (length + 2 * pad - kernel) // stride
        return slice(max(0, pad - steps * stride), min(kernel, pad + length))

    def _is_wide(self, weight: Tensor, input: Tensor) -> bool:
        return weight.shape[3] > _COLUMNS and input.shape[3] > _NARROW


_SMALL = 4
"""Pixels of a map up to which this was quicker; one of 3 x 3 pixels was not."""
_COLUMNS = 3
"""Of a depthwise kernel, up to which oneDNN has a quick gradient."""
_NARROW = 4
"""Columns of a map up to which the gradient in parts was no quicker."""


class _WideDepthwise(torch.autograd.Function):
    """A depthwise convolution of stride 1."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(input, weight)
        ctx.padding = padding
        return F.conv2d(input, weight, None, 1, padding, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        input, weight = ctx.saved_tensors
        pad, side = ctx.padding
        of_input = of_weight = None
        if ctx.needs_input_grad[0]:
            of_input = _differentiate(gradient, input, weight, (pad, side), 0)
        if ctx.needs_input_grad[1]:
            parts = []
            for first, part in zip(
                range(0, weight.shape[3], _COLUMNS), weight.split(_COLUMNS, 3), strict=True
            ):
                left = first - side  # of what the first column sees
                right = left + gradient.shape[3] + part.shape[3] - 1
                seen = F.pad(input, (-left, right - input.shape[3]))
                parts.append(_differentiate(gradient, seen, part, (pad, 0), 1))
            of_weight = torch.cat(parts, 3)
        return of_input, of_weight, None


def _differentiate(
    gradient: Tensor, input: Tensor, weight: Tensor, padding: tuple[int, int], which: int
) -> Tensor:
    """Return the gradient of a depthwise convolution's input, 0, or weights, 1."""
    wanted = [which == 0, which == 1, False]
    gradients: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        gradient, input, weight, None, (1, 1), padding, (1, 1), False, (0, 0), len(weight), wanted
    )
    return gradients[which]
