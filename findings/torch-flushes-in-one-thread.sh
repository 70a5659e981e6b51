#!/usr/bin/env bash
# torch.set_flush_denormal(True) flushes in the thread that calls it, so that after the first large operation a part of a tensor is.
#
# Software: torch 2.14.1, numpy 2.4.6 (PyPI), x86-64, two threads and four.
# Expected: denormal numbers are off on the CPU, as its documentation has it: in all of torch, and `True` says that it was done.
# Seen: it is a register of one thread (aten/src/ATen/cpu/FlushDenormal.cpp). Threads that torch has started before go on with
#   denormals: of a tensor of denormals times one every second half stays as it was with two threads, three quarters with four,
#   and all are zero with one. What is computed depends on the number of threads. Called
#   before torch computes anything, it holds for all threads, which inherit it, and for those of the program that begin later.
# Way out: call it first, before any tensor is made. Where torch has computed already, as it may have before an evaluator of one's
#   own is called, `torch.set_num_threads(1)` makes the call hold for all that is computed.
#
# Prints the part that is left by number of threads and time of the call; exits with 1 where that is no longer so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6
cd "$folder"

cat > flush.py <<'PYTHON'
"""Print the part of a million denormals that is left after a product with one."""

import sys

import numpy as np
import torch

late, threads = sys.argv[1] == "late", int(sys.argv[2])
torch.set_num_threads(threads)
if late:
    torch.ones(1_000_000).mul(2)  # by all threads
assert torch.set_flush_denormal(True)
bits = np.full(1_000_000, 1 << 19, np.int32)  # as float32 these are 2 ** -130
product = torch.from_numpy(bits.view(np.float32)) * 1.0
print(f"{torch.count_nonzero(product.view(torch.int32)).item() / len(bits):.2f}")
PYTHON

status=0
for threads in 1 2 4; do
    for called in first late; do
        left=$(HOME="$folder" "$folder/venv/bin/python" flush.py "$called" "$threads")
        echo "$threads threads, called $called: $left of the denormals are left"
        case "$called $threads" in
            "late 2") wanted=0.50 ;;
            "late 4") wanted=0.75 ;;
            *) wanted=0.00 ;;
        esac
        [ "$left" = "$wanted" ] || status=1
    done
done
exit $status
