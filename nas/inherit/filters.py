"""Filters of a convolution or a linear layer, made from the parent's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nas.inherit.origins import cycle_origins
from nas.ops import Conv2d


@dataclass(frozen=True)
class Filters:
    """Filters `weight` (O, I, *K) that are made from the parent's.

    `origin` (O,) is of their outputs, and `taken` the number of values that are the parent's. `is_complete`:
    each filter reads all that its origin reads.
    """

    weight: Tensor
    origin: Tensor
    taken: int
    is_complete: bool


def inherit_filters(
    own: Tensor,
    theirs: Tensor,
    inputs: Tensor,
    groups: int,
    their_groups: int,
    generator: torch.Generator,
) -> Filters:
    """Make filters from the parent's, `theirs`, for a child whose input channels have the origins `inputs`.

    Where several inputs of a filter are copies of one channel, they share its weight, in parts that are drawn
    for each filter anew. An input that is no copy of what the parent's filter reads gets zeros, and a filter
    that has none else stays as it is in `own`.
    """
    # A depthwise filter goes with its channel. Any other may be any of the parent's, which are repeated in
    # order.
    is_depthwise = groups == len(own) == len(inputs) and their_groups == len(theirs) and theirs.shape[1] == 1
    outputs = inputs if is_depthwise else cycle_origins(len(own), len(theirs))
    width, their_width = own.shape[1], theirs.shape[1]
    first = torch.arange(len(own)) // (len(own) // groups) * width
    their_first = outputs // (len(theirs) // their_groups) * their_width
    # Where in the parent's filter the channel is that each input copies. The filter may not read it: it is of
    # another group, or new.
    read = inputs[first[:, None] + torch.arange(width)]
    slots = read - their_first[:, None]
    fits = (read >= 0) & (outputs >= 0)[:, None] & (slots >= 0) & (slots < their_width)
    slots = slots.clamp(0, their_width - 1)

    # The shares of the copies of one channel sum to 1, so the output stays. They are uneven, as with equal
    # ones the copies would get equal gradients and stay equal; from 0.5 on, so that none is next to nothing.
    parts = fits * (0.5 + torch.rand(fits.shape, generator=generator))
    wholes = torch.zeros(len(own), their_width).scatter_add_(1, slots, parts)
    shares = torch.where(fits, parts / wholes.gather(1, slots), 0.0)
    kernel = own.shape[2:]
    weight = _crop_or_pad(theirs, kernel)[outputs.clamp(0)[:, None], slots] * expand_like(shares, own)
    known = fits.any(1)
    overlap = math.prod(map(min, kernel, theirs.shape[2:]))
    return Filters(
        torch.where(expand_like(known, own), weight, own),
        torch.where(known, outputs, -1),
        int(fits.sum()) * overlap,
        bool((wholes > 0)[known].all()),
    )


def covers_kernel(op: Conv2d, theirs: Conv2d) -> bool:
    """Return whether the child's kernel, zero around the parent's, reads the same pixels."""
    # Both centres stay on the same pixels where the padding grows with the kernel, as far on each side.
    kernel, their_kernel = _to_pair(op.kernel), _to_pair(theirs.kernel)
    padding, their_padding = _to_pair(op.padding or 0), _to_pair(theirs.padding or 0)
    return (op.stride, op.dilation) == (theirs.stride, theirs.dilation) and all(
        kernel[i] >= their_kernel[i]
        and 2 * (padding[i] - their_padding[i]) == op.dilation * (kernel[i] - their_kernel[i])
        for i in range(2)
    )


def _crop_or_pad(filters: Tensor, kernel: tuple[int, ...]) -> Tensor:
    """Crop filters (O, I, *K), or pad them with zeros, to `kernel` around their centre."""
    pads: list[int] = []
    for size, wanted in zip(reversed(filters.shape[2:]), reversed(kernel), strict=True):
        pads += [(wanted - size) // 2] * 2  # below 0 it crops
    return F.pad(filters, pads) if pads else filters


def expand_like(values: Tensor, like: Tensor) -> Tensor:
    """Return values with as many dimensions as `like`, the added ones of size 1."""
    return values.view(*values.shape, *(1 for _ in range(like.ndim - values.ndim)))


def _to_pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)
