"""Torch layers that torch.nn lacks. An exported file carries their source, so they use torch alone."""

from __future__ import annotations

import torch
from torch import nn


class StochasticDepth(nn.Module):
    """Drops the whole input for a random part of the images while training (Huang et al. 2016)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p == 0.0:
            return x
        keep = torch.empty((x.shape[0], 1, 1, 1), dtype=x.dtype, device=x.device).bernoulli_(1.0 - self.p)
        return x * keep.div_(1.0 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Zero(nn.Module):
    """Zeros of the input's shape, at a stride."""

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, :: self.stride, :: self.stride] * 0.0


class ScaledConv2d(nn.Conv2d):
    """Convolution whose filters are standardised, then scaled by a gain (Brock et al. 2021a, equation 1)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        gamma: float = 1.0,
        gain: float = 1.0,
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding, dilation, groups, bias)
        self.gamma = gamma
        self.gain = nn.Parameter(torch.full((outputs, 1, 1, 1), gain))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        var, mean = torch.var_mean(self.weight, dim=(1, 2, 3), correction=0, keepdim=True)
        scale = self.gain * (self.gamma * self.weight[0].numel() ** -0.5)
        weight = (self.weight - mean) * torch.rsqrt(var + 1e-5) * scale
        return nn.functional.conv2d(
            x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class ChannelSlice(nn.Module):
    """Channels `start` to `stop`, the last not included."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start = start
        self.stop = stop

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, self.start : self.stop]


class ChannelShuffle(nn.Module):
    """Mixes the channels of several groups: one of the first, one of the second, and so on."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        return x.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)


class Times(nn.Module):
    """Multiplies by a constant."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.by


class PadChannels(nn.Module):
    """Adds channels of zeros behind the input's."""

    def __init__(self, extra: int) -> None:
        super().__init__()
        self.extra = extra

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.pad(x, (0, 0, 0, 0, 0, self.extra))


class Shift(nn.Module):
    """Moves the image up and left by one pixel; what comes in behind is zero."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.pad(x[:, :, 1:, 1:], (0, 1, 0, 1))  # ncnn has no negative padding


class ColumnMean(nn.Module):
    """Mean of equal parts of the channels; a random choice of them while training (Larsson et al. 2017)."""

    def __init__(self, columns: int, p: float) -> None:
        super().__init__()
        self.columns = columns
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        x = x.view(n, self.columns, c // self.columns, h, w)
        if not self.training or self.p == 0.0:
            return x.mean(dim=1)
        rank = torch.rand((n, self.columns, 1, 1, 1), dtype=x.dtype, device=x.device)
        stays = (rank >= self.p) | (rank == rank.amax(dim=1, keepdim=True))
        return (x * stays).sum(dim=1) / stays.sum(dim=1)

    def extra_repr(self) -> str:
        return f"columns={self.columns}, p={self.p}"
