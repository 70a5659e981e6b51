#!/usr/bin/env bash
# torch.export.save puts the images that a network was exported with into the file, whole.
#
# Software: torch 2.14.1 (PyPI), torch.export.export, save and load; a network with any number of images.
# Expected: images are given to torch.export for their shape and type, as to torch.onnx.export, and the file has the
#   graph and the weights. So one takes the first of the data set.
# Seen: the file has them as `data/sample_inputs/model.pt`, and whoever loads it has them back, equal to the last bit, as
#   `example_inputs`: of patients, faces or customers, if these were in the batch. Two images of 224 x 224 are 1.2 MB, more than
#   the weights of a small network. The specification of the archive has the folder; `save` and `export` do not say so.
# Way out: random images, as nas takes them; or `program.example_inputs = None` before it is saved, which runs as before,
#   but AOTInductor takes no program without them.
#
# Prints what is in the files; exits with 1 where images are no longer in it, or the ways out fail. About 5 GB are
# installed for the while.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 numpy
cd "$folder"

cat > keep.py <<'PYTHON'
"""Save an exported network, and look for its images in the file."""

import sys
from pathlib import Path
from zipfile import ZipFile

import torch
from torch import nn

torch.manual_seed(0)
network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)).eval()
photos = torch.rand(2, 3, 224, 224)
program = torch.export.export(network, (photos,), dynamic_shapes=({0: torch.export.Dim("n")},))
torch.export.save(program, "with.pt2")
kept = torch.export.load("with.pt2").example_inputs
program.example_inputs = None
torch.export.save(program, "without.pt2")
outputs = [torch.export.load(f"{name}.pt2").module()(photos[:1]) for name in ("with", "without")]
sizes = {name: Path(f"{name}.pt2").stat().st_size for name in ("with", "without")}
(largest,) = sorted(ZipFile("with.pt2").infolist(), key=lambda entry: entry.file_size)[-1:]
print(f"largest in the file: {largest.filename.partition('/')[2]}, {largest.file_size:,} bytes")
print("the images come back equal:", equal := kept is not None and torch.equal(kept[0][0], photos))
print(f"{sizes['with']:,} bytes with images, {sizes['without']:,} without")
print("outputs are the same:", same := torch.equal(*outputs))
sys.exit(not (equal and same and sizes["with"] > sizes["without"] + photos.nbytes // 2))
PYTHON
"$folder/venv/bin/python" keep.py
