#!/usr/bin/env bash
# An average pool that rounds up divides by one number in torch and ONNX Runtime, and by others in OpenVINO and ncnn.
#
# Software: torch 2.14.1, onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0, openvino 2026.4.1, ncnn 1.0.20261020,
#   pnnx 20261020, numpy 2.4.6 (PyPI), a CPU.
# Expected: nn.AvgPool2d(3, 2, 1, ceil_mode=True) is one word in each, and a converter that knows it gives what torch gives.
# Seen: at even sides, such as 14 or 112, the last window hangs over the padded image. Torch divides by the pixels and padded zeros
#   that are under it, 6 or 4, and so does ONNX Runtime; OpenVINO, from torch and from the ONNX file, and ncnn divide by 9, also
#   for what was never padded: the last row and column of a map are a third too small, which is 0.08 to 0.3 of the range.
#   Shapes are right, nothing is said, and without padding (3, 2, 0) ncnn alone differs. The same pools with
#   count_include_pad=False, as ResNet-D has them, are equal in all; at odd sides all are.
# Way out: nn.ZeroPad2d(1) and nn.AvgPool2d(3, 2, ceil_mode=True, count_include_pad=False), which is equal in torch, as nas
#   exports it.
#
# Prints the largest difference as a part of the range; exits with 1 where a runtime that was wrong is right, or the way out is
# none. About 5 GB are installed for the while.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 onnx==1.23.2 onnxscript==0.7.2 \
    onnxruntime==1.32.0 openvino==2026.4.1 ncnn==1.0.20261020 pnnx==20261020 numpy==2.4.6
cd "$folder"

cat > pools.py <<'PYTHON'
"""Apply a convolution and an average pool in five ways, for two pools, two sides and the way out."""

import subprocess
import sys

import ncnn
import numpy as np
import onnxruntime
import openvino
import pnnx
import torch
from torch import nn


def apply_ncnn(network, image):
    torch.jit.trace(network, image).save("network.pt")
    shape = ",".join(map(str, image.shape))
    subprocess.run([pnnx.EXEC_PATH, "network.pt", f"inputshape=[{shape}]", "fp16=0"], check=True, capture_output=True)
    net = ncnn.Net()
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    assert not net.load_param("network.ncnn.param") and not net.load_model("network.ncnn.bin")
    extractor = net.create_extractor()
    extractor.input("in0", ncnn.Mat(image[0].numpy()).clone())
    return np.array(extractor.extract("out0")[1])[None]


def apply_openvino(model, image):
    return openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(image.numpy())[0]


def compare(pool, side):
    torch.manual_seed(0)
    network, image = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), pool).eval(), torch.randn(1, 3, side, side)
    with torch.no_grad():
        wanted = network(image).numpy()
        torch.onnx.export(network, (image,), input_names=["images"], dynamo=True, verbose=False).save("network.onnx")
        program = torch.export.export(network, (image,))
    session = onnxruntime.InferenceSession("network.onnx", providers=["CPUExecutionProvider"])
    found = {
        "onnxruntime": session.run(None, {"images": image.numpy()})[0],
        "openvino": apply_openvino(openvino.convert_model(program), image),
        "openvino of ONNX": apply_openvino(openvino.Core().read_model("network.onnx"), image),
        "ncnn": apply_ncnn(network, image),
    }
    assert all(one.shape == wanted.shape for one in found.values())
    return {name: float(np.abs(one - wanted).max() / np.ptp(wanted)) for name, one in found.items()}


PADDED = nn.AvgPool2d(3, 2, 1, ceil_mode=True)
BARE = nn.AvgPool2d(3, 2, ceil_mode=True)
UNCOUNTED = nn.AvgPool2d(3, 2, ceil_mode=True, count_include_pad=False)
ROWS = (
    ("padding 1", PADDED, 14, {"openvino", "openvino of ONNX", "ncnn"}),
    ("padding 1", PADDED, 15, set()),
    ("no padding", BARE, 14, {"ncnn"}),
    ("padding 1, the way out", nn.Sequential(nn.ZeroPad2d(1), UNCOUNTED), 14, set()),
    ("no padding, the way out", UNCOUNTED, 14, set()),
)
held = []
for name, pool, side, wrong in ROWS:
    off = compare(pool, side)
    told = ", ".join(f"{one} {value:.1g}" for one, value in off.items())
    print(f"{name}, {side} x {side}: {told}", flush=True)
    held.append(all(value > 0.03 if one in wrong else value < 1e-4 for one, value in off.items()))
sys.exit(not all(held))
PYTHON
ORT_DISABLE_TELEMETRY=1 CI=true HOME="$folder" "$folder/venv/bin/python" pools.py 2> errors || { tail -5 errors; exit 1; }
