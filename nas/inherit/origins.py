"""Which channel of the parent each channel of the child is a copy of: its origin, -1 where it is new."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nas.ops import Operator, Unary


@dataclass(frozen=True)
class Tie:
    """Relation of a child's value to the parent's value `place`: channel i is a copy of `origin[i]`.

    `exact`: equal for every image; else only by place.
    """

    place: str
    origin: Tensor
    exact: bool


def cycle_origins(count: int, parents: int) -> Tensor:
    """Return the origins of `count` channels that repeat the parent's in order."""
    return torch.arange(count) % parents


def is_identity(origin: Tensor, parents: int) -> bool:
    """Return whether the channels are all of the parent's, in order."""
    return torch.equal(origin, torch.arange(parents))


def shift_origins(origin: Tensor, start: int) -> Tensor:
    """Return origins within a concatenation in which the parent's channels begin at `start`."""
    return torch.where(origin < 0, -1, origin + start)


def expand_origins(origin: Tensor, pixels: int) -> Tensor:
    """Return the origins of the features of a flattened image, `pixels` to a channel."""
    features = origin[:, None] * pixels + torch.arange(pixels)
    return torch.where((origin < 0)[:, None], -1, features).flatten()


def rearrange_origins(origin: Tensor, op: Operator, parents: int, their_op: Operator) -> Tensor:
    """Return the origins behind operators that shuffle, slice or pad channels."""
    came, theirs = _find_inputs(op, len(origin)), _find_inputs(their_op, parents)
    position = torch.full((parents,), -1)
    position[theirs[theirs >= 0]] = torch.nonzero(theirs >= 0).flatten()
    before = torch.where(came < 0, -1, origin[came.clamp(0)])
    result = torch.where(before < 0, -1, position[before.clamp(0)])
    zeros = torch.nonzero(theirs < 0).flatten()
    if len(zeros):
        result[came < 0] = zeros[cycle_origins(int((came < 0).sum()), len(zeros))]
    return result


def _find_inputs(op: Operator, channels: int) -> Tensor:
    """Return the input channel that each output channel is a copy of, -1 for zeros."""
    assert isinstance(op, Unary)
    numbers = torch.arange(1, channels + 1).view(1, channels, 1, 1)
    result: Tensor = op.layer((channels, 1, 1)).build()(numbers)
    return result.flatten() - 1
