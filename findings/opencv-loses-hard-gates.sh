#!/usr/bin/env bash
# OpenCV takes a gate of hard sigmoid for a hard swish: squeeze-and-excitation of MobileNetV3 throws the map away.
#
# Software: opencv-python-headless 5.0.0.93 (July 2026) and 4.14.0.94, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6 (PyPI),
#   `cv2.dnn`.
# Expected: a map times HardSigmoid(gate), as the gate of MobileNetV3 and GhostNet is written by torch, is what ONNX says and ONNX
#   Runtime gives: OpenCV reads ONNX, and says so where it does not know an operator.
# Seen: the product becomes HardSwish(gate), of 1 x 1 pixels, and the map is lost: the rule that joins x * HardSigmoid(x), with
#   alpha 1/6 and beta 1/2, looks at the product's inputs one by one and takes any for x (HardSwishSubgraph of
#   modules/dnn/src/onnx/onnx_graph_simplifier.cpp; that of SiLU compares them). No message: a global pool behind hides that the
#   size is another. In 5.0 an addition of a shortcut behind it may end in an error of sizes; 4.14 adds them.
# Way out: sigmoid as gate. Of a file that is there: write alpha one float higher, which the rule no longer knows and which is off
#   by less than 1e-6.
#
# Prints for each version and gate how far outputs are off and how large the gated map is; exits with 1 where that is no longer
#   so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > gates.py <<'PYTHON'
"""Apply convolution, squeeze-and-excitation, convolution and a global pool in OpenCV and in ONNX Runtime."""

import sys

import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import helper

WIDTH, SIZE = 16, 12


def write(file, gate, found, **options):
    draw = np.random.default_rng(0)
    nodes, weights = [], []

    def add(kernel, taken, given):
        number, channels = len(weights), 3 if taken == "images" else WIDTH
        values = draw.standard_normal((WIDTH, channels, kernel, kernel), np.float32) * np.sqrt(2 / channels) / kernel
        weights.append(onnx.numpy_helper.from_array(values.astype(np.float32), f"weight{number}"))
        nodes.append(
            helper.make_node("Conv", [taken, f"weight{number}"], [given], kernel_shape=[kernel] * 2, pads=[kernel // 2] * 4)
        )

    add(3, "images", "raw")
    nodes.append(helper.make_node("Relu", ["raw"], ["map"]))
    nodes.append(helper.make_node("GlobalAveragePool", ["map"], ["pooled"]))
    add(1, "pooled", "asked")
    nodes.append(helper.make_node(gate, ["asked"], ["gate"], **options))
    nodes.append(helper.make_node("Mul", ["gate", "map"], ["gated"]))
    add(3, "gated", "last")
    nodes.append(helper.make_node("GlobalAveragePool", ["last"], ["scores"]))
    shape = [1, WIDTH, 1, 1] if found == "scores" else [1, WIDTH, SIZE, SIZE]
    graph = helper.make_graph(
        nodes if found == "scores" else nodes[:6],
        "network",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info(found, onnx.TensorProto.FLOAT, shape)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)


def apply(file, images):
    network = cv2.dnn.readNetFromONNX(file)
    network.setInput(images)
    return network.forward()


images = np.random.default_rng(1).standard_normal((1, 3, SIZE, SIZE), np.float32)
sixth = np.float32(1 / 6)
held = []
for name, gate, options, is_right in (
    ("HardSigmoid", "HardSigmoid", {"alpha": float(sixth), "beta": 0.5}, False),
    ("HardSigmoid, alpha a float higher", "HardSigmoid", {"alpha": float(np.nextafter(sixth, np.float32(1))), "beta": 0.5}, True),
    ("Sigmoid", "Sigmoid", {}, True),
):
    write("network.onnx", gate, "scores", **options)
    wanted = onnxruntime.InferenceSession("network.onnx", providers=["CPUExecutionProvider"]).run(None, {"images": images})[0]
    off = float(np.abs(apply("network.onnx", images) - wanted).max() / np.ptp(wanted))
    write("gated.onnx", gate, "gated", **options)
    size = apply("gated.onnx", images).shape[2:]
    print(f"OpenCV {cv2.__version__}, gate {name}: scores off by {off:.1e} of their range, a gated map of {size[0]} x {size[1]}")
    held.append(off < 1e-5 and size == (SIZE, SIZE) if is_right else off > 0.1 and size == (1, 1))
sys.exit(not all(held))
PYTHON

for version in 5.0.0.93 4.14.0.94; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check \
        opencv-python-headless==$version onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
    ORT_DISABLE_TELEMETRY=1 HOME="$folder" "$folder/$version/bin/python" gates.py
done
