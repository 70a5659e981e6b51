#!/usr/bin/env bash
# Class weights of torch's cross entropy depend on the batch, and with smoothed labels rare classes rule the loss.
#
# Software: torch 2.14.1 (PyPI), cross_entropy with `weight`, on a CPU.
# Expected: weights in inverse proportion to the images have all classes count alike: of ten classes each has a tenth of
#   the loss, whatever the batch, whether labels are numbers or one-hot, and with label smoothing too. So a network that sees
#   nothing does best to say 10 % for each.
# Seen: with labels as numbers, "mean" divides by the weights that are in the batch, so that a rare image makes its own batch
#   count less: nine classes of 1,000 images and one of 10, in batches of 32, give the rare one 3 %. One-hot labels, as
#   mixup makes them, are divided by the images: 10 %. With a label smoothing of 0.1 the part of each image that is spread
#   over all classes is weighted by those classes, and the rare one has 53 % (one-hot, or one batch of all images).
# Way out: the weight of an image's own class, times its loss with smoothed labels, and the mean over the images
#   (nas: `Loss`; docs/data.md has what the two make of a training).
#
# Prints the shares; exits with 1 where they are others. About 5 GB are installed for the while.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > program.py <<'PYTHON'
"""Find what a network that sees nothing does best to say, under several losses and batches."""

import sys

import torch
from torch.nn.functional import cross_entropy, one_hot

COUNTS = torch.tensor([1000] * 9 + [10])
CLASSES, IMAGES = len(COUNTS), int(COUNTS.sum())
WEIGHTS = IMAGES / (CLASSES * COUNTS)
torch.manual_seed(0)
LABELS = torch.arange(CLASSES).repeat_interleave(COUNTS)[torch.randperm(IMAGES)]


def by_numbers(logits, labels, smoothing):
    return cross_entropy(logits, labels, WEIGHTS, label_smoothing=smoothing)


def by_one_hot(logits, labels, smoothing):
    return cross_entropy(logits, one_hot(labels, CLASSES).float(), WEIGHTS, label_smoothing=smoothing)


def by_image(logits, labels, smoothing):
    return (WEIGHTS[labels] * cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")).mean()


def find_share(loss, batch, smoothing):
    """Return the probability of the rare class that makes the loss of an epoch least, in per cent."""
    logits = torch.zeros(CLASSES, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=50, line_search_fn="strong_wolfe")

    def compute():
        optimizer.zero_grad()
        total = sum(
            loss(logits.expand(len(labels), -1), labels, smoothing) * len(labels) for labels in LABELS.split(batch)
        )
        (total / IMAGES).backward()
        return total / IMAGES

    optimizer.step(compute)
    return 100 * logits.softmax(0)[-1].item()


print(f"torch {torch.__version__}; share of the rare class, which is to be 10 %:")
found = {}
for loss in (by_numbers, by_one_hot, by_image):
    for smoothing in (0.0, 0.1):
        for batch in (32, 256, IMAGES):
            found[loss.__name__, smoothing, batch] = find_share(loss, batch, smoothing)
        shares = ", ".join(f"{found[loss.__name__, smoothing, batch]:.1f} %" for batch in (32, 256, IMAGES))
        print(f"{loss.__name__:10} smoothing {smoothing}: {shares} in batches of 32, 256 and all")
stated = {key: 53 if key[0] == "by_one_hot" and key[1] else 10 for key in found if key[0] != "by_numbers"}
stated |= {("by_numbers", 0.0, 32): 3, ("by_numbers", 0.1, IMAGES): 53}
sys.exit(any(round(found[key]) != share for key, share in stated.items()))
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 numpy
venv/bin/python -W ignore program.py
