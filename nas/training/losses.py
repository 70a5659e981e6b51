"""What a training makes small: cross entropy with labels, and where there is a teacher, with what it says."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from nas.training.teacher import Teacher


@dataclass(frozen=True, eq=False)
class Loss:
    """The loss of a batch.

    `weights` (classes,) of the classes, None for alike. `smoothing` as in Szegedy et al. 2016.
    """

    smoothing: float
    weights: Tensor | None = None
    teacher: Teacher | None = None

    def targets(self, pixels: Tensor, labels: Tensor, classes: int) -> Tensor:
        """Return what `__call__` compares a network with, for pixels (N, C, H, W) from 0 to 255 that are
        augmented and labels (N,), or shares of classes (N, classes): with a teacher, its shares beside them,
        (N, 2 * classes)."""
        if self.teacher is None:
            return labels
        return self.teacher.teach(pixels, labels, classes)

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of logits (N, classes)."""
        if self.teacher is None:
            return self._of_labels(logits, targets)
        own, taught = targets.chunk(2, dim=1)
        share = self.teacher.share
        return (1 - share) * self._of_labels(logits, own) + share * self.teacher.compare(logits, taught)

    def _of_labels(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, self.weights, label_smoothing=self.smoothing)
