#!/usr/bin/env bash
# ncnn computes in half precision unless told otherwise, on a CPU of a PC too, whatever precision the file has.
#
# Software: ncnn 1.0.20261020, numpy (PyPI), on x86 with F16C.
# Expected: a network whose file has weights of 32 bits, as pnnx writes with fp16=0, is computed with them.
# Seen: `Net().opt.use_fp16_storage` is True, and weights are rounded to 16 bits when the file is read: one linear
#   layer of 256 inputs is 2.6e-4 of its outputs' range off, and 8e-8 with the three options for fp16 off. A network
#   of depthwise convolutions, trained for an epoch, was 1.2e-3 off.
# Way out: net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False before loading.
#
# Prints what it saw; exits with 1 where that is no longer so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ncnn==1.0.20261020 numpy
cd "$folder"

cat > half.py <<'PYTHON'
import ncnn
import numpy

random = numpy.random.default_rng(0)
weights, x = (random.standard_normal(shape, numpy.float32) for shape in ((64, 256), 256))
with open("net.bin", "wb") as file:
    file.write(bytes(4) + weights.tobytes())  # a tag of zeros: weights of 32 bits
with open("net.param", "w") as file:
    file.write("7767517\n2 2\nInput in 0 1 in\nInnerProduct fc 1 1 in out 0=64 1=0 2=16384\n")
for half in (True, False):
    net = ncnn.Net()
    if not half:
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.load_param("net.param")
    net.load_model("net.bin")
    extractor = net.create_extractor()
    extractor.input("in", ncnn.Mat(x))
    found, wanted = numpy.array(extractor.extract("out")[1]), weights.astype(numpy.float64) @ x
    off = abs(found - wanted).max() / numpy.ptp(wanted)
    print("by default" if half else "single", f"{off:.1e}", "off" if off > 2e-5 else "equal")
PYTHON
seen=$("$folder/venv/bin/python" half.py)
echo "$seen"
[ "$(echo "$seen" | sed 's/ [0-9.e-]* / /')" = "by default off
single equal" ]
