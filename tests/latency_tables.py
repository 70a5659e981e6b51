"""A space of few networks, and tables of latency of it that nothing was measured for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from nas.latency.correction import Features
from nas.latency.table import Fingerprint, LatencyTable, Whole, compose
from nas.measures import Budget
from nas.space import Space, parse_space
from nas.space.clock import list_pieces
from nas.workflows.latency import take_fingerprint

TEXT = """\
name: few
input: [3, 32, 32]
classes: 10
network:
  - conv: {name: stem, out: {choice: [8, 16]}, stride: 2}
  - stage:
      name: s1
      depth: {choice: [1, 2, 3]}
      stride: 2
      block: {mbconv: {out: {choice: [16, 24]}, kernel: {choice: [3, 5], per: layer}}}
  - parallel: {branches: [[{conv: {out: 8}}], [{conv: {out: 16, kernel: 1}}]], join: concat}
  - classifier
"""
SPACE = parse_space(TEXT)


def every(space: Space) -> list[dict[str, Any]]:
    """All points of a small space."""
    found: dict[str, dict[str, Any]] = {}
    draw = np.random.default_rng(0)
    for point in space.uniform(Budget()).sample(draw, 4000):
        found[json.dumps(sorted(point.items()))] = point
    assert len(found) == space.count
    return list(found.values())


def made_table(space: Space = SPACE, factor: float = 1.1) -> LatencyTable:
    """A table whose parts take as long as their MACs say, and whole networks `factor` times that."""
    parts = {
        key: Features(one.cost.macs * 1e-9 + 1e-6, len(one.nodes), one.cost.macs, one.cost.params,
                      one.cost.activations)
        for key, one in list_pieces(space).items()
    }  # fmt: skip
    points = space.uniform(Budget()).sample(np.random.default_rng(0), 30)
    wholes = tuple(
        Whole(own, factor * own.seconds, factor * own.seconds, factor * own.seconds)
        for own in compose(space, parts, points)
    )
    fingerprint = Fingerprint("a processor", "torch", "1.0", 1, "parts")
    return LatencyTable(fingerprint, parts, wholes[:20], wholes[20:])


def of_here(table: LatencyTable, threads: int = 1) -> LatencyTable:
    """The table as it would be had it been made on this machine."""
    return replace(table, fingerprint=take_fingerprint("torch", threads, "parts"))
