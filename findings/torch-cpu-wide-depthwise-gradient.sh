#!/usr/bin/env bash
# On a CPU a depthwise kernel of 3 x 5 trains several times slower than one of 5 x 3.
#
# Software: torch 2.14.1 (PyPI; oneDNN inside), one thread, channels_last, float32, seen with AVX-512.
# Expected: a depthwise convolution does as much for 3 x 5 as for 5 x 3 taps, and for 5 x 5 it does 25 / 9 = 2.8
#   times as much as for 3 x 3, forward and backward: what a count of multiply-accumulates says.
# Seen: that holds forward and for the gradient of the input. The gradient of the weights is quick for kernels up
#   to three columns wide and slow beyond, whatever their height: on 96 channels of 16 x 16 pixels and 64 images
#   3 x 5 takes 5 to 10 times as long as 5 x 3, and 5 x 5 takes 10 to 20 times as long as 3 x 3. So a network of 5 x 5
#   and 7 x 7 depthwise kernels trains much slower on a CPU than one of equal MACs with 3 x 3.
# Way out: take that gradient in parts of three columns, each of an input that is padded for it; equal, and two to
#   eleven times as quick for kernels of 5 x 5 and 7 x 7.
#
# Prints the times; exits with 1 where wide kernels are no longer slow. About 5 GB are installed for the while.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > program.py <<'PYTHON'
"""Time passes of depthwise convolutions that differ in the shape of their kernels, in turns."""

import sys
import time

import torch

CHANNELS, IMAGES, SIDE, ROUNDS = 96, 64, 16, 15
KERNELS = [(3, 3), (5, 3), (3, 5), (5, 5)]

torch.set_num_threads(1)


def pixels():
    return torch.randn(IMAGES, CHANNELS, SIDE, SIDE).to(memory_format=torch.channels_last)


def passes(kernel):
    """Return what a forward pass, a gradient of the input and one of the weights compute."""
    images, gradient, weight = pixels(), pixels(), torch.randn(CHANNELS, 1, *kernel)
    padding = [length // 2 for length in kernel]

    def backward(*wanted):
        torch.ops.aten.convolution_backward(
            gradient, images, weight, None, [1, 1], padding, [1, 1], False, [0, 0], CHANNELS, [*wanted, False]
        )

    return {
        "forward": lambda: torch.conv2d(images, weight, None, 1, padding, 1, CHANNELS),
        "input's gradient": lambda: backward(True, False),
        "weights' gradient": lambda: backward(False, True),
    }


work = {(name, kernel): run for kernel in KERNELS for name, run in passes(kernel).items()}
least = dict.fromkeys(work, float("inf"))
for _ in range(ROUNDS):
    for key, run in work.items():
        start = time.perf_counter()
        run()
        least[key] = min(least[key], time.perf_counter() - start)

print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, milliseconds:")
for name in ("forward", "input's gradient", "weights' gradient"):
    row = "".join(f"{height} x {width}: {1000 * least[name, (height, width)]:6.2f}   " for height, width in KERNELS)
    print(f"{name:18} {row}")
turned = least["weights' gradient", (3, 5)] / least["weights' gradient", (5, 3)]
print(f"weights' gradient, 3 x 5 over 5 x 3: {turned:.1f}")
sys.exit(turned < 2)
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 numpy
venv/bin/python program.py
