#!/usr/bin/env bash
# In ncnn a 3 x 3 convolution costs half as much per MAC as any other, so that what saves MACs takes longer.
#
# Software: ncnn 1.0.20261020, onnxruntime 1.32.0 beside it, onnx 1.23.2, numpy 2.4.6 (PyPI), x86-64 with AVX-512, one thread,
#   float32, 64 channels at 32 x 32 pixels and 128 at 16 x 16.
# Expected: time follows MACs. 3 x 1 with 1 x 3, as Inception has it, takes two thirds of a 3 x 3, a dilated 3 x 3 as long as a
#   plain one, 5 x 5 2.8 times, 3 x 3 at stride 2 a quarter. Two 3 x 3, which see as far as a 5 x 5, save a quarter or so of it.
# Seen: 3 x 3 at stride 1 and dilation 1 of more than 8 channels is worked out by Winograd's algorithm, and nothing else is
#   (`create_pipeline` of src/layer/x86/convolution_x86.cpp; that of ARM asks for the same). 3 x 1 with 1 x 3 takes 1.3 to 1.5
#   times as long as 3 x 3, dilated 3 x 3 1.9 to 2.2 times, 5 x 5 5 to 6 times, and stride 2 0.6 times for its quarter of the
#   MACs. Two 3 x 3 take little more than a third of a 5 x 5. In ONNX Runtime all of these follow their MACs. With 256 channels at
#   8 x 8 most of it is gone in ncnn too.
# Way out: for ncnn search over numbers of 3 x 3, not over large, factorised or dilated kernels; measure (`nas profile --runtime
#   ncnn`), as neither MACs nor another runtime tell.
#
# Prints times; exits with 1 where in ncnn 3 x 1 with 1 x 3 takes less than 1.15 times as long as 3 x 3, dilated less than 1.5
#   times, 5 x 5 less than 4 times or stride 2 less than 0.45 times, and where in ONNX Runtime 3 x 1 with 1 x 3 takes as long as 3
#   x 3 or dilated more than 1.4 times as long; with 2 on a CPU without AVX-512, where this was not looked at.
set -euo pipefail

grep -qw avx512f /proc/cpuinfo || { echo "no AVX-512 here: not looked at"; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    ncnn==1.0.20261020 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$folder"

cat > kernels.py <<'PYTHON'
"""Time convolutions of several kernels in ncnn and in ONNX Runtime, of which both are given the same weights."""

import sys
import time

import ncnn
import numpy as np
import onnx
import onnxruntime
from onnx import helper

draw = np.random.default_rng(0)
# Each: kernels (height, width), stride, dilation of the convolutions in it
KINDS = {
    "3 x 3": ([(3, 3)], 1, 1),
    "3 x 1 with 1 x 3": ([(3, 1), (1, 3)], 1, 1),
    "3 x 3 dilated": ([(3, 3)], 1, 2),
    "5 x 5": ([(5, 5)], 1, 1),
    "two 3 x 3": ([(3, 3), (3, 3)], 1, 1),
    "3 x 3 at stride 2": ([(3, 3)], 2, 1),
    "1 x 1": ([(1, 1)], 1, 1),
}


def load(kind, channels, size):
    """Return what applies a kind in each of the two, and its MACs."""
    kernels, stride, dilation = KINDS[kind]
    lines, nodes, weights, blobs, macs = [], [], [], [], 0
    name = "images"
    for number, (high, wide) in enumerate(kernels):
        values = draw.standard_normal((channels, channels, high, wide), np.float32) / np.sqrt(channels * high * wide)
        pads = (high // 2 * dilation, wide // 2 * dilation)
        found = "scores" if number == len(kernels) - 1 else f"map{number}"
        options = {0: channels, 1: wide, 11: high, 2: dilation, 3: stride, 4: pads[1], 14: pads[0], 5: 0, 6: values.size}
        told = " ".join(f"{key}={value}" for key, value in options.items())
        lines.append(f"Convolution conv{number} 1 1 {name} {found} {told}")
        blobs += [np.zeros(1, np.int32).tobytes(), values.astype(np.float32).tobytes()]  # 0: plain float32
        weights.append(onnx.numpy_helper.from_array(values.astype(np.float32), f"weight{number}"))
        nodes.append(
            helper.make_node("Conv", [name, f"weight{number}"], [found], kernel_shape=[high, wide], pads=[*pads, *pads],
                             strides=[stride] * 2, dilations=[dilation] * 2)
        )
        macs += values.size * (size // stride) ** 2
        name = found
    lines = ["7767517", f"{len(lines) + 1} {len(lines) + 1}", "Input images 0 1 images", *lines]
    with open("network.param", "w") as file:
        file.write("\n".join(lines) + "\n")
    with open("network.bin", "wb") as file:
        file.write(b"".join(blobs))
    shape = [1, channels, size // stride, size // stride]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, channels, size, size])],
        [helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, shape)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    images = draw.standard_normal((1, channels, size, size), np.float32)

    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    net.load_param("network.param")
    net.load_model("network.bin")
    given = ncnn.Mat(images[0])

    def apply_ncnn():
        extractor = net.create_extractor()
        extractor.input("images", given)
        return extractor.extract("scores")[1]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def apply_onnx():
        return session.run(None, {"images": images})[0][0]

    assert np.allclose(np.array(apply_ncnn()), apply_onnx(), atol=1e-3)
    return {"ncnn": apply_ncnn, "onnxruntime": apply_onnx}, macs


held = []
for channels, size in ((64, 32), (128, 16), (256, 8)):
    loaded = {kind: load(kind, channels, size) for kind in KINDS}
    least = {}
    for _ in range(150):
        for kind, (applied, _macs) in loaded.items():
            for runtime, apply in applied.items():
                start = time.process_time()
                for _ in range(4):
                    apply()
                taken = 250 * (time.process_time() - start)
                least[runtime, kind] = min(taken, least.get((runtime, kind), taken))
    print(f"{channels} channels, {size} x {size} pixels: ms, and as a multiple of 3 x 3 (MACs, ncnn, onnxruntime)")
    ratio = {key: value / least[key[0], "3 x 3"] for key, value in least.items()}
    for kind, (_applied, macs) in loaded.items():
        times = [least[runtime, kind] for runtime in ("ncnn", "onnxruntime")]
        told = [macs / loaded["3 x 3"][1], ratio["ncnn", kind], ratio["onnxruntime", kind]]
        print(f"  {kind:17}", *(f"{one:7.3f}" for one in times), "  ", *(f"{one:5.2f}" for one in told))
    if size > 8:
        held += [
            ratio["ncnn", "3 x 1 with 1 x 3"] > 1.15,
            ratio["ncnn", "3 x 3 dilated"] > 1.5,
            ratio["ncnn", "5 x 5"] > 4,
            ratio["ncnn", "3 x 3 at stride 2"] > 0.45,
            ratio["onnxruntime", "3 x 1 with 1 x 3"] < 1,
            ratio["onnxruntime", "3 x 3 dilated"] < 1.4,
        ]
sys.exit(not all(held))
PYTHON
ORT_DISABLE_TELEMETRY=1 HOME="$folder" "$folder/venv/bin/python" kernels.py
