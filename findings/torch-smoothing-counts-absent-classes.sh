#!/usr/bin/env bash
# With label smoothing, the weight of a class that no image has decides the loss of all images.
#
# Software: torch 2.14.1 (PyPI), cross_entropy with `weight` and `label_smoothing`, on a CPU.
# Expected: a weight is of the images of its class, so that one of a class without any image changes nothing: with
#   `label_smoothing=0` that is so. Weights in inverse proportion to the images, the usual mend of uneven classes, may
#   then be anything for such a class, and one image is taken where there is none (`counts.clamp(min=1)`).
# Seen: smoothing gives every image a part of every class, and each part is weighted by that class, not by the image's.
#   With nine classes of 100 images and a tenth of none, at a smoothing of 0.1, that mend gives the tenth a weight of 90
#   beside 0.9: the loss of random logits is twice what it is with a weight of 0, and the logit of a class that is never
#   there has 38 % of the gradient (of its squares) instead of 2 %. A weight of 0 leaves it out.
# Such a class comes about in a fold of grouped images, of which all of one class are held out.
#
# Prints losses and shares of the gradient; exits with 1 where the weight no longer counts. About 5 GB are installed
# for the while.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > program.py <<'PYTHON'
"""Take the loss of the same logits with several weights of a class that no image has."""

import sys

import torch
from torch.nn.functional import cross_entropy

CLASSES, EACH = 10, 100

torch.manual_seed(0)
labels = torch.arange(CLASSES - 1).repeat(EACH)
start = torch.randn(len(labels), CLASSES)
counts = labels.bincount(minlength=CLASSES)
own = len(labels) / (CLASSES * counts.clamp(min=1))


def take(absent, smoothing):
    """Return the loss, and the share that the absent class's logit has of the gradient's length."""
    logits = start.clone().requires_grad_()
    weight = own.clone()
    weight[-1] = absent
    loss = cross_entropy(logits, labels, weight, label_smoothing=smoothing)
    loss.backward()
    squares = logits.grad.square().sum(0)
    return loss.item(), (squares[-1] / squares.sum()).item()


print(f"torch {torch.__version__}; weights of the others: {own[0].item():g}")
found = {}
for smoothing in (0.0, 0.1):
    for absent in (0.0, own[0].item(), own[-1].item()):
        found[smoothing, absent] = loss, share = take(absent, smoothing)
        print(f"smoothing {smoothing}, weight of the absent class {absent:5g}: loss {loss:.4f}, share {share:.2f}")
plain = {found[0.0, absent][0] for smoothing, absent in found if not smoothing}
grown = found[0.1, own[-1].item()][0] / found[0.1, 0.0][0]
print(f"without smoothing {len(plain)} loss; with it the loss grows {grown:.2f} times")
sys.exit(len(plain) != 1 or grown < 1.2)
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 numpy
venv/bin/python program.py
