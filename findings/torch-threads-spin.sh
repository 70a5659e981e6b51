#!/usr/bin/env bash
# Beside other work a training step of torch on all cores takes many times as long; with a short spin it does not.
#
# Software: torch 2.14.1 (PyPI; GNU's OpenMP inside), Linux on x86-64, as many threads as cores.
# Expected: beside as much other work as there are cores, a step takes about twice as long, as its threads have half
#   of each core. And of the settings for waiting threads, spinning suits a quiet machine and OMP_WAIT_POLICY=passive a
#   busy one.
# Seen: beside others a step of a small network takes 5 to 20 times as long: each operator waits for its last thread,
#   and those that wait spin for milliseconds on the core that it needs. OMP_WAIT_POLICY=passive mends that, and takes
#   20 to 55 % longer on a quiet machine. GOMP_SPINCOUNT=3000 is as quick as the default on a quiet machine and as
#   passive on a busy one: a thread that has a core comes within microseconds.
#
# Prints milliseconds of a step; exits with 1 where a short spin is no longer twice as quick beside others. About 5 GB
# are installed for the while.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"; kill $(jobs -p) 2>/dev/null || true' EXIT
cd "$folder"

cat > program.py <<'PYTHON'
"""Print the milliseconds that one of four steps of a small network is below."""

import os
import time

import torch
from torch import nn

torch.set_num_threads(os.cpu_count())
layers = [nn.Conv2d(3, 16, 3, padding=1)]
for _ in range(7):
    layers += [nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1)]
network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
optimizer = torch.optim.SGD(network.parameters(), 0.01)
images, labels = torch.randn(64, 3, 32, 32), torch.randint(0, 10, (64,))
times = []
began = time.perf_counter()
while time.perf_counter() - began < 6:
    start = time.perf_counter()
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(images), labels).backward()
    optimizer.step()
    times.append(time.perf_counter() - start)
print(f"{1000 * sorted(times)[len(times) // 4]:.0f}")
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 numpy

step() { env "$@" venv/bin/python program.py; }
say() { echo "$1: default $2 ms, passive $(step OMP_WAIT_POLICY=passive) ms, GOMP_SPINCOUNT=3000 $3 ms"; }

say "quiet " "$(step A=)" "$(step GOMP_SPINCOUNT=3000)"
for _ in $(seq "$(nproc)"); do
    python3 -c "while True: pass" &
done
spun=$(step A=)
short=$(step GOMP_SPINCOUNT=3000)
say "beside" "$spun" "$short"
test "$spun" -ge "$((2 * short))"
