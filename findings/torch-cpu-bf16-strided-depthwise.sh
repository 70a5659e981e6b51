#!/usr/bin/env bash
# On a CPU that has bfloat16, autocast trains mobile networks slower than float32: strided depthwise layers stand still.
#
# Software: torch 2.14.1 (PyPI; oneDNN inside), one thread, channels_last, seen with AVX-512 BF16.
# Expected: bfloat16 moves half of the bytes and has instructions of its own there, so a pass of a convolution takes
#   at most as long as in float32, with a stride as without.
# Seen: that holds for products, dense convolutions and depthwise ones of stride 1. The gradient of the input of a
#   depthwise convolution of stride 2 takes 30 to 80 times as long as in float32: ONEDNN_VERBOSE=1 shows that oneDNN
#   has `jit_dw` for it in float32 and takes `brgconv_strided`, which is for dense ones, in bfloat16. A training step
#   of a network of mobile blocks, which has four or five such layers, takes 2 to 3 times as long under autocast.
# Way out: train such networks in float32 on a CPU, or leave the layers with a stride out of autocast.
#
# Prints the times; exits with 1 where the strided gradient is no longer slow. A CPU without bfloat16 is told and
# left. About 5 GB are installed for the while.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > program.py <<'PYTHON'
"""Time the passes of a depthwise convolution in two precisions and with two strides, in turns."""

import sys
import time

import torch

CHANNELS, IMAGES, SIDE, ROUNDS = 96, 64, 16, 15
PASSES = {"forward": None, "input's gradient": (True, False), "weights' gradient": (False, True)}

torch.set_num_threads(1)
if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
    print("this CPU has no bfloat16: nothing to see")
    sys.exit()


def passes(stride, dtype):
    """Return what each pass computes."""

    def pixels(side):
        values = torch.randn(IMAGES, CHANNELS, side, side, dtype=dtype)
        return values.to(memory_format=torch.channels_last)

    images, gradient = pixels(SIDE), pixels(SIDE // stride)
    weight = torch.randn(CHANNELS, 1, 3, 3, dtype=dtype)
    shape = [stride, stride], [1, 1], [1, 1]
    backward = torch.ops.aten.convolution_backward
    return {
        name: (lambda wanted: lambda: torch.conv2d(images, weight, None, *shape, CHANNELS)
               if wanted is None
               else backward(gradient, images, weight, None, *shape, False, [0, 0], CHANNELS, [*wanted, False])
               )(wanted)
        for name, wanted in PASSES.items()
    }


kinds = [(stride, dtype) for stride in (1, 2) for dtype in (torch.float32, torch.bfloat16)]
work = {(*kind, name): run for kind in kinds for name, run in passes(*kind).items()}
least = dict.fromkeys(work, float("inf"))
for _ in range(ROUNDS):
    for key, run in work.items():
        start = time.perf_counter()
        run()
        least[key] = min(least[key], time.perf_counter() - start)

print(f"torch {torch.__version__}, milliseconds in float32 and bfloat16, and their ratio:")
ratio = {}
for stride in (1, 2):
    for name in PASSES:
        plain, half = (1000 * least[stride, dtype, name] for dtype in (torch.float32, torch.bfloat16))
        ratio[stride, name] = half / plain
        print(f"stride {stride}, {name:18} {plain:6.2f} {half:6.2f} {half / plain:6.2f}")
sys.exit(ratio[2, "input's gradient"] < 4 or ratio[1, "input's gradient"] > 2)
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 numpy
venv/bin/python program.py
