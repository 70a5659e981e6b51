"""NAS-Bench-Macro (Su et al. 2021) as a table for `nas bench`.

    python benchmarks/nas_bench_macro.py nas-bench-macro_cifar10.json macro.csv
    nas bench benchmarks/spaces/nas_bench_macro.yaml macro.csv --sampler evolution,tpe --budget-flops 60M

The data file is published at https://github.com/xiusu/NAS-Bench-Macro (Apache-2.0). Its encodings have a
digit for each layer; its scores are test accuracies in percent after training on CIFAR-10 with three seeds.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

LAYERS = [f"s{s}.layer{i}.block" for s, depth in ((1, 2), (2, 3), (3, 3)) for i in range(1, depth + 1)]
OPTIONS = ("skip", "k3e3", "k5e6")


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit("usage: nas_bench_macro.py DATA.json TABLE.csv")
    data = json.loads(Path(sys.argv[1]).read_text())
    with Path(sys.argv[2]).open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*LAYERS, "score_1", "score_2", "score_3"])
        for encoding, row in sorted(data.items()):
            scores = [round(accuracy, 2) for accuracy in row["test_acc"]]
            writer.writerow([*(OPTIONS[int(digit)] for digit in encoding), *scores])


if __name__ == "__main__":
    main()
