"""What networks compute, with weights that their operators alone decide: for tests of their identity."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from functools import cache

import torch
from torch import nn

from nas.graph import Architecture
from nas.graph.module import build_module
from nas.ops import Unary
from nas.space import Choices, Space, SpaceError


def run(architecture: Architecture) -> torch.Tensor:
    """What a network gives for images whose values are large enough for each activation to bend."""
    images = torch.randn(2, *architecture.input_shape, generator=torch.Generator().manual_seed(0)) * 5
    with torch.no_grad():
        return _built(architecture)(images.double())  # type: ignore[no-any-return]


def count_told_otherwise(space: Space, points: Iterable[Choices]) -> int:
    """Assert that networks of one identity compute the same at one cost; return how many are told otherwise
    than the first that is the same."""
    by_identity: dict[str, dict[str, Architecture]] = defaultdict(dict)
    for point in points:
        try:
            architecture = space.architecture(point)
        except SpaceError:
            continue
        by_identity[space.identity(point)][architecture.to_json()] = architecture
    count = 0
    for first, *others in (list(alike.values()) for alike in by_identity.values()):
        for other in others:
            torch.testing.assert_close(run(other), run(first))
            assert other.cost == first.cost
        count += len(others)
    return count


def _built(architecture: Architecture) -> nn.Module:
    """The network, the weights of its filters alike for all channels that they read, all others alike for all
    channels: where the order of channels does not count, it shall not count here."""
    module = build_module(architecture).eval().double()
    for node in architecture.nodes:
        if isinstance(node.op, Unary):
            is_filter = node.op.has_filters and getattr(node.op, "groups", 1) == 1
            for name, value in module.get_submodule(node.name).named_parameters():
                shape = (len(value) if is_filter else 1, *(1 for _ in value.shape[1:2]), *value.shape[2:])
                with torch.no_grad():
                    value.copy_(_draw(f"{node.op} {name}", shape))
    return module


@cache
def _draw(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(random.Random(key).getrandbits(62))
    return torch.randn(shape, generator=generator, dtype=torch.float64)
