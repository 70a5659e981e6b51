#!/usr/bin/env bash
# A folder of weights that lacks most layers is loaded by timm without a word, once another number of classes is asked.
#
# Software: timm 1.0.31, torch 2.14.1, torchvision 0.29.1, safetensors 0.8.0 (PyPI).
# Expected: `create_model("local-dir:FOLDER", pretrained=True, num_classes=3)` gives the network of the folder with a
#   new classifier, and refuses weights that lack other layers, as it does without `num_classes`.
# Seen: with the number of classes of the folder, missing layers are a RuntimeError. With another, timm loads with
#   strict=False: all layers but the classifier may be missing and stay random; only `logging.INFO`, which
#   nobody sees by default, has their names.
# Way out: load once without `num_classes`, then call `reset_classifier(3)`.
#
# Prints what it saw; exits with 1 where that is no longer so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    timm==1.0.31 torch==2.14.1 torchvision==0.29.1 safetensors==0.8.0
cd "$folder"

cat > missing.py <<'PYTHON'
import json
import warnings
from pathlib import Path

import timm
from safetensors.torch import save_file

warnings.simplefilter("ignore")
Path("net").mkdir()
state = timm.create_model("resnet18").state_dict()
save_file({k: v for k, v in state.items() if k.startswith(("conv1", "bn1", "fc"))}, "net/model.safetensors")
config = {"num_classes": 1000, "classifier": "fc", "first_conv": "conv1", "input_size": [3, 224, 224]}
text = json.dumps({"architecture": "resnet18", "num_classes": 1000, "pretrained_cfg": config})
Path("net/config.json").write_text(text)
for classes in (1000, 3):
    try:
        timm.create_model("local-dir:net", pretrained=True, num_classes=classes)
        print(classes, "loaded")
    except RuntimeError:
        print(classes, "refused")
PYTHON
seen=$("$folder/venv/bin/python" missing.py 2> said)
echo "weights without the four stages of a ResNet-18, by classes asked for:"
echo "$seen"
[ "$seen" = "1000 refused
3 loaded" ] && [ ! -s said ]
