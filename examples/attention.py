"""An operator with weights: attention between channels, as a matrix product that torch.nn has no layer for.

Run it:

    nas show examples/attention.yaml --plugin examples/attention.py
    pytest --pyargs nas.testing --plugin examples/attention.py
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from nas.cost import Cost
from nas.ops import Layer, Shape, Unary, operator
from nas.ops.base import expect_image


class CrossCovariance(nn.Module):
    """Attention of channels to channels by their cross-covariance (El-Nouby et al. 2021, equation 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = nn.Parameter(torch.randn(3 * channels, channels) * channels**-0.5)
        self.temperature = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = (self.project @ x.flatten(2)).chunk(3, dim=1)
        query, key = (nn.functional.normalize(part, dim=2) for part in (query, key))
        weights = (query @ key.transpose(1, 2) * self.temperature).softmax(dim=2)
        return (weights @ value).view(x.shape)


@operator
@dataclass(frozen=True)
class ChannelAttention(Unary):
    """`(C, H, W)` to the same, each channel a mean of projected channels, weighted by how they covary."""

    name: ClassVar[str] = "channel_attention"
    keeps_zero: ClassVar[bool] = True

    def output_shape(self, *inputs: Shape) -> Shape:
        return expect_image(inputs[0])

    def cost(self, *inputs: Shape) -> Cost:
        channels, height, width = expect_image(inputs[0])
        return Cost(macs=5 * channels**2 * height * width, params=3 * channels**2 + 1)

    def layer(self, shape: Shape) -> Layer:
        return Layer(CrossCovariance, (shape[0],))
