#!/usr/bin/env bash
# onnxoptimizer makes of zeros around a max pool a padding that is never the maximum, and of an average pool another divisor.
#
# Software: onnxoptimizer 0.4.2, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6 (PyPI), `onnxoptimizer.optimize` by its default
#   passes.
# Expected: scores stay what they were, to rounding; where it cannot join two operators it leaves them.
# Seen: `fuse_pad_into_pool` puts the zeros of a Pad into the `pads` of the pool behind it. There ONNX has none: a max pool never
#   takes its padding, so that a window of negative values at the rim gives its largest of these, where it gave 0. An average pool
#   is set to count padding, also the padding of its own that it did not count. Behind a ReLU the maximum is the same; timm's BiT
#   networks (resnetv2_50x1_bit) pad a convolution so, whose values no ReLU has cut: untrained, scores are off by 0.1 % of their
#   range, and not by 0.0005 %. onnxsim 0.8.1 keeps both operators.
# Way out: name the passes and leave `fuse_pad_into_pool` out, or simplify by onnxsim; pad by the pool itself, as the operators of
#   nas do.
#
# Prints what is left of three networks and how far they are off; exits with 1 where that is no longer so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    onnxoptimizer==0.4.2 onnxsim==0.8.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cd "$folder"

cat > pools.py <<'PYTHON'
"""Optimise zeros and a pool behind them, by the default passes, by all but one, and by onnxsim."""

import sys

import numpy as np
import onnx
import onnxoptimizer
import onnxruntime
import onnxsim
from onnx import helper

images = np.random.default_rng(0).standard_normal((1, 4, 8, 8), np.float32) - 1


def make(kind, size, **options):
    """Return a network that adds a row and a column of zeros behind the image and pools 3 x 3 at stride 2."""
    nodes = [
        helper.make_node("Pad", ["images", "pads"], ["padded"]),
        helper.make_node(kind, ["padded"], ["maps"], kernel_shape=[3, 3], strides=[2, 2], **options),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 4, 8, 8])],
        [helper.make_tensor_value_info("maps", onnx.TensorProto.FLOAT, [1, 4, size, size])],
        [onnx.numpy_helper.from_array(np.array([0, 0, 0, 0, 0, 0, 1, 1]), "pads")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def apply(model):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})[0]


passes = [one for one in onnxoptimizer.get_fuse_and_elimination_passes() if one != "fuse_pad_into_pool"]
held = []
for told, model, is_changed in (
    ("max pool", make("MaxPool", 4), True),
    ("average pool", make("AveragePool", 4), False),
    ("average pool with padding of its own", make("AveragePool", 5, pads=[1, 1, 1, 1], count_include_pad=0), True),
):
    wanted = apply(model)
    for name, found, is_wrong in (
        ("default", onnxoptimizer.optimize(model), is_changed),
        ("all other passes", onnxoptimizer.optimize(model, passes), False),
        ("onnxsim", onnxsim.simplify(model)[0], False),
    ):
        off = float(np.abs(apply(found) - wanted).max())
        print(f"{told}, {name}: {', '.join(node.op_type for node in found.graph.node)}, off by {off:.2g} of {np.ptp(wanted):.2g}")
        held.append(off > 0.1 if is_wrong else off < 1e-5)
sys.exit(not all(held))
PYTHON
ORT_DISABLE_TELEMETRY=1 HOME="$folder" "$folder/venv/bin/python" pools.py
