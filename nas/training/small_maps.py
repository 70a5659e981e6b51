"""Convolutions of small maps as the cheapest operation on a CPU that computes the same.

A network that is made for large images sees maps of 2 x 2 and 1 x 1 pixels in a proxy training. There most of
a kernel lies on the padding, and oneDNN takes the longest for what matters least: with torch 2.14 a depthwise
7 x 7 of 576 channels, 2 x 2 pixels and 64 images takes 8.3 ms forward and backward, here 0.7 ms; one of 1 x 1
pixels and 1,280 channels 34 ms, here 0.2 ms.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def speed_up_small_maps(module: nn.Module) -> None:
    """Have the convolutions of a module, in place, compute small maps in the cheapest way.

    Parameters and their names stay as they are, and outputs and gradients are equal but for rounding.
    """
    for child in module.modules():
        if type(child) is nn.Conv2d and _is_plain(child):
            child.__class__ = SmallMapConv2d


def _is_plain(conv: nn.Conv2d) -> bool:
    return (
        conv.padding_mode == "zeros"
        and conv.dilation == (1, 1)
        and not isinstance(conv.padding, str)
        and all(2 * pad <= length for pad, length in zip(conv.padding, conv.kernel_size, strict=True))
    )


class SmallMapConv2d(nn.Conv2d):
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
        if is_small and is_depthwise:  # the gradient of its weights is quick where no tap is on padding
            input, padding = F.pad(input, (padding[1], padding[1], padding[0], padding[0])), (0, 0)
        return F.conv2d(input, weight, self.bias, self.stride, padding, groups=self.groups)

    def _find_seen(self, axis: int, length: int) -> slice:
        """Return the taps of the kernel that lie on the map, at some step, and not on padding alone."""
        kernel, stride, pad = self.kernel_size[axis], self.stride[axis], int(self.padding[axis])
        steps = (length + 2 * pad - kernel) // stride
        return slice(max(0, pad - steps * stride), min(kernel, pad + length))


_SMALL = 4
"""Pixels of a map up to which this was quicker (AVX-512, torch 2.14; one of 3 x 3 pixels was not)."""
