#!/usr/bin/env bash
# ONNX Runtime takes many times as long for a depthwise convolution of 66 channels as for one of 68.
#
# Software: onnxruntime 1.32.0, openvino 2026.4.1 beside it, onnx 1.23.2, numpy 2.4.6 (PyPI), x86-64 with AVX-512, one thread.
# Expected: time follows channels, and those that do not fill a vector cost as the next number that does: 66 takes as long as
#   68, 72 or 80 at most. Widths such as 58 and 122, those of ShuffleNetV2, or 30, of a pruned network, are no worse than others.
# Seen: a depthwise convolution leaves ONNX Runtime's layout of blocks where its channels are no multiple of 4, and each channel
#   is a product of its own over columns that are copied out: 3 x 3 takes 4 times as long as with 68 channels, 5 x 5 8 times, 7 x 7
#   10 times. Of a chain with 1 x 1 convolutions between, which most networks are, the whole takes 2 to 5 times as long.
#   OpenVINO takes as long for 66 as for 68.
# Way out: a multiple of 4 channels wherever a depthwise convolution is; a few channels more are faster there.
#
# Prints times per kernel and channels; exits with 1 where in ONNX Runtime 66 channels take less than 3 times as long as 68 by 5 x 5
#   or 7 x 7, less than 2 times by 3 x 3 or less than 1.4 times in a chain, and where in OpenVINO they take twice as long in one of
#   these; with 2 on a CPU without AVX-512, where this was not looked at.
set -euo pipefail

grep -qw avx512f /proc/cpuinfo || { echo "no AVX-512 here: not looked at"; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    onnxruntime==1.32.0 openvino==2026.4.1 onnx==1.23.2 numpy==2.4.6
cd "$folder"

cat > channels.py <<'PYTHON'
"""Time four depthwise convolutions, by themselves and with 1 x 1 convolutions between, for several numbers of channels."""

import sys
import time

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import helper

SIZE, CHANNELS = 32, (64, 66, 68, 72)
draw = np.random.default_rng(0)


def write(channels, kernel, chain, file="network.onnx"):
    nodes, weights, name = [], [], "images"

    def add(kernel, groups):
        nonlocal name
        number, shape = len(weights), (channels, channels // groups, kernel, kernel)
        values = draw.standard_normal(shape, np.float32) / np.sqrt(np.prod(shape[1:]))
        weights.append(onnx.numpy_helper.from_array(values.astype(np.float32), f"weight{number}"))
        nodes.append(
            helper.make_node("Conv", [name, f"weight{number}"], [f"conv{number}"], group=groups,
                             kernel_shape=[kernel] * 2, pads=[kernel // 2] * 4)
        )
        nodes.append(helper.make_node("Relu", [f"conv{number}"], [f"relu{number}"]))
        name = f"relu{number}"

    for _ in range(4):
        if chain:
            add(1, 1)
        add(kernel, channels)
    nodes.append(helper.make_node("GlobalAveragePool", [name], ["scores"]))
    given = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, channels, SIZE, SIZE])
    found = helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, [1, channels, 1, 1])
    graph = helper.make_graph(nodes, "network", [given], [found], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), file)
    return file


def load_onnx(file):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})[0]


def load_openvino(file):
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    request = openvino.Core().compile_model(file, "CPU", settings).create_infer_request()
    return lambda images: request.infer([images], share_inputs=True)[0]


def measure(load, kernel, chain):
    """Return the least milliseconds of processor time for each number of channels."""
    applied = {one: load(write(one, kernel, chain)) for one in CHANNELS}
    images = {one: draw.standard_normal((1, one, SIZE, SIZE), np.float32) for one in CHANNELS}
    least = dict.fromkeys(CHANNELS, float("inf"))
    for _ in range(60):
        for one, apply in applied.items():
            start = time.process_time()
            for _ in range(5):
                apply(images[one])
            least[one] = min(least[one], 1e3 * (time.process_time() - start) / 5)
    return least


held = []
print("ms of processor time for channels of", ", ".join(map(str, CHANNELS)))
for name, load in (("onnxruntime", load_onnx), ("openvino", load_openvino)):
    for chain in (False, True):
        for kernel in (3, 5, 7):
            least = measure(load, kernel, chain)
            ratio = least[66] / least[68]
            told = "with 1 x 1 between" if chain else "by themselves"
            print(f"{name} {kernel} x {kernel} {told}:", ", ".join(f"{one:.3f}" for one in least.values()),
                  f"66 against 68: {ratio:.1f}")
            least_ratio = 1.4 if chain else 2 if kernel == 3 else 3
            held.append(ratio >= least_ratio if name == "onnxruntime" else ratio < 2)
sys.exit(not all(held))
PYTHON
ORT_DISABLE_TELEMETRY=1 CI=true HOME="$folder" "$folder/venv/bin/python" channels.py
