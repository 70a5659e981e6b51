"""A network as the table that a paper prints of it: one row for each run of equal layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from nas.cost import Cost
from nas.graph import Architecture, Node
from nas.ops import Shape
from nas.report.repeats import format_span, list_scopes
from nas.space import Space
from nas.space.outline import Part, outline


@dataclass(frozen=True)
class StageRow:
    """Equal layers, one after the other, or what stands between stages.

    `depth` is the number of layers, None outside stages. `shape` is that of the output, and `stride` how much
    smaller than the input it is by the strides passed.
    """

    name: str
    block: str
    depth: int | None
    stride: int
    shape: Shape
    cost: Cost


def list_stages(space: Space, architecture: Architecture) -> list[StageRow]:
    """Return the rows of a network without choices, which together have all of its cost.

    A network that does nothing has none: its one operator, the identity, belongs to no part.
    """
    runs = [run for part in outline(space) for run in _split_runs(part)]
    run_of = {part.scope: i for i, run in enumerate(runs) for part in run.parts}
    members: list[list[Node]] = [[] for _ in runs]
    for node in architecture.nodes:
        for run in [run_of[scope] for scope in list_scopes(node.name) if scope in run_of][:1]:
            members[run].append(node)
    return [_make_row(run, nodes, architecture) for run, nodes in zip(runs, members, strict=True) if nodes]


@dataclass(frozen=True)
class _LayerRun:
    name: str
    parts: tuple[Part, ...]
    depth: int | None


def _split_runs(part: Part) -> Iterator[_LayerRun]:
    """Yield a part as it is, and a stage as runs of layers that are equal but for channels and strides."""
    if not part.is_stage:
        yield _LayerRun(part.scope, (part,), None)
        return
    for _, layers in groupby(part.parts, key=lambda layer: layer.text):
        run = tuple(layers)
        span = run[0].scope if len(run) == 1 else format_span(run[0].scope, run[-1].scope)
        yield _LayerRun(part.scope if len(run) == len(part.parts) else span, run, len(run))


def _make_row(run: _LayerRun, nodes: Sequence[Node], architecture: Architecture) -> StageRow:
    cost = sum(map(architecture.compute_node_cost, nodes), Cost())
    return StageRow(run.name, run.parts[0].text, run.depth, _multiply_strides(nodes), nodes[-1].shape, cost)


def _multiply_strides(nodes: Sequence[Node]) -> int:
    """Return the product of the strides from the smallest image that comes in to the last node."""
    passed: dict[str, int] = {}
    for node in nodes:
        before = min(passed.get(name, 1) for name in node.inputs)
        passed[node.name] = before * node.op.arguments().get("stride", 1)
    return passed[nodes[-1].name]
