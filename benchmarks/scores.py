"""How well the scores of short trainings rank networks as their full training does, on real learning curves.

    python benchmarks/scores.py DATA

DATA is the folder with naap440v2.csv (440 CNNs of 90 epochs) and lc_metaqnn_cifar10.csv (1,000 of 20 epochs).
Kendall tau between the score of the first epochs and the accuracy after the last.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from scipy.stats import kendalltau

from nas.training.scores import SCORES

EPOCHS = (3, 5, 9, 15)
CURVES = {
    "NAAP-440": ("naap440v2.csv", "e{}Accuracy", 90),
    "MetaQNN": ("lc_metaqnn_cifar10.csv", "acc_{}", 20),
}


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(f"| curves | score | {' | '.join(f'{n} epochs' for n in EPOCHS)} |")
    print(f"| --- | --- |{' --- |' * len(EPOCHS)}")
    for name, (file, column, length) in CURVES.items():
        curves = _read(Path(sys.argv[1], file), column, length)
        final = [curve[-1] for curve in curves]
        for score, of in SCORES.items():
            taus = (kendalltau([of(curve[:n]) for curve in curves], final).statistic for n in EPOCHS)
            print(f"| {name} | `{score}` | {' | '.join(f'{tau:.3f}' for tau in taus)} |", flush=True)


def _read(file: Path, column: str, length: int) -> list[list[float]]:
    """Accuracies as shares; curves with a gap are left out."""
    with file.open(newline="") as table:
        rows = [[row[column.format(n)] for n in range(1, length + 1)] for row in csv.DictReader(table)]
    curves = [[float(cell) for cell in row] for row in rows if all(row)]
    scale = 100 if max(max(curve) for curve in curves) > 1 else 1
    return [[value / scale for value in curve] for curve in curves]


if __name__ == "__main__":
    main()
