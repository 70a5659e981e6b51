#!/usr/bin/env bash
# On a CPU that has bfloat16, the gradient of a strided depthwise convolution takes more than ten times as long in it.
#
# Software: torch 2.14.1 (PyPI; oneDNN inside), one thread, channels_last, seen with AVX-512 BF16.
# Expected: bfloat16 moves half of the bytes and has instructions of its own there, so a pass of a convolution takes
#   at most as long as in float32, with a stride as without.
# Seen: that holds for the passes of a 1 x 1, of a dense 3 x 3 and of a depthwise one of stride 1. The gradient of the input
#   of a depthwise convolution of stride 2 takes 34 times as long as in float32: ONEDNN_VERBOSE=1 shows that oneDNN
#   has `jit_dw` for it in float32 and takes `brgconv_strided`, which is for dense ones, in bfloat16.
# Way out: train such networks in float32 on a CPU, or leave the layers with a stride out of autocast.
#
# Prints the times; exits with 1 where that ratio is below 10, or one of those above 1.2. A CPU without AVX-512 BF16 is told
# and left. About 5 GB are installed for the while.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > program.py <<'PYTHON'
"""Time the passes of convolutions in two precisions, in turns."""

import sys
import time

import torch

CHANNELS, IMAGES, SIDE, ROUNDS = 96, 64, 16, 15
LAYERS = {
    "1 x 1": (1, 1, 1),
    "dense 3 x 3": (3, 1, 1),
    "depthwise 3 x 3": (3, 1, CHANNELS),
    "depthwise 3 x 3, stride 2": (3, 2, CHANNELS),
}
"""Size of the kernel, stride and groups."""
PASSES = {"forward": None, "input's gradient": (True, False), "weights' gradient": (False, True)}
SLOW = "depthwise 3 x 3, stride 2", "input's gradient"

torch.set_num_threads(1)
if not torch.cpu._is_avx512_bf16_supported():
    print("this CPU has no AVX-512 BF16: nothing to see")
    sys.exit()


def make_passes(kernel, stride, groups, dtype):
    """Return what each pass computes."""

    def pixels(side):
        values = torch.randn(IMAGES, CHANNELS, side, side, dtype=dtype)
        return values.to(memory_format=torch.channels_last)

    images, gradient = pixels(SIDE), pixels(SIDE // stride)
    weight = torch.randn(CHANNELS, CHANNELS // groups, kernel, kernel, dtype=dtype)
    weight = weight.to(memory_format=torch.channels_last)
    shape = [stride, stride], [kernel // 2, kernel // 2], [1, 1]
    backward = torch.ops.aten.convolution_backward
    return {
        name: (lambda wanted: lambda: torch.conv2d(images, weight, None, *shape, groups)
               if wanted is None
               else backward(gradient, images, weight, None, *shape, False, [0, 0], groups, [*wanted, False])
               )(wanted)
        for name, wanted in PASSES.items()
    }


dtypes = torch.float32, torch.bfloat16
work = {}
for layer, kind in LAYERS.items():
    for dtype in dtypes:
        work |= {(layer, name, dtype): run for name, run in make_passes(*kind, dtype).items()}
least = dict.fromkeys(work, float("inf"))
for _ in range(ROUNDS):
    for key, run in work.items():
        start = time.perf_counter()
        run()
        least[key] = min(least[key], time.perf_counter() - start)

print(f"torch {torch.__version__}, milliseconds in float32 and bfloat16, and their ratio:")
ratio = {}
for layer, name in dict.fromkeys(key[:2] for key in work):
    plain, half = (1000 * least[layer, name, dtype] for dtype in dtypes)
    ratio[layer, name] = half / plain
    print(f"{layer:26} {name:21} {plain:7.2f} {half:7.2f} {half / plain:6.2f}")
others = [value for (layer, _), value in ratio.items() if layer != SLOW[0]]
sys.exit(ratio[SLOW] < 10 or max(others) > 1.2)
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 numpy
venv/bin/python program.py
