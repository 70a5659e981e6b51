#!/usr/bin/env bash
# ExecuTorch takes many times as long for a depthwise convolution of 7 x 7 as for one of 5 x 5.
#
# Software: executorch 1.5.1 on XNNPACK, one thread, seen with AVX2 and with AVX-512; LiteRT runs on XNNPACK too.
# Expected: 49 / 25 = 2 times as long, as the MACs say.
# Seen: docs/latency.md has the figures. Kernels of more than 25 taps have no code of their own in XNNPACK.
# Way out: a 5 x 5 followed by a 3 x 3, which sees as far, or one of 5 x 5.
#
# Prints the times of eight depthwise layers of 64 channels at 32 x 32 pixels. Takes options of `nas profile`. Needs nas
# and executorch in one environment.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

write() {  # NAME KERNEL...
    name=$1
    shift
    printf 'name: "%s"\ninput: [64, 32, 32]\nnetwork:\n' "$name" > "$name.yaml"
    for kernel in "$@"; do
        echo "  - stage: {name: k$kernel, depth: 8, block: {conv: {out: 64, groups: 64, kernel: $kernel}}}" >> "$name.yaml"
    done
    echo "  - classifier" >> "$name.yaml"
}
write 3x3 3
write 5x5 5
write 5x5-3x3 5 3
write 7x7 7
nas profile 3x3.yaml 5x5.yaml 5x5-3x3.yaml 7x7.yaml --runtime executorch "$@"
