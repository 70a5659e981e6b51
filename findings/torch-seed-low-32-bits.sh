#!/usr/bin/env bash
# On a CPU torch takes the low 32 bits of a seed alone, and says that it has taken all 64.
#
# Software: torch 2.14.1 (PyPI), manual_seed and Generator on a CPU; numpy 2.4.0 beside it.
# Expected: `manual_seed` takes numbers of 64 bits, so that processes which train together, each with the seed plus its rank
#   times 2**32, far apart from the seeds of epochs and runs, draw each for itself.
# Seen: all of them draw the same numbers: dropout drops the same in each part of a batch. `initial_seed` gives the 64 bits back,
#   as if they were taken, and a seed packed as (rank << 32) | epoch is that of the epoch. Numpy's default_rng takes all bits.
# Ranks have to differ in the low bits, such as by a multiple of an odd number (nas: `Replicas.seed`).
#
# Prints the first numbers for seeds 2**32 apart; exits with 1 where they differ. About 5 GB are installed for the while.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > program.py <<'PYTHON'
"""Draw from seeds that are equal in their low 32 bits."""

import sys

import numpy
import torch
from torch import nn

seeds = [7 + (rank << 32) for rank in range(4)]
drop = nn.Dropout(0.5)
drawn, dropped, told, others = set(), set(), set(), set()
for seed in seeds:
    own = torch.Generator().manual_seed(seed)
    drawn.add(tuple(torch.rand(3, generator=own).tolist()))
    told.add(own.initial_seed())
    torch.manual_seed(seed)
    dropped.add(tuple(drop(torch.ones(64)).tolist()))
    others.add(tuple(numpy.random.default_rng(seed).random(3).tolist()))
near = {tuple(torch.rand(3, generator=torch.Generator().manual_seed(7 + rank)).tolist()) for rank in range(4)}
print(f"torch {torch.__version__}, numpy {numpy.__version__}; 4 seeds, 2**32 apart")
print(f"streams of torch: {len(drawn)}; masks of dropout: {len(dropped)}; seeds told: {len(told)}")
print(f"streams of numpy: {len(others)}; of torch with seeds 1 apart: {len(near)}")
sys.exit((len(drawn), len(dropped), len(told), len(others), len(near)) != (1, 1, 4, 4, 4))
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.0
venv/bin/python program.py
