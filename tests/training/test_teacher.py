"""What a network learns from another one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nas.training.losses import Loss
from nas.training.teacher import Teacher


class _Means(nn.Module):
    """Gives the means of the channels."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


def make_teacher(share: float = 0.25, temperature: float = 2.0, side: int = 8) -> Teacher:
    return Teacher(_Means(), side, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), share, temperature)


def test_a_teacher_sees_pixels_as_its_own_training_did() -> None:
    pixels = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    expected = ((pixels / 255 - 0.5) / 0.25).mean((2, 3))
    assert make_teacher().ask(pixels).allclose(expected, atol=1e-5)
    even = torch.full((1, 3, 8, 8), 200, dtype=torch.uint8)
    seen = make_teacher(side=16).ask(even)  # enlarged
    assert seen.allclose(torch.full((1, 3), (200 / 255 - 0.5) / 0.25), atol=1e-5)


def test_the_loss_is_that_of_hinton() -> None:
    """As Hinton et al. 2015 write it: soft targets at a temperature, times its square."""
    teacher, pixels = make_teacher(), torch.randint(0, 256, (5, 3, 8, 8)).to(torch.uint8)
    labels, logits = torch.tensor([0, 1, 2, 0, 1]), torch.randn(5, 3)
    loss = Loss(0.1, None, teacher)
    found = loss(logits, loss.make_targets(pixels, labels, 3))
    soft = (teacher.ask(pixels) / 2).softmax(1)
    divergence = (soft * (soft.log() - (logits / 2).log_softmax(1))).sum(1).mean()
    hard = F.cross_entropy(logits, labels, label_smoothing=0.1)
    assert found.item() == pytest.approx((0.75 * hard + 0.25 * 4 * divergence).item(), rel=1e-5)


def test_labels_that_are_mixed_are_kept() -> None:
    teacher, pixels = make_teacher(), torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    shares = torch.tensor([[0.3, 0.7, 0], [1, 0, 0]])
    assert teacher.teach(pixels, shares, 3)[:, :3].equal(shares)


def test_without_a_teacher_the_loss_is_cross_entropy() -> None:
    labels, logits = torch.tensor([0, 2]), torch.randn(2, 3)
    loss = Loss(0.1)
    assert loss.make_targets(torch.zeros(2), labels, 3) is labels
    assert loss(logits, labels) == F.cross_entropy(logits, labels, label_smoothing=0.1)
