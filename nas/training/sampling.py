"""Which images an epoch trains on, in which order, and how much each class counts."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def take_first_of_classes(labels: Tensor, fraction: float) -> Tensor:
    """Return places of the first images of each class, one at least: the same for every network of a
    search."""
    if fraction == 1:
        return torch.arange(len(labels), device=labels.device)
    classes = [torch.nonzero(labels == label).flatten() for label in set(labels.tolist())]
    return torch.cat([own[: max(1, round(fraction * len(own)))] for own in classes]).sort().values


def shuffle_images(labels: Tensor, generator: Generator, *, evenly: bool) -> Tensor:
    """Return the places (N,) of images with these labels (N,) in random order.

    Drawn `evenly`, there are as many images of each class, to a handful: those of a rare one come several
    times, each as often as the others to one, and of a frequent one only some do, others in the next epoch.
    """
    if not evenly:
        return torch.randperm(len(labels), generator=generator, device=labels.device)
    counts = [count for count in labels.bincount().tolist() if count]
    each = -(-len(labels) // len(counts))
    found = []
    for own in torch.split(labels.argsort(stable=True), counts):
        some = torch.randperm(len(own), generator=generator, device=labels.device)[: each % len(own)]
        found += [own.repeat(each // len(own)), own[some]]
    drawn = torch.cat(found)
    order = torch.randperm(len(drawn), generator=generator, device=labels.device)
    return drawn[order[: len(labels)]]


def weigh_classes(labels: Tensor, classes: int) -> Tensor:
    """Return the weight of each class (classes,): in proportion to one over its images among those with these
    labels (N,), so that all classes count alike, and 1 on average over the images. A class without any
    has 0."""
    counts = labels.bincount(minlength=classes)
    return (len(labels) / (counts.count_nonzero() * counts)).where(counts > 0, 0)


def weigh_labels(labels: Tensor) -> Tensor:
    """Return what having each label weighs (classes,): the images without it over those with it, of labels
    (N, classes) of 0 and 1, so that both count alike. A label that all images have, or none, has 1."""
    having = labels.sum(0)
    return ((len(labels) - having) / having).where((having > 0) & (having < len(labels)), 1)
