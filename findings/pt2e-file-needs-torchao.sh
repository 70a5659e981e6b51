#!/usr/bin/env bash
# A network that torchao has made int8 is saved by torch.export without a word, and no torch alone can load it.
#
# Software: torchao 0.18.0, torch 2.14.1 (PyPI).
# Expected: `torch.export.save` writes a file that `torch.export.load` reads with torch alone, as its program has the
#   operators of torch; or else it says at saving what is needed, or at loading what is missing.
# Seen: quantize and dequantize are operators that torchao registers when it is imported. A process that has not
#   imported it cannot load the file, and the error does not name torchao.
# Way out: `import torchao` before `torch.export.load`, where the file is served too; the card of
#   `nas export --quantize int8 --format pt2` has such a line.
#
# Prints what it saw; exits with 1 where that is no longer so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torchao==0.18.0 torch==2.14.1 numpy
cd "$folder"

cat > save.py <<'PYTHON'
import torch
from torch import nn
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

images = (torch.randn(2, 3, 8, 8),)
network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()
quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
prepared = prepare_pt2e(torch.export.export(network, images).module(), quantizer)
prepared(*images)
torch.export.save(torch.export.export(convert_pt2e(prepared), images), "network.pt2")
PYTHON
"$folder/venv/bin/python" save.py > saved 2>&1

cat > load.py <<'PYTHON'
import importlib
import sys

import torch

for name in sys.argv[1:]:
    importlib.import_module(name)
try:
    torch.export.load("network.pt2").module()(torch.randn(2, 3, 8, 8))
    print("loads")
except Exception as error:
    print("fails, and torchao is", "named" if "torchao" in str(error) else "not named")
PYTHON
seen="nothing more: $("$folder/venv/bin/python" load.py 2> errors)
torchao: $("$folder/venv/bin/python" load.py torchao 2>> errors)"
echo "a file of int8, loaded after torch and the import of"
echo "$seen"
[ "$seen" = "nothing more: fails, and torchao is not named
torchao: loads" ]
