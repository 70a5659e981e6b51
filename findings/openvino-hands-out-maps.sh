#!/usr/bin/env bash
# OpenVINO takes several times as long to hand out a map of 128 x 128 pixels as to make it, and one of 120 x 120 it does not.
#
# Software: openvino 2026.4.1, onnxruntime 1.32.0 beside it, onnx 1.23.2, numpy 2.4.6 (PyPI), x86-64 with AVX-512, one thread.
# Expected: a network whose output is a map, for segmentation or as the body of a detector, takes time by its pixels: 128 x 128
#   are 1.14 times 120 x 120. Sides of a power of two, which all choose, are no worse than others.
# Seen: inside, maps lie with their channels together (NHWC), and the last one is turned into NCHW by a loop over single values
#   where it has at most 64 channels ("reorder_f32"; from 65 on "reorder_brgemm_f32"). Where a plane is a multiple of 4 KiB, all
#   channels of a pixel fall into the same lines of the cache: of 64 channels one convolution takes 1.2 ms at 120 x 120 and 1.6 at
#   128 x 128, and with its map handed out 1.7 and 8 to 14. 64 x 64 take 5 times as long as 60 x 60. ONNX Runtime takes what the
#   convolution takes. PERF_COUNT shows it as a Reorder. OpenVINO 2025.3 has it too.
# Way out: ask for the output as it lies, by PrePostProcessor: output().tensor().set_layout("NHWC") and
#   output().model().set_layout("NCHW"). Or take what follows, such as an argmax over the classes, into the network.
#
# Prints processor times per side; exits with 1 where, in OpenVINO, 64 x 64 take less than 2.5 times as long as 60 x 60 or as
#   64 x 64 given as NHWC, or 128 x 128 as 120 x 120 or as NHWC, and where in ONNX Runtime one of these two takes twice as long as
#   the smaller side; with 2 on a CPU without AVX-512, where this was not looked at.
set -euo pipefail

grep -qw avx512f /proc/cpuinfo || { echo "no AVX-512 here: not looked at"; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$folder"

cat > maps.py <<'PYTHON'
"""Time one convolution whose map is the output, for several sides, as NCHW and as NHWC."""

import sys
import time

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import helper
from openvino.preprocess import PrePostProcessor

CHANNELS, SIDES = 64, (60, 64, 120, 128)
SETTINGS = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
draw = np.random.default_rng(0)
weight = draw.standard_normal((CHANNELS, 16, 3, 3), np.float32)


def write(side, file="network.onnx"):
    conv = helper.make_node("Conv", ["images", "weight"], ["map"], kernel_shape=[3, 3], pads=[1] * 4)
    given = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 16, side, side])
    found = helper.make_tensor_value_info("map", onnx.TensorProto.FLOAT, [1, CHANNELS, side, side])
    graph = helper.make_graph([conv], "network", [given], [found], [onnx.numpy_helper.from_array(weight, "weight")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), file)
    return file


def load_openvino(file, layout="NCHW"):
    model = openvino.Core().read_model(file)
    steps = PrePostProcessor(model)
    steps.output().tensor().set_layout(openvino.Layout(layout))
    steps.output().model().set_layout(openvino.Layout("NCHW"))
    request = openvino.Core().compile_model(steps.build(), "CPU", SETTINGS).create_infer_request()
    return lambda images: request.infer([images], share_inputs=True, share_outputs=True)[0]


def load_onnx(file):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})[0]


KINDS = {
    "openvino": load_openvino,
    "openvino, NHWC": lambda file: load_openvino(file, "NHWC"),
    "onnxruntime": load_onnx,
}
least = {}
for side in SIDES:
    file, images = write(side), draw.standard_normal((1, 16, side, side), np.float32)
    applied = {name: load(file) for name, load in KINDS.items()}
    outputs = {name: np.array(apply(images)) for name, apply in applied.items()}
    outputs["openvino, NHWC"] = outputs["openvino, NHWC"].transpose(0, 3, 1, 2)
    assert all(np.allclose(one, outputs["openvino"], atol=1e-3) for one in outputs.values())
    for name in KINDS:
        least[name, side] = float("inf")
    for _ in range(30):
        for name, apply in applied.items():
            start = time.process_time()
            apply(images)
            least[name, side] = min(least[name, side], 1e3 * (time.process_time() - start))
    told = ", ".join(f"{name} {least[name, side]:.2f} ms" for name in KINDS)
    print(f"{CHANNELS} channels of {side} x {side}: {told}", flush=True)
sys.exit(not all(
    least["openvino", large] > 2.5 * least["openvino", small]
    and least["openvino", large] > 2.5 * least["openvino, NHWC", large]
    and least["onnxruntime", large] < 2 * least["onnxruntime", small]
    for small, large in ((60, 64), (120, 128))
))
PYTHON
ORT_DISABLE_TELEMETRY=1 CI=true HOME="$folder" "$folder/venv/bin/python" maps.py
