"""Costs of the parts of a network, each worked out once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from nas.blocks import Builder, Ref
from nas.cost import Cost
from nas.graph import simplify_part
from nas.graph.architecture import INPUT
from nas.graph.piece import Piece, cut_piece
from nas.ops import Shape, ShapeError

_NOTHING = Cost()


class Flow(NamedTuple):
    """Abstract value between two parts: its shape, and whether it is always zero."""

    shape: Shape
    dead: bool = False


class PartCost(NamedTuple):
    """Output and cost of a simplified part; `used` says which of its inputs it needs."""

    out: Flow
    cost: Cost
    used: tuple[bool, ...]


class PartCosts:
    """The memory behind every cost question about a space.

    `time`: gives the nanoseconds of a part; none where latency is not known. `constant`: what a network costs
    beside its parts.
    """

    def __init__(
        self, classes: int, time: Callable[[Piece], int] | None = None, constant: Cost = _NOTHING
    ) -> None:
        self.constant = constant
        self._classes = classes
        self._time = time
        self._known: dict[object, PartCost | str] = {}

    def get(self, key: object, inputs: Sequence[Flow], build: Callable[..., Ref]) -> PartCost:
        """Return what `build(net, *inputs)` adds to a network. Raises ShapeError where it cannot be built.

        `key` stands for all that the answer depends on.
        """
        found = self._known.get(key)
        if found is None:
            try:
                found = self._work_out(inputs, build)
            except ShapeError as error:
                # Many points meet the same part, so that it cannot be built is worked out once too.
                found = str(error)
            self._known[key] = found
        if isinstance(found, str):
            raise ShapeError(found)
        return found

    def _work_out(self, inputs: Sequence[Flow], build: Callable[..., Ref]) -> PartCost:
        refs = [Ref(f"{INPUT}.{i}" if i else INPUT, flow.shape) for i, flow in enumerate(inputs)]
        net = Builder(inputs[0].shape, self._classes)
        output = build(net, *refs)
        shapes = {ref.name: ref.shape for ref in refs}
        # What the simplest form leaves out costs nothing. Which inputs are zero decides that, so a flow says
        # it, and with it the key.
        part = simplify_part(
            net.nodes,
            shapes,
            output.name,
            [ref.name for ref, flow in zip(refs, inputs, strict=True) if flow.dead],
        )
        cost = part.cost
        if self._time is not None and not part.dead:
            cost = replace(cost, latency=self._time(cut_piece(part.nodes, shapes)))
        return PartCost(Flow(output.shape, part.dead), cost, tuple(r.name in part.used for r in refs))
