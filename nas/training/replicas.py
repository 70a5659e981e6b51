"""Several processes that train one network together, each with its part of every batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_APART = 1_000_003


@dataclass(frozen=True)
class Replicas:
    """The processes of torch.distributed's group, and the place of this one among them; else this one alone.

    A step is that of one process with the whole batch, but for rounding: gradients are averaged, and batch
    norm sees the batch. What is drawn for one image after the other, or blends images with their neighbours,
    is drawn in each part for itself: dropout, stochastic depth, policies, mixup and cutmix.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def of_group(cls) -> Replicas:
        """Return those of the group that this process is in."""
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def are_several(self) -> bool:
        return self.count > 1

    def seed(self, seed: int) -> int:
        """Return this process's own seed, of one that all have; the first one's is that.

        They differ in the low 32 bits, of which alone torch's generator on a CPU takes notice.
        """
        return seed + _APART * self.rank

    def take_part(self, values: Tensor) -> Tensor:
        """Return this process's part of values (N, ...) that all have, in order of rank."""
        return values.tensor_split(self.count)[self.rank]

    def join_norms(self, module: nn.Module) -> nn.Module:
        """Return a module of the same names whose batch norms see the parts of all processes as one batch."""
        if not self.are_several:
            return module
        if next(module.parameters()).is_cuda:
            convert: Callable[[nn.Module], nn.Module] = nn.SyncBatchNorm.convert_sync_batchnorm
            return convert(module)
        for child in module.modules():
            if type(child) is nn.BatchNorm2d:
                child.__class__ = JoinedNorm
        return module

    def join_gradients(self, module: nn.Module) -> nn.Module:
        """Return what maps as `module` does, of which the backward pass averages gradients over all."""
        if not self.are_several:
            return module
        return nn.parallel.DistributedDataParallel(module, broadcast_buffers=False)

    def average(self, value: Tensor) -> Tensor:
        """Return the mean of a number over all processes."""
        if self.are_several:
            dist.all_reduce(value)
            value /= self.count
        return value

    def gather(self, values: Tensor) -> Tensor:
        """Return the values (N, ...) of which each process has its part, on the CPU."""
        if not self.are_several:
            return values.cpu()
        parts: list[Tensor] = [torch.empty(0)] * self.count
        dist.all_gather_object(parts, values.cpu())
        return torch.cat(parts)


class JoinedNorm(nn.BatchNorm2d):
    """Batch norm over parts of equal size of a batch, on CPUs, where torch has none (as SyncBatchNorm)."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise this process's part (N, C, H, W)."""
        if not self.training:
            return super().forward(input)
        dims = (0, 2, 3)
        own = torch.stack([input.mean(dims), input.var(dims, correction=0)])
        count, rank = dist.get_world_size(), dist.get_rank()
        places = torch.zeros(count, 1, 1, dtype=own.dtype)
        places[rank] = 1
        means, variances = _SumOverAll.apply(places * own).unbind(1)  # (processes, C)
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        self._note(mean.detach(), variance.detach(), count * input.numel() // input.shape[1])
        scale = (variance + self.eps).rsqrt() * self.weight
        shift = self.bias - mean * scale
        output: Tensor = input * scale[:, None, None] + shift[:, None, None]
        return output

    @torch.no_grad()
    def _note(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Update the running statistics as `nn.BatchNorm2d` does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * count / max(1, count - 1), share)


class _SumOverAll(torch.autograd.Function):
    """The sum over all processes; the gradient of each is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        summed = values.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        summed = grad.clone()
        dist.all_reduce(summed)
        return summed
