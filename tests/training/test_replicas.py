"""Parts of batches, and batch norm over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from nas.training.replicas import JoinedNorm, Replicas


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_parts_are_the_whole_in_order_of_rank() -> None:
    values = torch.arange(11)
    parts = [Replicas(rank, 3).take_part(values) for rank in range(3)]
    assert torch.cat(parts).equal(values)
    assert {len(part) for part in parts} == {3, 4}
    assert Replicas().take_part(values).equal(values)


def test_processes_draw_for_themselves() -> None:
    drawn = []
    for rank in range(4):
        torch.manual_seed(Replicas(rank, 4).seed(7))
        drawn.append(torch.rand(3).tolist())
    assert len({tuple(values) for values in drawn}) == 4
    torch.manual_seed(7)
    assert drawn[0] == torch.rand(3).tolist()


def test_one_process_alone_changes_nothing() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    alone = Replicas()
    assert alone.join_norms(module) is module and alone.join_gradients(module) is module
    assert type(module[1]) is nn.BatchNorm2d
    assert alone.average(torch.tensor(3.0)) == 3


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.usefixtures("group")
def test_a_joined_norm_is_batch_norm(momentum: float | None) -> None:
    plain, joined = nn.BatchNorm2d(5, momentum=momentum), JoinedNorm(5, momentum=momentum)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for norm in (plain, joined):
            norm.weight.copy_(torch.linspace(0.5, 2, 5))
            norm.bias.copy_(torch.linspace(-1, 1, 5))
    for _ in range(3):
        images = torch.randn(8, 5, 4, 4, generator=generator) * 3 + 100
        ours, theirs = images.clone().requires_grad_(), images.clone().requires_grad_()
        weight = torch.randn(8, 5, 4, 4, generator=generator)
        (joined(ours) * weight).sum().backward()
        (plain(theirs) * weight).sum().backward()
        assert joined(ours).allclose(plain(theirs), atol=1e-4)
        assert ours.grad is not None and theirs.grad is not None
        assert ours.grad.allclose(theirs.grad, atol=1e-4)
    for name, value in plain.state_dict().items():
        assert joined.state_dict()[name].allclose(value, rtol=1e-4), name
    assert joined.eval()(images).allclose(plain.eval()(images), atol=1e-3)
