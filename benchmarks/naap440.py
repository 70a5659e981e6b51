"""NAAP-440 (Hazan et al. 2022) as a table for `nas bench`.

    python benchmarks/naap440.py naap440v2.csv naap.csv
    nas bench benchmarks/spaces/naap440.yaml naap.csv --sampler evolution,tpe --trials 100

The data file is published at https://github.com/talcs/NAAP-440 (MIT). It describes a network by figures, not
by its layers; here the network of the space that has the same figures is looked for, and there is just one.
Scores are the highest test accuracies of 90 epochs on CIFAR-10.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from math import prod
from pathlib import Path

from nas.bench.score_table import enumerate_points
from nas.graph import Architecture
from nas.space import Choices, Space, SpaceError, load_space

SPACE = Path(__file__).parent / "spaces" / "naap440.yaml"
Figures = tuple[int, ...]
"""Parameters, MACs, layers, skips, widths of the first and the last layer."""


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit("usage: naap440.py DATA.csv TABLE.csv")
    points = points_by_figures(load_space(SPACE))
    names = sorted({name for found in points.values() for point in found for name in point})
    with Path(sys.argv[1]).open(newline="") as data, Path(sys.argv[2]).open("w", newline="") as table:
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow([*names, "score"])
        for row in csv.DictReader(data):
            (point,) = points[published_figures(row)]
            writer.writerow([*(point.get(name, "") for name in names), row["MaxAccuracy"]])


def published_figures(row: dict[str, str]) -> Figures:
    columns = ("NumParams", "NumMACs", "NumLayers", "NumSkipConnections", "FirstLayerWidth", "LastLayerWidth")
    return tuple(int(row[column]) for column in columns)


def points_by_figures(space: Space) -> dict[Figures, list[Choices]]:
    points = defaultdict(list)
    for point in enumerate_points(space):
        try:
            points[figures(space.architecture(point))].append(point)
        except SpaceError:
            continue  # a skip between other shapes
    return points


def figures(network: Architecture) -> Figures:
    """As NAAP-440 counts: 4 MACs for each output of batch norm, one for each input and output of the pool."""
    norms = [node.shape for node in network.nodes if node.op.name == "batch_norm"]
    last = norms[-1]
    macs = network.cost.macs + 4 * sum(map(prod, norms)) + prod(last) + last[0]
    skips = sum(len(node.inputs) > 1 for node in network.nodes)
    return network.cost.params, macs, len(norms), skips, norms[0][0], last[0]


if __name__ == "__main__":
    main()
