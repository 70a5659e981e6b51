#!/usr/bin/env bash
# What an activation costs beside the MACs differs by runtime: with Mish a network may take several times as long.
#
# Software: onnxruntime 1.32.0, openvino 2026.4.1, one thread, seen with AVX2 and with AVX-512.
# Expected: MobileNetV2 takes as long with any activation, as its MACs are the same, or a little longer.
# Seen: docs/latency.md has the figures. ONNX Runtime takes several times as long with ELU and Mish as with ReLU,
#   OpenVINO takes little longer with any.
# Way out: choose relu, relu6 or hardswish for ONNX Runtime on a CPU; or OpenVINO, which takes the same file.
#
# Prints the figures, then each as a multiple of ReLU's. Takes options of `nas profile`. A small image keeps a run
# so short that it ends before others on the machine interrupt it. Needs nas with its extras onnx and openvino.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

acts="relu hardswish silu gelu elu mish"
for act in $acts; do
    cat > "$act" <<YAML
name: $act
input: [3, 64, 64]
defaults:
  conv: {act: $act}
  mbconv: {act: $act}
network:
  - conv: {name: stem, out: 32, stride: 2}
  - stage: {name: s1, block: {mbconv: {out: 16, expand: 1}}}
  - stage: {name: s2, depth: 2, stride: 2, block: {mbconv: {out: 24}}}
  - stage: {name: s3, depth: 3, stride: 2, block: {mbconv: {out: 32}}}
  - stage: {name: s4, depth: 4, stride: 2, block: {mbconv: {out: 64}}}
  - stage: {name: s5, depth: 3, block: {mbconv: {out: 96}}}
  - classifier
YAML
    mv "$act" "$act.yaml"
done
# shellcheck disable=SC2046,SC2086
nas profile $(printf '%s.yaml ' $acts) --runtime onnx,openvino --csv figures.csv "$@"

python3 - <<'PYTHON'
"""Each figure as a multiple of ReLU's in its runtime."""

import csv

with open("figures.csv", newline="") as file:
    least = {(row["runtime"], row["network"].removesuffix(".yaml")): float(row["min_s"]) for row in csv.DictReader(file)}
print("\nLeast time, as a multiple of ReLU's:")
for (runtime, act), seconds in least.items():
    print(f"  {runtime:9} {act:10} {seconds / least[runtime, 'relu']:.2f}")
PYTHON
