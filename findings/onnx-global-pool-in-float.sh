#!/usr/bin/env bash
# An int8 network of ONNX Runtime leaves the integers for each global pool, as torch's exporter calls it a mean.
#
# Software: onnxruntime 1.32.0, torch 2.14.1, onnx 1.23.2, onnxscript 0.7.2 (PyPI), quantize_static, x86-64, one thread.
# Expected: nn.AdaptiveAvgPool2d(1) becomes GlobalAveragePool, ONNX's word for it, and is quantised like what is around
#   it. Or, as both words say the same, a network takes as long with either.
# Seen: torch.export has a mean over two axes in its place, and the file ReduceMean, of which ONNX Runtime has no
#   integers: each such map is written out as float32 and added up there. In float32 both words take the same time. In int8 six
#   blocks with squeeze-and-excitation take 1.3 ms with ReduceMean, more than the 1.0 ms of float32, and 0.55 ms with
#   GlobalAveragePool, for outputs that are equal to the last bit.
# Way out: write ReduceMean over rows and columns as GlobalAveragePool before it is quantised, as nas does.
#
# Prints words, times and differences; exits with 1 where the exporter has another word, or int8 takes less than 1.5 times as
# long with it. About 5 GB are installed for the while.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    onnxruntime==1.32.0 torch==2.14.1 onnx==1.23.2 onnxscript==0.7.2 numpy
cd "$folder"

cat > pools.py <<'PYTHON'
"""Time a network with squeeze-and-excitation in float32 and int8, with both words for its pools."""

import sys
import time
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(64, 64, 1), nn.ReLU())
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(64, 16, 1), nn.ReLU(), nn.Conv2d(16, 64, 1), nn.Sigmoid()
        )

    def forward(self, x):
        x = self.conv(x)
        return x * self.gate(x)


class Reader(CalibrationDataReader):
    def __init__(self):
        self.left = iter([{"images": images}])

    def get_next(self):
        return next(self.left, None)


def rename(graph):
    for node in graph.node:
        if node.op_type == "ReduceMean":
            node.CopyFrom(onnx.helper.make_node("GlobalAveragePool", node.input[:1], node.output, node.name))


def quantize(name):
    quantize_static(
        f"{name}.onnx", f"{name}-int8.onnx", Reader(), per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )


def open_session(file):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


torch.manual_seed(0)
images = np.random.default_rng(0).standard_normal((4, 64, 56, 56), np.float32)
network = nn.Sequential(*(Block() for _ in range(6))).eval()
program = torch.onnx.export(network, (torch.from_numpy(images[:1]),), dynamo=True, verbose=False,
                            input_names=["images"], output_names=["maps"], dynamic_shapes=({0: "n"},))
program.save("mean.onnx")
model = onnx.load("mean.onnx")
words = Counter(node.op_type for node in model.graph.node)
rename(model.graph)
onnx.save(model, "pool.onnx")
for name in ("mean", "pool"):
    quantize(name)
sessions = {name: open_session(f"{name}.onnx") for name in ("mean", "pool", "mean-int8", "pool-int8")}
outputs = {name: session.run(None, {"images": images})[0] for name, session in sessions.items()}
times = {name: [] for name in sessions}
for _ in range(30):
    for name, session in sessions.items():
        for _ in range(6):
            start = time.perf_counter()
            session.run(None, {"images": images[:1]})
            times[name].append(time.perf_counter() - start)
low = {name: 1e3 * float(np.quantile(seconds, 0.1)) for name, seconds in times.items()}
print("the exporter writes", dict(words))
for kind in ("", "-int8"):
    one, other = low[f"mean{kind}"], low[f"pool{kind}"]
    off = float(np.abs(outputs[f"mean{kind}"] - outputs[f"pool{kind}"]).max() / np.ptp(outputs["mean"]))
    print(f"{kind or '-float32'}: {one:.2f} ms with ReduceMean, {other:.2f} with GlobalAveragePool, {off:.1e} apart")
sys.exit(words["ReduceMean"] != 6 or low["mean-int8"] < 1.5 * low["pool-int8"])
PYTHON
ORT_DISABLE_TELEMETRY=1 "$folder/venv/bin/python" pools.py 2> errors || { tail -5 errors; exit 1; }
