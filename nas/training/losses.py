"""What a training makes small: cross entropy with labels, and where there is a teacher, with what it says; of
several labels an image, cross entropy of each."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from nas.training.recipe import WEIGHTS, Recipe
from nas.training.sampling import weigh_classes, weigh_labels
from nas.training.teacher import Teacher


@dataclass(frozen=True, eq=False)
class Loss:
    """The loss of a batch.

    `weights` (classes,) of the classes, None for alike. `smoothing` as in Szegedy et al. 2016.
    """

    smoothing: float
    weights: Tensor | None = None
    teacher: Teacher | None = None

    def make_targets(self, pixels: Tensor, labels: Tensor, classes: int) -> Tensor:
        """Return what `__call__` compares a network with, for pixels (N, C, H, W) from 0 to 255 that are
        augmented and labels (N,), or shares of classes (N, classes): with a teacher, its shares beside them,
        (N, 2 * classes)."""
        if self.teacher is None:
            return labels
        return self.teacher.teach(pixels, labels, classes)

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of logits (N, classes)."""
        if self.teacher is None:
            return self._compare_labels(logits, targets)
        own, taught = targets.chunk(2, dim=1)
        share = self.teacher.share
        return (1 - share) * self._compare_labels(logits, own) + share * self.teacher.compare(logits, taught)

    def _compare_labels(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean over the images, each counted by the weight of its own class.

        torch's `weight` gives another loss: it divides by the weights that are in the batch, and has a
        smoothed label count by the weights of all classes, so that most of it is of the rare ones.
        """
        if self.weights is None:
            return F.cross_entropy(logits, labels, label_smoothing=self.smoothing)
        shares = labels if labels.ndim > 1 else F.one_hot(labels, logits.shape[1])
        own = shares * self.weights
        return F.cross_entropy(logits, own.lerp(own.mean(1, keepdim=True), self.smoothing))


@dataclass(frozen=True, eq=False)
class SeveralLabelsLoss:
    """The loss of a batch of images with several labels each: cross entropy of each label, summed.

    So the gradient of a logit is its probability less its label, as with one label an image. `weights`
    (classes,) of having a label, None for alike. `smoothing`: labels are that much nearer to one half, and
    count by what they were.
    """

    smoothing: float
    weights: Tensor | None = None

    def make_targets(self, pixels: Tensor, labels: Tensor, classes: int) -> Tensor:
        """Return what `__call__` compares a network with, for labels, or shares of them, (N, classes)."""
        return labels.float()

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of logits (N, classes)."""
        counts = None
        smooth = targets * (1 - self.smoothing) + self.smoothing / 2
        if self.weights is not None:  # torch's `pos_weight` would count what is smoothed by it too
            having = targets * self.weights
            counts = having + 1 - targets
            smooth = having / counts * (1 - self.smoothing) + self.smoothing / 2
        total = F.binary_cross_entropy_with_logits(logits.float(), smooth, counts, reduction="sum")
        return total / len(logits)


def make_loss(
    recipe: Recipe, labels: Tensor, classes: int, teacher: Teacher | None
) -> Loss | SeveralLabelsLoss:
    """Return the loss of a recipe for images to train on with these labels (N,), or (N, classes)."""
    is_weighed, smoothing = recipe.balance == WEIGHTS, recipe.label_smoothing
    if labels.ndim == 2:
        assert teacher is None, "a teacher has one label an image"
        return SeveralLabelsLoss(smoothing, weigh_labels(labels) if is_weighed else None)
    return Loss(smoothing, weigh_classes(labels, classes) if is_weighed else None, teacher)
