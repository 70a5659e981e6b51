#!/usr/bin/env bash
# The first torch.optim optimizer of a program imports torch's compiler and sympy, though nothing is compiled.
#
# Software: torch 2.14.1 (PyPI), CPU.
# Expected: an eager optimizer, one step of it included, imports next to nothing beyond `import torch`: what belongs to
#   torch.compile waits for torch.compile, as torch's lazy imports promise.
# Seen: making the optimizer imports torch._dynamo, and with it more than 500 modules (sympy, mpmath, torch._inductor,
#   torch._functorch among them). It takes about as long as `import torch` itself, in every process that trains: the
#   wrapper that keeps the compiler away from add_param_group asks the compiler for it, and so does the one of step().
# Way out: a subclass whose add_param_group, state_dict, load_state_dict, zero_grad and step are the unwrapped ones
#   (inspect.unwrap), the last under torch.no_grad(): the same weights, without the import.
#
# Prints modules and seconds; exits with 1 where making and stepping an optimizer no longer imports the compiler, or the
# subclass does.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > program.py <<'PYTHON'
"""Make an optimizer and take a step; say what that imported."""

import inspect
import sys
import time

import torch

kind = torch.optim.SGD
if sys.argv[1:] == ["unwrapped"]:
    names = ("add_param_group", "state_dict", "load_state_dict", "zero_grad", "step")
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    kind = type("SGD", (kind,), plain | {"step": torch.no_grad()(plain["step"])})
weights = torch.nn.Linear(3, 2)
before, start = set(sys.modules), time.perf_counter()
optimizer = kind(weights.parameters(), lr=0.1)
weights(torch.ones(1, 3)).sum().backward()
optimizer.step()
optimizer.zero_grad()
new = set(sys.modules) - before
print(f"torch {torch.__version__}: {len(new)} modules in {time.perf_counter() - start:.2f} s", end=", ")
print("the compiler among them" if "torch._dynamo" in new else "without the compiler")
raise SystemExit("torch._dynamo" not in new)
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 numpy
venv/bin/python program.py
! venv/bin/python program.py unwrapped
