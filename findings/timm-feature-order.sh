#!/usr/bin/env bash
# timm says channels of maps in the order in which one asked for them, and gives the maps in the network's.
#
# Software: timm 1.0.31, torch 2.14.1, torchvision 0.29.1 (PyPI).
# Expected: of `create_model("resnet18", features_only=True, out_indices=(3, 1))`, `feature_info.channels()` are
#   those of the maps that it gives, one by one; a pyramid or a decoder is built from these.
# Seen: channels are (256, 64), the maps have 64 and 256; so with the feature classes list, fx and getter, of which
#   list and getter are the defaults. With hook the maps come as asked for. A decoder of equal widths would be built
#   without a word and read the wrong maps.
# Way out: ask in ascending order. Networks of `nas export --format timm` give maps as asked for.
#
# Prints what it saw; exits with 1 where that is no longer so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check timm==1.0.31 torch==2.14.1 torchvision==0.29.1
cd "$folder"

cat > order.py <<'PYTHON'
import warnings

import timm
import torch

warnings.simplefilter("ignore")
for kind in ("list", "fx", "getter", "hook"):
    network = timm.create_model("resnet18", features_only=True, out_indices=(3, 1), feature_cls=kind)
    maps = [features.shape[1] for features in network(torch.zeros(1, 3, 64, 64))]
    print(kind, *network.feature_info.channels(), "given", *maps)
PYTHON
seen=$("$folder/venv/bin/python" order.py)
echo "channels as said and as given, by feature class:"
echo "$seen"
[ "$seen" = "list 256 64 given 64 256
fx 256 64 given 64 256
getter 256 64 given 64 256
hook 256 64 given 256 64" ]
