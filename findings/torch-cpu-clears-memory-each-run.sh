#!/usr/bin/env bash
# Applied image after image, MobileNetV2 has thousands of pages cleared for each on a CPU, and ResNet-18 none.
#
# Software: torch 2.14.1, torchvision 0.29.1 (PyPI), glibc 2.36, Linux on x86-64; one thread, one image of 224 pixels.
# Expected: after a few runs the memory of a run's tensors is there for those of the next, as they have the same
#   sizes in the same order. So the order of networks by time is that of their arithmetic and operators.
# Seen: glibc gives the end of its heap back to the system when more is free there than twice the largest block that
#   was ever freed, and has it cleared page by page in the next run. Whether that happens depends on the order and
#   sizes of the tensors: MobileNetV2 and MNASNet 1.0 have 2,500 to 3,500 pages cleared in each run, which is a third
#   of their time; ResNet-18 has none. EfficientNet-B0 loses a tenth. MobileNetV2, which is a quarter faster than
#   EfficientNet-B0 without that, is as slow with it. ONNX Runtime, OpenVINO and ncnn have none for MobileNetV2.
# Way out: MALLOC_TRIM_THRESHOLD_=2147483647 MALLOC_MMAP_MAX_=0 in the environment of the process, or mallopt in it.
#
# Prints pages and times; exits with 1 where MobileNetV2 has no pages cleared. About 5 GB are installed for the while.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > program.py <<'PYTHON'
"""Apply a network many times: pages that were cleared in a run, and the time of the quicker runs on a core."""

import resource
import sys
import time

import torch
import torchvision

torch.set_num_threads(1)
network = torchvision.models.get_model(sys.argv[1], weights=None).eval()
image = torch.zeros(1, 3, 224, 224)
times = []
with torch.inference_mode():
    for _ in range(3):
        network(image)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(25):
        start = time.process_time()
        network(image)
        times.append(time.process_time() - start)
    pages = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 25
print(f"{sys.argv[1]:16} {sys.argv[2]:8} {pages:6} pages a run, {1000 * sorted(times)[2]:6.2f} ms")
sys.exit(sys.argv[2:] == ["default"] and sys.argv[1] == "mobilenet_v2" and pages < 500)
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 torchvision==0.29.1
for network in mobilenet_v2 mnasnet1_0 efficientnet_b0 resnet18; do
    venv/bin/python program.py "$network" default
    MALLOC_TRIM_THRESHOLD_=2147483647 MALLOC_MMAP_MAX_=0 venv/bin/python program.py "$network" kept
done
