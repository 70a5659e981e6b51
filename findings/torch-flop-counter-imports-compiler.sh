#!/usr/bin/env bash
# torch's counter of FLOPs imports torch's compiler before it counts the first operator.
#
# Software: torch 2.14.1 (PyPI), numpy 2.4.0 beside it. About 5 GB are installed for the while.
# Expected: FlopCounterMode, which multiplies shapes by formulas while a module runs as it always does, needs neither
#   torch._dynamo nor sympy.
# Seen: the first operator inside of it imports both, over a second on two cores of a server: torch wraps
#   `__torch_dispatch__` of every subclass of TorchDispatchMode so that it is not compiled, and the wrapper imports the
#   compiler to say so. The same formulas (`flop_registry`) in a mode that is not wrapped count the same without them.
# Way out: where a process counts one network and ends, count by `flop_registry` in a mode whose `_should_skip_dynamo` is
#   False.
#
# Prints what it saw; exits with 1 where that is no longer so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.0
cd "$folder"

cat > count.py <<'PYTHON'
import sys

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry


class Unwrapped(TorchDispatchMode):
    flops = 0

    @classmethod
    def _should_skip_dynamo(cls):
        return False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        if (formula := flop_registry.get(func.overloadpacket)) is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=output)
        return output


def compilers():
    return sorted({"torch._dynamo", "sympy"} & sys.modules.keys())


layer, images = torch.nn.Conv2d(3, 8, 3), torch.randn(2, 3, 16, 16)
with torch.no_grad():
    layer(images)
    print("after a convolution:", compilers())
    with Unwrapped() as own:
        layer(images)
    print("after formulas in a mode of one's own:", compilers(), own.flops)
    plain = compilers()
    with FlopCounterMode(display=False) as counter:
        layer(images)
    print("after FlopCounterMode:", compilers(), counter.get_total_flops())
sys.exit(plain != [] or len(compilers()) != 2 or own.flops != counter.get_total_flops())
PYTHON
venv/bin/python count.py
